// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lists over a guest whose bytes tell their address.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::address::UserAddress;
use crate::guest_memory::{GuestMemory, RegionSpec};
use crate::mapping::tests::memfd;

/// Three regions: two that meet at 0x2000, in the wrong order in the file, and one apart at 0x8000; 0x1000 bytes each
/// but for the last, which has 0x800.
fn view() -> View {
    let file = memfd(0x3000);
    let mut specs = Vec::new();
    for (guest, bytes, file_offset) in
        [(0x1000, 0x1000, 0x1000), (0x2000, 0x1000, 0), (0x8000, 0x800, 0x2000)]
    {
        let pattern: Vec<u8> = (guest..guest + bytes).map(byte_at).collect();
        file.write_all_at(&pattern, file_offset).unwrap();
        specs.push(RegionSpec {
            guest: GuestAddress(guest),
            user: UserAddress(guest),
            bytes,
            file_offset,
            file: file.try_clone().unwrap().into(),
        });
    }
    View::new(Arc::new(GuestMemory::from_regions(specs).unwrap()))
}

/// What a guest byte holds at first.
fn byte_at(address: u64) -> u8 {
    (address ^ (address >> 8)).to_le_bytes()[0]
}

fn list(view: &View, ranges: &[(u64, u32)]) -> IoBuf {
    let mut list = IoBuf::new();
    for &(guest, bytes) in ranges {
        list.push(view, GuestAddress(guest), bytes).unwrap();
    }
    list
}

fn contents(list: &IoBuf) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(list.bytes()).unwrap() + 5];
    let count = list.copy_to(0, &mut bytes);
    bytes.truncate(count);
    bytes
}

fn lengths(list: &IoBuf) -> Vec<usize> {
    list.iovecs().iter().map(|segment| segment.iov_len).collect()
}

#[test]
fn neighbours_merge_inside_a_region_only() {
    let view = view();
    assert_eq!(lengths(&list(&view, &[(0x1000, 16), (0x1010, 16), (0x1020, 1)])), [33]);
    assert_eq!(lengths(&list(&view, &[(0x1010, 16), (0x1000, 16)])), [16, 16]);
    assert_eq!(lengths(&list(&view, &[(0x1ff0, 16), (0x2000, 16)])), [16, 16]);
    assert_eq!(lengths(&list(&view, &[(0x1fff, 2), (0x2001, 2)])), [1, 3]);
}

/// The kernel puts a new mapping right below the last one as a rule: then the end of one region is the start of
/// another, in this process and nowhere else.
#[test]
fn regions_that_are_neighbours_only_here_do_not_merge() {
    let are_neighbours = |view: &View| {
        let host = |user| view.memory().host_of_user(UserAddress(user), 1).unwrap().ptr.as_ptr().addr();
        host(0x2000) + 0x1000 == host(0x1000)
    };
    // Other tests map at the same time, so not every view will do.
    let views: Vec<View> = (0..64).map(|_| view()).collect();
    let Some(view) = views.into_iter().find(are_neighbours) else { return };
    assert_eq!(lengths(&list(&view, &[(0x2ff0, 16), (0x1000, 16)])), [16, 16]);
    let mut list = list(&view, &[(0x2ff0, 16), (0x1100, 4)]);
    list.truncate(16);
    list.push(&view, GuestAddress(0x1000), 1).unwrap();
    assert_eq!(lengths(&list), [16, 1]);
}

#[test]
fn a_range_is_split_where_regions_meet() {
    let view = view();
    let list = list(&view, &[(0x1ffd, 6)]);
    assert_eq!(lengths(&list), [3, 3]);
    let expected: Vec<u8> = (0x1ffd..0x2003).map(byte_at).collect();
    assert_eq!(contents(&list), expected);
}

