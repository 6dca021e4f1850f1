// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies that the target makes by itself, and what their initiator is told of them.
//!
//! Above: nothing.  Below: `initiator`, the target of `support`.
//! Never here: our own encoding of a command.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{BackstoreError, IoKind, Ramdisk};
use initiator::deadline::Deadline;
use initiator::exchange::Token;
use initiator::{Command, Guest, LunAddress, Options, commands, lun_0};
use scsi::Lun;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{Rig, Unit, copy_map, copy_rig, good, refused, run};
use target::{Nexus, UnitFlags};

const MIB: u64 = 1 << 20;
const ABORT_TASK_SET: u32 = 1;
const LOGICAL_UNIT_RESET: u32 = 5;
/// How long a machine that has other work may take for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
const UNKNOWN: [u8; 3] = [0x05, 0x24, 0x00];

/// A segment of so many blocks, from the first of two targets to the second.
fn segment(blocks: u8, source: u8, destination: u8) -> Vec<u8> {
    let mut segment = vec![2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, blocks];
    segment.extend([0, 0, 0, 0, 0, 0, 0, source, 0, 0, 0, 0, 0, 0, 0, destination]);
    segment
}

/// The same with larger numbers.
fn wide(blocks: u16, source: u16, destination: u16) -> Vec<u8> {
    let mut segment = segment(0, 0, 0);
    for (at, number) in [(10, blocks), (18, source), (26, destination)] {
        segment[at..at + 2].copy_from_slice(&number.to_be_bytes());
    }
    segment
}

/// EXTENDED COPY between units that are named by their digits.
fn copy_list(list: u8, usage: u8, (from, to): (u8, u8), segments: &[Vec<u8>]) -> Command {
    let target = |digit: u8| {
        let mut bytes = vec![0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60, 0x01, 0x40, 0x50 | digit, digit << 4];
        bytes.resize(32, 0);
        bytes
    };
    let segments = segments.concat();
    let [high, low] = u16::try_from(segments.len()).unwrap().to_be_bytes();
    let header = vec![list, usage << 3, 0, 64, 0, 0, 0, 0, 0, 0, high, low, 0, 0, 0, 0];
    let list = [header, target(from), target(to), segments].concat();
    let [high, low] = u16::try_from(list.len()).unwrap().to_be_bytes();
    let cdb = [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low, 0, 0];
    Command::new(lun_0(), &cdb).data_out(list)
}

/// EXTENDED COPY of so many blocks from one unit, named by its digit, to another.
fn extended_copy(from: u8, to: u8, blocks: u8, source: u8, destination: u8) -> Command {
    copy_list(0, 0, (from, to), &[segment(blocks, source, destination)])
}

/// RECEIVE COPY RESULTS with a service action, for a list.
fn results(action: u8, list: u8, bytes: u8) -> Command {
    let cdb = [0x84, action, list, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes, 0, 0];
    Command::new(lun_0(), &cdb).data_in(usize::from(bytes))
}

fn status(list: u8) -> Command {
    results(0, list, 12)
}

fn copies(first: &Unit, second: &Unit) {
    let rig = copy_rig(first, second);
    let mut guest = rig.boot(Options::default());
    let data: Vec<u8> = (0..=255).cycle().take(200 * 512).collect();
    good(&mut guest, &commands::write_10(lun_0(), 3, 200, &data));
    good(&mut guest, &extended_copy(1, 2, 200, 3, 50));
    let there = commands::read_10(LunAddress::unit(1, 1), 50, 200, data.len());
    assert!(good(&mut guest, &there).data_in == data);
    let behind = commands::read_10(LunAddress::unit(1, 1), 250, 1, 512);
    assert!(good(&mut guest, &behind).data_in == [0; 512]);
    // Within one unit, over itself.
    good(&mut guest, &extended_copy(1, 1, 100, 3, 3));
    refused(&mut guest, &extended_copy(1, 3, 1, 0, 0), [0x0a, 0x0d, 0x02]);
    let mut far = extended_copy(1, 2, 1, 0, 0);
    good(&mut guest, &far);
    far = Command::new(lun_0(), &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    good(&mut guest, &far);
    // Of two segments: one is empty, the other is of 7 blocks.
    good(&mut guest, &copy_list(0x17, 0, (1, 2), &[segment(0, 0, 0), segment(7, 0, 0)]));
    let ended = [0, 0, 0, 8, 1, 0, 2, 0, 0, 0, 0x0e, 0];
    assert_eq!(good(&mut guest, &status(0x17)).data_in, ended);
    refused(&mut guest, &status(0x17), UNKNOWN);
}

#[test]
fn a_copy_between_files_is_made_by_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| Unit::file(&directory.path().join(name), MIB, true);
    copies(&file("a"), &file("b"));
}

