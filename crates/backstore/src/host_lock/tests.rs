// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lock, and a stranger who wants it: another open file of the same medium, as another process has.

use super::{HostLock, record_lock};
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
