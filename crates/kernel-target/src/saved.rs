// SPDX-License-Identifier: Apache-2.0 OR MIT
//! saveconfig.json of the kernel's target: the file from which LIO's own tools restore it when the host starts.
//!
//! Above: `target`.  Below: `translate`, which has the format; `found`.
//! Never here: the tree.

use crate::found::Found;
use crate::jobs::Attributes;
use crate::problem::Problem;
use api::v1::{self, codes};
use model::BackstoreId;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use translate::saveconfig::{self, Document, ReadError, SaveConfig};
use translate::wish::HostChance;

/// Where Debian's tools keep the file.
const DEBIAN: &str = "/etc/rtslib-fb-target";

/// Where everybody else's do.
const COMMON: &str = "/etc/target";

/// The most foreign things that a message names.
const NAMED_MAX: usize = 4;

/// The directory of this host's tools.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(if Path::new(DEBIAN).is_dir() { DEBIAN } else { COMMON })
}

/// The file as it is to be written, with what the one that is there says of things that the model has no word for.
///
/// # Errors
/// Refused where the kernel has such a thing and no file tells of it: saving must lose nothing.
pub(crate) fn text(mut found: Found, there: &SaveConfig) -> Result<String, Problem> {
    let told = match there.read() {
        Ok(text) => Document::read(&text, &v1::RestoreOptions::default(), &mut HostChance)?.foreign().clone(),
        Err(ReadError::Missing { .. }) => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let untold: Vec<&str> =
        found.foreign_names.iter().map(String::as_str).filter(|name| !told.contains_key(*name)).collect();
    if !untold.is_empty() {
        let mut named = untold.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        if untold.len() > NAMED_MAX {
            named.push_str(&format!(" and {} more", untold.len() - NAMED_MAX));
        }
        let message = format!("saving would lose {named}: {} does not tell of it", there.path().display());
        let hint = "save with targetcli once; what it wrote is kept from then on".to_owned();
        return Err(Problem::new(codes::SAVECONFIG, message, Some(hint)));
    }
    found.keep(&told)?;
    Ok(own(&found))
}

/// The file with what the model has words for, and what it keeps.
pub(crate) fn own(found: &Found) -> String {
    written(found, |_, _, _| true)
}

/// The same for Lunar, which has media of its own kind: without what the kernel says of the medium.
pub(crate) fn for_lunar(found: &Found) -> String {
    written(found, |found, id, name| {
        let Some(row) = model::Attribute::named(name) else { return true };
        let set = found.model.backstores().get(id).and_then(|backstore| backstore.attributes().get(row.key));
        set.is_some() || row.default_of(id.kind).is_some()
    })
}

fn written(found: &Found, is_told: impl Fn(&Found, &BackstoreId, &str) -> bool) -> String {
    let text = saveconfig::text(&found.model, &found.live);
    // Written a line above: it is what it says.
    let Ok(mut whole) = serde_json::from_str::<Value>(&text) else { return text };
    for object in objects(&mut whole) {
        let is_it =
            |id: &&BackstoreId| object["plugin"] == id.kind.as_str() && object["name"] == id.name.as_str();
        let Some(id) = found.adapters.keys().find(is_it) else { continue };
        let Some(attributes) = found.attributes.get(id) else { continue };
        let told = attributes.iter().filter(|(name, value)| value.is_writable && is_told(found, id, name));
        let pairs = told.map(|(name, value)| (name.clone(), number_or_text(&value.text)));
        object["attributes"] = Value::Object(pairs.collect::<Map<_, _>>());
        if found.without_serial.contains(id) {
            object.as_object_mut().and_then(|object| object.remove("wwn"));
        }
    }
    format!("{whole:#}\n")
}

fn objects(whole: &mut Value) -> impl Iterator<Item = &mut Value> {
    whole.get_mut("storage_objects").and_then(Value::as_array_mut).into_iter().flatten()
}

fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// A file that is to be restored: what the model reads, and what only the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct ForKernel {
    /// The file without what is in the other members.
    pub(crate) text: Vec<u8>,
    /// Attributes as the file has them, by `block/disk0` and name.
    pub(crate) attributes: Attributes,
    /// Targets whose options are left out: the kernel's have none.
    pub(crate) with_options: Vec<String>,
}

