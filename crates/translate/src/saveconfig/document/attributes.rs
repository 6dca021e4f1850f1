// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The attributes that a file gives to a storage object.
//!
//! Above: `document`.  Below: `model`.
//! Never here: what an attribute may be; the table of `model` says it.

use super::{Author, DocumentError, Reader, shown, words};
use crate::saveconfig::entry::Entry;
use crate::saveconfig::own::OwnObject;
use model::{Attribute, Backstore, Kind, Refusal};
use serde_json::Value;

impl Reader<'_> {
    /// Sets what the file has otherwise than it would be, so that what nobody set stays unset.
    pub(super) fn attributes(
        &mut self,
        entry: &Entry<'_>,
        backstore: &mut Backstore,
        own: &OwnObject,
    ) -> Result<(), DocumentError> {
        let written = entry.object("attributes")?;
        for (name, value) in &own.attributes {
            let set = backstore.set_attribute(name, &value.to_string());
            self.take_or_tell(set.map(drop), backstore, name, &value.to_string())?;
        }
        let names = written.iter().flat_map(|written| written.keys());
        // The size of a block bounds what other attributes may be.
        let (first, rest): (Vec<&String>, Vec<&String>) = names.partition(|name| *name == "block_size");
        if backstore.kind() == Kind::Fileio
            && entry.truth("write_back")? == Some(false)
            && !rest.iter().any(|name| *name == "emulate_write_cache")
        {
            backstore.set_attribute("emulate_write_cache", "0").map_err(words)?;
        }
        for name in first.into_iter().chain(rest) {
            let value = written.and_then(|written| written.get(name)).unwrap_or(&Value::Null);
            let text = match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                Value::Bool(truth) => u8::from(*truth).to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(entry
                        .wrong(&format!("attributes.{}", shown(name)), value, "a number")
                        .into());
                }
            };
            if own.by_device.get(name) != Some(value) {
                self.attribute(backstore, name, &text, own)?;
            }
        }
        Ok(())
    }

    /// Makes of an attribute that cannot be so what its author expects.
    fn take_or_tell(
        &mut self,
        set: Result<(), Refusal>,
        backstore: &Backstore,
        name: &str,
        text: &str,
    ) -> Result<(), DocumentError> {
        match set {
            Err(refusal) if self.author == Author::Person => return Err(words(refusal)),
            Err(_) => self.document.notes.add_attribute(name, text, &backstore.id()),
            Ok(()) => {}
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        backstore: &mut Backstore,
        name: &str,
        text: &str,
        own: &OwnObject,
    ) -> Result<(), DocumentError> {
        let now = Attribute::named(name).and_then(|row| backstore.attribute(row.key));
        let mut wanted = backstore.clone();
        match wanted.set_attribute(name, text) {
            Ok(value) if now == Some(value) && !own.set.contains(name) => {}
            Ok(_) => *backstore = wanted,
            // How the disk is read depends on it.
            Err(refusal) if name == "block_size" => return Err(words(refusal)),
            Err(_) if now.is_some_and(|now| now.to_string() == text) => {}
            Err(refusal) => return self.take_or_tell(Err(refusal), backstore, name, text),
        }
        Ok(())
    }
}
