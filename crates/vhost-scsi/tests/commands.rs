// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands from a real front end over real rings, byte by byte.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: malformed requests, which are in `hostile.rs`.

mod support;

use initiator::{Command, Guest, LunAddress, Options, commands, lun_0};
use scsi::Lun;
use std::sync::Arc;
use support::{Rig, Unit, run};
use target::{Group, LogicalUnit, LunMap, Mapping};

const MIB: u64 = 1 << 20;

/// A guest with one ramdisk of a MiB as LUN 0 of target 1.
fn on_a_ramdisk() -> (Rig, Guest) {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let guest = rig.boot(Options::default());
    (rig, guest)
}

#[test]
fn inquiry_names_the_disk_as_lio_does() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::inquiry(lun_0(), 36));
    assert!(answer.is_good(), "{answer:?}");
    assert_eq!((answer.used_len, answer.residual), (108 + 36, 0));
    assert_eq!(answer.data_in[..8], [0x00, 0x00, 0x06, 0x02, 0x5b, /* SCCS, 3PC */ 0x88, 0x00, 0x02]);
    assert_eq!(&answer.data_in[8..36], b"LIO-ORG disk0           4.0 ");
}

#[test]
fn a_written_block_is_read_back() {
    let (_rig, mut guest) = on_a_ramdisk();
    let data: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for (write, read) in [
        (commands::write_6(lun_0(), 8, 8, &data), commands::read_6(lun_0(), 8, 8, 4096)),
        (commands::write_10(lun_0(), 8, 8, &data), commands::read_10(lun_0(), 8, 8, 4096)),
        (commands::write_12(lun_0(), 8, 8, &data), commands::read_12(lun_0(), 8, 8, 4096)),
        (commands::write_16(lun_0(), 8, 8, &data), commands::read_16(lun_0(), 8, 8, 4096)),
    ] {
        let zeroes = run(&mut guest, &commands::write_10(lun_0(), 8, 8, &[0; 4096]));
        assert!(zeroes.is_good());
        let written = run(&mut guest, &write);
        assert!(written.is_good(), "{written:?}");
        assert_eq!((written.used_len, written.residual), (108, 0));
        let read = run(&mut guest, &read);
        assert!(read.is_good(), "{read:?}");
        assert_eq!((read.used_len, read.residual), (108 + 4096, 0));
        assert!(read.data_in == data);
    }
}

#[test]
fn an_allocation_length_larger_than_the_buffer_is_cut_and_good() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::inquiry(lun_0(), 255).data_in(36));
    assert!(answer.is_good(), "{answer:?}");
    assert_eq!((answer.used_len, answer.residual), (108 + 36, 0));
    let answer = run(&mut guest, &commands::inquiry(lun_0(), 36).data_in(255));
    assert_eq!((answer.used_len, answer.residual), (108 + 36, 255 - 36));
}

#[test]
fn a_read_larger_than_its_buffer_is_an_overrun() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::read_10(lun_0(), 0, 8, 512));
    assert_eq!((answer.response, answer.used_len), (1, 108));
    let answer = run(&mut guest, &commands::write_10(lun_0(), 0, 8, &[1; 512]));
    assert_eq!((answer.response, answer.used_len), (1, 108));
    let untouched = run(&mut guest, &commands::read_10(lun_0(), 0, 1, 512));
    assert_eq!(untouched.data_in, [0; 512]);
}

#[test]
fn a_read_smaller_than_its_buffer_leaves_the_rest_alone() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::read_10(lun_0(), 0, 1, 4096));
    assert!(answer.is_good(), "{answer:?}");
    assert_eq!((answer.used_len, answer.residual), (108 + 512, 4096 - 512));
    assert_eq!(answer.buffer[..512], [0; 512]);
    assert!(answer.buffer[512..].iter().all(|&byte| byte == initiator::exchange::FILL));
}

