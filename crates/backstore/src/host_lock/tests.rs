// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lock, and a stranger who wants it: another open file of the same medium, as another process has.

use super::{HostLock, Medium, record_lock};
use crate::{Backstore, FileOptions, FileStore, NewFile, OpenError};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::sync::Arc;

fn store() -> (tempfile::TempDir, FileStore, File) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let create = Some(NewFile { bytes: 4096, sparse: true });
    let store = FileStore::open(&FileOptions { path: path.clone(), create, write_back: true }).unwrap();
    let stranger = File::options().read(true).write(true).open(path).unwrap();
    (directory, store, stranger)
}

fn lock_of(store: &FileStore) -> &Arc<HostLock> {
    store.host_lock().unwrap()
}

/// Whether a stranger gets both locks of a file at this moment.
fn is_free(stranger: &File) -> bool {
    let locked = flock(stranger, FlockOperation::NonBlockingLockExclusive).is_ok();
    let recorded = record_lock(stranger, libc::F_WRLCK).is_ok();
    let _ = flock(stranger, FlockOperation::Unlock);
    let _ = record_lock(stranger, libc::F_UNLCK);
    assert_eq!(locked, recorded, "one of the two locks alone");
    locked
}

#[test]
fn an_open_file_is_locked_from_the_first_hold_to_the_last() {
    let (_directory, store, stranger) = store();
    assert!(is_free(&stranger));
    let first = lock_of(&store).try_hold().unwrap();
    let second = lock_of(&store).try_hold().unwrap();
    let third = first.clone();
    assert!(!is_free(&stranger));
    drop(first);
    drop(second);
    assert!(!is_free(&stranger));
    drop(third);
    assert!(is_free(&stranger));
    drop(lock_of(&store).try_hold().unwrap());
    assert!(is_free(&stranger));
}

#[test]
fn either_lock_of_a_stranger_keeps_us_out() {
    let (_directory, store, stranger) = store();
    flock(&stranger, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(lock_of(&store).try_hold().is_none());
    flock(&stranger, FlockOperation::Unlock).unwrap();
    record_lock(&stranger, libc::F_RDLCK).unwrap();
    assert!(lock_of(&store).try_hold().is_none());
    // Having failed we hold neither.
    record_lock(&stranger, libc::F_UNLCK).unwrap();
    assert!(is_free(&stranger));
    assert!(lock_of(&store).try_hold().is_some());
}

#[test]
fn a_hold_can_be_shared_only_while_there_is_one() {
    let (_directory, store, _stranger) = store();
    assert!(lock_of(&store).share().is_none());
    let hold = lock_of(&store).try_hold().unwrap();
    let shared = lock_of(&store).share();
    drop(hold);
    assert!(shared.is_some());
    drop(shared);
    assert!(lock_of(&store).share().is_none());
}

#[test]
fn the_same_file_in_another_manner_has_the_same_lock() {
    let (_directory, store, stranger) = store();
    let other = store.with_write_back(false);
    let hold = lock_of(&store).try_hold().unwrap();
    let handed_on = lock_of(&other).share().unwrap();
    drop(hold);
    drop(store);
    assert!(!is_free(&stranger));
    drop(handed_on);
    assert!(is_free(&stranger));
}

#[test]
fn a_process_opens_a_file_once_whatever_its_name() {
    let (directory, store, _stranger) = store();
    let link = directory.path().join("link");
    std::fs::hard_link(directory.path().join("disk"), &link).unwrap();
    let options = FileOptions { path: link, create: None, write_back: true };
    let again = FileStore::open(&options);
    assert!(matches!(again, Err(OpenError::Busy(_))));
    drop(store);
    assert!(FileStore::open(&options).is_ok());
}

#[test]
fn holds_come_and_go_on_many_threads_and_the_lock_is_never_lost() {
    let (_directory, store, stranger) = store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let hold = lock_of(&store).try_hold().unwrap();
                    let again = lock_of(&store).share().unwrap();
                    drop(hold);
                    // The other threads let go of theirs all the time.
                    assert!(flock(&stranger, FlockOperation::NonBlockingLockExclusive).is_err());
                    drop(again);
                }
            });
        }
    });
    assert!(is_free(&stranger));
}

/// A device that is open for writing, the same open once more in the place of that, and a stranger.
fn successors(number: u64, shared: bool) -> (Arc<HostLock>, Arc<HostLock>, File) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let medium = Medium::Device { device: number };
    let first = HostLock::new(&path, Arc::new(open()), medium, false, None).unwrap();
    let second = first.joined_by(&path, Arc::new(open()), shared, None);
    (first, second, open())
}

/// Whether a stranger could read, and whether it could write.
fn gets(stranger: &File) -> (bool, bool) {
    let may = [libc::F_RDLCK, libc::F_WRLCK].map(|kind| record_lock(stranger, kind).is_ok());
    let _ = record_lock(stranger, libc::F_UNLCK);
    (may[0], may[1])
}

#[test]
fn a_successor_is_held_beside_the_first_and_nobody_else_writes_meanwhile() {
    let (first, second, stranger) = successors(u64::MAX, false);
    let before = first.try_hold().unwrap();
    assert_eq!(gets(&stranger), (false, false));
    let after = second.try_hold().unwrap();
    assert_eq!(gets(&stranger), (true, false));
    drop(before);
    assert_eq!(gets(&stranger), (false, false), "alone it keeps out readers too");
    drop(after);
    assert_eq!(gets(&stranger), (true, true));
}

#[test]
fn a_successor_that_comes_to_nothing_leaves_the_first_as_it_was() {
    let (first, second, stranger) = successors(u64::MAX - 1, true);
    let before = first.try_hold().unwrap();
    drop(second.try_hold().unwrap());
    drop(second);
    assert_eq!(gets(&stranger), (false, false));
    let path = first.path().to_path_buf();
    let again = || {
        let file = Arc::new(stranger.try_clone().unwrap());
        HostLock::new(&path, file, Medium::Device { device: u64::MAX - 1 }, false, None)
    };
    assert!(again().is_err(), "this process has it open");
    drop((before, first));
    assert_eq!(gets(&stranger), (true, true));
    assert!(again().is_ok());
}

#[test]
fn a_stranger_that_writes_keeps_a_successor_out_and_a_reader_keeps_out_whoever_writes() {
    let (first, second, stranger) = successors(u64::MAX - 2, true);
    record_lock(&stranger, libc::F_WRLCK).unwrap();
    assert!(second.try_hold().is_none());
    record_lock(&stranger, libc::F_RDLCK).unwrap();
    assert!(first.try_hold().is_none());
    assert!(second.try_hold().is_some());
}