#[test]
fn a_copy_between_unlike_media_is_made_by_the_target() {
    let directory = tempfile::tempdir().unwrap();
    copies(&Unit::file(Path::new(&directory.path().join("a")), MIB, false), &Unit::ramdisk(MIB));
}

#[test]
fn the_limits_of_copies_are_told() {
    let rig = copy_rig(&Unit::ramdisk(MIB), &Unit::ramdisk(MIB));
    let answer = good(&mut rig.boot(Options::default()), &results(3, 0, 46));
    assert_eq!(answer.data_in[..12], [0, 0, 0, 42, 1, 0, 0, 0, 0, 16, 0, 16]);
    assert_eq!(answer.data_in[34..37], [0, 16, 16]);
    assert_eq!(answer.data_in[43..], [2, 0x02, 0xe4]);
}

#[test]
fn a_copy_that_failed_says_why_as_long_as_nobody_has_fetched_it() {
    let fails = Judged::new(Ramdisk::new(MIB, false).unwrap(), |kind, _| match kind {
        IoKind::Write { .. } => Fate::Fail(BackstoreError::NoSpace),
        _ => Fate::Pass,
    });
    let rig = copy_rig(&Unit::ramdisk(MIB), &Unit::new(fails));
    let mut guest = rig.boot(Options::default());
    let copy = copy_list(9, 0, (1, 2), &[segment(1, 0, 0)]);
    refused(&mut guest, &copy, [0x07, 0x27, 0x07]);
    assert_eq!(good(&mut guest, &status(9)).data_in, [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 0, 0]);
    let cut = good(&mut guest, &results(4, 9, 60)).data_in;
    assert_eq!((&cut[..4], &cut[56..]), (&[0, 0, 0, 74][..], &[2, 0, 0, 18][..]));
    let whole = good(&mut guest, &results(4, 9, 78)).data_in;
    assert_eq!((whole.len(), whole[60], whole[62], &whole[72..74]), (78, 0x70, 7, &[0x27, 0x07][..]));
    refused(&mut guest, &results(4, 9, 78), UNKNOWN);
    // What was wrong before anything was copied is told as well.
    refused(&mut guest, &copy_list(9, 0, (1, 3), &[segment(1, 0, 0)]), [0x0a, 0x0d, 0x02]);
    assert_eq!(good(&mut guest, &status(9)).data_in[4], 2);
    // A list without an identifier cannot be asked for.
    refused(&mut guest, &copy_list(0, 3, (1, 2), &[segment(1, 0, 0)]), [0x07, 0x27, 0x07]);
    refused(&mut guest, &status(0), UNKNOWN);
    refused(&mut guest, &copy_list(1, 3, (1, 2), &[segment(1, 0, 0)]), [0x05, 0x26, 0x00]);
}

/// What is sensed of a copy that fails.
fn sensed(guest: &mut Guest, copy: &Command) -> Vec<u8> {
    let ended = run(guest, copy);
    assert_eq!(ended.status, 2, "{ended:?}");
    ended.sense
}