#[test]
fn a_transfer_of_no_blocks_is_good() {
    let (_rig, mut guest) = on_a_ramdisk();
    assert!(run(&mut guest, &commands::read_10(lun_0(), 0, 0, 0)).is_good());
    assert!(run(&mut guest, &commands::read_10(lun_0(), 2048, 0, 0)).is_good());
    let behind = run(&mut guest, &commands::read_10(lun_0(), 2049, 0, 0));
    assert_eq!(behind.check_condition(), Some([0x05, 0x21, 0x00]));
}

#[test]
fn a_range_behind_the_last_block_is_refused_with_its_true_sense() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::read_10(lun_0(), 2047, 2, 1024));
    assert_eq!(answer.check_condition(), Some([0x05, 0x21, 0x00]));
    assert_eq!((answer.sense_len, answer.residual, answer.used_len), (18, 1024, 108));
    assert_eq!(answer.sense, [0x70, 0, 5, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0]);
    let answer = run(&mut guest, &commands::write_16(lun_0(), u64::MAX, 1, &[0; 512]));
    assert_eq!(answer.check_condition(), Some([0x05, 0x21, 0x00]));
}

#[test]
fn unknown_opcodes_with_data_are_check_conditions_and_no_host_errors() {
    let (_rig, mut guest) = on_a_ramdisk();
    for opcode in [0x3b, 0x87, 0xc0, 0xd2, 0xff] {
        let outward = Command::new(lun_0(), &[opcode, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out([7; 24]);
        let inward = Command::new(lun_0(), &[opcode, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_in(24);
        for command in [outward, inward] {
            let answer = run(&mut guest, &command);
            assert_eq!(answer.check_condition(), Some([0x05, 0x20, 0x00]), "{opcode:#x}");
            assert_eq!((answer.residual, answer.used_len), (24, 108));
        }
    }
}

#[test]
fn fua_and_dpo_are_for_units_with_a_write_cache() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[
        Unit::file(&directory.path().join("cached"), MIB, true),
        Unit::file(&directory.path().join("durable"), MIB, false),
    ]);
    let mut guest = rig.boot(Options::default());
    for (lun, bits, wanted) in
        [(0, 0x08, None), (0, 0x10, None), (1, 0x08, Some([5, 0x24, 0])), (1, 0x10, Some([5, 0x24, 0]))]
    {
        let address = LunAddress::unit(1, lun);
        let write = run(&mut guest, &commands::write_10(address, 0, 1, &[9; 512]).cdb_byte(1, bits));
        assert_eq!(write.check_condition(), wanted, "write, LUN {lun}, byte 1 {bits:#x}");
        let read = run(&mut guest, &commands::read_10(address, 0, 1, 512).cdb_byte(1, bits));
        assert_eq!(read.check_condition(), wanted, "read, LUN {lun}, byte 1 {bits:#x}");
    }
}

#[test]
fn mode_sense_says_what_the_walkthrough_shows() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[Unit::file(&directory.path().join("disk"), MIB, true), Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let cached = run(&mut guest, &commands::mode_sense_6(lun_0(), 0x3f, 0, 255));
    assert_eq!(cached.data_in[..4], [0x43, 0x00, 0x10, 0x08]);
    let durable = run(&mut guest, &commands::mode_sense_6(LunAddress::unit(1, 1), 0x3f, 0, 255));
    assert_eq!(durable.data_in[..4], [0x43, 0x00, 0x00, 0x08]);
}

#[test]
fn capacity_is_the_last_block_and_its_length() {
    let (_rig, mut guest) = on_a_ramdisk();
    let ten = run(&mut guest, &commands::read_capacity_10(lun_0()));
    assert_eq!(ten.data_in, [0, 0, 0x07, 0xff, 0, 0, 0x02, 0]);
    let sixteen = run(&mut guest, &commands::read_capacity_16(lun_0(), 32));
    assert_eq!(
        sixteen.data_in[..16],
        [0, 0, 0, 0, 0, 0, 0x07, 0xff, 0, 0, 0x02, 0, 0, 0, /* LBPME, LBPRZ */ 0xc0, 0]
    );
}

#[test]
fn blocks_of_4_kib_count_in_their_own_length() {
    let unit = Unit { block_bytes: 4096, ..Unit::ramdisk(MIB) };
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default());
    assert_eq!(run(&mut guest, &commands::read_capacity_10(lun_0())).data_in, [0, 0, 0, 0xff, 0, 0, 0x10, 0]);
    let data = vec![0x5a; 8192];
    assert!(run(&mut guest, &commands::write_10(lun_0(), 254, 2, &data)).is_good());
    assert!(run(&mut guest, &commands::read_10(lun_0(), 254, 2, 8192)).data_in == data);
    let behind = run(&mut guest, &commands::read_10(lun_0(), 255, 2, 8192));
    assert_eq!(behind.check_condition(), Some([0x05, 0x21, 0x00]));
}

#[test]
fn caches_are_synchronized_and_ranges_verified() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[Unit::file(&directory.path().join("disk"), MIB, true)]);
    let mut guest = rig.boot(Options::default());
    assert!(run(&mut guest, &commands::synchronize_cache_10(lun_0(), 0, 0)).is_good());
    assert!(run(&mut guest, &commands::synchronize_cache_16(lun_0(), 0, 2048)).is_good());
    let behind = run(&mut guest, &commands::synchronize_cache_10(lun_0(), 2048, 1));
    assert_eq!(behind.check_condition(), Some([0x05, 0x21, 0x00]));
    let verified = run(&mut guest, &commands::verify_10(lun_0(), 0, 2048));
    assert!(verified.is_good() && verified.residual == 0, "{verified:?}");
    let compared = commands::verify_10(lun_0(), 0, 1).cdb_byte(1, 0x02).data_out([0; 512]);
    assert!(run(&mut guest, &compared).is_good());
    let compared = commands::verify_10(lun_0(), 0, 1).cdb_byte(1, 0x02).data_out([1; 512]);
    assert_eq!(run(&mut guest, &compared).check_condition(), Some([0x0e, 0x1d, 0x00]));
}

