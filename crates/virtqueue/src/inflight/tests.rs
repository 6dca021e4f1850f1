// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that die at each point, and their successors.
//!
//! Above: nothing.
//! Below: `testing`, and the region's file as any other program sees it.
//! Never here: a real kill; the region cannot tell one from a ring that is dropped.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;
use crate::ring::{Origin, RingConfig, SplitRing};
use crate::testing::Driver;

const ENTRIES: u16 = 8;

/// A driver, the region's file, and whoever serves the ring at the moment.
struct Scene {
    driver: Driver,
    file: File,
}

impl Scene {
    fn new() -> Self {
        let (_, file) = InflightRegion::create(1, ENTRIES).unwrap();
        Self { driver: Driver::new(ENTRIES), file: File::from(file) }
    }

    /// Starts a process. QEMU sends the used index for a base, whatever had been taken.
    fn start(&self) -> SplitRing {
        let config = RingConfig { next_avail: self.driver.used_index(), ..self.driver.config() };
        SplitRing::start(config, self.driver.memory(), self.queue()).unwrap()
    }

    fn queue(&self) -> Option<InflightQueue> {
        let file = self.file.try_clone().unwrap().into();
        InflightRegion::adopt(file, 192, 0, 1, ENTRIES).unwrap().queue(0)
    }

    fn offer(&mut self, heads: &[u16]) {
        for &head in heads {
            self.driver.offer(head);
        }
    }

    fn read<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).unwrap();
    }
}

fn pop(ring: &mut SplitRing) -> Vec<u16> {
    let mut heads = [0; 16];
    let count = ring.pop_batch(&mut heads).unwrap();
    heads[..count].to_vec()
}

#[test]
fn the_layout_is_that_of_the_vhost_user_document() {
    let mut scene = Scene::new();
    assert_eq!(scene.read::<16>(0), [0; 16], "a new region is version 0");
    let mut ring = scene.start();
    assert_eq!(
        scene.read::<16>(0),
        [0, 0, 0, 0, 0, 0, 0, 0, /* version */ 1, 0, /* desc_num */ 8, 0, 0, 0, 0, 0]
    );
    scene.offer(&[5, 2, 7]);
    assert_eq!(pop(&mut ring), [5, 2, 7]);
    let entry = |head: u64| scene.read::<16>(16 + 16 * head);
    assert_eq!(entry(5), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(entry(2), [1, 0, 0, 0, 0, 0, 0, 0, /* counter */ 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(entry(7), [1, 0, 0, 0, 0, 0, 0, 0, /* counter */ 2, 0, 0, 0, 0, 0, 0, 0]);
    ring.push_used(7, 0);
    ring.push_used(5, 0);
    assert_eq!(entry(7)[6..8], [0, 0]);
    assert_eq!(entry(5)[6..8], [7, 0], "next is the head pushed before");
    assert_eq!(scene.read::<4>(12), [/* last_batch_head */ 5, 0, /* used_idx */ 0, 0]);
    ring.publish();
    assert_eq!([entry(5)[0], entry(2)[0], entry(7)[0]], [0, 1, 0]);
    assert_eq!(scene.read::<4>(12), [5, 0, /* used_idx */ 2, 0]);
}

#[test]
fn queues_follow_one_another_at_multiples_of_64_bytes() {
    // 16 + 16 * 8 = 144 bytes, 192 with padding; 16 + 16 * 3 = 64 needs none.
    assert_eq!(InflightRegion::create(3, 8).unwrap().0.bytes(), 576);
    assert_eq!(InflightRegion::create(3, 3).unwrap().0.bytes(), 192);
    assert_eq!(InflightRegion::create(1026, 32768).unwrap().0.bytes(), 537_985_152);
    let (region, file) = InflightRegion::create(3, 8).unwrap();
    region.queue(2).unwrap().take(1);
    let mut byte = [0];
    File::from(file).read_exact_at(&mut byte, 2 * 192 + 16 + 16).unwrap();
    assert_eq!(byte, [1]);
    assert!(region.queue(3).is_none());
}

#[test]
fn a_new_region_believes_the_base() {
    let scene = Scene::new();
    scene.driver.set_used_index(3);
    let ring = scene.start();
    assert_eq!((ring.origin(), ring.next_avail(), ring.in_flight()), (Origin::Base, 3, 0));
    assert_eq!(scene.read::<2>(14), [3, 0], "so that the next start sees no batch");
}

#[test]
fn death_after_place_1_resubmits_all_that_was_taken() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2, 7]);
    pop(&mut ring);
    scene.offer(&[1]);
    drop(ring);
    let mut ring = scene.start();
    assert_eq!(ring.origin(), Origin::Resumed { heads: 3 });
    assert_eq!((ring.in_flight(), ring.resubmissions(), ring.next_avail()), (3, 3, 3));
    assert!(ring.has_work());
    assert_eq!(pop(&mut ring), [5, 2, 7], "in the order of the first time, and nothing new among them");
    assert_eq!(ring.resubmissions(), 0);
    assert_eq!(pop(&mut ring), [1], "what had not been taken comes after");
    for head in [1, 7, 2, 5] {
        ring.push_used(head, u32::from(head));
    }
    ring.publish();
    assert_eq!(scene.driver.used_index(), 4);
    assert_eq!([0, 1, 2, 3].map(|index| scene.driver.used(index)), [(1, 1), (7, 7), (2, 2), (5, 5)]);
    drop(ring);
    assert_eq!(scene.start().origin(), Origin::Resumed { heads: 0 });
}

