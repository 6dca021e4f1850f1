// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands that change blocks, from a guest to a file: what is on the medium afterwards, and what is answered.
//!
//! Above: nothing.  Below: `initiator`, the target of `support`.
//! Never here: our own encoding of a command.

mod support;

use backstore::{Backstore, BackstoreError, Ramdisk, decorate::Fate, decorate::Judged};
use initiator::{Command, Guest, Options, commands, lun_0};
use scsi::Lun;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use support::{Rig, Unit, good, nexus, refused, run};
use target::{Group, LogicalUnit, LunMap, Mapping, MediaWishes};

const MIB: u64 = 1 << 20;

/// A file of 1 MiB whose every byte is 5Ah, and a guest that has it.
struct Disk {
    _rig: Rig,
    guest: Guest,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self::wishing(&MediaWishes::default())
    }

    fn wishing(wishes: &MediaWishes) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let unit = Unit::file(&path, MIB, true);
        std::fs::write(&path, vec![0x5a; 1 << 20]).unwrap();
        let rig = Rig::with_map(map(vec![(0, unit.logical_unit("disk0"), wishes)]));
        let guest = rig.boot(Options::default());
        Self { _rig: rig, guest, path, _directory: directory }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn taken(&self) -> u64 {
        std::fs::metadata(&self.path).unwrap().blocks() * 512
    }
}

fn map(units: Vec<(u16, Arc<LogicalUnit>, &MediaWishes)>) -> LunMap {
    let mappings = units.into_iter().map(|(lun, unit, wishes)| {
        let unit = Arc::into_inner(unit).expect("nobody else has it").with_media(wishes);
        (Lun::new(lun).unwrap(), Mapping::new(Arc::new(unit), false))
    });
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus(), mappings));
    map
}

/// UNMAP of so many blocks in each of these places.
fn unmap(extents: &[(u64, u32)]) -> Command {
    let bytes = u16::try_from(extents.len() * 16).unwrap();
    let mut list = (bytes + 6).to_be_bytes().to_vec();
    list.extend(bytes.to_be_bytes());
    list.extend([0; 4]);
    for (first, blocks) in extents {
        list.extend(first.to_be_bytes());
        list.extend(blocks.to_be_bytes());
        list.extend([0; 4]);
    }
    let [high, low] = u16::try_from(list.len()).unwrap().to_be_bytes();
    Command::new(lun_0(), &[0x42, 0, 0, 0, 0, 0, 0, high, low, 0]).data_out(list)
}

fn lba_status(first: u32, bytes: u8) -> Command {
    let [a, b, c, d] = first.to_be_bytes();
    let cdb = [0x9e, 0x12, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, bytes, 0, 0];
    Command::new(lun_0(), &cdb).data_in(bytes.into())
}

fn write_same_16(flags: u8, first: u8, blocks: u16, data: &[u8]) -> Command {
    let [high, low] = blocks.to_be_bytes();
    let cdb = [0x93, flags, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, high, low, 0, 0];
    Command::new(lun_0(), &cdb).data_out(data)
}

fn compare_and_write(first: u8, blocks: u8, expected: &[u8], new: &[u8]) -> Command {
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, blocks, 0, 0];
    Command::new(lun_0(), &cdb).data_out([expected, new].concat())
}

#[test]
fn unmapped_blocks_read_as_zeroes_and_give_their_space_back() {
    let mut disk = Disk::new();
    let before = disk.taken();
    let answer = good(&mut disk.guest, &unmap(&[(8, 1024), (1100, 100), (0, 0)]));
    assert_eq!(answer.residual, 0);
    let bytes = disk.bytes();
    for (block, data) in bytes.chunks(512).enumerate() {
        let unmapped = (8..1032).contains(&block) || (1100..1200).contains(&block);
        assert!(data.iter().all(|&byte| byte == if unmapped { 0 } else { 0x5a }), "block {block}");
    }
    assert!(disk.taken() + (512 << 10) <= before, "{} of {before}", disk.taken());
}