/// LUN 0 and LUN 300 of target 1, the second write-protected; LUN 5 of target 2, and nothing else there.
fn scattered() -> Rig {
    let unit = |name: &str| Unit::ramdisk(MIB).logical_unit(name);
    let lun = |number| Lun::new(number).unwrap();
    let mapping = |name: &str, write_protect| Mapping::new(unit(name), write_protect);
    let mut map = LunMap::default();
    let first = [(lun(300), mapping("far", true)), (lun(0), mapping("near", false))];
    map.insert(1, Group::new(support::nexus(), first));
    map.insert(2, Group::new(support::nexus(), [(lun(5), mapping("fifth", false))]));
    Rig::with_map(map)
}

#[test]
fn report_luns_is_sorted_and_peripheral_below_256() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let answer = run(&mut guest, &commands::report_luns(lun_0(), 0, 1024));
    assert_eq!(
        answer.data_in,
        [
            0, 0, 0, 16, 0, 0, 0, 0, /* 0 */ 0, 0, 0, 0, 0, 0, 0, 0, /* 300 */ 0x41, 0x2c, 0, 0, 0,
            0, 0, 0
        ]
    );
    assert_eq!((answer.used_len, answer.residual), (108 + 24, 1000));
}

#[test]
fn report_luns_is_answered_at_the_well_known_unit_and_where_no_unit_is() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let known = LunAddress([0xc1, 0x01, 0, 0, 0, 0, 0, 0]);
    let answer = run(&mut guest, &commands::report_luns(known, 0, 64));
    assert_eq!(answer.data_in[..4], [0, 0, 0, 8]);
    let of_target = LunAddress([0x01, 0x02, 0xc1, 0x01, 0, 0, 0, 0]);
    let fifth = [0, 0, 0, 8, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0];
    assert_eq!(run(&mut guest, &commands::report_luns(of_target, 0, 64)).data_in, fifth);
    let absent = LunAddress::unit(2, 0);
    assert_eq!(run(&mut guest, &commands::report_luns(absent, 0, 64)).data_in, fifth);
}

