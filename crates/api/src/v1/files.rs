// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files: what is saved, restored, compared and applied.
//!
//! Above: `v1`.  Below: nothing.
//! Never here: what is in such a file.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How the daemon's own saveconfig.json is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveOptions {
    /// How many earlier versions are kept; 10 where nothing is said, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<u32>,
}

/// Where the configuration was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Saved {
    /// The file.
    pub path: String,
    /// How many earlier versions are kept, where one was made now, and in which directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<Backups>,
}

/// The earlier versions that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backups {
    /// At most this many.
    pub kept: u32,
    /// Where, with a final slash.
    pub directory: String,
}

/// The longest saveconfig.json that is restored, in bytes: some 25,000 storage objects.
pub const SAVECONFIG_BYTES_MAX: usize = 64 << 20;

/// The text of a saveconfig.json, byte for byte as LIO's tools write it: sorted, indented by two, and in ASCII, so that it
/// means the same in every locale.
#[must_use]
pub fn saveconfig_text(mut whole: Value) -> String {
    whole.sort_all_objects();
    let text = format!("{whole:#}\n");
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text;
    }
    // Outside of a string there is nothing else.
    let mut plain = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if matches!(character, ' '..='~' | '\n') {
            plain.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            plain.extend(units.into_iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    plain
}

/// What to take of a saveconfig.json, and what becomes of what is there.  All or nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreOptions {
    /// Whether what is there goes first: all of it, or what `target` and `storage_object` name.  Otherwise
    /// nothing of the same name may be there.
    #[serde(default)]
    pub clear_existing: bool,
    /// Only this target, with the storage objects that its LUNs show and that are not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only this storage object: a name, or `block/` and a name where several kinds have one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_object: Option<String>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// The file, where it was the daemon's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many storage objects were made.
    pub storage_objects: u64,
    /// How many targets were made.
    pub targets: u64,
    /// What is otherwise than the file says, one line each.
    pub notes: Vec<String>,
}

/// How to apply a file.  All of it comes to be, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyOptions {
    /// Whether to say only what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether guests that are connected may lose their target, or a LUN.
    #[serde(default)]
    pub force: bool,
    /// The [`Compared::generation`] that the difference was shown for: where the configuration is another one by now,
    /// nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
}

/// What a file has otherwise than the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    /// Which configuration it was compared with.
    pub generation: String,
    /// Whether it has been made so.
    pub applied: bool,
    /// What goes, then what is made or changed; nothing where everything is so already.
    pub differences: Vec<Difference>,
    /// The targets with a guest connected that loses its target or a LUN: without `force` nothing is done.
    pub guests_lose: Vec<String>,
    /// What cannot be as the file says, one line each.
    pub notes: Vec<String>,
}

/// One thing that is otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// What is to be done.
    pub action: Action,
    /// The thing: its path in the shell's tree.
    pub path: String,
    /// Its values that are otherwise, by name.  Of a thing to be made, those that the file says; what is made up (a
    /// serial number, a nexus) is not known before.
    pub values: Vec<ValueChange>,
}

/// What is to be done with a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed, also below guests.
    Change,
    /// It is made anew: a guest loses it for a moment.
    Replace,
    /// It goes.
    Delete,
}

/// One value that is otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValueChange {
    /// Its name, such as `emulate_tpu` or `path`.
    pub name: String,
    /// What it is; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is to be; absent where there is to be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleared {
    /// How many storage objects.
    pub storage_objects: u64,
    /// How many targets.
    pub targets: u64,
    /// How many things that were kept for LIO and not served.
    pub kept_things: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_what_python_would_write() {
        let value = json!({"b": ["/srv/é", "\u{1f600}\u{7f}", "a\tb\u{1}\"\\/"], "a": {}});
        let expected = concat!(
            "{\n  \"a\": {},\n  \"b\": [\n    \"/srv/\\u00e9\",\n    \"\\ud83d\\ude00\\u007f\",\n",
            "    \"a\\tb\\u0001\\\"\\\\/\"\n  ]\n}\n"
        );
        assert_eq!(saveconfig_text(value), expected);
    }
}
