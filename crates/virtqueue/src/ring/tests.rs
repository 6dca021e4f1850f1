// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A driver and a ring, face to face.
//!
//! Above: nothing.
//! Below: `testing`.
//! Never here: expectations spelled with the ring's own constants.

mod chains;
mod logged;

use super::*;
use crate::error::RingPart;
use crate::testing::{AVAIL, BORDER, DATA, Desc, Driver, END, INDIRECT, NEXT, USED, USER, WRITE};

/// Offers one chain, already laid out at `head`, and returns what the ring makes of it: (address in the data of the
/// lists, readable bytes, writable bytes).
fn gather(driver: &mut Driver, head: u16) -> Result<(Vec<u8>, u64), ChainError> {
    let mut ring = driver.start();
    gather_with(driver, &mut ring, head)
}

fn gather_with(driver: &mut Driver, ring: &mut SplitRing, head: u16) -> Result<(Vec<u8>, u64), ChainError> {
    driver.offer(head);
    let mut heads = [0; 4];
    assert_eq!(ring.pop_batch(&mut heads), Ok(1));
    assert_eq!(heads[0], head);
    let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
    let followed = ring.chain(head, &driver.view(), &mut readable, &mut writable);
    if followed.is_err() {
        assert!(readable.is_empty() && writable.is_empty(), "a refused chain leaves nothing behind");
    }
    followed.map(|()| {
        let mut bytes = vec![0; usize::try_from(readable.bytes()).unwrap().min(64)];
        readable.copy_to(0, &mut bytes);
        (bytes, writable.bytes())
    })
}

#[test]
fn a_pushed_head_is_seen_only_after_publish() {
    let mut driver = Driver::new(8);
    driver.link(2, &[(DATA, 4, WRITE)]);
    driver.link(5, &[(DATA, 4, WRITE)]);
    let mut ring = driver.start();
    driver.offer(2);
    driver.offer(5);
    assert!(ring.has_work());
    let mut heads = [0; 8];
    assert_eq!(ring.pop_batch(&mut heads), Ok(2));
    assert_eq!(heads[..2], [2, 5]);
    assert!(!ring.has_work());
    assert_eq!(ring.in_flight(), 2);
    ring.push_used(5, 4);
    assert_eq!(driver.used_index(), 0);
    ring.push_used(2, 0);
    assert_eq!(ring.in_flight(), 2);
    ring.publish();
    assert_eq!(driver.used_index(), 2);
    assert_eq!([driver.used(0), driver.used(1)], [(5, 4), (2, 0)]);
    assert_eq!(ring.in_flight(), 0);
    assert_eq!(ring.next_avail(), 2);
    assert!(!ring.publish(), "nothing to publish, nobody to notify");
}

#[test]
fn a_small_batch_leaves_the_rest_for_the_next() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    for head in [3, 1, 7] {
        driver.offer(head);
    }
    let mut heads = [0; 2];
    assert_eq!(ring.pop_batch(&mut heads), Ok(2));
    assert_eq!(heads, [3, 1]);
    assert_eq!(ring.pop_batch(&mut heads), Ok(1));
    assert_eq!(heads[0], 7);
    assert_eq!(ring.pop_batch(&mut heads), Ok(0));
    assert_eq!(ring.pop_batch(&mut []), Ok(0));
}

