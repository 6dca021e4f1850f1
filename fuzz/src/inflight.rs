// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A region for requests in flight that somebody else wrote, and a ring that takes up the work from it.
//!
//! Above: libFuzzer, `tests/corpus.rs`.
//! Below: `virtqueue`.
//! Never here: what a chain means.
//!
//! Promised: a region of any contents, size and place is refused, cleared or resumed; resumed, each head comes once, is
//! one of the ring's, and no more come than the driver has offered; heads that are taken afterwards are counted on from
//! there; and when all is answered a successor finds nothing left to do.

use crate::input::Input;
use crate::memory::{Guest, memory_file, user_address};
use ::memory::UserAddress;
use std::fs::File;
use std::os::unix::fs::FileExt;
use virtqueue::{InflightRegion, Origin, RingConfig, SplitRing};

/// Bytes of the file that holds the region.
const FILE_BYTES: u64 = 64 * 1024;
const ENTRIES: [u16; 8] = [1, 2, 3, 4, 8, 16, 64, 128];
/// Where the ring's parts are.
const PARTS: [u64; 3] = [0x0000, 0x1000, 0x2000];
const HEADER_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 16;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (entries, region_entries) = (input.pick(&ENTRIES), input.pick(&ENTRIES));
    let (queues, index) = (1 + u16::from(input.below(3)), u16::from(input.below(4)));
    let guest = Guest::new();
    let region = memory_file(FILE_BYTES);
    let place = Place { queues, entries: region_entries, index };
    write_region(&mut input, &region, &place);
    write_ring(&mut input, &guest, entries);
    if input.rarely(8) {
        return adopt_anything(&mut input, region);
    }
    let mut story = Story { guest: &guest, region: &region, place, entries };
    story.run(&mut input);
    guest.check();
}

/// Which part of a region is meant.
struct Place {
    queues: u16,
    entries: u16,
    index: u16,
}

impl Place {
    fn part_bytes(&self) -> u64 {
        (HEADER_BYTES + ENTRY_BYTES * u64::from(self.entries)).next_multiple_of(64)
    }

    fn start(&self) -> u64 {
        self.part_bytes() * u64::from(self.index)
    }

    fn entry(&self, head: u16) -> u64 {
        self.start() + HEADER_BYTES + ENTRY_BYTES * u64::from(head)
    }
}

/// Writes fields of the region: those of a good one, and then some of a bad one.
fn write_region(input: &mut Input<'_>, region: &File, place: &Place) {
    let start = place.start();
    let write = |at: u64, bytes: &[u8]| region.write_all_at(bytes, at.min(FILE_BYTES - 16)).expect("room");
    write(start + 8, &[if input.rarely(8) { input.u8() } else { 1 }, 0]);
    write(start + 10, &place.entries.to_le_bytes());
    for _ in 0..input.below(32) {
        let head = if input.rarely(8) { input.u16() } else { u16::from(input.u8()) % place.entries };
        let at = place.entry(head);
        match input.below(8) {
            0..4 => {
                let counter = if input.rarely(4) { input.u64() } else { input.below(16).into() };
                write(at + 8, &counter.to_le_bytes());
                write(at, &[1]);
            }
            4 => write(at + 6, &input.u16().to_le_bytes()),
            5 => write(start + 12, &head.to_le_bytes()),
            6 => write(start + 14, &u16::from(input.u8()).to_le_bytes()),
            _ => {
                let offset = u64::from(input.u16()) % place.part_bytes();
                write(start + offset, input.bytes(8));
            }
        }
    }
}

/// Writes a ring in any state.
fn write_ring(input: &mut Input<'_>, guest: &Guest, entries: u16) {
    let used = if input.rarely(4) { input.u16() } else { u16::from(input.below(16)) };
    let offered = if input.rarely(4) { input.u16() } else { u16::from(input.u8()) % (entries + 1) };
    guest.write(PARTS[2] + 2, &used.to_le_bytes());
    guest.write(PARTS[1] + 2, &used.wrapping_add(offered).to_le_bytes());
    for slot in 0..u64::from(entries.min(64)) {
        let head = if input.rarely(16) { input.u16() } else { u16::from(input.u8()) % entries };
        guest.write(PARTS[1] + 4 + 2 * slot, &head.to_le_bytes());
    }
}

