// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes a ring writes, and what it makes of the bytes a device writes.

use super::*;
use crate::memory::Plan;

struct Bench {
    memory: Arc<Memory>,
    ring: Ring,
}

fn bench(entries: u16) -> Bench {
    let memory = Memory::create(&Plan::flat(0x10_0000)).expect("memory");
    let ring = Ring::create(&memory, 2, entries).expect("ring");
    Bench { memory, ring }
}

impl Bench {
    fn bytes<const N: usize>(&self, address: GuestAddress, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read(address.plus(offset), &mut bytes).expect("read");
        bytes
    }

    /// Plays the device: returns a head and publishes the used index.
    fn answer(&mut self, slot: u64, head: u32, bytes: u32, index: u16) {
        let used = self.ring.addresses().used;
        self.memory.write(used.plus(4 + 8 * slot), &head.to_le_bytes()).expect("write");
        self.memory.write(used.plus(8 + 8 * slot), &bytes.to_le_bytes()).expect("write");
        self.memory.write(used.plus(2), &index.to_le_bytes()).expect("write");
    }
}

const READABLE: Buffer = Buffer { address: GuestAddress(0x1122_3344), bytes: 51, writable: false };
const WRITABLE: Buffer = Buffer { address: GuestAddress(0x5566), bytes: 108, writable: true };

#[test]
fn a_direct_chain_is_linked_and_made_available() {
    let mut bench = bench(4);
    let head = bench.ring.offer(&[READABLE, WRITABLE]).expect("room");
    let at = bench.ring.addresses();
    let next = u64::from(1 - head);
    let first: [u8; 16] = bench.bytes(at.descriptors, 16 * u64::from(head));
    assert_eq!(
        first,
        [0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0, 51, 0, 0, 0, 1, 0, 1 - u8::try_from(head).unwrap(), 0]
    );
    assert_eq!(
        bench.bytes(at.descriptors, 16 * next),
        [0x66, 0x55, 0, 0, 0, 0, 0, 0, 108, 0, 0, 0, 2, 0, 0, 0]
    );
    assert_eq!(bench.bytes(at.available, 0), [0, 0, 1, 0, u8::try_from(head).unwrap(), 0]);
}

