// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a restored configuration has otherwise than its file says.
//!
//! Above: `document`.  Below: nothing.
//! Never here: an error.

use super::document::shown;
use model::BackstoreId;
use std::collections::{BTreeMap, BTreeSet};

/// The most lines that are told; the rest is counted.
const LINES_MAX: usize = 32;

/// The most attributes that the line about attributes names.
const ATTRIBUTES_MAX: usize = 40;

/// Lines for the administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    told: Vec<String>,
    more: usize,
    attributes: BTreeMap<String, BTreeSet<BackstoreId>>,
}

impl Notes {
    pub(super) fn add(&mut self, line: String) {
        if self.told.len() < LINES_MAX {
            self.told.push(line);
        } else {
            self.more += 1;
        }
    }

    /// An attribute that cannot have this value here.  A file of LIO's has many, alike in all its objects, so
    /// they share a line.
    pub(super) fn add_attribute(&mut self, name: &str, value: &str, of: &BackstoreId) {
        let pair = format!("{}={}", shown(name), shown(value));
        if self.attributes.len() < ATTRIBUTES_MAX || self.attributes.contains_key(&pair) {
            self.attributes.entry(pair).or_default().insert(of.clone());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = self.told.clone();
        if !self.attributes.is_empty() {
            let pairs: Vec<&str> = self.attributes.keys().map(String::as_str).collect();
            let objects: BTreeSet<&BackstoreId> = self.attributes.values().flatten().collect();
            let of = match objects.first() {
                Some(only) if objects.len() == 1 => only.to_string(),
                _ => format!("{} storage objects", objects.len()),
            };
            lines.push(format!(
                "attributes of {of} that cannot be so here keep their defaults: {}",
                pairs.join(" ")
            ));
        }
        if self.more > 0 {
            lines.push(format!("and {} more things are otherwise than the file says", self.more));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BackstoreName, Kind};

    fn id(name: &str) -> BackstoreId {
        BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse(name).unwrap() }
    }

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let mut notes = Notes::default();
        for number in 0..40 {
            notes.add(format!("line {number}"));
        }
        let lines = notes.lines();
        assert_eq!(lines.len(), 33);
        assert_eq!(lines[32], "and 8 more things are otherwise than the file says");
    }

    #[test]
    fn attributes_share_a_line() {
        let mut notes = Notes::default();
        notes.add_attribute("emulate_caw", "1", &id("a"));
        let one = "attributes of fileio/a that cannot be so here keep their defaults: emulate_caw=1";
        assert_eq!(notes.lines(), [one]);
        notes.add_attribute("emulate_caw", "1", &id("b"));
        notes.add_attribute("queue_depth", "256", &id("a"));
        let two = "attributes of 2 storage objects that cannot be so here keep their defaults: \
                   emulate_caw=1 queue_depth=256";
        assert_eq!(notes.lines(), [two]);
    }
}
