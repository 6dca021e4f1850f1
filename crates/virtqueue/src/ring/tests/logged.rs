// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a ring writes to the guest's memory is in the dirty log, by the used ring's own address in it.
//!
//! A used ring of 1024 entries lies on three pages, and elements 511 and 1023 on two each: flags and index are on the
//! first, the event on the third.

use super::*;
use memory::DirtyLog;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// A log of 40 bytes, which covers 320 pages, and its file.
fn log() -> (Arc<DirtyLog>, File) {
    let file = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 40).unwrap();
    (Arc::new(DirtyLog::map(file.as_fd(), 0, 40).unwrap()), file.into())
}

/// The bits of the pages from 0xa0000 on, which are cleared; there are no others.
fn take(file: &File) -> [u8; 2] {
    let mut bytes = [0; 40];
    file.read_exact_at(&mut bytes, 0).unwrap();
    file.write_all_at(&[0; 40], 0).unwrap();
    let found = [bytes[20], bytes[21]];
    bytes[20..22].fill(0);
    assert_eq!(bytes, [0; 40]);
    found
}

/// A ring whose used ring is logged, and what its log held at once.
fn logged(driver: &Driver, event_idx: bool, next: u16) -> (SplitRing, File) {
    driver.set_used_index(next);
    let config = RingConfig { event_idx, next_avail: next, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    let (log, file) = log();
    ring.set_log(Some((log, GuestAddress(0xa_0000))));
    assert_eq!(take(&file), [0x07, 0], "all of the used ring: another process may have written there");
    (ring, file)
}

#[test]
fn an_answer_is_logged_before_it_is_shown_and_the_index_when_it_moves() {
    for (next, element) in [(0, 0x01), (510, 0x01), (511, 0x03), (512, 0x02), (1022, 0x02), (1023, 0x06)] {
        let mut driver = Driver::new(1024);
        driver.set_available_index(next);
        let (mut ring, file) = logged(&driver, false, next);
        driver.offer(3);
        assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
        assert_eq!(take(&file), [0, 0], "nothing was written");
        ring.push_used(3, 0);
        assert_eq!(take(&file), [element, 0], "element {next}");
        ring.publish();
        assert_eq!(take(&file), [0x01, 0], "index after {next}");
    }
}

#[test]
fn the_wish_for_kicks_is_logged() {
    let driver = Driver::new(1024);
    let (mut ring, file) = logged(&driver, false, 0);
    ring.disarm();
    assert_eq!(take(&file), [0x01, 0]);
    ring.arm();
    assert_eq!(take(&file), [0x01, 0]);

    let (mut ring, file) = logged(&driver, true, 0);
    ring.disarm();
    assert_eq!(take(&file), [0, 0], "with EVENT_IDX it writes nothing");
    ring.arm();
    assert_eq!(take(&file), [0x04, 0]);
    ring.set_event_idx(false);
    assert_eq!(take(&file), [0x01, 0]);
}

#[test]
fn the_address_that_the_front_end_gave_is_what_is_marked() {
    let driver = Driver::new(1024);
    let (mut ring, _) = logged(&driver, true, 0);
    let (log, file) = log();
    ring.set_log(Some((log, GuestAddress(0xa_3ffe))));
    assert_eq!(take(&file), [0x78, 0]);
    ring.arm();
    assert_eq!(take(&file), [0x40, 0]);
}

#[test]
fn a_ring_in_a_new_map_goes_on_logging() {
    let driver = Driver::new(1024);
    let (mut ring, file) = logged(&driver, false, 0);
    ring.remap(driver.map_again()).unwrap();
    assert_eq!(take(&file), [0x07, 0]);
    ring.arm();
    assert_eq!(take(&file), [0x01, 0]);
}

#[test]
fn without_a_log_nothing_is_marked_any_more() {
    let mut driver = Driver::new(1024);
    let (mut ring, file) = logged(&driver, false, 0);
    ring.set_log(None);
    publish_one(&mut driver, &mut ring);
    ring.disarm();
    ring.arm();
    assert_eq!(take(&file), [0, 0]);
}
