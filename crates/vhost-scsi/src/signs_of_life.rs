// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells when a front end did not share its guest's memory.
//!
//! Above: `worker`, which sees kicks; `queue`, which sees work.
//! Below: nothing.
//! Never here: a clock; the worker has the timer.
//!
//! QEMU without `share=on` sends its memory file all the same, but the guest writes to private copies of its
//! pages.  The rings look empty for ever, and nobody says a word.  The sign is a guest that kicks and has
//! never been seen to offer anything, on any ring.  A kick alone says nothing: QEMU kicks all rings when one
//! of them is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long after a kick something must have been seen.  The kick comes after what it tells of, so this is
/// for the other rings of the same guest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What all rings of one connection have seen.
#[derive(Debug, Default)]
pub(crate) struct SignsOfLife {
    seen: AtomicBool,
    told: AtomicBool,
}

impl SignsOfLife {
    /// Takes note of whether the guest has offered something.  Writes once, so that rings on several threads
    /// do not fight for the line.
    pub(crate) fn note_if(&self, offered: bool) {
        if offered && !self.seen() {
            self.seen.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it ever did.
    pub(crate) fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Whether it is time to say that the memory is not shared: once a connection.
    pub(crate) fn must_tell(&self) -> bool {
        !self.seen() && !self.told.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::SignsOfLife;

    #[test]
    fn a_guest_that_never_offered_anything_is_told_of_once() {
        let signs = SignsOfLife::default();
        assert!(signs.must_tell());
        assert!(!signs.must_tell());
    }

    #[test]
    fn a_guest_that_offered_something_is_not_told_of() {
        let signs = SignsOfLife::default();
        signs.note_if(false);
        assert!(!signs.seen());
        signs.note_if(true);
        assert!(signs.seen());
        assert!(!signs.must_tell());
    }
}