#[test]
fn lba_status_is_that_of_the_file() {
    let mut disk = Disk::new();
    good(&mut disk.guest, &unmap(&[(1024, 512)]));
    let answer = good(&mut disk.guest, &lba_status(8, 255));
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 52, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x03, 0xf8, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0x02, 0x00, 1, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0x02, 0x00, 0, 0, 0, 0,
    ];
    assert_eq!(answer.data_in[..56], expected);
    assert_eq!(answer.residual, 255 - 56);
    let one = good(&mut disk.guest, &lba_status(1030, 24));
    assert_eq!(one.data_in, [0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 6, 0, 0, 1, 0xfa, 1, 0, 0, 0]);
    refused(&mut disk.guest, &lba_status(2048, 24), [0x05, 0x21, 0x00]);
}

#[test]
fn unmap_refuses_more_than_it_said_that_it_takes() {
    let wishes = MediaWishes { unmap_blocks_max: 16, unmap_descriptors_max: 2, ..MediaWishes::default() };
    let mut disk = Disk::wishing(&wishes);
    refused(&mut disk.guest, &unmap(&[(0, 17)]), [0x05, 0x26, 0x00]);
    refused(&mut disk.guest, &unmap(&[(0, 9), (100, 8)]), [0x05, 0x26, 0x00]);
    refused(&mut disk.guest, &unmap(&[(0, 1), (1, 1), (2, 1)]), [0x05, 0x26, 0x00]);
    refused(&mut disk.guest, &unmap(&[(0, 8), (2041, 8)]), [0x05, 0x21, 0x00]);
    refused(&mut disk.guest, &unmap(&[(u64::MAX, 2)]), [0x05, 0x21, 0x00]);
    let short = Command::new(lun_0(), &[0x42, 0, 0, 0, 0, 0, 0, 0, 7, 0]).data_out([0; 7]);
    refused(&mut disk.guest, &short, [0x05, 0x1a, 0x00]);
    assert!(disk.bytes().iter().all(|&byte| byte == 0x5a), "nothing of what was refused was done");
    good(&mut disk.guest, &unmap(&[(0, 8), (2040, 8)]));
    let limits = good(&mut disk.guest, &commands::inquiry_page(lun_0(), 0xb0, 64)).data_in;
    assert_eq!(limits[20..28], [0, 0, 0, 16, 0, 0, 0, 2]);
}

#[test]
fn what_is_switched_off_is_not_there() {
    let off = Some(false);
    let wishes = MediaWishes {
        unmap: off,
        write_same_unmaps: off,
        compare_and_write: off,
        third_party_copy: off,
        ..MediaWishes::default()
    };
    let mut disk = Disk::wishing(&wishes);
    refused(&mut disk.guest, &unmap(&[(0, 1)]), [0x05, 0x20, 0x00]);
    refused(&mut disk.guest, &write_same_16(0x08, 0, 8, &[0; 512]), [0x05, 0x24, 0x00]);
    refused(&mut disk.guest, &compare_and_write(0, 1, &[0x5a; 512], &[1; 512]), [0x05, 0x20, 0x00]);
    good(&mut disk.guest, &write_same_16(0, 0, 8, &[0; 512]));
    let capacity = good(&mut disk.guest, &commands::read_capacity_16(lun_0(), 32));
    assert_eq!(capacity.data_in[14..16], [0, 0]);
    let provisioning = good(&mut disk.guest, &commands::inquiry_page(lun_0(), 0xb2, 8));
    assert_eq!(provisioning.data_in, [0, 0xb2, 0, 4, 0, 0, 0, 0]);
    let limits = good(&mut disk.guest, &commands::inquiry_page(lun_0(), 0xb0, 64)).data_in;
    assert_eq!((limits[5], &limits[20..36]), (0, &[0; 16][..]));
    assert_eq!(good(&mut disk.guest, &commands::inquiry(lun_0(), 36)).data_in[5], 0x80);
    // All is mapped, whatever the file has.
    let status = good(&mut disk.guest, &lba_status(0, 24)).data_in;
    assert_eq!(status[16..], [0, 0, 0x08, 0, 0, 0, 0, 0]);
}

