// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether everything on a medium is being removed, or could not be.
//!
//! Above: `execute`, which asks before each command; SANITIZE, which sets it.
//! Below: nothing.
//! Never here: the removing.

use std::sync::atomic::{AtomicU32, Ordering};

/// What is to be said of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SanitizeState {
    /// Nothing.
    None = 0,
    /// It is being done.
    Running = 1,
    /// It failed, and only another one helps.
    Failed = 2,
    /// It failed, and may be left at that.
    FailedUnrestricted = 3,
}

/// The state of one backstore, for all who reach it.
#[derive(Debug, Default)]
pub struct Sanitizing(AtomicU32);

impl Sanitizing {
    /// The state now.
    #[inline]
    pub fn state(&self) -> SanitizeState {
        match self.0.load(Ordering::Acquire) {
            0 => SanitizeState::None,
            1 => SanitizeState::Running,
            2 => SanitizeState::Failed,
            _ => SanitizeState::FailedUnrestricted,
        }
    }

    /// Sets it.
    pub fn set(&self, state: SanitizeState) {
        self.0.store(state as u32, Ordering::Release);
    }

    /// Begins one, unless one is running.  Returns what was there before.
    pub fn begin(&self) -> Option<SanitizeState> {
        let before = self.state();
        let begun = before != SanitizeState::Running
            && self
                .0
                .compare_exchange(
                    before as u32,
                    SanitizeState::Running as u32,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok();
        begun.then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_at_a_time() {
        let sanitizing = Sanitizing::default();
        assert_eq!(sanitizing.begin(), Some(SanitizeState::None));
        assert_eq!(sanitizing.begin(), None);
        sanitizing.set(SanitizeState::Failed);
        assert_eq!(sanitizing.begin(), Some(SanitizeState::Failed));
    }
}
