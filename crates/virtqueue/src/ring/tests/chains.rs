// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chains, whole and malformed, through a ring.
//!
//! Above: nothing.
//! Below: `testing`.
//! Never here: the order of heads, and notifications.

use super::*;

#[test]
fn a_direct_chain_is_gathered_in_order() {
    let mut driver = Driver::new(8);
    driver.write(DATA, b"abc");
    driver.write(DATA + 0x1000, b"de");
    driver.link(
        3,
        &[(DATA, 3, 0), (DATA + 0x1000, 2, 0), (DATA + 0x2000, 512, WRITE), (DATA + 0x3000, 8, WRITE)],
    );
    assert_eq!(gather(&mut driver, 3), Ok((b"abcde".to_vec(), 520)));
}

#[test]
fn an_indirect_table_is_followed_and_its_write_flag_ignored() {
    let mut driver = Driver::new(8);
    driver.write(DATA + 0x100, b"xyz");
    driver.link_indirect(1, DATA, &[(DATA + 0x100, 3, 0), (DATA + 0x200, 96, WRITE)]);
    driver.desc(1, Desc { address: DATA, bytes: 32, flags: INDIRECT | WRITE, next: 7 });
    assert_eq!(gather(&mut driver, 1), Ok((b"xyz".to_vec(), 96)));
}

#[test]
fn direct_descriptors_may_lead_to_an_indirect_table() {
    let mut driver = Driver::new(8);
    driver.write(DATA + 0x100, b"12");
    driver.write(DATA + 0x200, b"34");
    driver.desc(0, Desc { address: DATA + 0x100, bytes: 2, flags: NEXT, next: 5 });
    driver.link_indirect(5, DATA, &[(DATA + 0x200, 2, 0), (DATA + 0x300, 7, WRITE)]);
    assert_eq!(gather(&mut driver, 0), Ok((b"1234".to_vec(), 7)));
}

/// Host mappings of the two data regions lie apart, so this fails if the table is read through one pointer.
#[test]
fn an_indirect_table_across_regions_is_read_whole() {
    let mut driver = Driver::new(8);
    driver.write(DATA, b"hello");
    let (first, second) = (BORDER - 16, BORDER);
    driver.desc_at(first, Desc { address: DATA, bytes: 5, flags: NEXT, next: 1 });
    driver.desc_at(second, Desc { address: DATA + 0x1000, bytes: 9, flags: WRITE, next: 0 });
    driver.desc(0, Desc { address: first, bytes: 32, flags: INDIRECT, next: 0 });
    assert_eq!(gather(&mut driver, 0), Ok((b"hello".to_vec(), 9)));
}

#[test]
fn an_indirect_table_at_an_odd_address_is_read() {
    let mut driver = Driver::new(8);
    driver.write(DATA, b"odd");
    driver.link_indirect(0, DATA + 0x101, &[(DATA, 3, 0), (DATA + 0x1000, 1, WRITE)]);
    assert_eq!(gather(&mut driver, 0), Ok((b"odd".to_vec(), 1)));
}

