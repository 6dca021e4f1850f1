// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The malformed chains and rings of this world, one by one: what no driver sends and every device must survive.
//!
//! Above: tests of back ends, which loop over [`Malformed::ALL`].  Below: `ring/raw.rs`.
//! Never here: what a device should answer.  After each, a reset must make it whole again.

use crate::error::Error;
use crate::exchange::FILL;
use crate::guest::Guest;
use crate::memory::{GuestAddress, GuestBuffer};
use crate::request::{Command, LunAddress, RESPONSE_BYTES};
use crate::ring::{
    DESCRIPTOR_BYTES, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor, Ring,
};

/// One way to break the rules of a split ring (virtio 1.2, 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A descriptor that is followed by itself.
    SelfLoop,
    /// Two descriptors that follow each other.
    Loop,
    /// A `next` beyond the table.
    NextOutOfRange,
    /// A head beyond the table.
    HeadOutOfRange,
    /// A head that is offered twice.
    HeadTwice,
    /// The available index runs ahead by more than the ring has entries.
    AvailableIndexJump,
    /// The available index goes back by one.
    AvailableIndexBack,
    /// A device-writable buffer before a device-readable one.
    WritableFirst,
    /// No device-writable buffer at all.
    NothingWritable,
    /// No device-readable buffer at all.
    NothingReadable,
    /// A response buffer that is a byte too short.
    ResponseTooShort,
    /// A header that is a byte too short.
    HeaderTooShort,
    /// Buffers without a byte.
    ZeroLength,
    /// A device-readable buffer where no memory is.
    UnmappedReadable,
    /// A device-writable buffer where no memory is.
    UnmappedWritable,
    /// A buffer that begins in memory and ends outside.
    HalfUnmapped,
    /// A buffer that wraps around the end of the address space.
    AddressWrap,
    /// Lengths that add up to more than 32 bits.
    LengthOverflow,
    /// An indirect table within an indirect table.
    NestedIndirect,
    /// An indirect descriptor that also has a `next`.
    IndirectWithNext,
    /// A table whose length is no multiple of 16.
    IndirectOddLength,
    /// A table without a descriptor.
    IndirectEmpty,
    /// A table where no memory is.
    IndirectUnmapped,
    /// A `next` beyond an indirect table.
    IndirectNextOutOfRange,
    /// A loop within an indirect table.
    IndirectLoop,
    /// A table of 65536 descriptors.
    IndirectHuge,
}