#[test]
fn a_copy_that_stops_says_in_which_segment_at_which_unit_and_how_much_was_left() {
    let fails = |fails: fn(IoKind, u64) -> bool| {
        Unit::new(Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| {
            if fails(kind, offset) { Fate::Fail(BackstoreError::WriteFailed) } else { Fate::Pass }
        }))
    };
    let writes = |kind, offset| matches!(kind, IoKind::Write { .. }) && offset >= 512 << 10;
    let rig = copy_rig(&Unit::ramdisk(MIB), &fails(writes));
    let mut guest = rig.boot(Options::default());
    // The third of these fails at its destination, which is the second CSCD, when nothing of it is written.
    let third = [segment(1, 0, 0), segment(0, 0, 0), wide(8, 0, 1024)];
    let nothing_written = [0x70, 0, 0x0a, 0, 0, 0, 0, 0x0a, 0, 0, 0, 2, 0x0d, 0x01, 0, 0x80, 0, 48];
    let copy = copy_list(9, 0, (1, 2), &third);
    assert_eq!(sensed(&mut guest, &copy), nothing_written);
    let details = good(&mut guest, &results(4, 9, 78)).data_in;
    assert_eq!(details[56..], [&[2, 0, 0, 18][..], &nothing_written].concat());
    // Of 1152 blocks the first 512 are written.
    let second = [segment(1, 0, 0), wide(1152, 0, 512)];
    let copy = copy_list(9, 0, (1, 2), &second);
    let some_written = [0xf0, 0, 0x0a, 0, 0, 0x02, 0x80, 0x0a, 0, 0, 0, 1, 0x0d, 0x01, 0, 0x80, 0, 48];
    assert_eq!(sensed(&mut guest, &copy), some_written);
    good(&mut guest, &Command::new(lun_0(), &[0x15, 0x10, 0, 0, 16, 0]).data_out(D_SENSE));
    #[rustfmt::skip]
    let in_descriptors = [
        0x72, 0x0a, 0x0d, 0x01, 0, 0, 0, 32, 0x00, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x80,
        0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x06, 0, 0, 0x80, 0, 48, 0,
    ];
    assert_eq!(sensed(&mut guest, &copy), in_descriptors);
    let details = good(&mut guest, &results(4, 9, 100)).data_in;
    assert_eq!(details[56..], [&[2, 0, 0, 40][..], &in_descriptors].concat());
}

/// A mode parameter list that sets D_SENSE.
const D_SENSE: [u8; 16] = [0, 0, 0, 0, 0x0a, 0x0a, 0x06, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 30];

#[test]
fn a_copy_that_cannot_begin_says_what_is_in_the_way() {
    let rig = copy_rig(&Unit::ramdisk(MIB), &Unit::ramdisk(MIB));
    let mut guest = rig.boot(Options::default());
    let mut tail = |targets, segments: &[Vec<u8>]| {
        let sense = sensed(&mut guest, &copy_list(9, 0, targets, segments));
        (sense[10..14].to_vec(), sense[15..].to_vec())
    };
    // Nobody has the name in the second CSCD descriptor; SD = 0, from the beginning of the list.
    let not_reachable = tail((1, 3), &[segment(0, 0, 0), segment(1, 0, 0)]);
    assert_eq!(not_reachable, (vec![0, 0, 0x0d, 0x02], vec![0x80, 0, 48]));
    // Out of range at the destination, in the second segment; SD = 1, from its beginning.
    let behind = tail((1, 2), &[segment(1, 0, 0), wide(1, 0, 2048)]);
    assert_eq!(behind, (vec![0, 1, 0, 0], vec![0xa0, 0, 20]));
    let behind = tail((1, 2), &[wide(1, 2048, 0)]);
    assert_eq!(behind, (vec![0, 0, 0, 0], vec![0xa0, 0, 12]));
    // There is no third CSCD descriptor.
    let mut nobody = segment(1, 0, 0);
    nobody[7] = 2;
    assert_eq!(tail((1, 2), &[nobody]), (vec![0, 0, 0x0d, 0x02], vec![0xa0, 0, 6]));
    // A unit that is not ready is not the one that was asked.
    good(&mut guest, &Command::new(LunAddress::unit(1, 1), &[0x1b, 0, 0, 0, 0, 0]));
    for (from, to, byte) in [(1, 2, 48), (2, 1, 16)] {
        let sense = sensed(&mut guest, &copy_list(9, 0, (from, to), &[segment(1, 0, 0)]));
        assert_eq!(
            (sense[2], &sense[10..14], &sense[15..]),
            (0x0a, &[0, 0, 0x0d, 0x01][..], &[0x80, 0, byte][..])
        );
    }
}