#[test]
fn an_address_without_a_unit_says_so() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let read = run(&mut guest, &commands::read_10(LunAddress::unit(1, 7), 0, 1, 512));
    assert_eq!(read.check_condition(), Some([0x05, 0x25, 0x00]));
    let zero = run(&mut guest, &commands::inquiry(LunAddress::unit(2, 0), 36));
    assert_eq!(zero.data_in[0], 0x3f);
    let seven = run(&mut guest, &commands::inquiry(LunAddress::unit(2, 7), 36));
    assert_eq!(seven.data_in[0], 0x7f);
    let sense = run(&mut guest, &commands::request_sense(LunAddress::unit(2, 7), 18));
    assert_eq!((sense.is_good(), sense.data_in[2], sense.data_in[12]), (true, 0x05, 0x25));
    let ready = run(&mut guest, &commands::test_unit_ready(LunAddress::unit(2, 7)));
    assert_eq!(ready.check_condition(), Some([0x05, 0x25, 0x00]));
}

#[test]
fn a_target_that_is_not_there_is_a_bad_target() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    for address in [
        LunAddress::unit(3, 0),
        LunAddress([0, 1, 0, 0, 0, 0, 0, 0]),
        LunAddress([1, 1, 0x80, 0, 0, 0, 0, 0]),
    ] {
        let answer = run(&mut guest, &commands::inquiry(address, 36));
        assert_eq!((answer.response, answer.used_len, answer.status), (3, 108, 0), "{address:?}");
    }
}

#[test]
fn every_lun_form_reaches_the_unit() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    for address in [LunAddress([1, 1, 0x41, 0x2c, 0, 0, 0, 0]), LunAddress::unit(1, 300)] {
        assert_eq!(&run(&mut guest, &commands::inquiry(address, 36)).data_in[16..20], b"far ");
    }
    for address in [LunAddress::peripheral(1, 0), LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0])] {
        assert_eq!(&run(&mut guest, &commands::inquiry(address, 36)).data_in[16..20], b"near");
    }
}

#[test]
fn a_write_protected_mapping_refuses_writes_and_says_so() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let far = LunAddress::unit(1, 300);
    let write = run(&mut guest, &commands::write_10(far, 0, 1, &[1; 512]));
    assert_eq!(write.check_condition(), Some([0x07, 0x27, 0x00]));
    assert!(run(&mut guest, &commands::read_10(far, 0, 1, 512)).is_good());
    assert_eq!(run(&mut guest, &commands::mode_sense_6(far, 0x3f, 0, 4)).data_in, [0x43, 0, 0x80, 8]);
    assert!(run(&mut guest, &commands::synchronize_cache_10(far, 0, 0)).is_good());
}

#[test]
fn a_missing_disk_is_not_ready_and_says_who_it_is() {
    let like = Unit::ramdisk(MIB).logical_unit("gone");
    let unit = LogicalUnit::missing(like.identity.clone(), 512, like.flags);
    let mut map = LunMap::default();
    let mapping = Mapping::new(Arc::new(unit), false);
    map.insert(1, Group::new(support::nexus(), [(Lun::default(), mapping)]));
    let rig = Rig::with_map(map);
    let mut guest = rig.boot(Options::default());
    assert_eq!(&run(&mut guest, &commands::inquiry(lun_0(), 36)).data_in[16..20], b"gone");
    for command in [
        commands::test_unit_ready(lun_0()),
        commands::read_capacity_10(lun_0()),
        commands::read_10(lun_0(), 0, 1, 512),
        commands::write_10(lun_0(), 0, 1, &[0; 512]),
        commands::synchronize_cache_10(lun_0(), 0, 0),
    ] {
        assert_eq!(run(&mut guest, &command).check_condition(), Some([0x02, 0x04, 0x00]), "{command:?}");
    }
}

