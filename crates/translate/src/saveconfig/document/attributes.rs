// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The attributes that a file gives to a storage object.
//!
//! Above: `document`.  Below: `model`.
//! Never here: what an attribute may be; the table of `model` says it.

use super::{Author, Document, DocumentError, Reader, lio, shown, words};
use crate::live::Live;
use crate::saveconfig::entry::Entry;
use crate::saveconfig::own::OwnObject;
use crate::view;
use model::{ATTRIBUTES, Attribute, Backstore, Kind, Model, Refusal};
use serde_json::Value;

impl Document {
    /// Leaves to the media that are there what LIO's tools have read of them: it is what it is, and nobody's wish.
    pub fn leave_to_media(&mut self, model: &Model, live: &Live) {
        for wanted in self.backstores.iter_mut().filter(|_| self.is_of_lio) {
            let Some(is) = model.backstores().get(&wanted.id()) else { continue };
            if is.medium.path() != wanted.medium.path() {
                continue;
            }
            let shown = |row| view::attribute(is, live.backstores.get(&is.id()), row);
            for row in ATTRIBUTES.iter().filter(|row| is.attribute(row.key).is_none()) {
                if wanted.attribute(row.key) == Some(shown(row)) {
                    wanted.leave_to_medium(row.key);
                }
            }
        }
    }
}

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

    /// Makes of an attribute that cannot be so what its author expects: one that LIO would not take either was written by
    /// no kernel, and is a mistake.
    fn take_or_tell(
        &mut self,
        set: Result<(), Refusal>,
        backstore: &Backstore,
        name: &str,
        text: &str,
    ) -> Result<(), DocumentError> {
        match set {
            Err(refusal) if self.author == Author::Person || !lio::has(backstore, name, text) => {
                return Err(words(refusal));
            }
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