#[test]
fn a_file_says_that_it_is_thin() {
    let mut disk = Disk::new();
    let capacity = good(&mut disk.guest, &commands::read_capacity_16(lun_0(), 32));
    assert_eq!(capacity.data_in[14..16], [0xc0, 0]);
    let provisioning = good(&mut disk.guest, &commands::inquiry_page(lun_0(), 0xb2, 8));
    assert_eq!(provisioning.data_in, [0, 0xb2, 0, 4, 11, 0xe4, 2, 0]);
    let limits = good(&mut disk.guest, &commands::inquiry_page(lun_0(), 0xb0, 64)).data_in;
    // 255 blocks of COMPARE AND WRITE; 512 MiB and 256 ranges of UNMAP, by 4 KiB; 256 MiB of WRITE SAME.
    assert_eq!(limits[5], 255);
    assert_eq!(limits[20..32], [0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8]);
    assert_eq!(limits[36..44], [0, 0, 0, 0, 0, 0x08, 0, 0]);
}

#[test]
fn write_same_writes_one_block_everywhere() {
    let mut disk = Disk::new();
    let block: Vec<u8> = (0..=255).cycle().take(512).collect();
    // More than the memory of one command holds.
    good(&mut disk.guest, &write_same_16(0, 3, 600, &block));
    good(&mut disk.guest, &write_same_16(0x08, 1, 1, &[7; 512]));
    let mut expected = vec![0x5a; 1 << 20];
    for at in 3..603 {
        expected[at * 512..at * 512 + 512].copy_from_slice(&block);
    }
    expected[512..1024].fill(7);
    assert!(disk.bytes() == expected);
}

#[test]
fn write_same_without_data_writes_zeroes() {
    let mut disk = Disk::new();
    for (flags, first) in [(/* NDOB */ 0x01, 8), (/* UNMAP, NDOB */ 0x09, 24)] {
        let cdb = [0x93, flags, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, 3, 0, 0];
        assert_eq!(good(&mut disk.guest, &Command::new(lun_0(), &cdb)).residual, 0);
    }
    for (block, data) in disk.bytes().chunks(512).enumerate() {
        let zeroed = (8..11).contains(&block) || (24..27).contains(&block);
        assert!(data.iter().all(|&byte| byte == if zeroed { 0 } else { 0x5a }), "block {block}");
    }
}

#[test]
fn write_same_of_zeroes_gives_space_back_only_if_it_may() {
    let mut disk = Disk::new();
    let before = disk.taken();
    good(&mut disk.guest, &write_same_16(0, 0, 1024, &[0; 512]));
    assert!(disk.bytes()[..512 << 10].iter().all(|&byte| byte == 0));
    assert!(disk.taken() >= before, "{} of {before}", disk.taken());
    good(&mut disk.guest, &write_same_16(0x08, 0, 1024, &[0; 512]));
    assert!(disk.bytes()[..512 << 10].iter().all(|&byte| byte == 0));
    assert!(disk.taken() + (512 << 10) <= before, "{} of {before}", disk.taken());
}

