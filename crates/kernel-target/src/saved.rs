// SPDX-License-Identifier: Apache-2.0 OR MIT
//! saveconfig.json of the kernel's target: the file from which LIO's own tools restore it when the host starts.
//!
//! Above: `target`.  Below: `translate`, which has the format; `found`.
//! Never here: the tree.

use crate::found::Found;
use crate::problem::Problem;
use api::v1::{self, codes};
use serde_json::{Map, Value, json};
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
    let text = saveconfig::text(&found.model, &found.live);
    // Written a line above: it is what it says.
    let Ok(mut whole) = serde_json::from_str::<Value>(&text) else { return text };
    for object in whole["storage_objects"].as_array_mut().into_iter().flatten() {
        let id = found
            .adapters
            .keys()
            .find(|id| object["plugin"] == id.kind.as_str() && object["name"] == id.name.as_str());
        let Some(attributes) = id.and_then(|id| found.attributes.get(id)) else { continue };
        let written = attributes.iter().filter(|(_, value)| value.is_writable);
        let pairs = written.map(|(name, value)| (name.clone(), number_or_text(&value.text)));
        object["attributes"] = Value::Object(pairs.collect::<Map<_, _>>());
        if id.is_some_and(|id| found.without_serial.contains(id)) {
            object.as_object_mut().and_then(|object| object.remove("wwn"));
        }
    }
    format!("{whole:#}\n")
}

fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}
