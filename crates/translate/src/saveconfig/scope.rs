// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a file that is applied answers for: what is within its scope and not in the file is to go.
//!
//! Above: `document`, `apply`.  Below: `entry`.
//! Never here: what is there.
//!
//! A file without a scope removes nothing but what its own targets show besides.  The scope is part of the file, so
//! that whoever applies it cannot forget it, or give another one by mistake.

use super::entry::Entry;
use super::own;
use model::{BackstoreId, Wwn};

/// Names, and beginnings of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// What stands before the `*` at its end.
    Beginning(String),
}

/// The most patterns of a file.
const PATTERNS_MAX: usize = 1024;

impl Scope {
    pub(super) fn read(file: &Entry<'_>) -> Result<Self, String> {
        let Some(own) = file.object(own::KEY)? else { return Ok(Self::default()) };
        let entry = Entry::on(own, own::of_the_file(own));
        let written = entry.list("scope")?;
        if written.len() > PATTERNS_MAX {
            return Err(format!("the scope has {} names, {PATTERNS_MAX} are possible", written.len()));
        }
        let pattern = |value: &serde_json::Value| {
            value
                .as_str()
                .map(Pattern::of)
                .unwrap_or_else(|| Err(entry.wrong("scope", value, "a list of names")))
        };
        Ok(Self(written.iter().map(pattern).collect::<Result<_, _>>()?))
    }

    /// Whether a storage object is within, by kind and name.
    pub(super) fn has_backstore(&self, id: &BackstoreId) -> bool {
        self.has(&id.to_string())
    }

    /// Whether a target is within.
    pub(super) fn has_target(&self, wwn: &Wwn) -> bool {
        self.has(wwn.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(whole) => name == whole,
            Pattern::Beginning(start) => name.starts_with(start.as_str()),
        })
    }
}

impl Pattern {
    fn of(text: &str) -> Result<Self, String> {
        let (name, is_beginning) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        let kinds = ["block/", "fileio/", "ramdisk/", "naa."];
        // What can never be there is a mistake: `disk*` would silently cover nothing.
        let fits =
            kinds.iter().any(|kind| name.starts_with(kind) || (is_beginning && kind.starts_with(name)));
        if name.contains('*') || !fits {
            let text = super::document::shown(text);
            return Err(format!(
                "the scope has '{text}', which no name can be; one is fileio/disk0, naa.5001405000000001, fileio/db-* or *"
            ));
        }
        Ok(if is_beginning { Self::Beginning(name.to_owned()) } else { Self::Name(name.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scope(patterns: serde_json::Value) -> Result<Scope, String> {
        let file = json!({ "x_lunar": { "scope": patterns } });
        Scope::read(&Entry::of(&file, "the file".to_owned())?)
    }

    #[test]
    fn names_and_beginnings_are_within() {
        let scope = scope(json!(["fileio/db-*", "ramdisk/r0", "naa.50014050*"])).expect("patterns");
        for (name, within) in [
            ("fileio/db-", true),
            ("fileio/db-1", true),
            ("fileio/dc-1", false),
            ("ramdisk/r0", true),
            ("ramdisk/r01", false),
            ("naa.5001405000000001", true),
            ("naa.5001405100000001", false),
        ] {
            assert_eq!(scope.has(name), within, "{name}");
        }
    }

    #[test]
    fn a_star_is_all_and_nothing_is_nothing() {
        assert!(scope(json!(["*"])).expect("a pattern").has("block/x"));
        assert!(!scope(json!([])).expect("no pattern").has("block/x"));
    }

    #[test]
    fn what_no_name_can_be_is_refused() {
        for text in ["disk*", "", "fileio/*/x", "iqn.2003*", "/backstores/fileio/*"] {
            let message = scope(json!([text])).expect_err(text);
            assert!(
                message.starts_with(&format!("the scope has '{text}', which no name can be; ")),
                "{message}"
            );
        }
        assert_eq!(
            scope(json!([7])).expect_err("a number"),
            "'scope' of 'x_lunar' of the file is 7, not a list of names"
        );
        let typed = json!({ "x_lunar": { "typed": true, "scope": "fileio/x" } });
        let entry = Entry::of(&typed, "the file".to_owned()).expect("an object");
        assert_eq!(Scope::read(&entry).expect_err("a text"), "'scope' of the file is 'fileio/x', not a list");
    }
}