#[test]
fn indices_wrap_at_65536() {
    let mut driver = Driver::new(4);
    driver.set_available_index(0xfffe);
    driver.set_used_index(0xfffe);
    let config = RingConfig { next_avail: 0xfffe, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    for head in [0, 1, 2, 3] {
        driver.offer(head);
    }
    let mut heads = [0; 8];
    assert_eq!(ring.pop_batch(&mut heads), Ok(4));
    assert_eq!(heads[..4], [0, 1, 2, 3]);
    for head in [3, 2, 1, 0] {
        ring.push_used(head, u32::from(head));
    }
    ring.publish();
    assert_eq!(ring.next_avail(), 2);
    assert_eq!(driver.used_index(), 2);
    // 0xfffe is place 2 of 4, and so on round.
    assert_eq!([0xfffe, 0xffff, 0, 1].map(|index| driver.used(index)), [(3, 3), (2, 2), (1, 1), (0, 0)]);
    assert_eq!(driver.used(2), (3, 3));
}

#[test]
fn a_ring_of_three_entries_counts_places_modulo_three() {
    let mut driver = Driver::new(3);
    let mut ring = driver.start();
    let mut heads = [0; 3];
    for round in 0..5_u16 {
        for head in 0..3 {
            driver.offer(head);
        }
        assert_eq!(ring.pop_batch(&mut heads), Ok(3));
        assert_eq!(heads, [0, 1, 2]);
        for head in heads {
            ring.push_used(head, u32::from(round));
        }
        ring.publish();
    }
    assert_eq!(driver.used_index(), 15);
    assert_eq!([0, 1, 2].map(|place| driver.used(place)), [(0, 4), (1, 4), (2, 4)]);
}

/// 65535 is place 0 of 3, and 0 is place 0 again: QEMU counts so, and so do we.
#[test]
fn a_ring_of_three_entries_jumps_where_the_index_wraps() {
    let mut driver = Driver::new(3);
    driver.set_available_index(0xffff);
    driver.set_used_index(0xffff);
    let config = RingConfig { next_avail: 0xffff, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    let mut heads = [0; 3];
    driver.offer(1);
    assert_eq!(ring.pop_batch(&mut heads), Ok(1));
    driver.offer(2);
    assert_eq!(driver.read::<2>(AVAIL + 4), [2, 0], "the driver used place 0 twice");
    assert_eq!(ring.pop_batch(&mut heads[1..]), Ok(1));
    assert_eq!(heads[..2], [1, 2]);
}

#[test]
fn a_ring_of_32768_entries_may_be_full() {
    let mut driver = Driver::new(32768);
    let mut ring = driver.start();
    for index in [0, 32767] {
        driver.write_available(index, 32767 - index);
    }
    for index in 1..32767 {
        driver.write_available(index, index);
    }
    driver.set_available_index(32768);
    let mut heads = vec![0; 40000];
    assert_eq!(ring.pop_batch(&mut heads), Ok(32768));
    assert_eq!((heads[0], heads[32767]), (32767, 0));
    assert_eq!(ring.in_flight(), 32768);
    for &head in &heads[..32768] {
        ring.push_used(head, 0);
    }
    ring.publish();
    assert_eq!(driver.used_index(), 32768);
    assert_eq!(ring.in_flight(), 0);
}

#[test]
fn a_driver_that_breaks_the_ring_is_named_after_its_good_heads() {
    let cases = [
        (8, RingError::HeadOutOfRange { head: 8, entries: 8 }),
        (65535, RingError::HeadOutOfRange { head: 65535, entries: 8 }),
        (6, RingError::HeadInFlight { head: 6 }),
    ];
    for (bad, expected) in cases {
        let mut driver = Driver::new(8);
        let mut ring = driver.start();
        for head in [6, 2, bad, 3] {
            driver.offer(head);
        }
        let mut heads = [0; 8];
        assert_eq!(ring.pop_batch(&mut heads), Ok(2));
        assert_eq!(heads[..2], [6, 2]);
        assert_eq!(ring.pop_batch(&mut heads), Err(expected));
        assert_eq!(ring.pop_batch(&mut heads), Err(expected), "and it stays so");
        assert_eq!(ring.in_flight(), 2, "a refused head is not in flight");
        ring.push_used(2, 0);
        ring.publish();
        assert_eq!(driver.used(0), (2, 0), "what was taken can still be answered");
    }
}

#[test]
fn an_index_too_far_ahead_is_refused() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    driver.set_available_index(9);
    let expected = Err(RingError::AvailableIndex { waiting: 9, entries: 8 });
    assert_eq!(ring.pop_batch(&mut [0; 8]), expected);
    driver.set_available_index(0xffff); // One back.
    let expected = Err(RingError::AvailableIndex { waiting: 0xffff, entries: 8 });
    assert_eq!(ring.pop_batch(&mut [0; 8]), expected);
}

#[test]
fn a_head_may_come_again_once_it_was_published() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    driver.offer(4);
    assert_eq!(ring.pop_batch(&mut [0; 8]), Ok(1));
    ring.push_used(4, 0);
    driver.offer(4); // Too early: the driver has not seen it come back.
    assert_eq!(ring.pop_batch(&mut [0; 8]), Err(RingError::HeadInFlight { head: 4 }));
    ring.publish();
    assert_eq!(ring.pop_batch(&mut [0; 8]), Ok(1));
}

#[test]
#[should_panic(expected = "head 4 is not in flight, or was answered before")]
fn a_second_answer_is_our_own_bug() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    driver.offer(4);
    driver.offer(5);
    assert_eq!(ring.pop_batch(&mut [0; 8]), Ok(2));
    ring.push_used(4, 0);
    ring.push_used(4, 0);
}