#[test]
fn write_same_checks_its_range_its_length_and_its_block() {
    let wishes = MediaWishes { write_same_blocks_max: 100, ..MediaWishes::default() };
    let mut disk = Disk::wishing(&wishes);
    refused(&mut disk.guest, &write_same_16(0, 0, 101, &[0; 512]), [0x05, 0x24, 0x00]);
    refused(&mut disk.guest, &write_same_16(0, 0, 0, &[0; 512]), [0x05, 0x24, 0x00]);
    let behind = Command::new(lun_0(), &[0x41, 0, 0, 0, 7, 0xff, 0, 0, 2, 0]).data_out([0; 512]);
    refused(&mut disk.guest, &behind, [0x05, 0x21, 0x00]);
    let short = run(&mut disk.guest, &write_same_16(0, 0, 1, &[0; 511]));
    assert_eq!(short.response, 1, "overrun: {short:?}");
    let mut long = [0; 32];
    long[..12].copy_from_slice(&[0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x0d, 0, 0]);
    (long[19], long[31]) = (4, 2);
    good(&mut disk.guest, &Command::new(lun_0(), &long).data_out([1; 512]));
    assert_eq!(disk.bytes()[2047..3073], [&[0x5a][..], &[1; 1024], &[0x5a]].concat());
}

#[test]
fn compare_and_write_writes_if_the_medium_is_as_expected() {
    let mut disk = Disk::new();
    let new: Vec<u8> = (0..=255).cycle().take(1024).collect();
    good(&mut disk.guest, &compare_and_write(2, 2, &[0x5a; 1024], &new));
    assert_eq!(disk.bytes()[1024..2048], new);
    let mut expected = new.clone();
    expected[700] ^= 0x10;
    let answer = run(&mut disk.guest, &compare_and_write(2, 2, &expected, &[9; 1024]));
    // 700 = 2BCh.
    assert_eq!(answer.sense, [0xf0, 0, 0x0e, 0, 0, 0x02, 0xbc, 0x0a, 0, 0, 0, 0, 0x1d, 0, 0, 0, 0, 0]);
    assert_eq!(disk.bytes()[1024..2048], new);
    good(&mut disk.guest, &compare_and_write(2, 0, &[], &[]));
}

#[test]
fn compare_and_write_takes_as_many_blocks_as_it_says() {
    let mut disk = Disk::new();
    good(&mut disk.guest, &compare_and_write(0, 255, &[0x5a; 255 * 512], &[1; 255 * 512]));
    assert!(disk.bytes()[..255 * 512].iter().all(|&byte| byte == 1));
    let half = run(&mut disk.guest, &compare_and_write(0, 1, &[1; 512], &[]));
    assert_eq!(half.response, 1, "overrun: {half:?}");
    let behind = [0x89, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 0, 2, 0, 0];
    refused(&mut disk.guest, &Command::new(lun_0(), &behind).data_out([0; 2048]), [0x05, 0x21, 0x00]);
}

#[test]
fn or_write_sets_bits_and_clears_none() {
    let mut disk = Disk::new();
    let data: Vec<u8> = (0..=255).cycle().take(600 * 512).collect();
    let cdb = [0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x02, 0x58, 0, 0];
    good(&mut disk.guest, &Command::new(lun_0(), &cdb).data_out(data.clone()));
    let bytes = disk.bytes();
    assert!(bytes[512..512 + data.len()].iter().zip(&data).all(|(now, or)| *now == 0x5a | or));
    assert!(bytes[..512].iter().chain(&bytes[601 * 512..]).all(|&byte| byte == 0x5a));
}

#[test]
fn verify_compares_as_bytchk_says_and_tells_where() {
    let mut disk = Disk::new();
    let verify = |byte_1, blocks: u16, data: &[u8]| {
        let [high, low] = blocks.to_be_bytes();
        Command::new(lun_0(), &[0x2f, byte_1, 0, 0, 0, 0, 0, high, low, 0]).data_out(data)
    };
    good(&mut disk.guest, &verify(0, 2048, &[]));
    let mut data = vec![0x5a; 600 * 512];
    good(&mut disk.guest, &verify(0x02, 600, &data));
    good(&mut disk.guest, &verify(0x06, 2048, &[0x5a; 512]));
    data[300_000] = 0;
    let answer = run(&mut disk.guest, &verify(0x02, 600, &data));
    // 300,000 = 0493E0h.
    assert_eq!(answer.sense[..7], [0xf0, 0, 0x0e, 0, 0x04, 0x93, 0xe0]);
    let mut block = [0x5a; 512];
    block[5] = 0;
    let answer = run(&mut disk.guest, &verify(0x06, 3, &block));
    assert_eq!((answer.check_condition(), answer.sense[6]), (Some([0x0e, 0x1d, 0x00]), 5));
    assert_eq!(run(&mut disk.guest, &verify(0x02, 2, &[0; 512])).response, 1);
}