#[test]
fn what_is_not_memory_is_refused_and_changes_nothing() {
    let view = view();
    let mut list = IoBuf::new();
    let refuse = |list: &mut IoBuf, guest, bytes| {
        let before = (contents(list), lengths(list));
        let expected = Err(Unmapped { guest: GuestAddress(guest), bytes });
        assert_eq!(list.push(&view, GuestAddress(guest), bytes), expected);
        assert_eq!((contents(list), lengths(list)), before);
    };
    refuse(&mut list, 0xfff, 2);
    refuse(&mut list, 0x2fff, 2);
    refuse(&mut list, 0x1000, 0x2001); // Two regions, and a byte of nothing.
    refuse(&mut list, 0x87ff, 2);
    refuse(&mut list, u64::MAX, 2);
    refuse(&mut list, 0x1000, u32::MAX);
    assert!(list.view.is_none(), "an empty list holds no map");
    list.push(&view, GuestAddress(0x1800), 8).unwrap();
    refuse(&mut list, 0x1808, 0x1800); // Would have extended the range before it.
    list.push(&view, GuestAddress(0x1808), 8).unwrap();
    assert_eq!(list.bytes(), 16);
}

#[test]
fn zero_bytes_may_lie_anywhere() {
    let view = view();
    let mut list = IoBuf::new();
    assert_eq!(list.push(&view, GuestAddress(u64::MAX), 0), Ok(()));
    assert!(list.is_empty());
    assert!(list.view.is_none());
}

#[test]
fn copies_stop_at_the_end_of_the_list() {
    let view = view();
    let list = list(&view, &[(0x1000, 4), (0x8000, 4)]);
    let mut out = [0xee; 6];
    assert_eq!(list.copy_to(5, &mut out), 3);
    assert_eq!(out, [byte_at(0x8001), byte_at(0x8002), byte_at(0x8003), 0xee, 0xee, 0xee]);
    assert_eq!(list.copy_to(8, &mut out), 0);
    assert_eq!(list.copy_to(u64::MAX, &mut out), 0);
    assert_eq!(list.copy_from(2, b"123456789"), 6);
    assert_eq!(&contents(&list)[2..], b"123456");
    assert_eq!(list.fill(6, b'-', u64::MAX), 2);
    assert_eq!(&contents(&list)[2..], b"1234--");
    assert_eq!(list.fill(9, b'-', 1), 0);
}

#[test]
fn a_cleared_list_lets_go_of_the_map_and_keeps_its_room() {
    let memory = Arc::new(view().memory().clone());
    let view = View::new(Arc::clone(&memory));
    let mut list = list(&view, &[(0x1000, 1), (0x8000, 1)]);
    let room = list.segments.capacity();
    drop(view);
    assert_eq!(Arc::strong_count(&memory), 2, "the list holds the map");
    list.clear();
    assert_eq!(Arc::strong_count(&memory), 1);
    assert_eq!((list.bytes(), list.segments(), list.segments.capacity()), (0, 0, room));
}

#[test]
fn a_list_may_go_on_in_another_view_once_it_is_empty() {
    let (one, other) = (view(), view());
    let mut list = list(&one, &[(0x1000, 4)]);
    list.advance(4);
    assert_eq!(list.push(&other, GuestAddress(0x8000), 2), Ok(()));
    assert_eq!(contents(&list), [byte_at(0x8000), byte_at(0x8001)]);
}

#[test]
#[should_panic(expected = "one request has one map")]
fn two_views_in_one_list_are_our_own_bug() {
    let mut list = list(&view(), &[(0x1000, 4)]);
    let _ = list.push(&view(), GuestAddress(0x1004), 4);
}

#[test]
fn alignment_is_that_of_every_segment() {
    let view = view();
    assert!(list(&view, &[(0x1200, 512), (0x8000, 1024)]).is_aligned(511));
    assert!(!list(&view, &[(0x1200, 512), (0x8004, 512)]).is_aligned(511));
    assert!(!list(&view, &[(0x1200, 512), (0x8000, 516)]).is_aligned(511));
    assert!(!list(&view, &[(0x1e00, 1024)]).is_aligned(1023));
    assert!(IoBuf::new().is_aligned(4095));
}