impl Malformed {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::SelfLoop,
        Self::Loop,
        Self::NextOutOfRange,
        Self::HeadOutOfRange,
        Self::HeadTwice,
        Self::AvailableIndexJump,
        Self::AvailableIndexBack,
        Self::WritableFirst,
        Self::NothingWritable,
        Self::NothingReadable,
        Self::ResponseTooShort,
        Self::HeaderTooShort,
        Self::ZeroLength,
        Self::UnmappedReadable,
        Self::UnmappedWritable,
        Self::HalfUnmapped,
        Self::AddressWrap,
        Self::LengthOverflow,
        Self::NestedIndirect,
        Self::IndirectWithNext,
        Self::IndirectOddLength,
        Self::IndirectEmpty,
        Self::IndirectUnmapped,
        Self::IndirectNextOutOfRange,
        Self::IndirectLoop,
        Self::IndirectHuge,
    ];

    /// Sends it on a queue, where it would be a TEST UNIT READY for `address` if it were well formed.  The buffers are
    /// the device's until it is reset: hold them for so long.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::RingFull`], [`Error::NoSuchQueue`], [`Error::Host`].
    pub fn send(self, guest: &mut Guest, queue: u16, address: LunAddress) -> Result<Vec<GuestBuffer>, Error> {
        let memory = guest.memory().clone();
        let header = memory.allocate(51, 16)?;
        header.write(0, &Command::new(address, &[0; 6]).readable(0))?;
        let response = memory.allocate(RESPONSE_BYTES as u64, 16)?;
        response.write(0, &[FILL; RESPONSE_BYTES])?;
        let table = memory.allocate(4 * DESCRIPTOR_BYTES as u64, 16)?;
        let hole = memory.hole(1 << 20);
        let last = memory.regions().last().map_or(hole, |region| region.guest.plus(region.bytes));
        let parts = Parts {
            header: header.address(),
            response: response.address(),
            table: &table,
            hole,
            border: last,
        };
        let ring = guest.ring_mut(queue)?;
        if self.is_about_indices() {
            self.spoil_indices(ring, &parts)?;
        } else if let Some(descriptors) = self.indirect_table(&parts) {
            for (place, descriptor) in descriptors.iter().enumerate() {
                table.write((place * DESCRIPTOR_BYTES) as u64, &descriptor.to_bytes())?;
            }
            self.offer_spoilt_table(ring, &parts, descriptors.len())?;
        } else {
            self.offer_spoilt_chain(ring, &parts)?;
        }
        ring.kick_anyway()?;
        Ok(vec![header, response, table])
    }

    /// Returns what the device can have written at most, where that can be said.
    fn writable_bytes(self) -> u64 {
        match self {
            Self::NothingWritable | Self::ZeroLength | Self::IndirectEmpty | Self::IndirectUnmapped => 0,
            Self::ResponseTooShort => 107,
            _ => u64::MAX,
        }
    }

    fn is_about_indices(self) -> bool {
        matches!(
            self,
            Self::HeadOutOfRange | Self::HeadTwice | Self::AvailableIndexJump | Self::AvailableIndexBack
        )
    }

    fn spoil_indices(self, ring: &mut Ring, parts: &Parts<'_>) -> Result<(), Error> {
        let entries = ring.entries();
        match self {
            Self::HeadOutOfRange => ring.offer_head(entries, u64::MAX),
            Self::AvailableIndexJump => {
                let index = ring.available_index();
                ring.set_available_index(index.wrapping_add(entries).wrapping_add(1));
            }
            Self::AvailableIndexBack => {
                let index = ring.available_index();
                ring.set_available_index(index.wrapping_sub(1));
            }
            _ => {
                let head = chain(ring, &[parts.header(), parts.response()])?;
                ring.offer_head(head, RESPONSE_BYTES as u64);
                ring.offer_head(head, RESPONSE_BYTES as u64);
            }
        }
        Ok(())
    }

    /// Offers a chain of direct descriptors with what is wrong about it.
    fn offer_spoilt_chain(self, ring: &mut Ring, parts: &Parts<'_>) -> Result<(), Error> {
        let (header, response) = (parts.header(), parts.response());
        let spoilt: Vec<Descriptor> = match self {
            Self::WritableFirst => vec![response, header],
            Self::NothingWritable => vec![header],
            Self::NothingReadable => vec![response],
            Self::ResponseTooShort => vec![header, Descriptor { bytes: 107, ..response }],
            Self::HeaderTooShort => vec![Descriptor { bytes: 50, ..header }, response],
            Self::ZeroLength => {
                vec![Descriptor { bytes: 0, ..header }, Descriptor { bytes: 0, ..response }]
            }
            Self::UnmappedReadable => vec![Descriptor { address: parts.hole.0, ..header }, response],
            Self::UnmappedWritable => vec![header, Descriptor { address: parts.hole.0, ..response }],
            Self::HalfUnmapped => vec![header, Descriptor { address: parts.border.0 - 8, ..response }],
            Self::AddressWrap => vec![header, Descriptor { address: u64::MAX - 8, ..response }],
            Self::LengthOverflow => {
                let longest = Descriptor { bytes: u32::MAX, ..response };
                vec![header, longest, longest]
            }
            // These are well formed but for their links.
            _ => vec![header, response],
        };
        let head = chain(ring, &spoilt)?;
        let table_end = ring.entries();
        match self {
            Self::SelfLoop => {
                ring.write_descriptor(head, Descriptor { flags: DESCRIPTOR_NEXT, next: head, ..header });
            }
            Self::Loop => {
                let second = ring.claim_descriptor()?;
                let back = Descriptor { flags: DESCRIPTOR_NEXT, next: head, ..header };
                ring.write_descriptor(second, back);
                ring.write_descriptor(head, Descriptor { next: second, ..back });
            }
            Self::NextOutOfRange => {
                let beyond = Descriptor { flags: DESCRIPTOR_NEXT, next: table_end, ..header };
                ring.write_descriptor(head, beyond);
            }
            _ => {}
        }
        ring.offer_head(head, self.writable_bytes());
        Ok(())
    }

    /// Returns the descriptors of the indirect table, if it is about one.
    fn indirect_table(self, parts: &Parts<'_>) -> Option<Vec<Descriptor>> {
        let first = Descriptor { flags: DESCRIPTOR_NEXT, next: 1, ..parts.header() };
        let second = parts.response();
        match self {
            Self::NestedIndirect => {
                let nested = Descriptor { flags: DESCRIPTOR_INDIRECT, next: 0, ..parts.table(32) };
                Some(vec![nested, second])
            }
            Self::IndirectNextOutOfRange => Some(vec![Descriptor { next: 2, ..first }, second]),
            Self::IndirectLoop => {
                Some(vec![first, Descriptor { flags: DESCRIPTOR_NEXT | DESCRIPTOR_WRITE, next: 1, ..second }])
            }
            Self::IndirectWithNext
            | Self::IndirectOddLength
            | Self::IndirectEmpty
            | Self::IndirectUnmapped
            | Self::IndirectHuge => Some(vec![first, second]),
            _ => None,
        }
    }

    fn offer_spoilt_table(self, ring: &mut Ring, parts: &Parts<'_>, count: usize) -> Result<(), Error> {
        let whole = u32::try_from(count * DESCRIPTOR_BYTES).unwrap_or(u32::MAX);
        let good = Descriptor { flags: DESCRIPTOR_INDIRECT, ..parts.table(whole) };
        let spoilt = match self {
            Self::IndirectOddLength => Descriptor { bytes: whole - 1, ..good },
            Self::IndirectEmpty => Descriptor { bytes: 0, ..good },
            Self::IndirectUnmapped => Descriptor { address: parts.hole.0, ..good },
            Self::IndirectHuge => Descriptor { bytes: 65536 * 16, ..good },
            _ => good,
        };
        let head = ring.claim_descriptor()?;
        ring.write_descriptor(head, spoilt);
        if self == Self::IndirectWithNext {
            let next = ring.claim_descriptor()?;
            ring.write_descriptor(next, parts.response());
            ring.write_descriptor(
                head,
                Descriptor { flags: DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT, next, ..spoilt },
            );
        }
        ring.offer_head(head, self.writable_bytes());
        Ok(())
    }
}

