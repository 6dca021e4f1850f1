// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `set`: changes parameters of a group.
//!
//! Above: the table.  Below: `get`, which knows the groups; `settings`, the API.
//! Never here: which values an attribute takes.

use super::get::{Entry, FABRIC_PROT_TYPE, entries, list_groups, object, show_all};
use crate::arguments::missing;
use crate::command::{Command, Need, Needs, Parameter, Places, Values, optional};
use crate::failure::{Failure, codes};
use crate::screen::Level;
use crate::session::Call;
use crate::settings::Setting;
use crate::tree::Subject;
use api::v1::{Change, Outcome};
use serde_json::{Value, json};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "set",
    places: Places::All,
    parameters: &[
        optional(
            "group",
            Values::Group,
            "global, attribute at a backstore or target port group, identity at a backstore, parameter and option at a target, or alua at ALUA groups and a LUN; all groups are named if left out",
        ),
        Parameter {
            name: "parameter",
            need: Need::EveryAssignment,
            values: Values::GroupParameter,
            about: "what to set; if left out, what can be set is shown",
        },
    ],
    summary: "Change parameters",
    details: "Such as `set attribute emulate_tpu=0` at a backstore. Several are changed together: all of them, or none. \
`set global` is about this shell and its user, \
not about the daemon.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Some(group) = call.arguments.get("group").map(str::to_owned) else {
        if let Some((name, value)) = call.arguments.assignments.first() {
            let hint = format!("the command is: set GROUP {name}={value}; `set` alone shows the groups");
            return Err(missing(&["group"]).hint(hint).code(codes::SYNTAX));
        }
        list_groups(call);
        return Ok(());
    };
    let known = entries(call, &group)?;
    let wanted = call.arguments.assignments.clone();
    if wanted.is_empty() {
        call.result(object(&group, known.iter().filter(|entry| entry.writable)));
        let writable = known.iter().filter(|entry| entry.writable);
        return show_all(call, &group, writable.map(|entry| (entry, entry.kind)));
    }
    for (name, value) in &wanted {
        check(&known, &group, name, value)?;
    }
    let values = match &call.node.subject {
        Subject::Tpg { .. } if group == "attribute" => set_protection(&wanted)?,
        subject => match change_of(subject, &group) {
            Some(change) => make(call, &wanted, change)?,
            None => set_globals(call, &wanted)?,
        },
    };
    let parameter =
        |((name, _), value): (&(String, String), &String)| json!({ "name": name, "value": value });
    let now: Vec<Value> = wanted.iter().zip(&values).map(parameter).collect();
    call.result(json!({ "group": group, "parameters": now }));
    for ((name, _), value) in wanted.iter().zip(values) {
        call.say(Level::Info, &format!("Parameter {name} is now '{value}'."));
        // Whoever sets it to what it is without hopes for nothing.
        let in_vain = |setting: &&Setting| group == "global" && !setting.is_used && value != setting.default;
        if let Some(setting) = Setting::find(name).filter(in_vain) {
            call.say(Level::Warning, &format!("Nothing follows from {name}: {}.", setting.about));
        }
    }
    Ok(())
}

/// What can be told without the daemon, in targetcli's words.
fn check(known: &[Entry], group: &str, name: &str, value: &str) -> Result<(), Failure> {
    let Some(entry) = known.iter().find(|entry| entry.name == *name) else {
        return Err(Failure::new(format!("Unknown parameter {name} in group '{group}'."))
            .hint(format!("`set {group}` shows those there are")));
    };
    if !entry.writable {
        return Err(Failure::new(format!("Parameter {name} is read-only.")));
    }
    if entry.kind == "number" && (value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Failure::new(format!("Not setting {name}! Syntax error, '{value}' is not a NUMBER.")));
    }
    Ok(())
}

/// What one assignment changes of the configuration: its name and its value become a change.
type ChangeOf<'n> = Box<dyn Fn(&str, &str) -> Change + 'n>;

/// The changes that assignments to a group are; `None` where it is none of the daemon's.
fn change_of<'n>(subject: &'n Subject, group: &str) -> Option<ChangeOf<'n>> {
    Some(match (subject, group) {
        (Subject::Backstore(backstore), "attribute") => {
            let id = &backstore.id;
            Box::new(|name, value| Change::SetAttribute {
                id: id.clone(),
                attribute: name.to_owned(),
                value: value.to_owned(),
            })
        }
        (Subject::Backstore(backstore), "identity") => {
            let id = &backstore.id;
            Box::new(|name, value| Change::SetIdentity {
                id: id.clone(),
                attribute: name.to_owned(),
                value: value.to_owned(),
            })
        }
        (Subject::Target { wwn, .. }, "option") => Box::new(|name, value| Change::SetOption {
            wwn: wwn.clone(),
            option: name.to_owned(),
            value: value.to_owned(),
        }),
        (Subject::Target { wwn, .. }, "parameter") => Box::new(|name, value| Change::SetParameter {
            wwn: wwn.clone(),
            parameter: name.to_owned(),
            value: value.to_owned(),
        }),
        (Subject::AluaGroups { id, .. }, "alua") => {
            Box::new(|_, value| Change::SetLbaMap { id: id.clone(), lba_map: value.to_owned() })
        }
        (Subject::AluaGroup { id, group }, "alua") => Box::new(|name, value| Change::SetAluaAttribute {
            id: id.clone(),
            group: group.name.clone(),
            attribute: name.to_owned(),
            value: value.to_owned(),
        }),
        (Subject::Lun { wwn, tag, lun, .. }, "alua") => Box::new(|name, value| Change::SetLunAlua {
            wwn: wwn.clone(),
            tag: *tag,
            lun: *lun,
            attribute: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => return None,
    })
}

/// Makes all assignments or none, and returns what the values read back as; one that is not told is as typed.
fn make(
    call: &mut Call<'_>,
    wanted: &[(String, String)],
    change: ChangeOf<'_>,
) -> Result<Vec<String>, Failure> {
    let changes = wanted.iter().map(|(name, value)| change(name, value)).collect();
    let outcomes = call.apply_all(changes)?;
    let read_back = outcomes.into_iter().zip(wanted).map(|(outcome, (_, typed))| match outcome {
        Outcome::AttributeSet { value } | Outcome::OptionSet { value } => value,
        _ => typed.clone(),
    });
    Ok(read_back.collect())
}

/// It says what is so, and may be told so.
fn set_protection(wanted: &[(String, String)]) -> Result<Vec<String>, Failure> {
    let other = wanted.iter().find(|(_, value)| value.parse() != Ok(0));
    match other {
        None => Ok(vec!["0".to_owned(); wanted.len()]),
        Some((_, value)) => {
            Err(Failure::new(format!("Cannot set attribute {FABRIC_PROT_TYPE}: {value} is not 0"))
                .hint("no backstore protects its data, so there is nothing for the fabric to carry"))
        }
    }
}

fn set_globals(call: &mut Call<'_>, wanted: &[(String, String)]) -> Result<Vec<String>, Failure> {
    let mut checked = Vec::with_capacity(wanted.len());
    for (name, value) in wanted {
        // `check` found it, so that it is in the table.
        if let Some(setting) = Setting::find(name) {
            checked.push((name.clone(), setting.check(value)?));
        }
    }
    call.remember(&mut |kept| kept.globals.extend(checked.iter().cloned()))?;
    Ok(checked.into_iter().map(|(_, value)| value).collect())
}
