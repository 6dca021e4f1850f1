// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tables, honest and not.

use std::os::unix::fs::FileExt;

use super::*;
use crate::mapping::tests::memfd;

/// A region of `bytes` bytes in a file that has exactly those.
fn region(guest: u64, user: u64, bytes: u64) -> RegionSpec {
    region_in(guest, user, bytes, bytes)
}

fn region_in(guest: u64, user: u64, bytes: u64, file_bytes: u64) -> RegionSpec {
    let file = memfd(file_bytes).into();
    RegionSpec { guest: GuestAddress(guest), user: UserAddress(user), bytes, file_offset: 0, file }
}

/// The whole story of an error, as a log line has it.
fn say(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", say(source)))
}

fn refuse(specs: Vec<RegionSpec>) -> String {
    say(&GuestMemory::from_regions(specs).unwrap_err())
}

#[test]
fn lies_are_refused_by_name() {
    assert_eq!(refuse(vec![region_in(0x1000, 0, 0, 1)]), "the region at guest address 0x1000 is empty");
    assert_eq!(
        refuse(vec![region_in(u64::MAX - 1, 0, 2, 2)]),
        "the region at guest address 0xfffffffffffffffe with 0x2 bytes leaves the guest's address space"
    );
    assert_eq!(
        refuse(vec![region_in(0, u64::MAX - 0xfff, 0x1000, 0x1000)]),
        "the region at user address 0xfffffffffffff000 with 0x1000 bytes leaves the front end's address space"
    );
    assert_eq!(
        refuse(vec![region(0x2000, 0, 0x1000), region(0x1000, 0x10000, 0x1001)]),
        "the regions at guest address 0x1000 and guest address 0x2000 overlap"
    );
    assert_eq!(
        refuse(vec![region(0, 0x5000, 0x1000), region(0x10000, 0x5fff, 0x1000)]),
        "the regions at user address 0x5000 and user address 0x5fff overlap"
    );
    assert_eq!(
        refuse(vec![region(0, 0, 0x1000), region_in(0x4000, 0x4000, 0x2000, 0x1fff)]),
        "the region at guest address 0x4000 cannot be mapped: the file has 0x1fff bytes, 0x2000 are needed"
    );
    let spec = RegionSpec { file_offset: u64::MAX, ..region(0, 0, 0x1000) };
    assert_eq!(
        refuse(vec![spec]),
        "the region at guest address 0x0 cannot be mapped: offset 0xffffffffffffffff plus 0x1000 bytes overflows"
    );
}

#[test]
fn a_region_inside_another_or_around_it_overlaps() {
    for (guest, bytes) in [(0x2000, 0x1000), (0x1000, 0x8000), (0x4fff, 1), (0x2000, 0x3000)] {
        let specs = vec![region(0x2000, 0, 0x3000), region(guest, 0x100_0000, bytes)];
        assert!(refuse(specs).ends_with("overlap"), "{guest:#x}+{bytes:#x}");
    }
}

#[test]
fn neighbours_do_not_overlap() {
    let memory =
        GuestMemory::from_regions(vec![region(0x1000, 0x1000, 0x1000), region(0, 0, 0x1000)]).unwrap();
    let guests: Vec<u64> = memory.regions().map(|region| region.guest.0).collect();
    assert_eq!(guests, [0, 0x1000]);
}

#[test]
fn at_most_512_regions_are_taken() {
    let many = |count: u64| (0..count).map(|n| region(n * 0x1000, n * 0x1000, 0x10)).collect::<Vec<_>>();
    assert_eq!(refuse(many(513)), "513 memory regions, 512 at most");
    let memory = GuestMemory::from_regions(many(512)).unwrap();
    let refused = memory.with_region(region(0x100_0000, 0x100_0000, 0x10)).unwrap_err();
    assert_eq!(say(&refused), "513 memory regions, 512 at most");
    assert!(memory.locate(GuestAddress(511 * 0x1000 + 0xf), 0).is_some());
    assert!(memory.locate(GuestAddress(511 * 0x1000 + 0x10), 0).is_none());
}