#[test]
fn a_unit_that_is_asked_to_copy_to_itself_and_may_not_be_written_says_so_itself() {
    let unit = |read_only: bool| {
        let unit = Unit::ramdisk(MIB);
        Unit { flags: UnitFlags { read_only, ..unit.flags }, ..unit }
    };
    for (protects, to, refused) in [
        ([true, false], 1, [0x07, 0x27, 0x00]),
        ([false, true], 1, [0; 3]),
        ([false, true], 2, [0x0a, 0x0d, 0x01]),
    ] {
        let [first, second] = protects.map(unit);
        let rig = copy_rig(&first, &second);
        let mut guest = rig.boot(Options::default());
        let copy = copy_list(9, 0, (1, to), &[segment(1, 0, 0)]);
        let sense = run(&mut guest, &copy).check_condition().unwrap_or_default();
        assert_eq!(sense, refused, "{protects:?} {to}");
    }
}

/// A unit whose disk below somebody else has reserved for himself, for one kind of access.
fn reserved_below(is_barred: fn(IoKind) -> bool) -> Unit {
    let ramdisk = Ramdisk::new(MIB, false).unwrap();
    Unit::new(Judged::new(ramdisk, move |kind, _| {
        if is_barred(kind) { Fate::Fail(BackstoreError::Reserved) } else { Fate::Pass }
    }))
}

#[test]
fn a_copy_over_a_disk_that_somebody_has_reserved_below_is_a_failure_of_a_third_party() {
    const RESERVATION_CONFLICT: u8 = 0x18;
    let writes = |kind| matches!(kind, IoKind::Write { .. });
    let rig = copy_rig(&Unit::ramdisk(MIB), &reserved_below(writes));
    let mut guest = rig.boot(Options::default());
    // Its own write is told of the reservation as such; so is whoever falls back to writing by himself.
    let write = commands::write_10(LunAddress::unit(1, 1), 0, 1, &[0x5a; 512]);
    assert_eq!(run(&mut guest, &write).status, RESERVATION_CONFLICT);
    let copy = copy_list(9, 0, (1, 2), &[segment(1, 0, 0)]);
    refused(&mut guest, &copy, [0x0a, 0x0d, 0x01]);
    // COPY STATUS: it failed, in the first segment, and nothing was moved.
    assert_eq!(good(&mut guest, &status(9)).data_in, [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 0, 0]);
    let rig = copy_rig(&reserved_below(|kind| kind == IoKind::Read), &Unit::ramdisk(MIB));
    refused(&mut rig.boot(Options::default()), &copy, [0x0a, 0x0d, 0x01]);
}

/// Two units, the first of which hangs when its block 8 is read.
fn hanging_units() -> (Arc<AtomicBool>, [Unit; 2]) {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| {
        if kind == IoKind::Read && offset == 4096 { Fate::Hang(Arc::clone(&switch)) } else { Fate::Pass }
    });
    (hangs, [Unit::new(store), Unit::ramdisk(MIB)])
}

/// The same, served.
fn hanging() -> (Arc<AtomicBool>, Rig) {
    let (hangs, [first, second]) = hanging_units();
    (hangs, copy_rig(&first, &second))
}

/// PERSISTENT RESERVE OUT to LUN 1.
fn reserve_out(action: u8, kind: u8, key: u8, theirs: u8) -> Command {
    let mut list = [0; 24];
    (list[7], list[15]) = (key, theirs);
    let cdb = [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0];
    Command::new(LunAddress::unit(1, 1), &cdb).data_out(list)
}

/// Begins a copy from LUN 0 to LUN 1, sent to LUN 0, which hangs in its read.
fn begin_hanging_copy(guest: &mut Guest) -> Token {
    let copy = copy_list(7, 0, (1, 2), &[segment(1, 8, 8)]).tag(77);
    let copying = guest.request_queue(0).unwrap().start(&copy).unwrap();
    while run(guest, &status(7)).data_in.get(4) != Some(&0) {}
    copying
}

/// Whether a guest finds what its copy was to write.
fn has_landed(guest: &mut Guest) -> bool {
    let there = commands::read_10(LunAddress::unit(1, 1), 8, 1, 512);
    let answer = loop {
        let answer = run(guest, &there);
        if answer.status != 0x02 {
            break answer;
        }
    };
    assert!(answer.is_good(), "{answer:?}");
    answer.data_in != [0; 512]
}