#[test]
fn a_buffer_across_regions_is_two_segments() {
    let mut driver = Driver::new(8);
    driver.link(0, &[(BORDER - 4, 8, WRITE)]);
    let mut ring = driver.start();
    driver.offer(0);
    assert_eq!(ring.pop_batch(&mut [0; 1]), Ok(1));
    let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
    ring.chain(0, &driver.view(), &mut readable, &mut writable).unwrap();
    assert_eq!(writable.iovecs().iter().map(|segment| segment.iov_len).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(writable.copy_from(0, b"leftover"), 8);
    assert_eq!(&driver.read::<4>(BORDER - 4), b"left");
    assert_eq!(&driver.read::<4>(BORDER), b"over");
}

#[test]
fn descriptors_without_bytes_add_none_wherever_they_point() {
    let mut driver = Driver::new(8);
    driver.write(DATA, b"z");
    driver.link(0, &[(0xdead_0000_0000, 0, 0), (DATA, 1, 0), (END, 0, WRITE), (DATA, 4, WRITE)]);
    assert_eq!(gather(&mut driver, 0), Ok((b"z".to_vec(), 4)));
}

/// A name, what the driver lays out at head 0, and what the ring says to it.
type Malformed = (&'static str, fn(&Driver), ChainError);

fn check_malformed(cases: &[Malformed]) {
    for (name, lay_out, expected) in cases {
        let mut driver = Driver::new(8);
        lay_out(&driver);
        assert_eq!(gather(&mut driver, 0), Err(*expected), "{name}");
    }
}

#[test]
fn malformed_chains_are_refused_by_name() {
    check_malformed(&[
        (
            "next beyond the ring",
            |d| d.desc(0, Desc { address: DATA, bytes: 1, flags: NEXT, next: 8 }),
            ChainError::IndexOutOfRange { index: 8, entries: 8 },
        ),
        (
            "a chain to itself",
            |d| d.desc(0, Desc { address: DATA, bytes: 1, flags: NEXT, next: 0 }),
            ChainError::Loop,
        ),
        (
            "a readable buffer after a writable one",
            |d| d.link(0, &[(DATA, 1, WRITE), (DATA, 1, 0)]),
            ChainError::ReadableAfterWritable,
        ),
        (
            "more than 4 GiB",
            |d| d.link(0, &[(DATA, 0x1000, WRITE), (0, u32::MAX, WRITE)]),
            ChainError::TooManyBytes,
        ),
        (
            "a buffer past the end of memory",
            |d| d.link(0, &[(END - 4, 5, 0)]),
            ChainError::Unmapped(memory::Unmapped { guest: memory::GuestAddress(0x2f_fffc), bytes: 5 }),
        ),
        (
            "a buffer that wraps around",
            |d| d.link(0, &[(u64::MAX - 1, 4, 0)]),
            ChainError::Unmapped(memory::Unmapped { guest: memory::GuestAddress(u64::MAX - 1), bytes: 4 }),
        ),
    ]);
}

#[test]
fn malformed_indirect_tables_are_refused_by_name() {
    check_malformed(&[
        (
            "an indirect descriptor with a successor",
            |d| {
                d.link_indirect(0, DATA, &[(DATA, 1, 0)]);
                d.desc(0, Desc { address: DATA, bytes: 16, flags: INDIRECT | NEXT, next: 1 });
            },
            ChainError::IndirectNotLast,
        ),
        (
            "an indirect table in an indirect table",
            |d| d.link_indirect(0, DATA, &[(DATA, 16, INDIRECT)]),
            ChainError::IndirectNested,
        ),
        (
            "an indirect table of no bytes",
            |d| d.desc(0, Desc { address: DATA, bytes: 0, flags: INDIRECT, next: 0 }),
            ChainError::IndirectLength { bytes: 0 },
        ),
        (
            "an indirect table of one and a half descriptors",
            |d| d.desc(0, Desc { address: DATA, bytes: 24, flags: INDIRECT, next: 0 }),
            ChainError::IndirectLength { bytes: 24 },
        ),
        (
            "an indirect table outside of memory",
            |d| d.desc(0, Desc { address: END - 16, bytes: 32, flags: INDIRECT, next: 0 }),
            ChainError::IndirectUnmapped { table: memory::GuestAddress(0x2f_fff0), bytes: 32 },
        ),
        (
            "next beyond the indirect table",
            |d| {
                d.desc_at(DATA, Desc { address: DATA, bytes: 1, flags: NEXT, next: 2 });
                d.desc(0, Desc { address: DATA, bytes: 32, flags: INDIRECT, next: 0 });
            },
            ChainError::IndexOutOfRange { index: 2, entries: 2 },
        ),
        (
            "an indirect table that loops",
            |d| {
                d.desc_at(DATA, Desc { address: DATA, bytes: 1, flags: NEXT, next: 0 });
                d.desc(0, Desc { address: DATA, bytes: 32, flags: INDIRECT, next: 0 });
            },
            ChainError::Loop,
        ),
    ]);
}

#[test]
fn an_indirect_descriptor_needs_the_feature() {
    let mut driver = Driver::new(8);
    driver.link_indirect(0, DATA, &[(DATA, 1, 0)]);
    let config = RingConfig { indirect: false, ..driver.config() };
    let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
    assert_eq!(gather_with(&mut driver, &mut ring, 0), Err(ChainError::IndirectNotNegotiated));
}

#[test]
fn a_chain_of_1026_segments_passes_and_1027_do_not() {
    for (count, expected) in [(1026, Ok((vec![7; 64], 0))), (1027, Err(ChainError::TooLong))] {
        let mut driver = Driver::new(8);
        driver.write(DATA + 0x1_0000, &[7; 8192]);
        // Apart from each other, so that nothing merges.
        let buffers: Vec<_> = (0..count).map(|n| (DATA + 0x1_0000 + 4 * n, 1, 0)).collect();
        driver.link_indirect(0, DATA, &buffers);
        assert_eq!(gather(&mut driver, 0), expected, "{count}");
    }
}

#[test]
fn descriptors_count_even_if_they_add_no_segment() {
    for (count, expected) in [(1026, Ok((vec![], 0))), (1027, Err(ChainError::TooLong))] {
        let mut driver = Driver::new(8);
        driver.link_indirect(0, DATA, &vec![(DATA, 0, 0); count]);
        assert_eq!(gather(&mut driver, 0), expected, "{count}");
    }
}

#[test]
fn pieces_of_memory_are_bounded_like_descriptors() {
    let mut driver = Driver::new(8);
    // 600 buffers of two pieces each: fewer descriptors than the limit, more pieces.
    let buffers = vec![(BORDER - 1, 2, WRITE); 600];
    driver.link_indirect(0, DATA, &buffers);
    assert_eq!(gather(&mut driver, 0), Err(ChainError::TooLong));
}
