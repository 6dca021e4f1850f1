// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Drivers of legacy virtio, firmware above all: no VERSION_1, any features, any layout, one queue, no interrupts.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: firmware itself, which `tests/guest` boots.
//!
//! What SeaBIOS and OVMF send was read off the rings while they booted.

mod support;

use initiator::deadline::Deadline;
use initiator::dialect::{
    FEATURE_ANY_LAYOUT, FEATURE_EVENT_IDX, FEATURE_INDIRECT, FEATURE_NOTIFY_ON_EMPTY, FEATURE_PROTOCOL,
    FEATURE_VERSION_1, LEGACY_FIRMWARE, LINUX_DRIVER, RingStep, Step,
};
use initiator::memory::Plan;
use initiator::{Command, Dialect, Guest, Layout, LunAddress, Options, Place, Wait, commands, lun_0};
use scsi::Lun;
use std::time::Duration;
use support::{Rig, Unit, run};
use target::{Group, LunMap, Mapping};

const MIB: u64 = 1 << 20;

/// Has the guest told that its unit was reset.
fn must_be_told_of_the_reset(guest: &mut Guest) {
    let told = run(guest, &commands::test_unit_ready(lun_0()));
    assert_eq!(told.check_condition(), Some([0x06, 0x29, 0x03]));
}

/// A rig with LUN 0 and LUN 300 of target 1, LUN 5 of target 7 and LUN 0 of target 255.
fn scattered() -> Rig {
    let lun = |number| Lun::new(number).unwrap();
    let mapping = |name: &str| Mapping::new(Unit::ramdisk(MIB).logical_unit(name), false);
    let mut map = LunMap::default();
    map.insert(1, Group::new(support::nexus(), [(lun(0), mapping("boot")), (lun(300), mapping("far"))]));
    map.insert(7, Group::new(support::nexus(), [(lun(5), mapping("fifth"))]));
    map.insert(255, Group::new(support::nexus(), [(lun(0), mapping("last"))]));
    Rig::with_map(map)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at * 7 + at / 512) % 251).unwrap()).collect()
}

#[test]
fn seabios_asks_256_targets_for_their_luns_and_boots_the_one_it_finds() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default().firmware());
    assert_eq!(guest.features(), FEATURE_PROTOCOL);
    // Every request of SeaBIOS has tag 0, and its LUN in flat form.
    let to = |target: u8, lun: [u8; 2]| LunAddress([1, target, 0x40 | lun[0], lun[1], 0, 0, 0, 0]);
    let mut found = Vec::new();
    for target in 0..=255 {
        let report = Command::new(to(target, [0, 0]), &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0]);
        let answer = run(&mut guest, &report.data_in(4096).tag(0));
        if answer.response == 0 {
            found.push((target, answer.used_len, answer.data_in));
        } else {
            assert_eq!((answer.response, answer.used_len), (3, 108), "{target}");
        }
    }
    let one_lun = |lun: u8| vec![0, 0, 0, 8, 0, 0, 0, 0, 0, lun, 0, 0, 0, 0, 0, 0];
    let two_luns = [&[0, 0, 0, 16, 0, 0, 0, 0], [0; 8].as_slice(), &[0x41, 0x2c, 0, 0, 0, 0, 0, 0]].concat();
    let expected = [(1, 108 + 24, two_luns), (7, 108 + 16, one_lun(5)), (255, 108 + 16, one_lun(0))];
    assert_eq!(found, expected);

    for (address, name) in [
        (to(1, [0, 0]), b"boot "),
        (to(1, [1, 0x2c]), b"far  "),
        (to(7, [0, 5]), b"fifth"),
        (to(255, [0, 0]), b"last "),
    ] {
        let inquiry = Command::new(address, &[0x12, 0, 0, 0, 36, 0]).data_in(36).tag(0);
        let answer = run(&mut guest, &inquiry);
        assert_eq!((answer.used_len, &answer.data_in[16..21]), (108 + 36, name.as_slice()));
        let ready = run(&mut guest, &Command::new(address, &[0; 6]).tag(0));
        assert_eq!((ready.is_good(), ready.used_len), (true, 108));
        let capacity =
            run(&mut guest, &Command::new(address, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]).data_in(8).tag(0));
        assert_eq!(capacity.data_in, [0, 0, 0x07, 0xff, 0, 0, 2, 0]);
        let read = Command::new(address, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]).data_in(512).tag(0);
        assert_eq!((run(&mut guest, &read).used_len, run(&mut guest, &read).data_in), (620, vec![0; 512]));
    }
}