/// Attributes without which the model does not know what a file means.
const OF_THE_MODEL: &[&str] = &["block_size", "emulate_model_alias", "emulate_write_cache"];

impl ForKernel {
    /// Takes a file apart.  One that is none is passed on as it is: whoever reads it says what is wrong.
    pub(crate) fn read(text: Vec<u8>) -> Self {
        let Ok(mut whole) = serde_json::from_slice::<Value>(&text) else {
            return Self { text, ..Self::default() };
        };
        let mut taken = Self::default();
        for object in objects(&mut whole) {
            let name = format!("{}/{}", word(&object["plugin"]), word(&object["name"]));
            // What a file is opened with is an attribute to the kernel.
            let is_file = word(&object["plugin"]) == "fileio";
            let write_back = object.get("write_back").and_then(Value::as_bool).filter(|_| is_file);
            let mut texts: BTreeMap<String, String> = write_back
                .map(|on| ("emulate_write_cache".to_owned(), u8::from(on).to_string()))
                .into_iter()
                .collect();
            if let Some(attributes) = object.get_mut("attributes").and_then(Value::as_object_mut) {
                texts.extend(attributes.iter().map(|(name, value)| (name.clone(), plain_text(value))));
                attributes.retain(|name, _| OF_THE_MODEL.contains(&name.as_str()));
            }
            taken.attributes.insert(name, texts);
        }
        for target in whole.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
            if target.as_object_mut().and_then(|target| target.remove("options")).is_some() {
                taken.with_options.push(word(&target["wwn"]));
            }
        }
        // Read once already; a key that was there twice must still be found.
        taken.text = if is_strict(&text) { whole.to_string().into_bytes() } else { text };
        taken
    }

    /// What is left out, one line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |wwn: &String| format!("the options of target {wwn} are left out: the kernel's has none");
        self.with_options.iter().map(note).collect()
    }
}

/// What a file has otherwise than it is made, one line each: what others restore is theirs.
pub(crate) fn told(document: &Document) -> Vec<String> {
    let left = "is left as it is: targetcli restores it";
    document.notes().iter().map(|note| note.replace(KEPT_BY_LUNARD, left)).collect()
}

/// What becomes of other fabrics in `lunard`, which has none, and says so.
const KEPT_BY_LUNARD: &str = "is not served; it is kept as it is";

/// Whether nothing is lost by reading a text and writing it: no key is there twice.
fn is_strict(text: &[u8]) -> bool {
    Document::read(text, &v1::RestoreOptions::default(), &mut HostChance).is_ok()
}

fn word(value: &Value) -> String {
    match value.as_str().unwrap_or_default() {
        "iblock" => "block".to_owned(),
        "rd_mcp" => "ramdisk".to_owned(),
        other => other.to_owned(),
    }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_kernel_knows_is_taken_out_of_a_file() {
        let text = br#"{"storage_objects": [{"plugin": "rd_mcp", "name": "r0", "size": 4096, "wwn": "s",
            "attributes": {"block_size": 512, "emulate_caw": 1, "emulate_3pc": true}}],
            "targets": [{"fabric": "vhost", "wwn": "naa.5001405000000001", "options": {"seg_max": 64}, "tpgs": []}]}"#;
        let taken = ForKernel::read(text.to_vec());
        let attributes = &taken.attributes["ramdisk/r0"];
        assert_eq!((attributes["emulate_caw"].as_str(), attributes["emulate_3pc"].as_str()), ("1", "1"));
        let left: Value = serde_json::from_slice(&taken.text).unwrap();
        assert_eq!(left["storage_objects"][0]["attributes"], json!({ "block_size": 512 }));
        assert_eq!(
            taken.notes(),
            ["the options of target naa.5001405000000001 are left out: the kernel's has none"]
        );
    }

    #[test]
    fn a_file_that_is_damaged_is_passed_on_as_it_is() {
        for text in [&b"{"[..], b"{\"a\": 1, \"a\": 1}"] {
            assert_eq!(ForKernel::read(text.to_vec()).text, text);
        }
    }
}