#[test]
fn addresses_are_found_to_the_byte() {
    let memory = GuestMemory::from_regions(vec![
        region(0x1000, 0x7000_1000, 0x1000),
        region(0x2000, 0x9000_0000, 0x800),
        region(0x8000, 0x7000_3000, 0x1000),
    ])
    .unwrap();
    let mut near = RegionHint::default();
    let mut found = |guest, bytes| memory.host_of_guest(GuestAddress(guest), bytes, &mut near).is_some();
    assert!(!found(0xfff, 1));
    assert!(found(0x1000, 0x1000));
    assert!(!found(0x1000, 0x1001), "neighbours for the guest are not neighbours here");
    assert!(found(0x27ff, 1));
    assert!(!found(0x2800, 1));
    assert!(found(0x8fff, 1));
    assert!(!found(0x8fff, 2));
    assert!(!found(0x9000, 0));
    assert!(!found(u64::MAX, 1));
    assert!(!found(0x8000, u64::MAX));

    let found = |user, bytes| memory.host_of_user(UserAddress(user), bytes).is_some();
    assert!(!found(0x7000_0fff, 1));
    assert!(found(0x7000_1000, 0x1000));
    assert!(!found(0x7000_1001, 0x1000));
    assert!(found(0x9000_07ff, 1));
    assert!(!found(0x9000_0800, 1));
    assert!(!found(0x7000_3000, u64::MAX));
    assert!(!found(0, 1));
}

#[test]
fn both_ways_lead_to_the_same_byte() {
    let spec = RegionSpec { file_offset: 0x123, ..region_in(0x1000, 0x7000_0000, 0x100, 0x1000) };
    let memory = GuestMemory::from_regions(vec![spec]).unwrap();
    let by_guest = memory.host_of_guest(GuestAddress(0x1080), 1, &mut RegionHint::default()).unwrap();
    let by_user = memory.host_of_user(UserAddress(0x7000_0080), 1).unwrap();
    assert_eq!(by_guest, by_user);
    assert_eq!(by_guest.ptr.as_ptr().addr() % 0x1000, 0x1a3);
}

#[test]
fn a_region_more_and_less_share_the_rest() {
    let one = GuestMemory::from_regions(vec![region(0, 0, 0x1000)]).unwrap();
    let two = one.with_region(region(0x10_0000, 0x10_0000, 0x1000)).unwrap();
    let host = |memory: &GuestMemory| memory.host_of_user(UserAddress(0), 1);
    assert_eq!(host(&one), host(&two), "mapped once");
    assert_eq!((one.regions().count(), two.regions().count()), (1, 2));

    let (guest, user) = (GuestAddress(0x10_0000), UserAddress(0x10_0000));
    assert!(two.without_region(guest, user, 0xfff).is_none());
    assert!(two.without_region(guest, UserAddress(0), 0x1000).is_none());
    assert!(two.without_region(GuestAddress(0), user, 0x1000).is_none());
    let less = two.without_region(guest, user, 0x1000).unwrap();
    assert_eq!(less.regions().collect::<Vec<_>>(), one.regions().collect::<Vec<_>>());
    assert!(two.with_region(region(0x10_0000, 0x20_0000, 1)).is_err(), "still taken");
    assert!(less.with_region(region(0x10_0000, 0x20_0000, 1)).is_ok());
}

#[test]
fn no_region_no_address() {
    let memory = GuestMemory::empty();
    assert_eq!(memory.regions().count(), 0);
    assert!(memory.host_of_user(UserAddress(0), 0).is_none());
    assert!(memory.locate(GuestAddress(0), 0).is_none());
    assert!(!memory.is_broken());
}

#[test]
fn maps_may_be_shared_by_threads() {
    fn must_be_shareable<T: Send + Sync>() {}
    must_be_shareable::<GuestMemory>();
    must_be_shareable::<Mapping>();
}

/// The front end may close its end, and we ours: the mapping stays.
#[test]
fn the_file_need_not_stay_open() {
    let file = memfd(0x1000);
    file.write_all_at(b"x", 7).unwrap();
    let spec = RegionSpec { file: file.into(), ..region(0, 0, 0x1000) };
    let memory = GuestMemory::from_regions(vec![spec]).unwrap();
    let range = memory.host_of_user(UserAddress(7), 1).unwrap();
    let mut byte = [0];
    // SAFETY: the range is one byte of a mapping that `memory` keeps.
    unsafe { crate::copy::read(range.ptr.as_ptr(), &mut byte) };
    assert_eq!(&byte, b"x");
}