#[test]
fn aca_is_refused_and_other_attributes_are_served() {
    let (_rig, mut guest) = on_a_ramdisk();
    for attribute in [0, 1, 2, 200] {
        let command = commands::test_unit_ready(lun_0()).task_attribute(attribute);
        assert!(run(&mut guest, &command).is_good(), "{attribute}");
    }
    let aca = run(&mut guest, &commands::test_unit_ready(lun_0()).task_attribute(3));
    assert_eq!(aca.check_condition(), Some([0x05, 0x24, 0x00]));
}

#[test]
fn headers_and_data_may_be_cut_anywhere() {
    let (_rig, mut guest) = on_a_ramdisk();
    let data: Vec<u8> = (0..=255).cycle().take(1024).collect();
    for indirect in [false, true] {
        let layout = initiator::Layout {
            readable_cuts: vec![1, 8, 50, 52, 100, 700],
            writable_cuts: vec![3, 107],
            indirect,
            ..Default::default()
        };
        let written = run(&mut guest, &commands::write_10(lun_0(), 4, 2, &data).layout(layout));
        assert!(written.is_good(), "{written:?}");
        let layout = initiator::Layout {
            readable_cuts: vec![20],
            writable_cuts: vec![11, 12, 109, 300, 620],
            indirect,
            ..Default::default()
        };
        let read = run(&mut guest, &commands::read_10(lun_0(), 4, 2, 1024).layout(layout));
        assert!(read.is_good() && read.data_in == data, "{read:?}");
    }
}

#[test]
fn a_write_smaller_than_its_buffer_takes_its_part_and_says_what_is_left() {
    let (_rig, mut guest) = on_a_ramdisk();
    let answer = run(&mut guest, &commands::write_10(lun_0(), 0, 1, &[7; 1024]));
    assert_eq!((answer.is_good(), answer.residual, answer.used_len), (true, 512, 108));
    let read = run(&mut guest, &commands::read_10(lun_0(), 0, 2, 1024));
    assert_eq!((&read.data_in[..512], &read.data_in[512..]), (&[7; 512][..], &[0; 512][..]));
}

#[test]
fn a_parameter_list_larger_than_its_buffer_is_an_overrun_of_every_command_that_takes_one() {
    let (_rig, mut guest) = on_a_ramdisk();
    let block = 512;
    let lists: [(&str, &[u8], usize); 8] = [
        ("UNMAP", &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], 23),
        ("SANITIZE, OVERWRITE", &[0x48, 0x01, 0, 0, 0, 0, 0, 0x02, 0x04, 0], block + 3),
        ("FORMAT UNIT", &[0x04, /* FMTDATA */ 0x10, 0, 0, 0, 0], 3),
        ("EXTENDED COPY", &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 92, 0, 0], 91),
        ("PERSISTENT RESERVE OUT", &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], 23),
        ("MODE SELECT (6)", &[0x15, 0x10, 0, 0, 24, 0], 23),
        ("MODE SELECT (10)", &[0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0], 27),
        ("nothing at all", &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], 0),
    ];
    for (name, cdb, bytes) in lists {
        let answer = run(&mut guest, &Command::new(lun_0(), cdb).data_out(vec![0; bytes]));
        assert_eq!((answer.response, answer.status, answer.sense.len()), (1, 0, 0), "{name}: {answer:?}");
    }
}

#[test]
fn a_comparison_smaller_than_its_buffer_takes_its_part_and_says_what_is_left() {
    let (_rig, mut guest) = on_a_ramdisk();
    // One block of zeroes is expected, one of sevens is written, and there are 100 bytes more.
    let data = [&[0; 512][..], &[7; 512], &[9; 100]].concat();
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let answer = run(&mut guest, &Command::new(lun_0(), &cdb).data_out(data));
    assert_eq!((answer.is_good(), answer.residual), (true, 100), "{answer:?}");
    let read = run(&mut guest, &commands::read_10(lun_0(), 0, 2, 1024));
    assert_eq!((&read.data_in[..512], &read.data_in[512..]), (&[7; 512][..], &[0; 512][..]));
}

