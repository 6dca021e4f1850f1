// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a configuration of LIO has besides: other fabrics, other kinds of backstore.
//!
//! Above: `model`, which carries it; `lunard`, which reads and writes the text.  Below: nothing.
//! Never here: what the text means.  Nothing of it is served.

use crate::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Things that are kept word for word, so that whoever saves the configuration after restoring it loses none.
///
/// A copy costs nothing: each change makes some, and nearly none touches these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign(Arc<BTreeMap<String, String>>);

impl Foreign {
    /// The most that is kept, in bytes of names and texts.
    pub const BYTES_MAX: usize = 16 << 20;

    /// The most things that are kept: a target with all that is in it is one.
    pub const THINGS_MAX: usize = 4096;

    /// Keeps these, each text by the name of what it describes.
    ///
    /// # Errors
    /// [`Refusal::ForeignTooMany`], [`Refusal::ForeignTooLong`].
    pub fn new(things: BTreeMap<String, String>) -> Result<Self, Refusal> {
        if things.len() > Self::THINGS_MAX {
            return Err(Refusal::ForeignTooMany { things: things.len() });
        }
        let bytes: usize = things.iter().map(|(name, text)| name.len() + text.len()).sum();
        if bytes > Self::BYTES_MAX {
            return Err(Refusal::ForeignTooLong { bytes });
        }
        Ok(Self(Arc::new(things)))
    }

    /// The things, by name.
    #[must_use]
    pub fn things(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let of = |bytes: usize| Foreign::new(BTreeMap::from([("ab".to_owned(), "t".repeat(bytes))]));
        assert_eq!(of(16_777_214).map(|kept| kept.things().len()), Ok(1));
        assert_eq!(of(16_777_215), Err(Refusal::ForeignTooLong { bytes: 16_777_217 }));
        let many = |things: usize| {
            Foreign::new((0..things).map(|number| (number.to_string(), String::new())).collect())
        };
        assert_eq!(many(4096).map(|kept| kept.things().len()), Ok(4096));
        assert_eq!(many(4097), Err(Refusal::ForeignTooMany { things: 4097 }));
    }
}
