// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether everything on a unit's medium is being removed, or could not be; and the removing.
//!
//! Above: `execute`, which asks before each command; SANITIZE, which begins it; whoever starts a unit with something begun.
//! Below: the backstore, from a thread that may block; `unit_state`, which keeps what was begun.
//! Never here: a parameter list, or a guest.
//!
//! What is begun is kept before anything is removed and before anybody is answered, and forgotten before the unit serves
//! again: a process that dies in between is followed by one that goes on.  If it cannot be forgotten the unit says that it
//! failed, for the next process would begin again, on what guests have written since.

use crate::unit_state::{NotPersisted, UnitState};
use backstore::{Backstore, BackstoreError, Hold, HostLock};
use scsi::sanitize::Overwrite;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What is written or given up at once, in bytes.
const PIECE_BYTES: usize = 4 << 20;
/// How often it is kept how far the work has come.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

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

/// It is running for all who look, and nobody does it yet: another process has begun it.
const LEFT: u32 = 4;

/// What a unit keeps of a SANITIZE that was begun and has not ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitize {
    /// What is written; `None` for an erase.
    pub overwrite: Option<Overwrite>,
    /// The length of a block, over which a pattern is laid.
    pub block_bytes: u32,
    /// AUSE: its failure may be left at that.
    pub unrestricted_exit: bool,
    /// Whether it failed.
    pub failed: bool,
    /// Bytes that are surely done, over all passes.
    pub done_bytes: u64,
}

impl Sanitize {
    fn state(&self) -> SanitizeState {
        match (self.failed, self.unrestricted_exit) {
            (false, _) => SanitizeState::Running,
            (true, false) => SanitizeState::Failed,
            (true, true) => SanitizeState::FailedUnrestricted,
        }
    }
}