#[test]
fn verify_reads_the_medium() {
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), |kind, offset| match (kind, offset) {
        (backstore::IoKind::Read, 131_072..) => Fate::Fail(BackstoreError::ReadFailed),
        _ => Fate::Pass,
    });
    let rig = Rig::new(&[Unit::new(store)]);
    let mut guest = rig.boot(Options::default());
    good(&mut guest, &commands::verify_10(lun_0(), 0, 256));
    refused(&mut guest, &commands::verify_10(lun_0(), 0, 257), [0x03, 0x11, 0x00]);
}

#[test]
fn write_and_verify_writes_and_then_compares() {
    let mut disk = Disk::new();
    let data: Vec<u8> = (0..=255).cycle().take(300 * 512).collect();
    for (byte_1, first) in [(0x00, 0), (0x02, 300)] {
        let [high, low] = u16::try_from(first).unwrap().to_be_bytes();
        let cdb = [0x2e, byte_1, 0, 0, high, low, 0, 0x01, 0x2c, 0];
        good(&mut disk.guest, &Command::new(lun_0(), &cdb).data_out(data.clone()));
        assert!(disk.bytes()[first * 512..(first + 300) * 512] == data);
    }
}

#[test]
fn a_block_erase_leaves_zeroes_and_one_hole() {
    let mut disk = Disk::new();
    for immediate in [0x00, 0x80] {
        std::fs::write(&disk.path, vec![0x5a; 1 << 20]).unwrap();
        let erase = Command::new(lun_0(), &[0x48, 0x02 | immediate, 0, 0, 0, 0, 0, 0, 0, 0]);
        good(&mut disk.guest, &erase);
        // Whoever asks meanwhile is told to wait.
        while run(&mut disk.guest, &commands::test_unit_ready(lun_0())).check_condition()
            == Some([0x02, 0x04, 0x1b])
        {}
        assert!(disk.bytes().iter().all(|&byte| byte == 0));
        let status = good(&mut disk.guest, &lba_status(0, 24)).data_in;
        assert_eq!(status[8..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0, 1, 0, 0, 0]);
    }
}

#[test]
fn an_overwrite_leaves_its_pattern() {
    let mut disk = Disk::new();
    let overwrite = |list: &[u8]| {
        let [high, low] = u16::try_from(list.len()).unwrap().to_be_bytes();
        Command::new(lun_0(), &[0x48, 0x01, 0, 0, 0, 0, 0, high, low, 0]).data_out(list)
    };
    good(&mut disk.guest, &overwrite(&[1, 0, 0, 3, 1, 2, 3]));
    let block: Vec<u8> = [1, 2, 3].into_iter().cycle().take(512).collect();
    assert!(disk.bytes().chunks(512).all(|bytes| bytes == block));
    // Twice, the second time inverted.
    good(&mut disk.guest, &overwrite(&[0x82, 0, 0, 1, 0x0f]));
    assert!(disk.bytes().iter().all(|&byte| byte == 0xf0));
    refused(&mut disk.guest, &overwrite(&[0x00, 0, 0, 1, 0x0f]), [0x05, 0x24, 0x00]);
    refused(&mut disk.guest, &overwrite(&[1, 0, 0, 0]), [0x05, 0x24, 0x00]);
}

/// A disk that cannot be written to from outside of a guest's I/O.
struct Stubborn(Ramdisk);

