// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where fields lie in bytes: the only place that shifts and masks.
//!
//! Above: every other file of this crate.
//! Below: nothing.
//! Never here: the meaning of a field.
//!
//! Bits are numbered as the tables of the standards number them: 7 is the most significant.  Positions are
//! const parameters, so that a field outside of its block does not compile and no access can panic.

/// A block of `N` bytes that is read field by field.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a, const N: usize>(pub(crate) &'a [u8; N]);

impl<const N: usize> Fields<'_, N> {
    /// Returns the byte at `AT`.
    pub(crate) fn byte<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        self.0[AT]
    }

    /// Returns bits `HIGH..=LOW` of the byte at `AT`, moved down to bit 0.
    pub(crate) fn bits<const AT: usize, const HIGH: u32, const LOW: u32>(self) -> u8 {
        const { assert!(AT < N && LOW <= HIGH && HIGH < 8) };
        (self.0[AT] >> LOW) & mask(HIGH - LOW)
    }

    /// Returns one bit of the byte at `AT`.
    pub(crate) fn bit<const AT: usize, const BIT: u32>(self) -> bool {
        self.bits::<AT, BIT, BIT>() != 0
    }

    /// Returns the big-endian field of two bytes at `AT`.
    pub(crate) fn be16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) };
        u16::from_be_bytes([self.0[AT], self.0[AT + 1]])
    }

    /// Returns the big-endian field of four bytes at `AT`.
    pub(crate) fn be32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) };
        u32::from_be_bytes([self.0[AT], self.0[AT + 1], self.0[AT + 2], self.0[AT + 3]])
    }

    /// Returns the big-endian field of eight bytes at `AT`.
    pub(crate) fn be64<const AT: usize>(self) -> u64 {
        const { assert!(AT + 8 <= N) };
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[AT..AT + 8]);
        u64::from_be_bytes(bytes)
    }

    /// Returns the 21-bit block address of a six-byte CDB: the low five bits of byte 1, then bytes 2 and 3.
    pub(crate) fn lba21(self) -> u32 {
        const { assert!(4 <= N) };
        u32::from_be_bytes([0, self.bits::<1, 4, 0>(), self.0[2], self.0[3]])
    }
}

/// A block of `N` bytes, zero at first, that is filled field by field.
pub(crate) struct Block<const N: usize>([u8; N]);

impl<const N: usize> Block<N> {
    /// Returns a block of zeroes.
    pub(crate) fn new() -> Self {
        Self([0; N])
    }

    /// Sets the byte at `AT`.
    pub(crate) fn byte<const AT: usize>(mut self, value: u8) -> Self {
        const { assert!(AT < N) };
        self.0[AT] = value;
        self
    }

    /// Sets bits `HIGH..=LOW` of the byte at `AT`; bits of `value` that do not fit are dropped.
    pub(crate) fn bits<const AT: usize, const HIGH: u32, const LOW: u32>(mut self, value: u8) -> Self {
        const { assert!(AT < N && LOW <= HIGH && HIGH < 8) };
        let field = mask(HIGH - LOW);
        self.0[AT] = (self.0[AT] & !(field << LOW)) | ((value & field) << LOW);
        self
    }

    /// Sets one bit of the byte at `AT`.
    pub(crate) fn bit<const AT: usize, const BIT: u32>(self, value: bool) -> Self {
        self.bits::<AT, BIT, BIT>(u8::from(value))
    }

    /// Sets the big-endian field of two bytes at `AT`.
    pub(crate) fn be16<const AT: usize>(self, value: u16) -> Self {
        self.bytes::<AT, 2>(value.to_be_bytes())
    }

    /// Sets the big-endian field of four bytes at `AT`.
    pub(crate) fn be32<const AT: usize>(self, value: u32) -> Self {
        self.bytes::<AT, 4>(value.to_be_bytes())
    }

    /// Sets the big-endian field of eight bytes at `AT`.
    pub(crate) fn be64<const AT: usize>(self, value: u64) -> Self {
        self.bytes::<AT, 8>(value.to_be_bytes())
    }

    /// Sets the `M` bytes at `AT`.
    pub(crate) fn bytes<const AT: usize, const M: usize>(mut self, value: [u8; M]) -> Self {
        const { assert!(AT + M <= N) };
        self.0[AT..AT + M].copy_from_slice(&value);
        self
    }

    /// Returns the bytes.
    pub(crate) fn done(self) -> [u8; N] {
        self.0
    }
}

/// Packs hex digits, the first into the high half of the first byte; what is missing is zero.
pub(crate) fn pack_digits<const N: usize>(digits: impl Iterator<Item = u32>) -> [u8; N] {
    let mut bytes = [0; N];
    for (index, digit) in digits.take(2 * N).enumerate() {
        let [.., digit] = digit.to_be_bytes();
        let half = if index.is_multiple_of(2) { (digit & mask(3)) << 4 } else { digit & mask(3) };
        if let Some(byte) = bytes.get_mut(index / 2) {
            *byte |= half;
        }
    }
    bytes
}

/// Returns the bits that are in either.
pub(crate) const fn union(left: u8, right: u8) -> u8 {
    left | right
}

/// Returns whether a bit is in both.
pub(crate) const fn intersect(left: u8, right: u8) -> bool {
    left & right != 0
}

/// Returns the bits of `byte` that are in `kept`.
pub(crate) const fn only(byte: u8, kept: u8) -> u8 {
    byte & kept
}

/// Returns the bits of `byte` that are not in `dropped`.
pub(crate) const fn without(byte: u8, dropped: u8) -> u8 {
    byte & !dropped
}

/// Returns a mask of the `width + 1` lowest bits; `width` is at most 7.
const fn mask(width: u32) -> u8 {
    u8::MAX >> (7 - width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_numbered_from_the_least_significant() {
        let bytes = [0b1010_0110, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        let fields = Fields(&bytes);
        assert_eq!(fields.bits::<0, 7, 5>(), 0b101);
        assert_eq!(fields.bits::<0, 2, 1>(), 0b11);
        assert_eq!(fields.bits::<0, 7, 0>(), 0xa6);
        assert!(fields.bit::<0, 7>());
        assert!(!fields.bit::<0, 0>());
    }

    #[test]
    fn multi_byte_fields_are_big_endian() {
        let bytes = [0xff, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        let fields = Fields(&bytes);
        assert_eq!(fields.be16::<1>(), 0x1234);
        assert_eq!(fields.be32::<1>(), 0x1234_5678);
        assert_eq!(fields.be64::<1>(), 0x1234_5678_9abc_def0);
    }

    #[test]
    fn a_six_byte_cdb_holds_21_bits_of_address() {
        assert_eq!(Fields(&[0x08, 0xff, 0xff, 0xff, 0, 0]).lba21(), 0x1f_ffff);
        assert_eq!(Fields(&[0x08, 0xe1, 0x02, 0x03, 0, 0]).lba21(), 0x01_0203);
    }

    #[test]
    fn setting_bits_leaves_their_neighbours() {
        let block = Block::<2>::new().byte::<0>(0xff).bits::<0, 5, 3>(0b010).bit::<1, 7>(true);
        assert_eq!(block.done(), [0b1101_0111, 0x80]);
        assert_eq!(Block::<1>::new().bits::<0, 5, 4>(0xff).done(), [0x30]);
    }
}