#[test]
fn preempt_and_abort_of_where_a_copy_writes_is_answered_when_the_copy_has_ended() {
    let (hangs, [first, second]) = hanging_units();
    let rig = copy_rig(&first, &second);
    let other = Nexus::new("naa.6001405000000002", "naa.5001405000000002", 1, 2);
    let beside = rig.beside_with(copy_map(other, &first, &second));
    let (mut one, mut two) = (rig.boot(Options::default()), beside.boot(Options::default()));
    good(&mut one, &commands::write_10(lun_0(), 8, 1, &[0x5a; 512]));
    for (guest, key) in [(&mut one, 0xa), (&mut two, 0xb)] {
        good(guest, &reserve_out(6, 0, 0, key));
    }
    good(&mut one, &reserve_out(1, 5, 0xa, 0));
    let copying = begin_hanging_copy(&mut one);
    let preempting = two.request_queue(0).unwrap().start(&reserve_out(5, 5, 0xb, 0xa)).unwrap();
    let barred = Command::new(LunAddress::unit(1, 1), &[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    while run(&mut one, &barred).status != 0x18 {}
    let deadline = Deadline::after(Duration::from_millis(100));
    assert!(two.request_queue(0).unwrap().exchange.wait_for(preempting, &deadline).is_err());
    hangs.store(false, Ordering::SeqCst);
    assert!(two.request_queue(0).unwrap().wait_for(preempting).unwrap().is_good());
    // TASK ABORTED, as TAS of LUN 1 wants it.
    assert_eq!(one.request_queue(0).unwrap().wait_for(copying).unwrap().status, 0x40);
    assert!(!has_landed(&mut two));
}

#[test]
fn an_abort_at_the_unit_where_a_copy_writes_is_answered_when_the_copy_has_ended() {
    const CLEAR_TASK_SET: u32 = 3;
    for (function, ended) in [(LOGICAL_UNIT_RESET, 4), (ABORT_TASK_SET, 2), (CLEAR_TASK_SET, 2)] {
        let (hangs, rig) = hanging();
        let mut guest = rig.boot(Options::default());
        hangs.store(false, Ordering::SeqCst);
        good(&mut guest, &commands::write_10(lun_0(), 8, 1, &[0x5a; 512]));
        hangs.store(true, Ordering::SeqCst);
        let copying = begin_hanging_copy(&mut guest);
        let lun_1 = LunAddress::unit(1, 1);
        let management = guest.control().start_task_management(function, lun_1, 0).unwrap();
        let deadline = Deadline::after(Duration::from_millis(100));
        assert!(guest.control().exchange.wait_for(management, &deadline).is_err(), "{function}");
        hangs.store(false, Ordering::SeqCst);
        assert_eq!(guest.control().wait_for(management).unwrap().response, 0, "{function}");
        assert_eq!(guest.request_queue(0).unwrap().wait_for(copying).unwrap().response, ended, "{function}");
        assert!(!has_landed(&mut guest), "{function}");
    }
}

#[test]
fn a_copy_is_in_the_task_set_of_the_unit_alone_that_it_was_sent_to() {
    const QUERY_TASK_SET: u32 = 7;
    let (hangs, rig) = hanging();
    let mut guest = rig.boot(Options::default());
    let copying = begin_hanging_copy(&mut guest);
    for (lun, found) in [(0, 10), (1, 0)] {
        let lun = LunAddress::unit(1, lun);
        assert_eq!(guest.control().task_management(QUERY_TASK_SET, lun, 0).unwrap().response, found);
    }
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(copying).unwrap().is_good());
}

#[test]
fn whose_copy_ends_with_a_task_set_is_told_where_that_was_cleared() {
    const CLEAR_TASK_SET: u32 = 3;
    let (hangs, units) = hanging_units();
    let silent = |unit: Unit| Unit { flags: target::UnitFlags { tas: false, ..unit.flags }, ..unit };
    let [first, second] = units.map(silent);
    let rig = copy_rig(&first, &second);
    let other = Nexus::new("naa.6001405000000002", "naa.5001405000000002", 1, 2);
    let beside = rig.beside_with(copy_map(other, &first, &second));
    let (mut one, mut two) = (rig.boot(Options::default()), beside.boot(Options::default()));
    let copying = begin_hanging_copy(&mut one);
    let clearing = two.control().start_task_management(CLEAR_TASK_SET, LunAddress::unit(1, 1), 0).unwrap();
    let deadline = Deadline::after(Duration::from_millis(100));
    assert!(two.control().exchange.wait_for(clearing, &deadline).is_err());
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(two.control().wait_for(clearing).unwrap().response, 0);
    assert_eq!(one.request_queue(0).unwrap().wait_for(copying).unwrap().response, 2);
    good(&mut one, &commands::test_unit_ready(lun_0()));
    refused(&mut one, &commands::test_unit_ready(LunAddress::unit(1, 1)), [0x06, 0x2f, 0x00]);
}

#[test]
fn an_abort_of_a_tag_at_another_unit_leaves_a_copy_alone() {
    const ABORT_TASK: u32 = 0;
    let (hangs, rig) = hanging();
    let mut guest = rig.boot(Options::default());
    let copying = begin_hanging_copy(&mut guest);
    let lun_1 = LunAddress::unit(1, 1);
    assert_eq!(guest.control().task_management(ABORT_TASK, lun_1, 77).unwrap().response, 0);
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(copying).unwrap().is_good());
}

