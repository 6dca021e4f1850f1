// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is kept of a SANITIZE, when, and what the next process makes of it.
//!
//! Above: nothing.  Below: `sanitizing`.
//! Never here: a command.

use super::*;
use crate::unit_state::{Persist, UnitRecord};
use backstore::{Backstore, Ramdisk};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Remembers what it was given, and refuses when told to.
#[derive(Default)]
struct Notebook {
    kept: Mutex<Vec<UnitRecord>>,
    refuses: AtomicBool,
}

impl Persist for Notebook {
    fn save(&self, _: &str, record: &UnitRecord) -> Result<(), NotPersisted> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(NotPersisted);
        }
        self.kept.lock().unwrap().push(record.clone());
        Ok(())
    }
}

fn overwrite(count: u8, pattern: &[u8]) -> Sanitize {
    let overwrite = Some(Overwrite { invert: true, count, pattern: pattern.to_vec() });
    Sanitize { overwrite, block_bytes: 512, unrestricted_exit: true, failed: false, done_bytes: 0 }
}

fn unit(notebook: &Arc<Notebook>, record: UnitRecord) -> Arc<UnitState> {
    UnitState::new("serial", record, Arc::clone(notebook) as Arc<dyn Persist>)
}

/// A medium that takes so many writes and then no more, and remembers them.
struct Medium {
    disk: Ramdisk,
    left: AtomicU64,
    written: Mutex<Vec<(u64, usize, u8)>>,
}

impl Medium {
    fn taking(writes: u64) -> Arc<Self> {
        let disk = Ramdisk::new(8 << 20, false).unwrap();
        Arc::new(Self { disk, left: AtomicU64::new(writes), written: Mutex::default() })
    }
}

