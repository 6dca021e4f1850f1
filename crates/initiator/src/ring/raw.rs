// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a broken or hostile driver does to a ring: any descriptor, any head, any index.
//!
//! Above: hostile tests.  Below: the ring's memory.
//! Never here: checks.  Whoever writes an index here owns what `reap` then thinks; `reinitialise` makes all well.

use super::{
    AVAILABLE_SLOT_BYTES, DESCRIPTOR_BYTES, Descriptor, FLAGS, Flight, INDEX, Ring, SLOTS, USED_SLOT_BYTES,
};
use crate::error::Error;
use std::sync::atomic::Ordering;

impl Ring {
    /// Takes a free descriptor out of the driver's hands, for a chain that is written by hand.
    ///
    /// # Errors
    /// [`Error::RingFull`].
    pub fn claim_descriptor(&mut self) -> Result<u16, Error> {
        self.free.pop().ok_or(Error::RingFull { queue: self.index, wanted: 1, free: 0 })
    }

    /// Gives a claimed descriptor back.
    pub fn release_descriptor(&mut self, descriptor: u16) {
        self.free.push(descriptor);
    }

    /// Writes a descriptor of the table; one beyond its end is ignored.
    pub fn write_descriptor(&mut self, slot: u16, descriptor: Descriptor) {
        if slot < self.entries {
            self.descriptors.1.write(usize::from(slot) * DESCRIPTOR_BYTES, &descriptor.to_bytes());
        }
    }

    /// Offers any head, with claimed descriptors or none behind it, even one beyond the ring.  The descriptors stay
    /// claimed.  A device that says it wrote more than `writable_bytes` is accused; `u64::MAX` lets it say anything.
    pub fn offer_head(&mut self, head: u16, writable_bytes: u64) {
        self.take_off(head, Flight { descriptors: 0, writable_bytes });
    }

    /// Writes a slot of the available ring.
    pub fn write_available(&mut self, slot: u16, head: u16) {
        let offset = SLOTS + AVAILABLE_SLOT_BYTES * usize::from(slot % self.entries);
        self.available.1.store_u16(offset, head, Ordering::Relaxed);
    }

    /// Publishes an available index.  What was written before is visible before it.
    pub fn set_available_index(&mut self, index: u16) {
        self.available_next = index;
        self.available.1.store_u16(INDEX, index, Ordering::Release);
    }

    /// Sets the flags of the available ring, of which bit 0 is NO_INTERRUPT.
    pub fn set_available_flags(&mut self, flags: u16) {
        self.available.1.store_u16(FLAGS, flags, Ordering::Release);
    }

    /// Sets `used_event`, the index at which an interrupt is wanted.
    pub fn set_used_event(&mut self, index: u16) {
        let offset = SLOTS + AVAILABLE_SLOT_BYTES * usize::from(self.entries);
        self.available.1.store_u16(offset, index, Ordering::Release);
    }

    /// Starts both indices at `index`, as if so many chains had come and gone; nothing may be in flight.
    /// With SET_VRING_BASE at the same index this tests what happens when they wrap.
    pub fn set_indices(&mut self, index: u16) {
        self.set_available_index(index);
        self.used.1.store_u16(INDEX, index, Ordering::Release);
        (self.kicked_at, self.used_next) = (index, index);
    }

    /// Returns the available index, as the driver published it last.
    #[must_use]
    pub fn available_index(&self) -> u16 {
        self.available_next
    }

    /// Returns the used index as the device published it last.
    #[must_use]
    pub fn used_index(&self) -> u16 {
        self.used.1.load_u16(INDEX, Ordering::Acquire)
    }

    /// Returns the flags of the used ring, of which bit 0 is NO_NOTIFY.
    #[must_use]
    pub fn used_flags(&self) -> u16 {
        self.used.1.load_u16(FLAGS, Ordering::Acquire)
    }

    /// Returns `avail_event`, the index at which the device wants a kick.
    #[must_use]
    pub fn available_event(&self) -> u16 {
        self.used.1.load_u16(SLOTS + USED_SLOT_BYTES * usize::from(self.entries), Ordering::Acquire)
    }

    /// Kicks whether the device wants it or not.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn kick_anyway(&mut self) -> Result<(), Error> {
        self.kicked_at = self.available_next;
        self.kicks.signal()
    }
}