#[test]
fn an_indirect_chain_takes_one_descriptor() {
    let mut bench = bench(1);
    let table = bench.memory.allocate(32, 16).expect("room");
    assert_eq!(bench.ring.offer_indirect(&[READABLE, WRITABLE], &table).expect("room"), 0);
    let descriptor: [u8; 16] = bench.bytes(bench.ring.addresses().descriptors, 0);
    assert_eq!(&descriptor[8..], [32, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bench.bytes(table.address(), 8), [51, 0, 0, 0, 1, 0, 1, 0]);
    assert!(matches!(bench.ring.offer(&[WRITABLE]), Err(Error::RingFull { queue: 2, wanted: 1, free: 0 })));
}

#[test]
fn a_returned_chain_gives_its_descriptors_back() {
    let mut bench = bench(3);
    let head = bench.ring.offer(&[READABLE, WRITABLE]).expect("room");
    assert_eq!(bench.ring.reap().expect("nothing wrong"), None);
    bench.answer(0, u32::from(head), 108, 1);
    assert_eq!(bench.ring.reap().expect("fine"), Some(Used { head, bytes_written: 108 }));
    assert_eq!((bench.ring.free_descriptors(), bench.ring.in_flight()), (3, 0));
}

#[test]
fn a_chain_returned_twice_is_an_accusation() {
    let mut bench = bench(4);
    let head = bench.ring.offer(&[WRITABLE]).expect("room");
    bench.ring.offer(&[WRITABLE]).expect("room");
    bench.answer(0, u32::from(head), 0, 1);
    bench.answer(1, u32::from(head), 0, 2);
    bench.ring.reap().expect("the first time is fine");
    assert!(
        matches!(bench.ring.reap(), Err(Error::NotInFlight { queue: 2, head: again }) if again == u32::from(head))
    );
}

#[test]
fn lies_about_the_used_ring_are_accusations() {
    let mut bench = bench(4);
    let head = bench.ring.offer(&[WRITABLE]).expect("room");
    bench.answer(0, u32::from(head), 0, 2);
    assert!(matches!(bench.ring.reap(), Err(Error::UsedIndexJumped { advanced: 2, in_flight: 1, .. })));
    bench.answer(0, u32::from(head), 109, 1);
    assert!(matches!(bench.ring.reap(), Err(Error::UsedTooLong { used_len: 109, writable_bytes: 108, .. })));
    bench.ring.reinitialise();
    bench.ring.offer(&[WRITABLE]).expect("room");
    bench.answer(0, 0x1_0000, 0, 1);
    assert!(matches!(bench.ring.reap(), Err(Error::NotInFlight { head: 0x1_0000, .. })));
}

#[test]
fn indices_wrap_on_a_ring_that_is_no_power_of_two() {
    let mut bench = bench(100);
    bench.ring.set_indices(0xffff);
    let head = bench.ring.offer(&[WRITABLE]).expect("room");
    assert_eq!(bench.bytes(bench.ring.addresses().available, 2), [0, 0]);
    // 65535 % 100 = 35.
    assert_eq!(bench.bytes(bench.ring.addresses().available, 4 + 2 * 35), head.to_le_bytes());
    bench.answer(35, u32::from(head), 1, 0);
    assert_eq!(bench.ring.reap().expect("fine"), Some(Used { head, bytes_written: 1 }));
}

#[test]
fn kicks_follow_the_flag_without_event_idx() {
    let mut bench = bench(4);
    assert!(!bench.ring.kick().expect("kick"), "nothing was offered");
    bench.ring.offer(&[WRITABLE]).expect("room");
    assert!(bench.ring.kick().expect("kick"));
    assert_eq!(bench.ring.kicks.take().expect("eventfd"), 1);
    bench.memory.write(bench.ring.addresses().used, &[1, 0]).expect("write");
    bench.ring.offer(&[WRITABLE]).expect("room");
    assert!(!bench.ring.kick().expect("kick"));
}

#[test]
fn kicks_follow_the_event_index_with_it() {
    let mut bench = bench(8);
    bench.ring.set_event_idx(true);
    let event = bench.ring.addresses().used.plus(4 + 8 * 8);
    bench.memory.write(event, &[1, 0]).expect("write");
    bench.ring.offer(&[WRITABLE]).expect("room");
    assert!(!bench.ring.kick().expect("kick"), "the device wants a kick when index 1 is used");
    bench.ring.offer(&[WRITABLE]).expect("room");
    assert!(bench.ring.kick().expect("kick"));
    bench.ring.offer(&[WRITABLE]).expect("room");
    assert!(!bench.ring.kick().expect("kick"));
}

#[test]
fn a_chain_without_its_interrupt_is_an_accusation() {
    let mut bench = bench(4);
    let head = bench.ring.offer(&[WRITABLE]).expect("room");
    let patience = Duration::from_millis(20);
    let silent = bench.ring.wait(Wait::Sleep, &Deadline::after(patience));
    assert!(matches!(silent, Err(Error::NotAnswered { queue: 2, in_flight: 1, .. })));
    bench.answer(0, u32::from(head), 0, 1);
    assert!(matches!(bench.ring.missed(&Deadline::after(patience)), Error::NotSignalled { queue: 2 }));
    assert_eq!(bench.ring.wait(Wait::Poll, &Deadline::after(patience)).expect("there").head, head);
}

#[test]
fn the_wish_for_interrupts_is_written_both_ways() {
    let mut bench = bench(4);
    bench.ring.ask_for_interrupts(false);
    assert_eq!(bench.bytes(bench.ring.addresses().available, 0), [1, 0]);
    bench.ring.ask_for_interrupts(true);
    assert_eq!(bench.bytes(bench.ring.addresses().available, 0), [0, 0]);
    bench.ring.set_event_idx(true);
    bench.ring.ask_for_interrupts(false);
    assert_eq!(bench.bytes(bench.ring.addresses().available, 4 + 2 * 4), [0xff, 0xff]);
}
