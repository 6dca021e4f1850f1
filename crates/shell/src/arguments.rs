// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Binds what was typed after a command to its parameters.
//!
//! Above: `session`; the commands read the result.  Below: `grammar`, `command`.
//! Never here: what a value means, but for truth values.

use crate::command::{Command, Need};
use crate::failure::{Failure, codes};
use crate::grammar::Argument;
use std::collections::BTreeMap;

/// The parameters of one command, bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    named: BTreeMap<&'static str, String>,
    flags: Vec<&'static str>,
    /// What an `EveryValue` parameter took.
    pub(crate) values: Vec<String>,
    /// What an `EveryAssignment` parameter took, in order.
    pub(crate) assignments: Vec<(String, String)>,
}

impl Arguments {
    /// One parameter with its value, for a command that was not typed.
    pub(crate) fn of(name: &'static str, value: &str) -> Self {
        Self { named: BTreeMap::from([(name, value.to_owned())]), ..Self::default() }
    }

    /// The value of a parameter.  One that was left out, or left empty, is absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a required parameter.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| missing(&[name]))
    }

    /// The value of a parameter that is true or false.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Failure> {
        let named = |failure: Failure| failure.hint(format!("{name} is true or false"));
        self.get(name).map(truth).transpose().map_err(named)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }
}

/// `true` or `false` in any case.
pub(crate) fn truth(text: &str) -> Result<bool, Failure> {
    match text.to_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Failure::new(format!("Syntax error, '{text}' is not true|false.")).code(codes::SYNTAX)),
    }
}

/// Binds `typed` to the parameters of `command`.
///
/// # Errors
/// In targetcli's words and its order: what is missing, what is unknown, what is there twice, what is too
/// much.  The hint names each word that is too much.
pub(crate) fn bind(command: &'static Command, typed: &[Argument]) -> Result<Arguments, Failure> {
    bind_all(command, typed).map_err(|failure| failure.code(codes::SYNTAX))
}

fn bind_all(command: &'static Command, typed: &[Argument]) -> Result<Arguments, Failure> {
    let mut bound = Arguments::default();
    let mut places = command.positional();
    let (mut unknown, mut twice, mut too_much) = (Vec::new(), None, Vec::new());
    let mut set = |named: &mut BTreeMap<&'static str, String>, name: &'static str, value: &str| {
        if named.insert(name, value.to_owned()).is_some() {
            twice.get_or_insert(name);
        }
    };
    let mut positional_count = 0;
    let mut typed = typed.iter();
    while let Some(argument) = typed.next() {
        match argument {
            Argument::Positional(letter) if command.by_letter(letter).is_some() => {
                let Some(parameter) = command.by_letter(letter) else { continue };
                if parameter.need == Need::Flag {
                    bound.flags.push(parameter.name);
                } else if let Some(Argument::Positional(value)) = typed.next() {
                    set(&mut bound.named, parameter.name, value);
                }
            }
            Argument::Positional(value) => {
                positional_count += 1;
                match places.next() {
                    Some(parameter) => set(&mut bound.named, parameter.name, value),
                    None if command.takes_every(Need::EveryValue) => bound.values.push(value.clone()),
                    None => too_much.push(value.as_str()),
                }
            }
            Argument::Keyword(name, value) => match keyword(command, name) {
                Some(name) => set(&mut bound.named, name, value),
                None if command.takes_every(Need::EveryAssignment) => {
                    bound.assignments.push((name.clone(), value.clone()));
                }
                None => unknown.push(name.clone()),
            },
            Argument::Flag(name) => match command.parameter(name) {
                Some(parameter) if parameter.need == Need::Flag => bound.flags.push(parameter.name),
                _ => unknown.push(format!("--{name}")),
            },
        }
    }
    let absent: Vec<&str> = command
        .positional()
        .filter(|parameter| parameter.need == Need::Required && bound.get(parameter.name).is_none())
        .map(|parameter| parameter.name)
        .collect();
    let usage = || format!("the command is: {}", command.syntax().trim_end());
    if !absent.is_empty() {
        return Err(missing(&absent).hint(usage()));
    }
    if !unknown.is_empty() {
        return Err(unexpected(&mut unknown).hint(usage()));
    }
    if let Some(name) = twice {
        return Err(Failure::new(format!("Duplicate parameter {name}.")));
    }
    if !too_much.is_empty() {
        let verb = if too_much.len() == 1 { "is" } else { "are" };
        let hint = format!("{} {verb} too much; {}", quoted(&too_much), usage());
        return Err(too_many(command, positional_count).hint(hint));
    }
    Ok(bound)
}

fn keyword(command: &'static Command, name: &str) -> Option<&'static str> {
    let parameter = command.parameter(name)?;
    matches!(parameter.need, Need::Required | Need::Optional | Need::Keyword).then_some(parameter.name)
}

/// What is missing, in targetcli's words.
pub(crate) fn missing(names: &[&str]) -> Failure {
    Failure::new(match names {
        [name] => format!("Missing required parameter {name}"),
        names => format!("Missing required parameters {}", quoted(names)),
    })
}

fn unexpected(names: &mut Vec<String>) -> Failure {
    names.sort();
    names.dedup();
    Failure::new(match names.as_slice() {
        [name] => format!("Unexpected keyword parameter '{name}'."),
        names => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("Unexpected keyword parameters {}.", quoted(&names))
        }
    })
}

/// targetcli's own words, spelling included: scripts may look for them.
fn too_many(command: &Command, count: usize) -> Failure {
    let most = command.positional().count();
    let exact = command.positional().all(|parameter| parameter.need == Need::Required);
    let expected = if exact { "exactly" } else { "at most" };
    Failure::new(format!("Got {count} positionnal parameters, expected {expected} {most}."))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