#[test]
fn ovmf_probes_a_unit_and_gets_exact_lengths() {
    let rig = scattered();
    let mut guest = rig.boot(Options::default().firmware());
    let at = |target: u8, lun: u8| LunAddress([1, target, 0x40, lun, 0, 0, 0, 0]);
    // (target, LUN), CDB, room; response, used bytes, residual.
    type Row = ((u8, u8), &'static [u8], usize, (u8, u32, u32));
    let rows: &[Row] = &[
        ((0, 0), &[0x12, 0, 0, 0, 0x60, 0], 96, (3, 108, 0)),
        ((0, 7), &[0x12, 0, 0, 0, 0x60, 0], 96, (3, 108, 0)),
        // Where no unit is, the answer says so and has the length asked for.
        ((1, 1), &[0x12, 0, 0, 0, 0x60, 0], 96, (0, 108 + 96, 0)),
        ((1, 0), &[0x12, 0, 0, 0, 0x60, 0], 96, (0, 108 + 96, 0)),
        ((1, 0), &[0x12, 1, 0, 0, 0xff, 0], 260, (0, 108 + 12, 248)),
        ((1, 0), &[0x12, 1, 0xb0, 0, 0x3c, 0], 60, (0, 108 + 60, 0)),
        ((1, 0), &[0; 6], 0, (0, 108, 0)),
        ((1, 0), &[0x03, 0, 0, 0, 0x12, 0], 18, (0, 108 + 18, 0)),
        ((1, 0), &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, (0, 108 + 8, 0)),
        ((1, 0), &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512, (0, 108 + 512, 0)),
    ];
    for &((target, lun), cdb, room, expected) in rows {
        let answer = run(&mut guest, &Command::new(at(target, lun), cdb).data_in(room).tag(0));
        assert_eq!((answer.response, answer.used_len, answer.residual), expected, "{target}:{lun} {cdb:x?}");
        assert_eq!(answer.status, 0, "{target}:{lun} {cdb:x?}");
    }
    let absent = run(&mut guest, &commands::inquiry(at(1, 1), 96));
    assert_eq!(absent.data_in[0], 0x7f, "a peripheral qualifier of 0 would be a disk to OVMF");
}

/// A layout for a driver of some features, by name: cuts for a request of so many readable and writable bytes.
fn layouts(features: u64) -> Vec<(&'static str, Layout)> {
    let apart = |align, offset| Place::Apart { align, offset };
    let every = |step: usize| (1..4096 / step).map(|piece| piece * step).collect::<Vec<_>>();
    let framed = |data: &[usize]| Layout {
        readable_cuts: [&[51], data].concat(),
        writable_cuts: [&[108], data].concat(),
        indirect: false,
        place: apart(4096, 0),
    };
    // Without ANY_LAYOUT and VERSION_1 the header and the response have a descriptor each.
    let mut layouts = vec![
        ("framed", framed(&[])),
        ("framed, data in pages", framed(&[1024, 2048, 3072])),
        ("framed, data at odd addresses", Layout { place: apart(16, 7), ..framed(&[1000, 1001, 1003]) }),
    ];
    if features & (FEATURE_ANY_LAYOUT | FEATURE_VERSION_1) != 0 {
        let cut = |cuts: Vec<usize>| Layout {
            readable_cuts: cuts.clone(),
            writable_cuts: cuts,
            indirect: false,
            place: apart(1, 0),
        };
        layouts.extend([
            ("two descriptors", cut(vec![])),
            ("cut within header and sense", cut(vec![1, 8, 19, 50, 52, 107, 109, 4000])),
            ("an empty descriptor between", cut(vec![51, 51, 108, 108])),
            ("hundreds of descriptors", cut(every(10))),
        ]);
    }
    if features & FEATURE_INDIRECT != 0 {
        let indirect =
            |(name, layout): &(&'static str, Layout)| (*name, Layout { indirect: true, ..layout.clone() });
        layouts.extend(layouts.iter().map(indirect).collect::<Vec<_>>());
    }
    layouts
}

/// The cuts that a message of so many bytes has room for.
fn fitting(layout: &Layout, readable_bytes: usize, writable_bytes: usize) -> Layout {
    let within = |cuts: &[usize], bytes| cuts.iter().copied().filter(|&cut| cut <= bytes).collect();
    Layout {
        readable_cuts: within(&layout.readable_cuts, readable_bytes),
        writable_cuts: within(&layout.writable_cuts, writable_bytes),
        ..layout.clone()
    }
}

#[test]
fn every_mix_of_features_and_layouts_is_served() {
    const LAYOUT: u64 = FEATURE_ANY_LAYOUT;
    const EVENT: u64 = FEATURE_EVENT_IDX;
    const TABLE: u64 = FEATURE_INDIRECT;
    const EMPTY: u64 = FEATURE_NOTIFY_ON_EMPTY;
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut served = 0;
    for features in [
        LEGACY_FIRMWARE,
        EMPTY,
        LAYOUT,
        TABLE,
        EVENT,
        EMPTY | LAYOUT,
        EMPTY | EVENT,
        LAYOUT | TABLE,
        LAYOUT | EVENT,
        TABLE | EVENT,
        EMPTY | LAYOUT | TABLE | EVENT,
        FEATURE_VERSION_1,
        FEATURE_VERSION_1 | TABLE | EVENT,
    ] {
        for wait in [Wait::Poll, Wait::Sleep] {
            let options = Options::default().driver_features(features).entries(512).wait(wait);
            let mut guest = rig.boot(options);
            assert_eq!(guest.features(), features | FEATURE_PROTOCOL);
            for (name, layout) in layouts(features) {
                let shown = format!("{features:#x} {wait:?} {name}");
                let data = pattern(4096);
                let clear = run(&mut guest, &commands::write_10(lun_0(), 8, 8, &[0; 4096]));
                assert!(clear.is_good(), "{shown}");
                let write = commands::write_10(lun_0(), 8, 8, &data).layout(fitting(&layout, 51 + 4096, 108));
                let written = run(&mut guest, &write);
                assert_eq!(
                    (written.is_good(), written.used_len, written.residual),
                    (true, 108, 0),
                    "{shown}"
                );
                let read = run(
                    &mut guest,
                    &commands::read_10(lun_0(), 8, 8, 4096).layout(fitting(&layout, 51, 108 + 4096)),
                );
                assert_eq!((read.is_good(), read.used_len, read.residual), (true, 108 + 4096, 0), "{shown}");
                assert!(read.data_in == data, "{shown}");
                served += 1;
            }
            let behind = run(&mut guest, &commands::read_10(lun_0(), 2048, 1, 512));
            assert_eq!((behind.check_condition(), behind.used_len), (Some([0x05, 0x21, 0x00]), 108));
            // LOGICAL UNIT RESET, over the control queue of a legacy driver.
            let reset = guest.control().task_management(5, lun_0(), 0).unwrap();
            assert_eq!((reset.response, reset.used_len), (0, 1), "{features:#x}");
            must_be_told_of_the_reset(&mut guest);
        }
    }
    assert_eq!(served, 188);
}

#[test]
fn an_indirect_table_that_was_not_negotiated_is_given_back_unread() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().firmware());
    let exchange = &mut guest.request_queue(0).unwrap().exchange;
    let request = commands::inquiry(lun_0(), 36).readable(1);
    let token = exchange.start(&request, 108 + 36, &Layout::default()).unwrap();
    let returned = exchange.wait_for(token, &Deadline::after(Duration::from_secs(30))).unwrap();
    assert_eq!((returned.used_len, returned.written), (0, vec![initiator::exchange::FILL; 108 + 36]));
    assert!(run(&mut guest, &commands::inquiry(lun_0(), 36)).is_good());
}

