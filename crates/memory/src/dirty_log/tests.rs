// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bits, by their bytes in the file.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::*;
use crate::address::UserAddress;
use crate::guest_memory::RegionSpec;
use crate::mapping::tests::memfd;
use crate::view::View;

/// A log of `bytes` bytes at `offset` of a page, with nothing but zeroes around it.
fn log(offset: u64, bytes: u64) -> (DirtyLog, File) {
    let file = memfd(4096);
    (DirtyLog::map(file.as_fd(), offset, bytes).unwrap(), file)
}

fn bytes_of<const N: usize>(file: &File, offset: u64) -> [u8; N] {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

#[test]
fn a_page_is_a_bit() {
    let (log, file) = log(0, 16);
    for guest in [0, 0x3fff, 0x7000, 0x8001, 0x7_f000] {
        log.mark(GuestAddress(guest), 1);
    }
    assert_eq!(bytes_of(&file, 0), [0x89, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
}

#[test]
fn a_range_marks_every_page_that_it_touches() {
    let (log, file) = log(0, 24);
    log.mark(GuestAddress(0x2fff), 2);
    assert_eq!(bytes_of(&file, 0), [0x0c, 0, 0, 0]);
    // Pages 60 to 131, across two borders of words.
    log.mark(GuestAddress(0x3_c800), 0x4_7800);
    let expected =
        [0x0c, 0, 0, 0, 0, 0, 0, 0xf0, 255, 255, 255, 255, 255, 255, 255, 255, 0x0f, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes_of(&file, 0), expected);
}

#[test]
fn no_bytes_mark_nothing() {
    let (log, file) = log(0, 8);
    log.mark(GuestAddress(0x1000), 0);
    assert_eq!(bytes_of(&file, 0), [0; 8]);
}

#[test]
fn every_start_length_and_alignment_marks_its_pages_and_no_other() {
    for offset in [64, 65, 71] {
        for log_bytes in [1, 7, 8, 9, 17, 24, 30] {
            for first in 0..150 {
                for pages in [1, 2, 7, 8, 9, 63, 64, 65, 130] {
                    let (log, file) = log(offset, log_bytes);
                    log.mark(GuestAddress(first * 4096), pages * 4096);
                    let mut expected = [0_u8; 128];
                    for page in (first..first + pages).filter(|page| page / 8 < log_bytes) {
                        expected[usize::try_from(offset + page / 8).unwrap()] |= 1 << (page % 8);
                    }
                    assert_eq!(bytes_of(&file, 0), expected, "{offset} {log_bytes} {first}+{pages}");
                }
            }
        }
    }
}

#[test]
fn what_lies_beyond_the_log_is_left_out() {
    let (log, file) = log(8, 8);
    for (guest, bytes) in [(0x4_0000, 1), (u64::MAX, 1), (u64::MAX, u64::MAX), (1 << 63, 4096)] {
        log.mark(GuestAddress(guest), bytes);
    }
    assert_eq!(bytes_of(&file, 0), [0; 32]);
    log.mark(GuestAddress(0x3_f000), u64::MAX);
    assert_eq!(bytes_of(&file, 8), [0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0]);
}

#[test]
fn a_byte_covers_eight_pages() {
    assert_eq!(log(0, 1).0.covered_end(), 0x8000);
    assert_eq!(log(5, 24).0.covered_end(), 0xc_0000);
}

#[test]
fn a_log_that_is_not_there_or_beyond_all_addresses_is_refused() {
    let file = memfd(4096);
    let refusal = |offset, bytes| DirtyLog::map(file.as_fd(), offset, bytes).unwrap_err().to_string();
    let short = "the dirty log cannot be mapped: the file has 0x1000 bytes, 0x1001 are needed";
    assert_eq!(refusal(1, 4096), short);
    assert_eq!(refusal(0, 0), "the dirty log cannot be mapped: the length is zero");
    let long = "a dirty log of 0x2000000001 bytes is longer than 0x2000000000";
    assert_eq!(refusal(0, 0x20_0000_0001), long);
}

#[test]
fn threads_that_share_a_word_lose_no_bit() {
    let (log, file) = log(0, 8);
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for page in (thread..64).step_by(4) {
                        log.mark(GuestAddress(page * 4096), 1);
                    }
                });
            }
        });
        assert_eq!(bytes_of(&file, 0), [255; 8]);
        file.write_all_at(&[0; 8], 0).unwrap();
    }
}