#[test]
fn a_copy_asks_the_reservations_again_before_each_piece() {
    let (hangs, [first, second]) = hanging_units();
    let rig = copy_rig(&first, &second);
    let other = Nexus::new("naa.6001405000000002", "naa.5001405000000002", 1, 2);
    let beside = rig.beside_with(copy_map(other, &first, &second));
    let (mut one, mut two) = (rig.boot(Options::default()), beside.boot(Options::default()));
    hangs.store(false, Ordering::SeqCst);
    good(&mut one, &commands::write_10(lun_0(), 8, 1, &[0x5a; 512]));
    hangs.store(true, Ordering::SeqCst);
    let copying = begin_hanging_copy(&mut one);
    good(&mut two, &reserve_out(6, 0, 0, 0xb));
    good(&mut two, &reserve_out(1, 1, 0xb, 0));
    hangs.store(false, Ordering::SeqCst);
    // What was read before the reservation is not written after it.
    let ended = one.request_queue(0).unwrap().wait_for(copying).unwrap();
    assert_eq!(ended.check_condition(), Some([0x0a, 0x0d, 0x01]));
    assert!(!has_landed(&mut two));
}

#[test]
fn a_copy_by_the_kernel_asks_again_before_each_piece() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| Unit::file(&directory.path().join(name), 32 * MIB, true));
    let map = copy_map(support::nexus(), &first, &second);
    let mapping = map.group(1).unwrap().unit(Lun::new(1).unwrap()).unwrap();
    let attentions = Arc::clone(&mapping.attentions);
    let rig = Rig::with_map(map);
    let mut guest = rig.boot(Options::default());
    // The most blocks that a segment has, which are two pieces, and the most segments.
    let mut whole = segment(0xff, 0, 0);
    whole[10] = 0xff;
    let copy = copy_list(7, 0, (1, 2), &vec![whole; 16]);
    // Until the gate was shut before the end of the copy, which is a matter of who has the processor.
    let deadline = Deadline::after(PATIENCE);
    loop {
        let copying = guest.request_queue(0).unwrap().start(&copy).unwrap();
        // Not begun, or in its first segment.
        while matches!(run(&mut guest, &status(7)).data_in.get(4..7), None | Some([0, 0, 0 | 1])) {}
        attentions.gate().set_access_state(0x3);
        let ended = guest.request_queue(0).unwrap().wait_for(copying).unwrap();
        attentions.gate().set_access_state(0x0);
        if ended.check_condition() == Some([0x0a, 0x0d, 0x01]) {
            return;
        }
        assert!(ended.is_good(), "{ended:?}");
        assert!(!deadline.passed(), "a copy went on behind a gate that was shut");
    }
}