/// The good parts that bad chains are made of.
struct Parts<'a> {
    header: GuestAddress,
    response: GuestAddress,
    table: &'a GuestBuffer,
    hole: GuestAddress,
    border: GuestAddress,
}

impl Parts<'_> {
    fn header(&self) -> Descriptor {
        Descriptor { address: self.header.0, bytes: 51, flags: 0, next: 0 }
    }

    fn response(&self) -> Descriptor {
        Descriptor { address: self.response.0, bytes: 108, flags: DESCRIPTOR_WRITE, next: 0 }
    }

    fn table(&self, bytes: u32) -> Descriptor {
        Descriptor { address: self.table.address().0, bytes, flags: 0, next: 0 }
    }
}

/// Writes descriptors linked one after the other and returns the first.
fn chain(ring: &mut Ring, descriptors: &[Descriptor]) -> Result<u16, Error> {
    let mut following = None;
    for descriptor in descriptors.iter().rev() {
        let slot = ring.claim_descriptor()?;
        let linked = following.map_or(*descriptor, |next| Descriptor {
            flags: descriptor.flags | DESCRIPTOR_NEXT,
            next,
            ..*descriptor
        });
        ring.write_descriptor(slot, linked);
        following = Some(slot);
    }
    following.ok_or(Error::Invalid { detail: "a chain has at least one descriptor" })
}