/// Two regions that are not in the order of their addresses in the file: pages 1 to 4 and 16 to 17.
fn view() -> View {
    let file = memfd(0x6000);
    let specs =
        [(0x1000, 0x4000, 0x2000), (0x1_0000, 0x2000, 0)].map(|(guest, bytes, file_offset)| RegionSpec {
            guest: GuestAddress(guest),
            user: UserAddress(guest),
            bytes,
            file_offset,
            file: file.try_clone().unwrap().into(),
        });
    View::new(Arc::new(GuestMemory::from_regions(specs.into()).unwrap()))
}

fn list(view: &View, ranges: &[(u64, u32)]) -> IoBuf {
    let mut list = IoBuf::new();
    for &(guest, bytes) in ranges {
        list.push(view, GuestAddress(guest), bytes).unwrap();
    }
    list
}

fn marks_of(list: &IoBuf) -> [u8; 3] {
    let (log, file) = log(0, 3);
    log.mark_list(list);
    bytes_of(&file, 0)
}

#[test]
fn a_list_is_marked_by_the_addresses_that_the_guest_gave() {
    let view = view();
    assert_eq!(marks_of(&IoBuf::new()), [0, 0, 0]);
    assert_eq!(marks_of(&list(&view, &[(0x1_1000, 1), (0x2000, 0x1001)])), [0x0c, 0, 0x02]);
    assert_eq!(marks_of(&list(&view, &[(0x1000, 0x4000), (0x1_0000, 0x2000)])), [0x1e, 0, 0x03]);
}

#[test]
fn an_io_that_has_eaten_its_list_is_marked_whole() {
    let view = view();
    for step in [1, 7, 0x800, 0x1000, 0x1001, 0x2801, 0x5000] {
        let mut list = list(&view, &[(0x1800, 0x1000), (0x4000, 0x800), (0x1_0000, 0x1800)]);
        while !list.is_empty() {
            assert_eq!(marks_of(&list), [0x16, 0, 0x03], "step {step:#x}, {:#x} left", list.bytes());
            list.advance(step);
        }
        assert_eq!(marks_of(&list), [0x16, 0, 0x03], "step {step:#x}, nothing left");
        list.clear();
        assert_eq!(marks_of(&list), [0, 0, 0]);
    }
}

#[test]
fn what_was_given_away_or_cut_off_is_not_marked() {
    let view = view();
    let mut rest = list(&view, &[(0x1000, 0x2800), (0x1_0000, 0x1000)]);
    let mut front = IoBuf::new();
    rest.take_front(0x1000, &mut front);
    assert_eq!((marks_of(&front), marks_of(&rest)), ([0x02, 0, 0], [0x0c, 0, 0x01]));
    rest.advance(0x1800);
    assert_eq!(marks_of(&rest), [0x0c, 0, 0x01]);
    let mut second = IoBuf::new();
    rest.take_front(0x1000, &mut second);
    assert_eq!((marks_of(&second), marks_of(&rest)), ([0, 0, 0x01], [0, 0, 0]));

    let mut cut = list(&view, &[(0x1000, 0x1000), (0x3000, 0x1000), (0x1_0000, 16)]);
    cut.advance(1);
    cut.truncate(0x1000);
    assert_eq!(marks_of(&cut), [0x0a, 0, 0]);
    cut.truncate(0xfff);
    assert_eq!(marks_of(&cut), [0x02, 0, 0]);
}

#[test]
fn a_list_that_was_eaten_takes_up_another_map_and_forgets_the_old_one() {
    let mut list = list(&view(), &[(0x1000, 1)]);
    list.advance(1);
    list.push(&view(), GuestAddress(0x3000), 1).unwrap();
    assert_eq!(marks_of(&list), [0x08, 0, 0]);
}

#[test]
fn all_of_a_guest_is_its_regions() {
    let (log, file) = log(0, 3);
    log.mark_all(view().memory());
    assert_eq!(bytes_of(&file, 0), [0x1e, 0, 0x03]);
    assert_eq!(view().memory().end(), 0x1_2000);
    assert_eq!(GuestMemory::empty().end(), 0);
}