#[test]
fn a_lun_0_without_a_disk_is_looked_at_and_neither_ready_nor_a_disk_of_eight_pages() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let zero = LunAddress::unit(2, 0);
    for command in [
        commands::test_unit_ready(zero),
        commands::read_capacity_10(zero),
        commands::read_capacity_16(zero, 32),
        commands::read_10(zero, 0, 1, 512),
        commands::write_10(zero, 0, 1, &[1; 512]),
        commands::mode_sense_6(zero, 0x3f, 0, 252),
    ] {
        let answer = run(&mut guest, &command);
        assert_eq!(answer.check_condition(), Some([0x05, 0x25, 0x00]), "{:02x?}", command.cdb);
    }
}

#[test]
fn a_well_known_unit_names_its_port_and_its_target_and_no_disk() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let known = LunAddress([0x01, 0x01, 0xc1, 0x01, 0, 0, 0, 0]);
    for (address, first) in [(known, 0x1e), (LunAddress::unit(2, 0), 0x3f), (LunAddress::unit(2, 7), 0x7f)] {
        let page = |guest: &mut Guest, code| run(guest, &commands::inquiry_page(address, code, 255));
        let pages = page(&mut guest, 0x00);
        assert_eq!(pages.data_in, [first, 0x00, 0, 3, 0x00, 0x83, 0x86], "{pages:?}");
        let names = page(&mut guest, 0x83).data_in;
        assert_eq!(names[..2], [first, 0x83]);
        let mut at = 4;
        let mut kinds = Vec::new();
        while at < names.len() {
            // Association and designator type.
            kinds.push(names[at + 1] & 0x3f);
            at += 4 + usize::from(names[at + 3]);
        }
        // Relative target port, name of the port, name of the target.
        assert_eq!(kinds, [0x14, 0x18, 0x28], "{names:02x?}");
        assert!(names.windows(20).any(|text| text == b"naa.5001405000000001"));
        for code in [0x80, 0xb0, 0xb1, 0xb2, 0xb3, 0x87] {
            let refused = page(&mut guest, code).check_condition();
            assert_eq!(refused, Some([0x05, 0x24, 0x00]), "{code:02x}");
        }
    }
    // The well-known unit of no target has no port to name.
    let of_device = LunAddress([0xc1, 0x01, 0, 0, 0, 0, 0, 0]);
    let pages = run(&mut guest, &commands::inquiry_page(of_device, 0x00, 255));
    assert_eq!(pages.check_condition(), Some([0x05, 0x24, 0x00]));
}

#[test]
fn what_moves_no_block_passes_a_lun_that_refuses_writes() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default());
    let far = LunAddress::unit(1, 300);
    // PERSISTENT RESERVE OUT, REGISTER; MODE SELECT of no page; SEND DIAGNOSTIC.
    let register = [&[0; 8][..], &[0, 0, 0, 0, 0, 0, 0, 7], &[0; 8]].concat();
    let all = [
        Command::new(far, &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(register),
        Command::new(far, &[0x15, 0x10, 0, 0, 4, 0]).data_out([0; 4]),
        Command::new(far, &[0x1d, 0x04, 0, 0, 0, 0]),
    ];
    for command in all {
        assert!(run(&mut guest, &command).is_good(), "{:02x?}", command.cdb);
    }
    let keys = Command { data_in_bytes: 16, ..Command::new(far, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 16, 0]) };
    assert_eq!(run(&mut guest, &keys).data_in[8..], [0, 0, 0, 0, 0, 0, 0, 7]);
}

