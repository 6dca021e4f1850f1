// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Malformed chains arrive in memory as malformed as they are meant to be.  No device looks at them here.

use crate::{UNIT, boot, well};
use initiator::hostile::Malformed;
use initiator::memory::GuestAddress;
use initiator::{Guest, Layout, Options, commands};

/// The descriptor that the first slot of the available ring leads to: address, length, flags, next.
fn offered(guest: &mut Guest) -> (u16, u64, u32, u16, u16) {
    let at = guest.ring_mut(2).unwrap().addresses();
    let mut head = [0; 2];
    guest.memory().read(at.available.plus(4), &mut head).expect("memory");
    let head = u16::from_le_bytes(head);
    let mut bytes = [0; 16];
    guest.memory().read(at.descriptors.plus(16 * u64::from(head)), &mut bytes).expect("memory");
    let (address, rest) = bytes.split_first_chunk().unwrap();
    let (length, rest) = rest.split_first_chunk().unwrap();
    let (flags, next) = rest.split_first_chunk().unwrap();
    (
        head,
        u64::from_le_bytes(*address),
        u32::from_le_bytes(*length),
        u16::from_le_bytes(*flags),
        u16::from_le_bytes(next.try_into().unwrap()),
    )
}

#[test]
fn each_is_offered_and_forgotten_by_a_reset() {
    let device = well();
    let mut guest = Guest::connect(device.path(), Options::default()).expect("connect");
    for &malformed in Malformed::ALL {
        let held = malformed.send(&mut guest, 2, UNIT).expect("room");
        let ring = guest.ring_mut(2).unwrap();
        assert_ne!(ring.available_index(), 0, "{malformed:?}");
        assert_eq!(ring.kicks.take().expect("an eventfd"), 1, "{malformed:?}");
        drop(held);
        guest.forget_all();
        assert_eq!(guest.ring_mut(2).unwrap().free_descriptors(), 128, "{malformed:?}");
    }
    guest.start().expect("start");
    assert!(guest.execute(&commands::test_unit_ready(UNIT)).expect("an answer").is_good());
}

#[test]
fn they_are_what_their_names_say() {
    let device = well();
    let mut guest = Guest::connect(device.path(), Options::default()).expect("connect");
    let mut sent = |malformed: Malformed| {
        guest.forget_all();
        let held = malformed.send(&mut guest, 2, UNIT).expect("room");
        (offered(&mut guest), guest.memory().clone(), held)
    };
    let ((head, _, _, flags, next), ..) = sent(Malformed::SelfLoop);
    assert_eq!((flags & 1, next), (1, head));
    let ((.., next), ..) = sent(Malformed::NextOutOfRange);
    assert_eq!(next, 128);
    let ((_, address, ..), memory, _) = sent(Malformed::UnmappedReadable);
    assert!(memory.read(GuestAddress(address), &mut [0]).is_err());
    let ((_, _, length, flags, _), ..) = sent(Malformed::IndirectOddLength);
    assert_eq!((length, flags), (31, 4));
    let ((_, table, _, flags, _), memory, _held) = sent(Malformed::NestedIndirect);
    let mut nested = [0; 16];
    memory.read(GuestAddress(table), &mut nested).expect("memory");
    assert_eq!((flags, nested[12]), (4, 4));
}

#[test]
fn empty_descriptors_do_no_harm() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    let layout = Layout { readable_cuts: vec![0, 51, 51], writable_cuts: vec![0], ..Layout::default() };
    let answer = guest.execute(&commands::test_unit_ready(UNIT).layout(layout)).expect("an answer");
    assert!(answer.is_good());
}