impl Backstore for Stubborn {
    fn geometry(&self) -> &backstore::Geometry {
        self.0.geometry()
    }
    fn channel(&self, key: u32) -> Box<dyn backstore::Channel> {
        self.0.channel(key)
    }
}

#[test]
fn a_sanitize_that_failed_is_told_until_it_is_left() {
    let rig = Rig::new(&[Unit::new(Stubborn(Ramdisk::new(MIB, false).unwrap()))]);
    let mut guest = rig.boot(Options::default());
    let overwrite =
        |byte_1| Command::new(lun_0(), &[0x48, byte_1, 0, 0, 0, 0, 0, 0, 5, 0]).data_out([1, 0, 0, 1, 0]);
    let exit = Command::new(lun_0(), &[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0]);
    good(&mut guest, &exit);
    refused(&mut guest, &overwrite(0x01), [0x03, 0x31, 0x03]);
    refused(&mut guest, &commands::read_10(lun_0(), 0, 1, 512), [0x03, 0x31, 0x03]);
    good(&mut guest, &commands::inquiry(lun_0(), 36));
    refused(&mut guest, &exit, [0x03, 0x31, 0x03]);
    // AUSE = 1 allows to leave it.
    refused(&mut guest, &overwrite(0x21), [0x03, 0x31, 0x03]);
    good(&mut guest, &exit);
    good(&mut guest, &commands::read_10(lun_0(), 0, 1, 512));
}

#[test]
fn formats_that_change_nothing_are_good() {
    let mut disk = Disk::new();
    good(&mut disk.guest, &Command::new(lun_0(), &[0x04, 0, 0, 0, 0, 0]));
    let with_list = |list: [u8; 4]| Command::new(lun_0(), &[0x04, 0x10, 0, 0, 0, 0]).data_out(list);
    good(&mut disk.guest, &with_list([0, 0x02, 0, 0]));
    refused(&mut disk.guest, &with_list([0, 0x08, 0, 0]), [0x05, 0x26, 0x00]);
    refused(&mut disk.guest, &Command::new(lun_0(), &[0x04, 0x80, 0, 0, 0, 0]), [0x05, 0x24, 0x00]);
    assert!(disk.bytes().iter().all(|&byte| byte == 0x5a));
}

#[test]
fn defects_and_prefetches_are_answered() {
    let mut disk = Disk::new();
    let ten = Command::new(lun_0(), &[0x37, 0, 0x18, 0, 0, 0, 0, 0, 8, 0]).data_in(8);
    let answer = good(&mut disk.guest, &ten);
    assert_eq!((&answer.data_in[..4], answer.residual), (&[0, 0x18, 0, 0][..], 4));
    good(&mut disk.guest, &Command::new(lun_0(), &[0x34, 0, 0, 0, 0, 0, 0, 0, 8, 0]));
    let behind = Command::new(lun_0(), &[0x34, 0, 0, 0, 8, 0, 0, 0, 1, 0]);
    refused(&mut disk.guest, &behind, [0x05, 0x21, 0x00]);
}

#[test]
fn nothing_is_changed_by_way_of_a_write_protected_lun() {
    let directory = tempfile::tempdir().unwrap();
    let unit = Unit::file(&directory.path().join("disk"), MIB, true).logical_unit("disk0");
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus(), [(Lun::new(0).unwrap(), Mapping::new(unit, true))]));
    let rig = Rig::with_map(map);
    let mut guest = rig.boot(Options::default());
    for command in [
        unmap(&[(0, 8)]),
        write_same_16(0, 0, 8, &[0; 512]),
        compare_and_write(0, 1, &[0; 512], &[1; 512]),
        Command::new(lun_0(), &[0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]),
        Command::new(lun_0(), &[0x04, 0, 0, 0, 0, 0]),
    ] {
        refused(&mut guest, &command, [0x07, 0x27, 0x00]);
    }
    good(&mut guest, &commands::verify_10(lun_0(), 0, 8));
}