/// A unit that counts its flushes and fails the first so many.
fn flushed(failing: usize) -> (Arc<AtomicUsize>, Unit) {
    let flushes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&flushes);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| {
        let fails = kind == IoKind::Flush && count.fetch_add(1, Ordering::SeqCst) < failing;
        if fails { Fate::Fail(BackstoreError::WriteFailed) } else { Fate::Pass }
    });
    (flushes, Unit::new(store))
}

/// Copies blocks from LUN 0 to LUN 1, and then others from there to LUN 0.
fn there_and_back() -> Command {
    let mut back = segment(1, 8, 20);
    (back[5], back[7]) = (1, 0);
    copy_list(0, 0, (1, 2), &[segment(1, 8, 8), back])
}

#[test]
fn a_copy_that_goes_both_ways_is_good_when_both_units_have_been_flushed() {
    let ((first, one), (second, two)) = (flushed(0), flushed(0));
    let rig = copy_rig(&one, &two);
    let mut guest = rig.boot(Options::default());
    good(&mut guest, &commands::write_10(lun_0(), 8, 1, &[0x5a; 512]));
    good(&mut guest, &there_and_back());
    assert_eq!([first, second].map(|flushes| flushes.load(Ordering::SeqCst)), [1, 1]);
    assert_eq!(good(&mut guest, &commands::read_10(lun_0(), 20, 1, 512)).data_in, [0x5a; 512]);
    // Neither end may fail.
    let rig = copy_rig(&Unit::ramdisk(MIB), &flushed(1).1);
    refused(&mut rig.boot(Options::default()), &there_and_back(), [0x0a, 0x0d, 0x01]);
}

#[test]
fn what_one_unit_has_lost_is_not_told_of_another_that_is_copied_to() {
    let rig = copy_rig(&flushed(1).1, &Unit::ramdisk(MIB));
    let mut guest = rig.boot(Options::default());
    refused(&mut guest, &commands::synchronize_cache_10(lun_0(), 0, 0), [0x03, 0x0c, 0x00]);
    good(&mut guest, &there_and_back());
}

#[test]
fn a_copy_that_goes_on_says_so_and_keeps_its_identifier() {
    let (hangs, rig) = hanging();
    let mut guest = rig.boot(Options::default());
    let copy = copy_list(7, 0, (1, 2), &[segment(2, 0, 0), segment(1, 8, 8)]);
    let copying = guest.request_queue(0).unwrap().start(&copy).unwrap();
    let hung = [0, 0, 0, 8, 0, 0, 2, 0, 0, 0, 4, 0];
    while run(&mut guest, &status(7)).data_in != hung {}
    refused(&mut guest, &results(4, 7, 78), UNKNOWN);
    refused(&mut guest, &copy, [0x05, 0x00, 0x16]);
    good(&mut guest, &copy_list(8, 0, (1, 2), &[segment(1, 0, 0)]));
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(copying).unwrap().is_good());
    assert_eq!(good(&mut guest, &status(7)).data_in, [0, 0, 0, 8, 1, 0, 2, 0, 0, 0, 6, 0]);
    assert_eq!(good(&mut guest, &status(8)).data_in[4], 1);
}

#[test]
fn a_unit_is_not_stopped_before_a_copy_to_it_has_ended() {
    let (hangs, rig) = hanging();
    let mut guest = rig.boot(Options::default());
    let copy = copy_list(7, 0, (1, 2), &[segment(1, 8, 8)]);
    let copying = guest.request_queue(0).unwrap().start(&copy).unwrap();
    while run(&mut guest, &status(7)).data_in.get(4) != Some(&0) {}
    // The copy was sent to LUN 0, and writes to LUN 1.
    let stop = Command::new(LunAddress::unit(1, 1), &[0x1b, 0, 0, 0, 0, 0]);
    let stopping = guest.request_queue(0).unwrap().start(&stop).unwrap();
    let ready = Command::new(LunAddress::unit(1, 1), &[0; 6]);
    while run(&mut guest, &ready).check_condition() != Some([0x02, 0x04, 0x02]) {}
    for _ in 0..20 {
        run(&mut guest, &ready);
    }
    assert_eq!(guest.request_queue(0).unwrap().in_flight(), 2);
    hangs.store(false, Ordering::SeqCst);
    assert!(guest.request_queue(0).unwrap().wait_for(stopping).unwrap().is_good());
    assert!(guest.request_queue(0).unwrap().wait_for(copying).unwrap().is_good());
}