#[test]
fn what_is_for_no_block_passes_a_lun_that_refuses_writes_and_is_held_to_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = Unit::file(&directory.path().join("disk"), MIB, true).logical_unit("far");
    let mut map = LunMap::default();
    map.insert(1, Group::new(support::nexus(), [(Lun::default(), Mapping::new(file, true))]));
    let rig = Rig::with_map(map);
    let mut guest = rig.boot(Options::default());
    // The first block is in the last byte of its field, the number of blocks in its last byte.
    let all: [(&str, &[u8], usize, usize, usize); 11] = [
        ("WRITE (10)", &[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 8, 512),
        ("WRITE (12)", &[0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 9, 512),
        ("WRITE (16)", &[0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 13, 512),
        ("WRITE AND VERIFY (10)", &[0x2e, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 8, 512),
        ("WRITE AND VERIFY (12)", &[0xae, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 9, 512),
        ("WRITE AND VERIFY (16)", &[0x8e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 13, 512),
        ("ORWRITE (16)", &[0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 13, 512),
        ("COMPARE AND WRITE", &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 13, 1024),
        ("WRITE (10) with FUA", &[0x2a, 8, 0, 0, 0, 0, 0, 0, 0, 0], 4, 8, 512),
        ("WRITE (16) with DPO", &[0x8a, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, 13, 512),
        ("WRITE (12) with FUA", &[0xaa, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4, 9, 512),
    ];
    for (name, cdb, high, blocks, data) in all {
        let mut send = |place: u8, count: u8| {
            let mut cdb = cdb.to_vec();
            (cdb[high], cdb[blocks]) = (place, count);
            let command = Command::new(lun_0(), &cdb);
            run(&mut guest, &if count > 0 { command.data_out(vec![0; data]) } else { command })
        };
        assert_eq!(send(0, 1).check_condition(), Some([0x07, 0x27, 0x00]), "{name}");
        assert!(send(0, 0).is_good(), "{name}");
        // Block 0x900 of 0x800.
        assert_eq!(send(9, 0).check_condition(), Some([0x05, 0x21, 0x00]), "{name}");
    }
    let unmap = |guest: &mut Guest, blocks| {
        let list = [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, blocks, 0, 0, 0, 0];
        run(guest, &Command::new(lun_0(), &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(list))
    };
    assert_eq!(unmap(&mut guest, 1).check_condition(), Some([0x07, 0x27, 0x00]));
    assert!(unmap(&mut guest, 0).is_good());
    assert!(run(&mut guest, &Command::new(lun_0(), &[0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0])).is_good());
    // WRITE SAME must say how many blocks (WSNZ = 1): of none it is for the rest of the medium, and refused as what it is.
    let mut same = |blocks| {
        let command = Command::new(lun_0(), &[0x41, 0, 0, 0, 0, 0, 0, 0, blocks, 0]).data_out([0; 512]);
        run(&mut guest, &command).check_condition()
    };
    assert_eq!([same(0), same(1)], [Some([0x05, 0x24, 0x00]), Some([0x07, 0x27, 0x00])]);
}

#[test]
fn extended_inquiry_claims_simple_tasks_and_the_cache_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[Unit::ramdisk(MIB), Unit::file(&directory.path().join("disk"), MIB, true)]);
    let mut guest = rig.boot(Options::default());
    let page = |lun| commands::inquiry_page(LunAddress::unit(1, lun), 0x86, 64);
    assert_eq!(run(&mut guest, &page(0)).data_in[..7], [0, 0x86, 0, 0x3c, 0, 0x01, 0x00]);
    assert_eq!(run(&mut guest, &page(1)).data_in[..7], [0, 0x86, 0, 0x3c, 0, 0x01, 0x01]);
}

#[test]
fn a_transfer_above_what_a_reactor_may_be_kept_busy_with_is_refused() {
    let (_rig, mut guest) = {
        let rig = Rig::new(&[Unit::new(backstore::Ramdisk::new(256 * MIB, true).unwrap())]);
        let guest = rig.boot(Options::default());
        (rig, guest)
    };
    let answer = run(&mut guest, &commands::read_16(lun_0(), 0, 0x2_0001, 512));
    assert_eq!(answer.check_condition(), Some([0x05, 0x24, 0x00]));
}
