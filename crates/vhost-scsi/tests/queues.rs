// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rings as front ends run them: many, deep, stopped, started anew, lost and found.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: single commands.

mod support;

use backstore::Ramdisk;
use backstore::decorate::{Fate, Judged};
use initiator::deadline::Deadline;
use initiator::load::{self, Access, Load};
use initiator::notifier::Notifier;
use initiator::{Guest, Options, Wait, commands, lun_0};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::{Rig, Unit};

const MIB: u64 = 1 << 20;

/// Half a second of checked reads and writes, 64 deep on each queue.
fn checked_load() -> Load {
    Load {
        address: lun_0(),
        queue_depth: 64,
        duration: Duration::from_millis(500),
        access: Access::Random,
        read_percent: 50,
        verify: true,
        ..Load::default()
    }
}

fn run_checked(guest: &mut Guest) {
    // As long as it takes: a disk may be slow, and the processor somebody else's.
    let (mut reads, mut writes) = (0, 0);
    let deadline = Deadline::after(Duration::from_secs(60));
    while reads <= 100 || writes <= 100 {
        let report = load::run(guest, &checked_load()).unwrap();
        assert_eq!((report.errors, report.blocks_corrupt), (0, 0), "{report:?}");
        (reads, writes) = (reads + report.reads, writes + report.writes);
        assert!(!deadline.passed(), "{reads} reads, {writes} writes");
    }
}

#[test]
fn four_queues_64_deep_keep_every_block() {
    let directory = tempfile::tempdir().unwrap();
    for unit in [
        Unit::ramdisk(16 * MIB),
        Unit::file(&directory.path().join("cached"), 16 * MIB, true),
        Unit::file(&directory.path().join("durable"), 16 * MIB, false),
    ] {
        let rig = Rig::new(&[unit]);
        run_checked(&mut rig.boot(Options::default().request_queues(4)));
    }
}

#[test]
fn every_kind_of_driver_is_served() {
    let rig = Rig::new(&[Unit::ramdisk(16 * MIB)]);
    for options in [
        Options::default().without_event_idx(),
        Options::default().without_indirect(),
        Options::default().wait(Wait::Poll),
        Options::default().entries(256),
        Options::default().entries(100),
        Options { kick_descriptor: false, ..Options::default() },
        Options { protocol: false, ..Options::default() },
    ] {
        let load = Load { wait: options.wait, queue_depth: 32, ..checked_load() };
        let shown = format!("{options:?}");
        let mut guest = rig.boot(options);
        let report = load::run(&mut guest, &load).unwrap();
        assert_eq!((report.errors, report.blocks_corrupt), (0, 0), "{shown}");
        assert!(report.reads > 0, "{shown}");
    }
}

#[test]
fn a_guest_that_restarts_its_rings_finds_its_data() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let written = guest.execute(&commands::write_10(lun_0(), 3, 1, &[0x3c; 512])).unwrap();
    assert!(written.is_good());
    for _ in 0..3 {
        guest.stop().unwrap();
        guest.start().unwrap();
        guest.reset().unwrap();
        guest.start().unwrap();
        let read = guest.execute(&commands::read_10(lun_0(), 3, 1, 512)).unwrap();
        assert_eq!(read.data_in, [0x3c; 512]);
    }
}

#[test]
fn a_stopped_ring_is_where_it_says() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    for _ in 0..5 {
        assert!(guest.execute(&commands::test_unit_ready(lun_0())).unwrap().is_good());
    }
    let bases = guest.stop().unwrap();
    assert_eq!(bases[2], 5);
}

#[test]
fn a_front_end_that_comes_back_goes_on() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    for turn in 0..5 {
        let data = vec![turn; 512];
        assert!(guest.execute(&commands::write_10(lun_0(), 9, 1, &data)).unwrap().is_good());
        guest.lose();
        guest.reconnect().unwrap();
        assert_eq!(guest.execute(&commands::read_10(lun_0(), 9, 1, 512)).unwrap().data_in, data);
    }
}

#[test]
fn a_virtual_machine_that_starts_again_is_served_again() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    for _ in 0..3 {
        let mut guest = rig.boot(Options::default());
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    }
}

#[test]
fn two_targets_serve_two_guests_at_once() {
    let one = Rig::new(&[Unit::ramdisk(16 * MIB)]);
    let port =
        vhost_scsi::TargetPort::new("naa.5001405000000002".into(), support::map(&[Unit::ramdisk(16 * MIB)]));
    let bound = vhost_scsi::Bound::bind(&one.directory.path().join("second"), None).unwrap();
    let two = bound.serve(Arc::new(port), Arc::clone(&one.reactors));
    let mut first = one.boot(Options::default().request_queues(2));
    let mut second = Guest::boot(two.path(), Options::default().request_queues(2)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| run_checked(&mut first));
        scope.spawn(|| run_checked(&mut second));
    });
}

#[test]
fn a_second_front_end_may_connect_and_may_not_run_rings_beside_the_first() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut first = rig.boot(Options::default());
    // As long as it waits in vain.
    let patience = Duration::from_secs(3);
    let mut second = Guest::connect(rig.path(), Options::default().patience(patience)).unwrap();
    // Whether the refusal shows at the start or at the first command is the front end's affair.
    let started = second.start();
    let refused = started.is_err() || second.execute(&commands::inquiry(lun_0(), 36)).is_err();
    assert!(refused, "two guests ran on one target");
    assert!(first.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    drop(second);
    first.stop().unwrap();
    let mut third = rig.boot(Options::default());
    assert!(third.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn the_event_queue_keeps_its_buffers() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    assert!(guest.events().next_event(Duration::from_millis(50)).unwrap().is_none());
    assert_eq!(guest.events().exchange.in_flight(), 8);
    assert_eq!(guest.stop().unwrap()[1], 0, "the buffers were never taken");
}

#[test]
fn a_call_descriptor_that_is_replaced_while_a_completion_is_told_loses_nothing() {
    // The backstore holds the reactor itself, so that the new descriptor comes while the old one is in use.
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let judge_gate = Arc::clone(&gate);
    let store = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |_, _| {
        let (open, opened) = &*judge_gate;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Fate::Pass
    });
    let rig = Rig::new(&[Unit::new(store)]);
    let mut guest = rig.boot(Options::default());
    guest.request_queue(0).unwrap().start(&commands::read_10(lun_0(), 0, 1, 512)).unwrap();
    let real = Notifier::new().unwrap();
    guest.connection().unwrap().set_ring_call(2, Some(&real)).unwrap();
    // Whatever was told so far, the driver has taken note of it and sleeps.
    real.take().unwrap();
    let (open, opened) = &*gate;
    *open.lock().unwrap() = true;
    opened.notify_all();
    assert!(
        real.wait(&Deadline::after(Duration::from_secs(30))).unwrap(),
        "the completion was told to nobody"
    );
}