/// The state of one unit, for all who reach it.
#[derive(Debug, Default)]
pub struct Sanitizing {
    /// A [`SanitizeState`], or [`LEFT`].
    state: AtomicU32,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Sanitizing {
    /// The state of a unit that keeps this.
    pub(crate) fn of(kept: Option<&Sanitize>) -> Self {
        let state = match kept.map(Sanitize::state) {
            None => SanitizeState::None as u32,
            Some(SanitizeState::Running) => LEFT,
            Some(failed) => failed as u32,
        };
        Self { state: AtomicU32::new(state), ..Self::default() }
    }

    /// The state now.
    #[inline]
    pub fn state(&self) -> SanitizeState {
        match self.state.load(Ordering::Acquire) {
            0 => SanitizeState::None,
            1 | LEFT => SanitizeState::Running,
            2 => SanitizeState::Failed,
            _ => SanitizeState::FailedUnrestricted,
        }
    }

    /// How much is done, in parts of 65536.
    pub fn progress(&self) -> u16 {
        let (done, total) =
            (self.done_bytes.load(Ordering::Relaxed), self.total_bytes.load(Ordering::Relaxed));
        let parts = u128::from(done) * 65536 / u128::from(total.max(1));
        u16::try_from(parts).unwrap_or(u16::MAX)
    }

    fn set(&self, state: SanitizeState) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Begins one, unless one is running.  Returns what was there before.
    fn begin(&self) -> Option<SanitizeState> {
        let before = self.state();
        (before != SanitizeState::Running && self.take(before as u32)).then_some(before)
    }

    /// Makes it running, if it is still `from`.
    fn take(&self, from: u32) -> bool {
        let running = SanitizeState::Running as u32;
        self.state.compare_exchange(from, running, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl UnitState {
    /// EXIT FAILURE MODE: forgets a failure that may be left at that.  Blocks as [`UnitState::change`] does.
    ///
    /// # Errors
    /// [`NotPersisted`]; then the failure stays.
    pub(crate) fn leave_failed_sanitize(&self) -> Result<(), NotPersisted> {
        if self.sanitizing().state() == SanitizeState::FailedUnrestricted {
            self.change(|record| record.sanitize = None)?;
            // Unless somebody has begun anew meanwhile, who keeps that after this command has ended.
            let (from, to) = (SanitizeState::FailedUnrestricted as u32, SanitizeState::None as u32);
            let state = &self.sanitizing().state;
            let _begun_anew = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        }
        Ok(())
    }
}

/// The work on one medium.  Dropped before it was begun, it leaves the unit as it was before.
#[derive(Debug)]
pub struct SanitizeWork {
    unit: Weak<UnitState>,
    backstore: BackstoreRef,
    task: Sanitize,
    /// The state to go back to when the work is not begun.
    before: Option<u32>,
}

/// A backstore, for who need not know which.
struct BackstoreRef(Arc<dyn Backstore>);

impl std::fmt::Debug for BackstoreRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("backstore")
    }
}

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitized {
    /// All is removed, and the unit serves.
    Well,
    /// It failed, and the unit says so.
    Badly,
    /// There is no such unit any more.
    Gone,
}

impl SanitizeWork {
    /// Work on a unit from now on, in which no other is under way.
    pub(crate) fn begin(
        unit: &Arc<UnitState>,
        backstore: Arc<dyn Backstore>,
        task: Sanitize,
    ) -> Option<Self> {
        let before = unit.sanitizing().begin()?;
        unit.sanitizing().done_bytes.store(0, Ordering::Relaxed);
        let backstore = BackstoreRef(backstore);
        Some(Self { unit: Arc::downgrade(unit), backstore, task, before: Some(before as u32) })
    }

    /// What another process has begun on a unit, and nobody goes on with yet.
    #[must_use]
    pub fn left_behind(unit: &Arc<UnitState>, backstore: Arc<dyn Backstore>) -> Option<Self> {
        let task = unit.record().sanitize.clone().filter(|task| !task.failed)?;
        let backstore = BackstoreRef(backstore);
        let before = Some(LEFT);
        unit.sanitizing().take(LEFT).then(|| Self { unit: Arc::downgrade(unit), backstore, task, before })
    }

    /// Takes the lock of the medium against other processes; `None` while another has it.
    #[must_use]
    pub fn hold(&self) -> Option<Option<Hold>> {
        match self.backstore.0.host_lock() {
            None => Some(None),
            Some(lock) => HostLock::try_hold(lock).map(Some),
        }
    }

    /// Whether the unit is still there.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.unit.strong_count() > 0
    }

    /// Keeps what is to be done; from here on it is done, by this process or the next one.
    pub(crate) fn keep(&mut self) -> Result<(), NotPersisted> {
        let unit = self.unit.upgrade().ok_or(NotPersisted)?;
        unit.change(|record| record.sanitize = Some(self.task.clone()))?;
        self.before = None;
        Ok(())
    }

    /// Does it, or what is left of it.  Takes as long as the medium does.
    pub fn run(mut self) -> Sanitized {
        self.before = None;
        let _against_others = self.hold();
        let done = match self.remove_all().and_then(|there| self.backstore.0.flush().map(|()| there)) {
            Ok(false) => return Sanitized::Gone,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        let Some(unit) = self.unit.upgrade() else { return Sanitized::Gone };
        // Forgotten first: whoever starts anew must not begin again on what guests write from now on.
        let forgotten = done.is_ok() && unit.change(|record| record.sanitize = None).is_ok();
        if forgotten {
            unit.sanitizing().set(SanitizeState::None);
            return Sanitized::Well;
        }
        let failed = Sanitize { failed: true, ..self.task.clone() };
        let state = failed.state();
        // What cannot be kept is tried again by the next process.
        let _kept = unit.change(|record| record.sanitize = Some(failed));
        unit.sanitizing().set(state);
        Sanitized::Badly
    }

    /// Goes over the medium as often as asked; false where the unit has gone meanwhile.
    fn remove_all(&self) -> Result<bool, BackstoreError> {
        let bytes = self.backstore.0.geometry().bytes;
        let passes = self.task.overwrite.as_ref().map_or(1, |overwrite| u64::from(overwrite.count));
        let total = bytes.saturating_mul(passes);
        if let Some(unit) = self.unit.upgrade() {
            unit.sanitizing().total_bytes.store(total, Ordering::Relaxed);
        }
        let mut pattern = self.task.overwrite.as_ref().map(|overwrite| self.filled(overwrite));
        let (mut noted, mut inverted) = (Instant::now(), false);
        let mut done = self.task.done_bytes;
        while done < total {
            let (pass, at) = (done / bytes.max(1), done % bytes.max(1));
            let piece = (bytes - at).min(PIECE_BYTES as u64);
            match &mut pattern {
                None => self.backstore.0.zero(at, piece, true)?,
                Some(blocks) => {
                    let inverts = self.task.overwrite.as_ref().is_some_and(|overwrite| overwrite.invert);
                    if (inverts && pass % 2 == 1) != inverted {
                        blocks.iter_mut().for_each(|byte| *byte = !*byte);
                        inverted = !inverted;
                    }
                    let piece = usize::try_from(piece).unwrap_or(usize::MAX).min(blocks.len());
                    self.backstore.0.write_at(at, &blocks[..piece])?;
                }
            }
            done += piece;
            let Some(unit) = self.unit.upgrade() else { return Ok(false) };
            unit.sanitizing().done_bytes.store(done, Ordering::Relaxed);
            if noted.elapsed() >= NOTE_INTERVAL {
                self.note(&unit, done)?;
                noted = Instant::now();
            }
        }
        Ok(true)
    }

    /// Keeps how far it has come.  Where that cannot be kept, the next process has more to do, and no harm is done.
    fn note(&self, unit: &UnitState, done_bytes: u64) -> Result<(), BackstoreError> {
        self.backstore.0.flush()?;
        let _kept =
            unit.change(|record| record.sanitize = Some(Sanitize { done_bytes, ..self.task.clone() }));
        Ok(())
    }

    /// A piece with the pattern in each of its blocks.
    fn filled(&self, overwrite: &Overwrite) -> Vec<u8> {
        let block = usize::try_from(self.task.block_bytes.max(1)).unwrap_or(512);
        let one: Vec<u8> = overwrite.pattern.iter().copied().cycle().take(block).collect();
        one.repeat((PIECE_BYTES / block).max(1))
    }
}

impl Drop for SanitizeWork {
    fn drop(&mut self) {
        if let (Some(before), Some(unit)) = (self.before, self.unit.upgrade()) {
            unit.sanitizing().state.store(before, Ordering::Release);
        }
    }
}

#[cfg(test)]
#[path = "sanitizing/tests.rs"]
mod tests;
