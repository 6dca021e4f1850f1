// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options, parameters and attributes of a target of a file, and of what is in it.
//!
//! Above: `document`.  Below: `model`, for names and values, `host`.
//! Never here: attributes of storage objects.

use super::{Author, DocumentError, Reader, shown};
use crate::host;
use crate::saveconfig::entry::{Entry, shown_value};
use model::{CompletionAffinity, TargetOption};
use serde_json::Value;
use std::collections::BTreeMap;

/// What LIO's tools save of a target port group of vhost that nobody changed.
const DEFAULTS_OF_LIO: &[(&str, &str)] = &[("fabric_prot_type", "0")];

impl Reader<'_> {
    /// The options of a target.  A file of ours leaves out those that have their defaults; one of LIO's says
    /// nothing by leaving them out.
    pub(super) fn options(
        &mut self,
        entry: &Entry<'_>,
    ) -> Result<Option<BTreeMap<String, String>>, DocumentError> {
        let Some(written) = entry.object("options")? else {
            return Ok(self.own.is_ours().then(BTreeMap::new));
        };
        let mut options = BTreeMap::new();
        for (name, value) in written {
            if TargetOption::named(name).is_none() {
                let line = format!("option '{}' of {} is not known here", shown(name), entry.at());
                if self.author == Author::Person {
                    return Err(line.into());
                }
                self.note(line);
                continue;
            }
            let value = value
                .as_u64()
                .ok_or_else(|| entry.wrong(&format!("options.{name}"), value, "a whole number"))?;
            options.insert(name.clone(), value.to_string());
        }
        Ok(Some(options))
    }

    /// Where LIO would complete the commands of a target.  A file that a person wrote leaves out the default; one that
    /// has nothing of it otherwise is of a kernel that has no such thing.
    pub(super) fn completion_affinity(
        &mut self,
        entry: &Entry<'_>,
    ) -> Result<Option<CompletionAffinity>, DocumentError> {
        let parameters = entry.object("parameters")?;
        let Some(value) = parameters.and_then(|parameters| parameters.get(CompletionAffinity::NAME)) else {
            return Ok(self.own.is_ours().then(CompletionAffinity::default));
        };
        let text = text_of(value);
        let affinity = CompletionAffinity::parse(&text).filter(|affinity| host::has_cpu_of(*affinity));
        if affinity.is_none() {
            let (name, values) = (CompletionAffinity::NAME, CompletionAffinity::VALUES);
            let what = format!("parameters.{name}={} of {}", shown_text(value), entry.at());
            if self.author == Author::Person {
                return Err(format!("{what} cannot be: it takes {values}").into());
            }
            self.note(format!("{what} is not taken over: it takes {values}"));
        }
        Ok(affinity)
    }

    /// Tells of the attributes and parameters of a target, a TPG or a node ACL that change nothing here.
    pub(super) fn lost(&mut self, entry: &Entry<'_>) -> Result<(), DocumentError> {
        for list in ["attributes", "parameters"] {
            for (name, value) in entry.object(list)?.into_iter().flatten() {
                let is_taken = list == "parameters" && name == CompletionAffinity::NAME;
                let text = shown_text(value);
                if !is_taken && !DEFAULTS_OF_LIO.contains(&(name.as_str(), text.as_str())) {
                    self.note(format!("{list}.{}={text} of {} is not taken over", shown(name), entry.at()));
                }
            }
        }
        Ok(())
    }
}

/// A value as it would be written into a file of the kernel's.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shown_text(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        other => shown_value(other),
    }
}