/// Interrupts that arrive with `count` commands of a driver that polls and wants none.
fn interrupts_while_polling(features: u64, count: u64) -> u64 {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().firmware().driver_features(features));
    // The first answer of a ring is always told: nobody knows what the driver was told before.
    assert!(run(&mut guest, &commands::test_unit_ready(lun_0())).is_good());
    let deadline = Deadline::after(Duration::from_secs(30));
    let calls = |guest: &mut Guest| guest.ring_mut(2).unwrap().interrupts().unwrap();
    assert!(guest.ring_mut(2).unwrap().calls.wait(&deadline).unwrap());
    let before = calls(&mut guest);
    for _ in 0..count {
        assert!(run(&mut guest, &commands::test_unit_ready(lun_0())).is_good());
    }
    // One more that wants an interrupt: the reactor tells of answers in their order, so all have come then.
    let queue = guest.request_queue(0).unwrap();
    queue.exchange.wait = Wait::Sleep;
    queue.exchange.ring.ask_for_interrupts(true);
    let token = queue.start(&commands::test_unit_ready(lun_0())).unwrap();
    assert!(queue.exchange.ring.calls.wait(&deadline).unwrap());
    assert!(queue.wait_for(token).unwrap().is_good());
    while calls(&mut guest) == before {
        assert!(guest.ring_mut(2).unwrap().calls.wait(&deadline).unwrap());
    }
    calls(&mut guest) - before
}

