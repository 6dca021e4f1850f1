// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A load ends, counts truly and finds corruption.

use crate::device::{Device, Personality, Quirk};
use crate::{UNIT, boot, well};
use initiator::load::{self, Access, Load};
use initiator::{LunAddress, Options, Wait};
use std::time::Duration;

fn checked() -> Load {
    Load {
        address: UNIT,
        queue_depth: 8,
        duration: Duration::from_millis(200),
        read_percent: 50,
        range_bytes: Some(1 << 20),
        verify: true,
        ..Load::default()
    }
}

#[test]
fn a_checked_load_over_two_queues_finds_nothing_on_a_good_disk() {
    let device = well();
    for (wait, options) in [
        (Wait::Sleep, Options::default()),
        (Wait::Poll, Options::default().without_event_idx().without_indirect()),
    ] {
        let mut guest = boot(&device, options.request_queues(2));
        let report = load::run(&mut guest, &Load { wait, ..checked() }).expect("a report");
        assert_eq!((report.errors, report.blocks_corrupt), (0, 0), "{report}");
        assert!(report.reads > 0 && report.writes > 0 && report.blocks_verified > 0, "{report}");
        assert_eq!(report.bytes, (report.reads + report.writes) * 4096);
        assert_eq!(report.latency_ns.len(), report.reads + report.writes);
        assert!(report.latency(50.0) <= report.latency(99.0) && report.elapsed >= Duration::from_millis(200));
        assert!(guest.capacity(UNIT).is_ok(), "the queues are whole afterwards");
    }
}

#[test]
fn a_lost_bit_is_found_and_named() {
    let device = Device::start(Personality { quirk: Quirk::LoseABit, ..Personality::default() });
    let mut guest = boot(&device, Options::default());
    let load = Load { access: Access::Sequential, range_bytes: Some(64 << 10), ..checked() };
    let report = load::run(&mut guest, &load).expect("a report");
    assert!(report.blocks_corrupt > 0 && report.blocks_corrupt < report.blocks_verified, "{report}");
    // The last block of a write is the one that lost a bit; its stamp is still right.
    let first = report.first_corruption.expect("a corruption");
    assert_eq!(first.lba % 8, 7);
    assert_eq!(first.found, Some((first.lba, first.expected_generation)));
}

#[test]
fn commands_that_fail_are_counted_and_shown() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    // READ (16) is not among what the device knows.
    let load = Load { io_bytes: 512, queue_depth: 1, duration: Duration::from_millis(20), ..checked() };
    let error = load::run(&mut guest, &Load { address: LunAddress::unit(9, 0), ..load });
    assert!(matches!(error, Err(initiator::Error::Command { response: 3, .. })), "{error:?}");
}
