// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The counters of LOG SENSE: what each command counts as, and what a medium failed of it.
//!
//! Above: nothing.  Below: `initiator`, a medium that fails on cue.
//! Never here: the bytes of every page; see `scsi`.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{BackstoreError, FileOptions, FileStore, IoKind, NewFile};
use initiator::{Command, Guest, LunAddress, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Rig, Unit, good, nexus, refused};
use target::{AccessGroup, Alua, Group, LunMap, Mapping, Membership};

const UNRECOVERED_READ: [u8; 3] = [0x03, 0x11, 0x00];
const WRITE_ERROR: [u8; 3] = [0x03, 0x0c, 0x00];

/// The counters of writes, reads and verifications: bytes, and errors.
type Counters = [(u64, u64); 3];

/// A thin file whose reads and whose changes fail while that is switched on.
struct Disk {
    rig: Rig,
    guest: Guest,
    reads_fail: Arc<AtomicBool>,
    writes_fail: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self::reached_by(|mapping| mapping)
    }

    fn reached_by(way: impl Fn(Mapping) -> Mapping) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let create = Some(NewFile { bytes: 1 << 20, sparse: true });
        let path = directory.path().join("disk");
        let file = FileStore::open(&FileOptions { path, create, write_back: true }).unwrap();
        let (reads_fail, writes_fail) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let switches = (Arc::clone(&reads_fail), Arc::clone(&writes_fail));
        let unit = Unit::new(Judged::new(file, move |kind, _| {
            let (reads_fail, writes_fail) = &switches;
            match kind {
                IoKind::Read if reads_fail.load(Ordering::SeqCst) => Fate::Fail(BackstoreError::ReadFailed),
                IoKind::Read => Fate::Pass,
                _ if writes_fail.load(Ordering::SeqCst) => Fate::Fail(BackstoreError::WriteFailed),
                _ => Fate::Pass,
            }
        }));
        let mapping = way(Mapping::new(unit.logical_unit("disk0"), false));
        let mut map = LunMap::default();
        map.insert(1, Group::new(nexus(), [(scsi::Lun::default(), mapping)]));
        let rig = Rig::with_map(map);
        let guest = rig.boot(Options::default());
        Self { rig, guest, reads_fail, writes_fail, _directory: directory }
    }

    /// Whether reads fail, and whether changes do.
    fn fails(&self, reads: bool, writes: bool) {
        self.reads_fail.store(reads, Ordering::SeqCst);
        self.writes_fail.store(writes, Ordering::SeqCst);
    }

    /// Pages 02h, 03h and 05h, each of which has the parameters 0005h and 0006h.
    fn counters(&mut self) -> Counters {
        [0x02, 0x03, 0x05].map(|code| {
            let cdb = [0x4d, 0, 0x40 | code, 0, 0, 0, 0, 0, 0xff, 0];
            let command = Command { data_in_bytes: 0xff, ..command(&cdb) };
            let page = good(&mut self.guest, &command).data_in;
            assert_eq!((&page[4..8], &page[16..20]), (&[0, 5, 0, 8][..], &[0, 6, 0, 8][..]), "{page:02x?}");
            let number = |at: usize| u64::from_be_bytes(page[at..at + 8].try_into().unwrap());
            (number(8), number(20))
        })
    }

    /// What the counters have gone up by since `before`.
    fn since(&mut self, before: Counters) -> Counters {
        let now = self.counters();
        [0, 1, 2].map(|at| (now[at].0 - before[at].0, now[at].1 - before[at].1))
    }
}

fn command(cdb: &[u8]) -> Command {
    Command::new(LunAddress::unit(1, 0), cdb)
}

fn sending(cdb: &[u8], bytes: usize) -> Command {
    command(cdb).data_out(vec![0x5a; bytes])
}

fn verify(byte_check: u8) -> Command {
    let sent = [0, 4 * 512, 0, 512][usize::from(byte_check)];
    let cdb = [0x2f, byte_check << 1, 0, 0, 0, 0, 0, 0, 4, 0];
    if sent == 0 { command(&cdb) } else { sending(&cdb, sent) }
}

fn write_and_verify() -> Command {
    sending(&[0x2e, 0, 0, 0, 0, 0, 0, 0, 2, 0], 1024)
}