#[test]
fn resubmissions_come_in_batches_too() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2, 7]);
    pop(&mut ring);
    drop(ring);
    let mut ring = scene.start();
    let mut heads = [0; 2];
    assert_eq!(ring.pop_batch(&mut heads), Ok(2));
    assert_eq!(heads, [5, 2]);
    assert_eq!(ring.pop_batch(&mut heads), Ok(1));
    assert_eq!(heads[0], 7);
    assert_eq!(ring.pop_batch(&mut heads), Ok(0));
}

#[test]
fn death_after_place_2_resubmits_what_was_pushed_and_not_shown() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2, 7]);
    pop(&mut ring);
    ring.push_used(2, 0);
    ring.publish();
    ring.push_used(7, 0);
    drop(ring);
    assert_eq!(scene.driver.used_index(), 1);
    let mut ring = scene.start();
    assert_eq!(ring.next_avail(), 3);
    assert_eq!(pop(&mut ring), [5, 7]);
}

/// `publish` has moved the ring's index and dies; nothing of place 3 is written, or some, or all but the index.
#[test]
fn death_inside_place_3_resubmits_no_head_that_was_shown() {
    for cleared in [&[][..], &[7], &[2], &[2, 7]] {
        let mut scene = Scene::new();
        let mut ring = scene.start();
        scene.offer(&[5, 2, 7, 0]);
        pop(&mut ring);
        ring.push_used(0, 0);
        ring.publish();
        ring.push_used(2, 0);
        ring.push_used(7, 0);
        drop(ring);
        scene.driver.set_used_index(3);
        for head in cleared {
            scene.write(16 + 16 * head, &[0]);
        }
        let mut ring = scene.start();
        assert_eq!(ring.origin(), Origin::Resumed { heads: 1 }, "{cleared:?}");
        assert_eq!(ring.next_avail(), 4, "{cleared:?}");
        assert_eq!(pop(&mut ring), [5], "{cleared:?}");
        assert_eq!(scene.read::<2>(14), [3, 0], "{cleared:?}");
        // And a second death right away changes nothing.
        drop(ring);
        assert_eq!(pop(&mut scene.start()), [5], "{cleared:?}");
    }
}

#[test]
fn a_batch_as_long_as_the_ring_is_repaired() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[0, 1, 2, 3, 4, 5, 6, 7]);
    for head in pop(&mut ring) {
        ring.push_used(head, 0);
    }
    drop(ring);
    scene.driver.set_used_index(8);
    let ring = scene.start();
    assert_eq!((ring.origin(), ring.next_avail()), (Origin::Resumed { heads: 0 }, 8));
}

#[test]
fn the_counter_goes_on_above_the_highest() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2]);
    pop(&mut ring);
    drop(ring);
    let mut ring = scene.start();
    pop(&mut ring);
    scene.offer(&[0, 6]); // Lower indices, later in time.
    pop(&mut ring);
    assert_eq!(scene.read::<8>(16 + 8), [2, 0, 0, 0, 0, 0, 0, 0]);
    drop(ring);
    assert_eq!(pop(&mut scene.start()), [5, 2, 0, 6]);
}

#[test]
fn a_successor_goes_on_with_the_list() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2]);
    pop(&mut ring);
    ring.push_used(5, 0);
    ring.publish();
    drop(ring);
    let mut ring = scene.start();
    pop(&mut ring);
    ring.push_used(2, 0);
    assert_eq!(scene.read::<2>(16 + 16 * 2 + 6), [5, 0], "next of 2");
}

