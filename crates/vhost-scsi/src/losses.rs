// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lost writes, told to every guest that may have lost some.
//!
//! Above: `queue`, when a flush ends.
//! Below: the count that a `Store` keeps.
//! Never here: which writes were lost; the kernel does not say.
//!
//! The kernel tells of a failed write-back once for each open file, to whichever flush comes first.  Guests that
//! share a backstore share its file, so the flush of one would take the news and the next guest's would hear
//! that all is well.  Each connection therefore remembers how many losses it has been told of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use target::LunMap;
use target::io::BackstoreError;

/// How many losses of each backstore one connection has been told of.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    told: Mutex<BTreeMap<u64, u64>>,
}

impl Losses {
    /// Takes note of the backstores that the connection can write to: what was lost before is not its loss.
    pub(crate) fn note_stores(&self, map: &LunMap) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, group) in map.groups() {
            for store in group.units().filter_map(|mapping| mapping.unit.store.as_ref()) {
                told.entry(store.id).or_insert_with(|| store.losses.load(Ordering::Acquire));
            }
        }
    }

    /// The end of a flush, or of a durable write that took the news, as the connection is to hear it.
    pub(crate) fn hear(
        &self,
        store: u64,
        losses: &AtomicU64,
        result: Result<(), BackstoreError>,
    ) -> Result<(), BackstoreError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.entry(store).or_default();
        if result.is_err() {
            *told = losses.fetch_add(1, Ordering::AcqRel) + 1;
            return result;
        }
        let lost = losses.load(Ordering::Acquire);
        if std::mem::replace(told, lost) < lost { Err(BackstoreError::WriteFailed) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Losses;
    use std::sync::atomic::AtomicU64;
    use target::io::BackstoreError;

    #[test]
    fn a_loss_is_told_once_to_each_connection() {
        let (one, two) = (Losses::default(), Losses::default());
        let lost = AtomicU64::new(0);
        assert_eq!(one.hear(7, &lost, Ok(())), Ok(()));
        assert_eq!(one.hear(7, &lost, Err(BackstoreError::NoSpace)), Err(BackstoreError::NoSpace));
        assert_eq!(one.hear(7, &lost, Ok(())), Ok(()));
        assert_eq!(two.hear(7, &lost, Ok(())), Err(BackstoreError::WriteFailed));
        assert_eq!(two.hear(7, &lost, Ok(())), Ok(()));
    }
}