fn write_same() -> Command {
    sending(&[0x41, 0, 0, 0, 0, 0, 0, 0, 8, 0], 512)
}

fn compare_and_write() -> Command {
    sending(&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0], 4 * 512)
}

fn or_write() -> Command {
    sending(&[0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0], 1024)
}

/// UNMAP of blocks 0 to 7.
fn unmap() -> Command {
    #[rustfmt::skip]
    let list = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
    command(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(list)
}

#[test]
fn a_command_counts_the_blocks_of_the_medium_that_it_is_for() {
    let mut disk = Disk::new();
    good(&mut disk.guest, &write_same());
    let checks = [
        (verify(0), [0, 0, 4 * 512]),
        (verify(1), [0, 0, 4 * 512]),
        (verify(3), [0, 0, 4 * 512]),
        (write_and_verify(), [2 * 512, 0, 0]),
        (write_same(), [8 * 512, 0, 0]),
        (compare_and_write(), [2 * 512, 0, 0]),
        (or_write(), [2 * 512, 0, 0]),
        (unmap(), [0, 0, 0]),
    ];
    for (command, bytes) in checks {
        let before = disk.counters();
        good(&mut disk.guest, &command);
        assert_eq!(disk.since(before), bytes.map(|bytes| (bytes, 0)), "{:02x?}", command.cdb);
        // What was unmapped is not what the next compares with.
        good(&mut disk.guest, &write_same());
    }
}

#[test]
fn what_the_medium_failed_of_a_command_of_several_steps_is_counted_as_what_it_was() {
    let mut disk = Disk::new();
    good(&mut disk.guest, &write_same());
    // Errors of writes, of reads, and of verifications.
    let checks = [
        ((true, false), verify(0), UNRECOVERED_READ, [0, 0, 1]),
        ((true, false), verify(1), UNRECOVERED_READ, [0, 0, 1]),
        ((true, false), write_and_verify(), UNRECOVERED_READ, [0, 0, 1]),
        ((false, true), write_and_verify(), WRITE_ERROR, [1, 0, 0]),
        ((false, true), write_same(), WRITE_ERROR, [1, 0, 0]),
        ((true, false), compare_and_write(), UNRECOVERED_READ, [0, 1, 0]),
        ((false, true), compare_and_write(), WRITE_ERROR, [1, 0, 0]),
        ((true, false), or_write(), UNRECOVERED_READ, [0, 1, 0]),
        ((false, true), or_write(), WRITE_ERROR, [1, 0, 0]),
        ((false, true), unmap(), WRITE_ERROR, [1, 0, 0]),
    ];
    for ((reads, writes), command, sense, errors) in checks {
        let before = disk.counters();
        disk.fails(reads, writes);
        refused(&mut disk.guest, &command, sense);
        disk.fails(false, false);
        assert_eq!(disk.since(before).map(|(_, errors)| errors), errors, "{:02x?}", command.cdb);
    }
}

#[test]
fn what_the_medium_failed_of_a_transfer_is_counted_after_the_delay_of_its_group_as_without() {
    let told = |state| scsi::alua::PortGroup {
        id: 0,
        preferred: false,
        state,
        supported: scsi::alua::SupportedStates::ALL_BUT_LBA_DEPENDENT,
        altered_by: scsi::alua::AlteredBy::Nobody,
        ports: vec![1],
    };
    let group = AccessGroup {
        told: told(scsi::alua::AccessState::NonOptimized),
        implicit_transition_seconds: 0,
        transition_delay: Duration::ZERO,
    };
    let alua = Alua { groups: vec![group], ..Alua::default() };
    let mut disk = Disk::reached_by(|mapping| {
        mapping.unit.state.set_alua(alua.clone());
        mapping.attentions.gate().set_access_state(1);
        let non_optimized_delay = Duration::from_millis(1);
        mapping.in_group(Membership { implicit: true, non_optimized_delay, ..Membership::default() })
    });
    let before = disk.counters();
    disk.fails(true, true);
    let read = Command { data_in_bytes: 512, ..command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]) };
    refused(&mut disk.guest, &read, UNRECOVERED_READ);
    refused(&mut disk.guest, &sending(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512), WRITE_ERROR);
    assert_eq!(disk.since(before), [(512, 1), (512, 1), (0, 0)]);
    let _ = &disk.rig;
}