#[test]
fn indices_wrap_in_a_repair() {
    let mut scene = Scene::new();
    scene.driver.set_available_index(0xffff);
    scene.driver.set_used_index(0xffff);
    let mut ring = scene.start();
    scene.offer(&[3, 4, 5]);
    pop(&mut ring);
    ring.push_used(4, 0);
    ring.push_used(3, 0);
    drop(ring);
    scene.driver.set_used_index(1); // Two on from 0xffff.
    let mut ring = scene.start();
    assert_eq!(ring.next_avail(), 2);
    assert_eq!(pop(&mut ring), [5]);
}

#[test]
fn a_region_of_another_life_is_cleared_and_the_base_believed() {
    type Lie = fn(&mut Scene);
    let lies: &[(&str, Lie)] = &[
        ("the guest was reset: used index far away", |scene| scene.write(14, &[0x88, 0x13])),
        ("heads in flight that the driver never offered", |scene| {
            scene.driver.set_available_index(1);
        }),
        ("another number of entries", |scene| scene.write(10, &[9, 0])),
        ("a list that leads nowhere", |scene| {
            scene.driver.set_used_index(1);
            scene.write(12, &[8, 0]);
        }),
    ];
    for (name, lie) in lies {
        let mut scene = Scene::new();
        let mut ring = scene.start();
        scene.offer(&[5, 2]);
        pop(&mut ring);
        drop(ring);
        lie(&mut scene);
        let ring = scene.start();
        assert_eq!((ring.origin(), ring.in_flight()), (Origin::Stale, 0), "{name}");
        assert_eq!(ring.next_avail(), scene.driver.used_index(), "{name}");
        drop(ring);
        assert_eq!(scene.start().origin(), Origin::Resumed { heads: 0 }, "{name}: cleared for good");
    }
}

#[test]
fn a_list_that_loops_ends() {
    let mut scene = Scene::new();
    let mut ring = scene.start();
    scene.offer(&[5, 2]);
    pop(&mut ring);
    drop(ring);
    scene.write(12, &[5, 0]); // last_batch_head
    scene.write(16 + 16 * 5 + 6, &[5, 0]); // next of 5
    scene.driver.set_used_index(2);
    // Used moved by two, so nothing is in flight by the ring, while the region still says 2: it cannot be.
    assert_eq!(scene.start().origin(), Origin::Stale);
}

#[test]
fn an_unknown_version_is_refused() {
    let scene = Scene::new();
    scene.write(8, &[2, 0]);
    let refused = SplitRing::start(scene.driver.config(), scene.driver.memory(), scene.queue()).map(|_| ());
    assert_eq!(refused, Err(RingError::InflightVersion { version: 2 }));
}

#[test]
fn a_ring_smaller_than_the_region_is_tracked_and_a_larger_one_refused() {
    let (region, _file) = InflightRegion::create(1, 16).unwrap();
    let driver = Driver::new(ENTRIES);
    assert!(SplitRing::start(driver.config(), driver.memory(), region.queue(0)).is_ok());

    let (region, _file) = InflightRegion::create(1, 4).unwrap();
    let refused = SplitRing::start(driver.config(), driver.memory(), region.queue(0)).map(|_| ());
    assert_eq!(refused, Err(RingError::InflightTooSmall { tracked: 4, entries: 8 }));
}

#[test]
fn regions_that_cannot_be_are_refused() {
    let adopt = |bytes, offset, queues, entries| {
        let (_, file) = InflightRegion::create(2, 8).unwrap(); // 384 bytes
        InflightRegion::adopt(file, bytes, offset, queues, entries).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(adopt(384, 0, 0, 8), "an inflight region for 0 queues; 1 to 1026 are possible");
    assert_eq!(adopt(384, 0, 1027, 8), "an inflight region for 1027 queues; 1 to 1026 are possible");
    assert_eq!(adopt(384, 0, 2, 0), "an inflight region for rings of 0 entries; 1 to 32768 are possible");
    assert_eq!(
        adopt(384, 0, 2, 32769),
        "an inflight region for rings of 32769 entries; 1 to 32768 are possible"
    );
    assert_eq!(adopt(383, 0, 2, 8), "an inflight region of 383 bytes, 384 are needed");
    assert_eq!(adopt(384, 4, 2, 8), "an inflight region at offset 4 is not aligned to 8 bytes");
    assert_eq!(adopt(384, 8, 2, 8), "the inflight region cannot be mapped");
    assert_eq!(adopt(u64::MAX, u64::MAX - 7, 2, 8), "the inflight region cannot be mapped");
}

#[test]
fn the_file_cannot_be_cut_short() {
    let (_, file) = InflightRegion::create(1, 8).unwrap();
    let refused = File::from(file).set_len(64).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(1)); // EPERM
}
