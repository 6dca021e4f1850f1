// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes that land in part: whoever sent them hears of an error, nobody is kept waiting, and sent again they land whole.
//!
//! Above: nothing.  Below: `initiator`, the target of `support`, a backstore that tears.
//! Never here: our own encoding of a command.

mod support;

use backstore::Ramdisk;
use backstore::decorate::{Fate, Judged};
use initiator::{Command, Guest, LunAddress, Options, commands, lun_0};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Rig, Unit, copy_rig, good, run};

const MIB: u64 = 1 << 20;
/// Tears nothing.
const WHOLE: u64 = u64::MAX;
const WRITE_ERROR: [u8; 3] = [0x03, 0x0c, 0x00];

/// A disk whose next write is torn after so many bytes, once.
fn tearing() -> (Arc<AtomicU64>, Unit) {
    let after = Arc::new(AtomicU64::new(WHOLE));
    let next = Arc::clone(&after);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, _| {
        if !kind.changes() {
            return Fate::Pass;
        }
        match next.swap(WHOLE, Ordering::SeqCst) {
            WHOLE => Fate::Pass,
            bytes => Fate::Tear(bytes),
        }
    });
    (after, Unit::new(store))
}

fn read(guest: &mut Guest, lun: u16, lba: u32, blocks: u16) -> Vec<u8> {
    let bytes = usize::from(blocks) * 512;
    good(guest, &commands::read_10(LunAddress::unit(1, lun), lba, blocks, bytes)).data_in
}

fn compare_and_write(expected: &[u8], new: &[u8]) -> Command {
    let blocks = u8::try_from(expected.len() / 512).unwrap();
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, blocks, 0, 0];
    Command::new(lun_0(), &cdb).data_out([expected, new].concat())
}

#[test]
fn a_write_that_is_torn_is_an_error_and_whole_when_it_is_sent_again() {
    let (after, unit) = tearing();
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default());
    let write = commands::write_10(lun_0(), 8, 4, &[7; 2048]);
    for bytes in [0, 512, 700, 2047] {
        good(&mut guest, &commands::write_10(lun_0(), 8, 4, &[1; 2048]));
        after.store(bytes, Ordering::SeqCst);
        assert_eq!(run(&mut guest, &write).check_condition(), Some(WRITE_ERROR));
        let landed = usize::try_from(bytes).unwrap();
        let there = read(&mut guest, 0, 8, 4);
        assert!(
            there[..landed].iter().all(|&byte| byte == 7) && there[landed..].iter().all(|&byte| byte == 1)
        );
        good(&mut guest, &write);
        assert_eq!(read(&mut guest, 0, 8, 4), [7; 2048]);
    }
}

#[test]
fn a_comparison_whose_write_is_torn_says_so_and_lets_go_of_its_blocks() {
    let (after, unit) = tearing();
    let units = std::slice::from_ref(&unit);
    let rig = Rig::new(units);
    let beside = rig.beside(units);
    let (mut guest, mut other) = (rig.boot(Options::default()), beside.boot(Options::default()));
    after.store(512, Ordering::SeqCst);
    let answer = run(&mut guest, &compare_and_write(&[0; 1024], &[9; 1024]));
    assert_eq!(answer.check_condition(), Some(WRITE_ERROR));
    let torn = [[9; 512], [0; 512]].concat();
    assert_eq!(read(&mut other, 0, 8, 2), torn);
    // It is compared with what is there, and not with what was there before.
    let again = run(&mut guest, &compare_and_write(&[0; 1024], &[9; 1024]));
    assert_eq!(again.check_condition(), Some([0x0e, 0x1d, 0x00]));
    good(&mut other, &commands::write_10(lun_0(), 9, 1, &[0; 512]));
    good(&mut other, &compare_and_write(&torn, &[9; 1024]));
    assert_eq!(read(&mut guest, 0, 8, 2), [9; 1024]);
}

#[test]
fn write_same_that_is_torn_says_so_and_is_whole_when_it_is_sent_again() {
    let (after, unit) = tearing();
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default());
    for fill in [5, 0] {
        good(&mut guest, &commands::write_10(lun_0(), 0, 100, &[1; 51_200]));
        let same = Command::new(lun_0(), &[0x41, 0, 0, 0, 0, 10, 0, 0, 80, 0]).data_out([fill; 512]);
        after.store(20 * 512, Ordering::SeqCst);
        assert_eq!(run(&mut guest, &same).check_condition(), Some(WRITE_ERROR));
        let there = read(&mut guest, 0, 0, 100);
        assert!(there[..5120].iter().all(|&byte| byte == 1), "what was not asked for is as it was");
        assert!(there[90 * 512..].iter().all(|&byte| byte == 1), "what was not asked for is as it was");
        assert!(there[10 * 512..30 * 512].iter().all(|&byte| byte == fill), "what landed has landed");
        assert!(there[30 * 512..90 * 512].contains(&1), "not all has landed");
        good(&mut guest, &same);
        assert!(read(&mut guest, 0, 10, 80).iter().all(|&byte| byte == fill));
    }
}

/// EXTENDED COPY of so many blocks from the first block of unit 1 to the first of unit 2.
fn extended_copy(blocks: u8) -> Command {
    let target = |digit: u8| {
        let mut bytes = vec![0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60, 0x01, 0x40, 0x50 | digit, digit << 4];
        bytes.resize(32, 0);
        bytes
    };
    let mut segment = vec![2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, blocks];
    segment.resize(28, 0);
    let header = vec![0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    let list = [header, target(1), target(2), segment].concat();
    let cdb = [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(list.len()).unwrap(), 0, 0];
    Command::new(lun_0(), &cdb).data_out(list)
}

#[test]
fn a_copy_that_is_torn_says_so_and_is_whole_when_it_is_sent_again() {
    let (after, destination) = tearing();
    let rig = copy_rig(&Unit::ramdisk(MIB), &destination);
    let mut guest = rig.boot(Options::default());
    let data: Vec<u8> = (0..=255).cycle().take(200 * 512).collect();
    good(&mut guest, &commands::write_10(lun_0(), 0, 200, &data));
    after.store(50 * 512, Ordering::SeqCst);
    let answer = run(&mut guest, &extended_copy(200));
    // COPY ABORTED, or the destination's own sense: not GOOD.
    assert!(answer.check_condition().is_some(), "{answer:?}");
    let there = read(&mut guest, 1, 0, 200);
    assert!(there[..50 * 512] == data[..50 * 512] && there != data);
    good(&mut guest, &extended_copy(200));
    assert!(read(&mut guest, 1, 0, 200) == data);
}