/// Takes over a region with sizes and offsets that need not fit its file.
fn adopt_anything(input: &mut Input<'_>, file: File) {
    let bytes = if input.flag() { input.u64() } else { u64::from(input.u16()) * 8 };
    let offset = if input.flag() { input.u64() } else { u64::from(input.u16()) };
    let (queues, entries) = (input.u16(), input.u16());
    if let Ok(region) = InflightRegion::adopt(file.into(), bytes, offset, queues, entries) {
        assert!(region.bytes() <= bytes, "more of the file than was given");
        assert!(region.queue(queues).is_none());
        let last = region.queue(queues - 1).expect("a queue that was asked for");
        let _ = last.is_used();
    }
}

struct Story<'a> {
    guest: &'a Guest,
    region: &'a File,
    place: Place,
    entries: u16,
}

impl Story<'_> {
    fn run(&mut self, input: &mut Input<'_>) {
        let (used, available) = (self.guest.u16(PARTS[2] + 2), self.guest.u16(PARTS[1] + 2));
        let Some(mut ring) = self.start(input.u16()) else { return };
        let offered = available.wrapping_sub(used);
        let resumed = ring.resubmissions();
        match ring.origin() {
            Origin::Resumed { heads } => assert_eq!(usize::from(heads), resumed),
            Origin::Base | Origin::Stale => assert_eq!(resumed, 0),
        }
        assert!(resumed <= usize::from(offered), "{resumed} heads of {offered}");
        if input.rarely(8) {
            self.region.set_len(u64::from(input.below(17)) << 12).expect("a memory file");
        }
        let mut owed = self.take_all(&mut ring, resumed);
        if input.flag() {
            // The front end writes while we are at work; what we know is not read back.
            write_region(input, self.region, &self.place);
        }
        while let Some(head) = owed.pop() {
            ring.push_used(head, u32::from(input.u8()));
            if input.rarely(4) {
                ring.publish();
            }
        }
        ring.publish();
        let is_broken = self.region.metadata().expect("a memory file").len() < FILE_BYTES;
        if !is_broken {
            assert_eq!(ring.in_flight(), 0, "what was taken was given back");
        }
    }

    fn start(&self, base: u16) -> Option<SplitRing> {
        let user = |at: usize| UserAddress(user_address(PARTS[at]));
        let config = RingConfig {
            entries: self.entries,
            desc: user(0),
            avail: user(1),
            used: user(2),
            event_idx: false,
            indirect: true,
            version_1: true,
            next_avail: base,
        };
        let Place { queues, entries, index } = self.place;
        let bytes = self.place.part_bytes() * u64::from(queues);
        let file = self.region.try_clone().expect("a descriptor").into();
        let region = InflightRegion::adopt(file, bytes, 0, queues, entries).expect("a region that fits");
        SplitRing::start(config, self.guest.map(true)?, region.queue(index)).ok()
    }

    /// Takes all heads there are; each is one of the ring's, and comes once.
    fn take_all(&self, ring: &mut SplitRing, resumed: usize) -> Vec<u16> {
        let mut taken: Vec<u16> = Vec::new();
        let mut heads = [0; 7];
        let highest = self.highest_counter();
        while let Ok(count) = ring.pop_batch(&mut heads) {
            if count == 0 {
                break;
            }
            for &head in &heads[..count] {
                assert!(head < self.entries, "head {head} of {}", self.entries);
                assert!(!taken.contains(&head), "head {head} came twice");
                if taken.len() >= resumed {
                    self.check_counter(head, highest, taken.len() - resumed);
                }
                taken.push(head);
            }
        }
        assert!(taken.len() >= resumed || ring.resubmissions() > 0, "a head was lost");
        taken
    }

    /// The counter of the last head that a process before us took.
    fn highest_counter(&self) -> Option<u64> {
        let flagged = (0..self.place.entries).filter(|&head| self.field::<1>(self.place.entry(head))[0] != 0);
        flagged.map(|head| u64::from_le_bytes(self.field(self.place.entry(head) + 8))).max()
    }

    /// A head taken now is counted on from those before.
    fn check_counter(&self, head: u16, highest: Option<u64>, nth: usize) {
        if self.place.index >= self.place.queues || self.field::<2>(self.place.start() + 8) == [0; 2] {
            return; // There is no such part, or it has gone.
        }
        let counter = u64::from_le_bytes(self.field(self.place.entry(head) + 8));
        let first = highest.map_or(0, |highest| highest.wrapping_add(1));
        assert_eq!(counter, first.wrapping_add(nth as u64), "head {head} is out of order");
    }

    fn field<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        let _ = self.region.read_at(&mut bytes, at);
        bytes
    }
}