#[test]
#[should_panic(expected = "head 3 is not in flight, or was answered before")]
fn an_answer_to_nothing_is_our_own_bug() {
    Driver::new(8).start().push_used(3, 0);
}

#[test]
fn rings_that_cannot_be_are_refused() {
    let driver = Driver::new(8);
    let good = driver.config();
    let at = |address| UserAddress(USER + address);
    let unmapped = |part, address, bytes| RingError::Unmapped { part, address, bytes };
    let misaligned = |part, address, alignment| RingError::Misaligned { part, address, alignment };
    let cases = [
        (RingConfig { entries: 0, ..good.clone() }, RingError::Entries { entries: 0 }),
        (RingConfig { entries: 32769, ..good.clone() }, RingError::Entries { entries: 32769 }),
        (
            RingConfig { desc: UserAddress(0), ..good.clone() },
            unmapped(RingPart::Descriptors, UserAddress(0), 128),
        ),
        (
            RingConfig { avail: at(END - 21), ..good.clone() },
            unmapped(RingPart::Available, at(0x2f_ffeb), 22),
        ),
        (RingConfig { used: at(END - 68), ..good.clone() }, unmapped(RingPart::Used, at(0x2f_ffbc), 70)),
        (
            RingConfig { desc: at(BORDER - 16), ..good.clone() },
            unmapped(RingPart::Descriptors, at(0x1f_fff0), 128),
        ),
        (RingConfig { desc: at(8), ..good.clone() }, misaligned(RingPart::Descriptors, at(8), 16)),
        (
            RingConfig { avail: at(AVAIL + 1), ..good.clone() },
            misaligned(RingPart::Available, at(0x8_0001), 2),
        ),
        (RingConfig { used: at(USED + 2), ..good.clone() }, misaligned(RingPart::Used, at(0xa_0002), 4)),
    ];
    for (config, expected) in cases {
        let refused = SplitRing::start(config, driver.memory(), None).map(|_| ());
        assert_eq!(refused, Err(expected));
    }
    // And the last byte of a region is as good as any.
    let config = RingConfig { avail: at(END - 22), ..good };
    assert!(SplitRing::start(config, driver.memory(), None).is_ok());
}

/// Rows of (event, old, new), and whether the index passes the event on its way.
#[test]
fn an_event_is_passed_when_the_index_moves_over_it() {
    let rows = [
        (0, 0, 0, false), // It does not move.
        (0, 0, 1, true),  // 0 is the element the driver waits for, and it is there.
        (1, 0, 1, false), // One short.
        (1, 0, 2, true),
        (4, 0, 5, true),
        (5, 0, 5, false),
        (0, 1, 5, false),        // Behind us already.
        (65535, 65535, 0, true), // Across the wrap.
        (65535, 65534, 65535, false),
        (65535, 65534, 0, true),
        (0, 65530, 5, true),
        (5, 65530, 5, false),
        (65529, 65530, 5, false),
        (32768, 0, 32768, false),
        (32767, 0, 32768, true),
        (0, 0, 32768, true),
    ];
    for (event, old, new, expected) in rows {
        assert_eq!(is_event_passed(event, old, new), expected, "event {event}, {old} to {new}");
    }
}

/// Takes and publishes one head, and tells whether the driver was to be notified.
fn publish_one(driver: &mut Driver, ring: &mut SplitRing) -> bool {
    driver.offer(0);
    assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
    ring.push_used(0, 0);
    ring.publish()
}

#[test]
fn without_event_idx_the_flag_says_whether_to_notify() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    driver.set_available_flags(1);
    assert!(publish_one(&mut driver, &mut ring), "the first time, nobody knows what was missed");
    assert!(!publish_one(&mut driver, &mut ring));
    driver.set_available_flags(0);
    assert!(publish_one(&mut driver, &mut ring));
    driver.set_available_flags(2); // Not a flag.
    assert!(publish_one(&mut driver, &mut ring));
}