#[test]
fn a_list_cut_at_a_border_does_not_merge_across_it() {
    let view = view();
    let mut list = list(&view, &[(0x1ff0, 0x20)]);
    list.truncate(0x10);
    list.push(&view, GuestAddress(0x2000), 1).unwrap();
    assert_eq!(lengths(&list), [0x10, 1]);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64, u32),
    Advance(u64),
    Truncate(u64),
    TakeFront(u64),
    Write(u64, Vec<u8>),
    Fill(u64, u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let guest = prop_oneof![0x1000..0x3000_u64, 0x1ff8..0x2008_u64, 0x8000..0x8800_u64];
    prop_oneof![
        4 => (guest, 0..0x40_u32).prop_map(|(guest, bytes)| Step::Push(guest, bytes)),
        1 => (0..0x60_u64).prop_map(Step::Advance),
        1 => (0..0x100_u64).prop_map(Step::Truncate),
        1 => (0..0x60_u64).prop_map(Step::TakeFront),
        1 => (0..0x100_u64, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(at, data)| Step::Write(at, data)),
        1 => (0..0x100_u64, any::<u8>(), 0..40_u64).prop_map(|(at, byte, bytes)| Step::Fill(at, byte, bytes)),
    ]
}

/// A list of addresses, and memory as a function: too plain to be wrong.
struct Model {
    addresses: Vec<u64>,
    memory: std::collections::BTreeMap<u64, u8>,
}

impl Model {
    fn contents(&self, addresses: &[u64]) -> Vec<u8> {
        addresses.iter().map(|at| self.memory.get(at).copied().unwrap_or_else(|| byte_at(*at))).collect()
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> usize {
        let offset = usize::try_from(offset).unwrap().min(self.addresses.len());
        let places = &self.addresses[offset..];
        self.memory.extend(places.iter().copied().zip(data.iter().copied()));
        places.len().min(data.len())
    }

    fn split(&mut self, bytes: u64) -> Vec<u64> {
        let rest = self.addresses.split_off(usize::try_from(bytes).unwrap().min(self.addresses.len()));
        std::mem::replace(&mut self.addresses, rest)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_behave_like_strings_of_bytes(steps in proptest::collection::vec(step(), 1..60)) {
        let view = view();
        let (mut list, mut front) = (IoBuf::new(), IoBuf::new());
        let mut model = Model { addresses: Vec::new(), memory: std::collections::BTreeMap::new() };
        // What an I/O has moved past: it is remembered.
        let mut eaten = Vec::new();
        for step in steps {
            match step {
                Step::Push(guest, bytes) => {
                    if bytes > 0 && model.addresses.is_empty() {
                        eaten.clear();
                    }
                    let end = guest + u64::from(bytes);
                    let is_memory = bytes == 0 || end <= 0x3000 || (guest >= 0x8000 && end <= 0x8800);
                    prop_assert_eq!(list.push(&view, GuestAddress(guest), bytes).is_ok(), is_memory);
                    if is_memory {
                        model.addresses.extend(guest..end);
                    }
                }
                Step::Advance(bytes) => {
                    list.advance(bytes);
                    eaten.extend(model.split(bytes));
                }
                Step::Truncate(bytes) => {
                    list.truncate(bytes);
                    if bytes == 0 && !model.addresses.is_empty() {
                        eaten.clear();
                    }
                    let kept = model.split(bytes);
                    model.addresses = kept;
                }
                Step::TakeFront(bytes) => {
                    list.take_front(bytes, &mut front);
                    let taken = model.split(bytes);
                    if !taken.is_empty() {
                        eaten.clear();
                    }
                    prop_assert_eq!(contents(&front), model.contents(&taken));
                    prop_assert_eq!(front.bytes(), taken.len() as u64);
                }
                Step::Write(offset, data) => {
                    let expected = model.write(offset, &data);
                    prop_assert_eq!(list.copy_from(offset, &data), expected);
                }
                Step::Fill(offset, byte, bytes) => {
                    let data = vec![byte; usize::try_from(bytes).unwrap()];
                    let expected = model.write(offset, &data) as u64;
                    prop_assert_eq!(list.fill(offset, byte, bytes), expected);
                }
            }
            prop_assert_eq!(contents(&list), model.contents(&model.addresses));
            prop_assert_eq!(list.bytes(), model.addresses.len() as u64);
            prop_assert_eq!(lengths(&list).iter().sum::<usize>(), model.addresses.len());
            prop_assert!(lengths(&list).iter().all(|length| *length > 0));
            prop_assert!(list.is_empty() || list.view.is_some());
            let mut whole = Vec::new();
            list.for_each_guest_range(|guest, bytes| whole.extend(guest.0..guest.0 + bytes));
            prop_assert_eq!(whole, [&eaten[..], &model.addresses[..]].concat());
        }
    }
}