#[test]
fn a_driver_that_polls_is_told_of_an_empty_ring_if_it_asked_for_that() {
    assert_eq!(interrupts_while_polling(LEGACY_FIRMWARE, 20), 1);
    assert_eq!(interrupts_while_polling(FEATURE_EVENT_IDX, 20), 1);
    for features in [FEATURE_NOTIFY_ON_EMPTY, FEATURE_NOTIFY_ON_EMPTY | FEATURE_EVENT_IDX] {
        let told = interrupts_while_polling(features, 20);
        // An answer may wait for the next command's to be told with it, but not for ever.
        assert!((11..=21).contains(&told), "{told} interrupts for 21 empty rings");
    }
}

/// QEMU before the guest's interrupts exist: no call descriptor at all.
const WITHOUT_CALLS: Dialect = Dialect {
    realize: &[
        Step::ReadFeatures,
        Step::ProtocolFeatures,
        Step::QueueCount,
        Step::MemorySlots,
        Step::Owner,
        Step::ReadFeatures,
    ],
    start: &[
        Step::AckFeatures,
        Step::AddStatus(8),
        Step::Inflight,
        Step::AckFeatures,
        Step::MemorySlotsOrTable,
        Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick]),
        Step::EnableAll,
        Step::AddStatus(1 | 2 | 4),
    ],
    ..Dialect::QEMU
};