#[test]
fn with_event_idx_the_event_says_whether_to_notify() {
    let mut driver = Driver::new(8);
    let config = RingConfig { event_idx: true, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    driver.set_available_flags(1); // Means nothing now.
    driver.set_used_event(2);
    assert!(publish_one(&mut driver, &mut ring), "the first time, nobody knows what was missed");
    assert!(!publish_one(&mut driver, &mut ring)); // 1 -> 2
    assert!(publish_one(&mut driver, &mut ring)); // 2 -> 3: passes 2
    assert!(!publish_one(&mut driver, &mut ring));
}

#[test]
fn a_change_of_event_idx_notifies_once_to_be_sure() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    driver.set_available_flags(1);
    publish_one(&mut driver, &mut ring);
    ring.set_event_idx(false);
    assert!(!publish_one(&mut driver, &mut ring), "no change, no notification");
    driver.set_used_event(100);
    ring.set_event_idx(true);
    assert!(publish_one(&mut driver, &mut ring));
    assert!(!publish_one(&mut driver, &mut ring));
}

#[test]
fn notify_on_empty_overrides_the_flag_when_nothing_is_offered() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    ring.set_notify_on_empty(true);
    driver.set_available_flags(1);
    publish_one(&mut driver, &mut ring);
    assert!(publish_one(&mut driver, &mut ring));
    driver.offer(1);
    driver.offer(2);
    assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
    ring.push_used(1, 0);
    assert!(!ring.publish(), "head 2 is still offered");
}

#[test]
fn arming_asks_for_kicks_and_reports_work() {
    let mut driver = Driver::new(8);
    let mut ring = driver.start();
    ring.disarm();
    assert_eq!(driver.used_flags(), 1);
    assert!(!ring.arm());
    assert_eq!(driver.used_flags(), 0);
    driver.offer(0);
    assert!(ring.arm());

    let mut driver = Driver::new(8);
    let config = RingConfig { event_idx: true, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    driver.offer(0);
    driver.offer(1);
    assert!(ring.arm());
    assert_eq!(driver.available_event(), 0);
    assert_eq!(ring.pop_batch(&mut [0; 8]), Ok(2));
    ring.disarm();
    assert_eq!(driver.available_event(), 0, "the event stays behind, so the driver does not kick");
    assert_eq!(driver.used_flags(), 0, "the flag is not used with EVENT_IDX");
    assert!(!ring.arm());
    assert_eq!(driver.available_event(), 2);
}

#[test]
fn a_ring_starts_where_the_used_ring_stands() {
    let mut driver = Driver::new(8);
    driver.set_used_index(7);
    driver.set_available_index(9);
    let config = RingConfig { next_avail: 9, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    assert_eq!(ring.origin(), Origin::Base);
    publish_one(&mut driver, &mut ring);
    assert_eq!(driver.used_index(), 8);
    assert_eq!(ring.next_avail(), 10);
}

#[test]
fn a_ring_goes_on_in_a_new_map_while_old_buffers_keep_theirs() {
    let mut driver = Driver::new(8);
    driver.link(0, &[(DATA, 4, WRITE)]);
    let mut ring = driver.start();
    driver.offer(0);
    assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
    let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
    let old = View::new(driver.map_again());
    ring.chain(0, &old, &mut readable, &mut writable).unwrap();
    drop(old);
    ring.remap(driver.map_again()).unwrap();
    assert_eq!(writable.copy_from(0, b"late"), 4);
    ring.push_used(0, 4);
    ring.publish();
    assert_eq!((driver.used_index(), driver.used(0)), (1, (0, 4)));
    assert_eq!(&driver.read::<4>(DATA), b"late");

    let nowhere = ring.remap(Arc::new(GuestMemory::empty()));
    assert!(matches!(nowhere, Err(RingError::Unmapped { part: RingPart::Descriptors, .. })));
    publish_one(&mut driver, &mut ring);
    assert_eq!(driver.used_index(), 2, "a map that lacks the ring changes nothing");
}

#[test]
fn a_ring_whose_memory_has_gone_takes_and_shows_nothing() {
    let mut driver = Driver::new(8);
    driver.link(0, &[(DATA, 4, WRITE)]);
    let mut ring = driver.start();
    driver.offer(0);
    assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
    let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
    ring.chain(0, &driver.view(), &mut readable, &mut writable).unwrap();
    driver.file().set_len(0x10_0000).unwrap(); // The rings stay, the data goes.
    assert_eq!(writable.copy_from(0, b"gone"), 4);
    ring.push_used(0, 4);
    assert!(!ring.publish());
    assert_eq!(driver.used_index(), 0, "an answer that is not in the guest's memory is not given");
    assert_eq!(ring.pop_batch(&mut [0; 1]), Err(RingError::MemoryBroken));
}

#[test]
fn a_ring_may_move_to_another_thread() {
    fn must_be_send<T: Send>() {}
    must_be_send::<SplitRing>();
    must_be_send::<RingConfig>();
}