#[test]
fn a_copy_that_is_aborted_is_forgotten_and_a_reset_forgets_all() {
    let (hangs, rig) = hanging();
    let mut guest = rig.boot(Options::default());
    let copy = copy_list(7, 0, (1, 2), &[segment(1, 8, 8)]);
    // Until the abort was there before the end of the copy.
    loop {
        hangs.store(true, Ordering::SeqCst);
        let copying = guest.request_queue(0).unwrap().start(&copy).unwrap();
        while run(&mut guest, &status(7)).data_in.get(4) != Some(&0) {}
        let abort = guest.control().start_task_management(ABORT_TASK_SET, lun_0(), 0).unwrap();
        for _ in 0..20 {
            run(&mut guest, &results(3, 0, 46));
        }
        hangs.store(false, Ordering::SeqCst);
        guest.control().wait_for(abort).unwrap();
        if guest.request_queue(0).unwrap().wait_for(copying).unwrap().response == 2 {
            break;
        }
        good(&mut guest, &status(7));
    }
    refused(&mut guest, &status(7), UNKNOWN);
    good(&mut guest, &copy);
    guest.control().task_management(LOGICAL_UNIT_RESET, lun_0(), 0).unwrap();
    refused(&mut guest, &status(7), [0x06, 0x29, 0x03]);
    refused(&mut guest, &status(7), UNKNOWN);
}

#[test]
fn a_copy_reaches_a_unit_as_its_target_port_group_lets_it() {
    let (hangs, [first, second]) = hanging_units();
    let map = copy_map(support::nexus(), &first, &second);
    let mapping = map.group(1).unwrap().unit(Lun::new(1).unwrap()).unwrap();
    let attentions = Arc::clone(&mapping.attentions);
    let rig = Rig::with_map(map);
    let mut guest = rig.boot(Options::default());
    // Standby, unavailable, offline, transitioning: THIRD PARTY DEVICE FAILURE, for the source and for the destination.
    for state in [0x2, 0x3, 0xe, 0xf] {
        attentions.gate().set_access_state(state);
        for (from, to) in [(1, 2), (2, 1)] {
            refused(&mut guest, &copy_list(7, 0, (from, to), &[segment(1, 0, 0)]), [0x0a, 0x0d, 0x01]);
        }
    }
    // Not optimized, optimized.
    for state in [0x1, 0x0] {
        attentions.gate().set_access_state(state);
        for (from, to) in [(1, 2), (2, 1)] {
            good(&mut guest, &copy_list(7, 0, (from, to), &[segment(1, 0, 0)]));
        }
    }
    // A group that leaves in the middle takes the rest of the copy with it.
    let copying = begin_hanging_copy(&mut guest);
    attentions.gate().set_access_state(0x3);
    hangs.store(false, Ordering::SeqCst);
    let ended = guest.request_queue(0).unwrap().wait_for(copying).unwrap();
    assert_eq!(ended.check_condition(), Some([0x0a, 0x0d, 0x01]));
}

#[test]
fn a_field_that_is_wrong_is_pointed_at() {
    let rig = copy_rig(&Unit::ramdisk(MIB), &Unit::ramdisk(MIB));
    let mut guest = rig.boot(Options::default());
    // REPORT SUPPORTED OPERATION CODES: there is no such reporting option.
    let codes = Command::new(lun_0(), &[0xa3, 0x0c, 7, 0x12, 0, 0, 0, 0, 0, 0xff, 0, 0]).data_in(255);
    let answer = run(&mut guest, &codes);
    assert_eq!(answer.sense[..18], [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xca, 0, 2]);
    // A service action that is not there.
    let answer =
        run(&mut guest, &Command::new(lun_0(), &[0xa3, 0x1f, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]).data_in(4));
    assert_eq!(answer.sense[12..18], [0x24, 0, 0, 0xcc, 0, 1]);
    // A list that no copy has.
    assert_eq!(run(&mut guest, &status(3)).sense[12..18], [0x24, 0, 0, 0xcf, 0, 2]);
}