#[test]
fn one_request_may_move_32_mib_with_one_queue_and_no_interrupts() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[
        Unit::ramdisk(64 * MIB),
        Unit::file(&directory.path().join("cached"), 64 * MIB, true),
        Unit::file(&directory.path().join("durable"), 64 * MIB, false),
    ]);
    for dialect in [Dialect::QEMU, WITHOUT_CALLS] {
        let memory = Plan::pc(96 * MIB);
        let options = Options::default().dialect(dialect).firmware().memory(memory);
        let mut guest = rig.boot(options.patience(Duration::from_secs(60)));
        for lun in 0..3 {
            let address = LunAddress::unit(1, lun);
            // 65535 blocks are the most that READ (10) asks for; 32767 is what OVMF asks for at once.
            for blocks in [2048_u16, 4096, 8192, 16384, 32767, 65535] {
                let data = pattern(usize::from(blocks) * 512);
                let written = run(&mut guest, &commands::write_10(address, 3, blocks, &data));
                assert_eq!(
                    (written.is_good(), written.used_len, written.residual),
                    (true, 108, 0),
                    "{blocks}"
                );
                let read = run(&mut guest, &commands::read_10(address, 3, blocks, data.len()));
                let used = 108 + u32::from(blocks) * 512;
                assert_eq!((read.is_good(), read.used_len, read.residual), (true, used, 0), "{lun} {blocks}");
                assert!(read.data_in == data, "{lun} {blocks}");
            }
        }
    }
}

#[test]
fn only_the_third_queue_is_set_up_and_all_are_enabled() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().firmware());
    assert!(run(&mut guest, &commands::inquiry(lun_0(), 36)).is_good());
    for turn in 1..=3 {
        guest.reset().unwrap();
        guest.start().unwrap();
        for _ in 0..turn {
            assert!(run(&mut guest, &commands::inquiry(lun_0(), 36)).is_good());
        }
        let bases = guest.stop().unwrap();
        assert_eq!(bases, [0, 0, turn]);
    }
}

fn as_linux(options: Options) -> Options {
    Options { wait: Wait::Sleep, only_request_queues: false, driver_features: LINUX_DRIVER, ..options }
}

#[test]
fn firmware_hands_its_device_over_to_linux_and_gets_it_back() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default().firmware());
    for turn in 0..3_u8 {
        assert_eq!(guest.features(), FEATURE_PROTOCOL);
        let data = vec![turn + 1; 512];
        assert!(run(&mut guest, &commands::write_10(lun_0(), 5, 1, &data)).is_good());

        guest.hand_over(as_linux).unwrap();
        assert_eq!(
            guest.features() & (FEATURE_VERSION_1 | FEATURE_EVENT_IDX | FEATURE_INDIRECT),
            0x1_3000_0000
        );
        // Indirect descriptors and interrupts by event index are the default of this driver.
        assert_eq!(run(&mut guest, &commands::read_10(lun_0(), 5, 1, 512)).data_in, data);
        let reset = guest.control().task_management(5, lun_0(), 0).unwrap();
        assert_eq!((reset.response, reset.used_len), (0, 1));
        assert_eq!(guest.events().exchange.in_flight(), 8);

        guest.hand_over(Options::firmware).unwrap();
        must_be_told_of_the_reset(&mut guest);
        assert_eq!(run(&mut guest, &commands::read_10(lun_0(), 5, 1, 512)).data_in, data);
    }
}

#[test]
fn what_firmware_left_in_flight_is_over_before_linux_has_the_device() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(&[Unit::file(&directory.path().join("disk"), 64 * MIB, true)]);
    let mut guest = rig.boot(Options::default().firmware().memory(Plan::pc(96 * MIB)));
    let data = pattern(32767 * 512);
    guest.request_queue(0).unwrap().start(&commands::write_10(lun_0(), 0, 32767, &data)).unwrap();
    guest.hand_over(as_linux).unwrap();
    // The write was taken or not; it lands no more once the reset is through.
    assert!(run(&mut guest, &commands::write_10(lun_0(), 0, 8, &[0x5a; 4096])).is_good());
    assert!(run(&mut guest, &commands::synchronize_cache_10(lun_0(), 0, 0)).is_good());
    assert_eq!(run(&mut guest, &commands::read_10(lun_0(), 0, 8, 4096)).data_in, [0x5a; 4096]);
}