impl Backstore for Medium {
    fn geometry(&self) -> &backstore::Geometry {
        self.disk.geometry()
    }
    fn channel(&self, key: u32) -> Box<dyn backstore::Channel> {
        self.disk.channel(key)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BackstoreError> {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.map_err(|_| BackstoreError::WriteFailed)?;
        self.written.lock().unwrap().push((offset, data.len(), data[0]));
        Ok(())
    }
    fn flush(&self) -> Result<(), BackstoreError> {
        Ok(())
    }
}

#[test]
fn one_runs_at_a_time() {
    let state = unit(&Arc::default(), UnitRecord::default());
    let begin = || SanitizeWork::begin(&state, Medium::taking(0), overwrite(1, &[7]));
    let first = begin().unwrap();
    assert!(begin().is_none());
    drop(first);
    assert_eq!(state.sanitizing().state(), SanitizeState::None, "it was not begun");
    assert!(begin().is_some());
}

#[test]
fn the_intent_is_kept_before_anything_is_removed_and_forgotten_before_the_unit_serves() {
    let notebook = Arc::<Notebook>::default();
    let state = unit(&notebook, UnitRecord::default());
    let medium = Medium::taking(100);
    let mut work = SanitizeWork::begin(&state, Arc::clone(&medium) as _, overwrite(2, &[0x0f])).unwrap();
    work.keep().unwrap();
    assert_eq!(notebook.kept.lock().unwrap()[0].sanitize, Some(overwrite(2, &[0x0f])));
    assert!(medium.written.lock().unwrap().is_empty());
    assert_eq!(work.run(), Sanitized::Well);
    let piece = 4 << 20;
    let both = [(0, piece, 0x0f), (4 << 20, piece, 0x0f), (0, piece, 0xf0), (4 << 20, piece, 0xf0)];
    assert_eq!(*medium.written.lock().unwrap(), both);
    assert_eq!(notebook.kept.lock().unwrap().last().unwrap().sanitize, None);
    assert_eq!(state.sanitizing().state(), SanitizeState::None);
    assert_eq!(state.sanitizing().progress(), 0xffff);
}

#[test]
fn what_cannot_be_kept_is_not_begun() {
    let notebook = Arc::<Notebook>::default();
    let state = unit(&notebook, UnitRecord::default());
    notebook.refuses.store(true, Ordering::SeqCst);
    let mut work = SanitizeWork::begin(&state, Medium::taking(1), overwrite(1, &[7])).unwrap();
    assert_eq!(work.keep(), Err(NotPersisted));
    drop(work);
    assert_eq!(state.sanitizing().state(), SanitizeState::None);
}

#[test]
fn a_failure_is_kept_and_the_next_process_says_it_too() {
    let notebook = Arc::<Notebook>::default();
    let state = unit(&notebook, UnitRecord::default());
    let mut work = SanitizeWork::begin(&state, Medium::taking(1), overwrite(1, &[7])).unwrap();
    work.keep().unwrap();
    assert_eq!(work.run(), Sanitized::Badly);
    assert_eq!(state.sanitizing().state(), SanitizeState::FailedUnrestricted);
    let kept = notebook.kept.lock().unwrap().last().unwrap().clone();
    let next = unit(&notebook, kept);
    assert_eq!(next.sanitizing().state(), SanitizeState::FailedUnrestricted);
    assert!(SanitizeWork::left_behind(&next, Medium::taking(1)).is_none());
    next.leave_failed_sanitize().unwrap();
    assert_eq!(next.sanitizing().state(), SanitizeState::None);
    assert_eq!(notebook.kept.lock().unwrap().last().unwrap().sanitize, None);
}

#[test]
fn an_end_that_cannot_be_kept_is_a_failure_for_the_next_process_would_begin_again() {
    let notebook = Arc::<Notebook>::default();
    let state = unit(&notebook, UnitRecord::default());
    let mut work = SanitizeWork::begin(&state, Medium::taking(9), overwrite(1, &[7])).unwrap();
    work.keep().unwrap();
    notebook.refuses.store(true, Ordering::SeqCst);
    assert_eq!(work.run(), Sanitized::Badly);
    assert_eq!(state.sanitizing().state(), SanitizeState::FailedUnrestricted);
}

#[test]
fn the_next_process_goes_on_where_it_was_surely_done() {
    let notebook = Arc::<Notebook>::default();
    let begun = Sanitize { done_bytes: 12 << 20, ..overwrite(2, &[0x0f]) };
    let next = unit(&notebook, UnitRecord { sanitize: Some(begun), ..UnitRecord::default() });
    assert_eq!(next.sanitizing().state(), SanitizeState::Running);
    let medium = Medium::taking(9);
    let work = SanitizeWork::left_behind(&next, Arc::clone(&medium) as _).unwrap();
    assert!(SanitizeWork::left_behind(&next, Medium::taking(9)).is_none(), "one goes on with it");
    drop(work);
    let work = SanitizeWork::left_behind(&next, Arc::clone(&medium) as _).unwrap();
    assert_eq!(work.run(), Sanitized::Well);
    assert_eq!(*medium.written.lock().unwrap(), [(4 << 20, 4 << 20, 0xf0)]);
    assert_eq!(next.sanitizing().state(), SanitizeState::None);
}

#[test]
fn a_unit_that_has_gone_is_left_alone() {
    let state = unit(&Arc::default(), UnitRecord::default());
    let medium = Medium::taking(9);
    let mut work = SanitizeWork::begin(&state, Arc::clone(&medium) as _, overwrite(31, &[7])).unwrap();
    work.keep().unwrap();
    drop(state);
    assert!(!work.is_wanted());
    assert_eq!(work.run(), Sanitized::Gone);
    assert_eq!(medium.written.lock().unwrap().len(), 1);
}

/// Begins another one while a record is kept.
#[derive(Default)]
struct Interloper {
    unit: std::sync::OnceLock<Weak<UnitState>>,
    begun: Mutex<Option<SanitizeWork>>,
}

impl Persist for Interloper {
    fn save(&self, _: &str, _: &UnitRecord) -> Result<(), NotPersisted> {
        let unit = self.unit.get().and_then(Weak::upgrade).unwrap();
        *self.begun.lock().unwrap() = SanitizeWork::begin(&unit, Medium::taking(9), overwrite(1, &[7]));
        Ok(())
    }
}

#[test]
fn who_leaves_a_failure_does_not_end_what_has_begun_since() {
    let interloper = Arc::<Interloper>::default();
    let failed = Sanitize { failed: true, ..overwrite(1, &[7]) };
    let record = UnitRecord { sanitize: Some(failed), ..UnitRecord::default() };
    let state = UnitState::new("serial", record, Arc::clone(&interloper) as Arc<dyn Persist>);
    interloper.unit.set(Arc::downgrade(&state)).unwrap();
    state.leave_failed_sanitize().unwrap();
    assert!(interloper.begun.lock().unwrap().is_some());
    assert_eq!(state.sanitizing().state(), SanitizeState::Running);
}
