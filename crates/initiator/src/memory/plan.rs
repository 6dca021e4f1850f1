// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the guest's memory is to look.
//!
//! Above: `Memory::create`, `guest::Options`.  Below: nothing.
//! Never here: system calls.

use super::{GuestAddress, Region};
use crate::error::Error;

/// Where the first region claims to be mapped by the front end, and how far apart the regions are.
const USER_BASE: u64 = 0x5000_0000_0000;
const USER_STRIDE: u64 = 0x10_0000_0000;

/// Files must place a region so that ring fields stay aligned for the processor, as they are for the guest.
const FILE_OFFSET_ALIGN: u64 = 16;

/// One region of a [`Plan`].
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Where the guest sees it.
    pub guest: GuestAddress,
    /// Length in bytes, at most 64 GiB; need not be whole pages.
    pub bytes: u64,
    /// Bytes of the file left unused before it: a multiple of 16, need not be whole pages.
    pub skip: u64,
    /// Whether it begins a file of its own; otherwise it follows the region before in the same file.
    pub own_file: bool,
}

impl RegionPlan {
    /// Plans `bytes` at guest address `guest`, right behind the region before in the same file.
    #[must_use]
    pub fn new(guest: u64, bytes: u64) -> Self {
        Self { guest: GuestAddress(guest), bytes, skip: 0, own_file: false }
    }

    /// Leaves `bytes` of the file unused before it.
    #[must_use]
    pub fn skip(self, bytes: u64) -> Self {
        Self { skip: bytes, ..self }
    }

    /// Gives it a file of its own.
    #[must_use]
    pub fn in_own_file(self) -> Self {
        Self { own_file: true, ..self }
    }
}

/// The memory of a guest, as data.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Regions by rising guest address.
    pub regions: Vec<RegionPlan>,
    /// Whether the files are sealed against growing and shrinking, as QEMU's memory-backend-memfd does.
    pub sealed: bool,
}

impl Plan {
    /// Plans one region at address 0.
    #[must_use]
    pub fn flat(bytes: u64) -> Self {
        Self { regions: vec![RegionPlan::new(0, bytes)], sealed: true }
    }

    /// Plans memory as QEMU's PC machines have it: one file, a hole for the legacy devices below 1 MiB, another from
    /// 3 to 4 GiB.  `bytes` is at least 2 MiB.
    #[must_use]
    pub fn pc(bytes: u64) -> Self {
        const LOW_END: u64 = 0xa_0000;
        const HIGH_START: u64 = 0x10_0000;
        const BELOW_4G: u64 = 0xc000_0000;
        let bytes = bytes.max(0x20_0000);
        let mut regions = vec![
            RegionPlan::new(0, LOW_END),
            RegionPlan::new(HIGH_START, bytes.min(BELOW_4G) - HIGH_START).skip(HIGH_START - LOW_END),
        ];
        if bytes > BELOW_4G {
            regions.push(RegionPlan::new(1 << 32, bytes - BELOW_4G));
        }
        Self { regions, sealed: true }
    }

    /// Plans memory that nobody would: regions of odd lengths that touch or leave gaps, file offsets off the page
    /// borders, two files.  A correct back end takes it.
    #[must_use]
    pub fn awkward(bytes: u64) -> Self {
        let third = (bytes / 3) & !0xf;
        let regions = vec![
            RegionPlan::new(0x1_0000, third + 0x5a0).skip(0x230),
            RegionPlan::new(0x1_0000 + third + 0x5a0, third + 0x10).in_own_file().skip(0x7f0),
            RegionPlan::new(0x1_2345_0000_0010, third + 0x7).skip(0x1000),
        ];
        Self { regions, sealed: true }
    }

    /// Returns the regions placed in files, and the length of each file.
    pub(super) fn lay_out(&self) -> Result<(Vec<Region>, Vec<u64>), Error> {
        let (mut regions, mut lengths) = (Vec::new(), Vec::<u64>::new());
        let mut guest_end = 0_u64;
        for (index, plan) in self.regions.iter().enumerate() {
            if plan.bytes == 0 || plan.bytes > USER_STRIDE {
                return Err(Error::Plan { detail: "a region is empty or longer than 64 GiB" });
            }
            if plan.guest.0 < guest_end {
                return Err(Error::Plan { detail: "regions overlap or are not by rising address" });
            }
            let overflow = Error::Plan { detail: "a region wraps around the address space" };
            guest_end = plan.guest.0.checked_add(plan.bytes).ok_or(overflow)?;
            if lengths.is_empty() || plan.own_file {
                lengths.push(0);
            }
            let file = lengths.len() - 1;
            let file_offset = lengths[file].next_multiple_of(FILE_OFFSET_ALIGN) + plan.skip;
            if !file_offset.is_multiple_of(FILE_OFFSET_ALIGN)
                || !plan.guest.0.is_multiple_of(FILE_OFFSET_ALIGN)
            {
                return Err(Error::Plan { detail: "a region or its file offset is no multiple of 16" });
            }
            lengths[file] = file_offset + plan.bytes;
            let user = USER_BASE + index as u64 * USER_STRIDE;
            regions.push(Region { guest: plan.guest, bytes: plan.bytes, user, file_offset, file });
        }
        if regions.is_empty() {
            return Err(Error::Plan { detail: "a guest needs memory" });
        }
        Ok((regions, lengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(plan: &Plan) -> Vec<(u64, u64, u64)> {
        let (regions, _) = plan.lay_out().expect("a good plan");
        regions.iter().map(|region| (region.guest.0, region.bytes, region.file_offset)).collect()
    }

    #[test]
    fn a_pc_has_its_holes_and_one_file_offset_per_address_below_them() {
        assert_eq!(laid_out(&Plan::pc(0x4000_0000)), [(0, 0xa_0000, 0), (0x10_0000, 0x3ff0_0000, 0x10_0000)]);
        let above = laid_out(&Plan::pc(0x1_0000_0000));
        assert_eq!(above[2], (0x1_0000_0000, 0x4000_0000, 0xc000_0000));
    }

    #[test]
    fn awkward_memory_can_be_laid_out_and_touches_once() {
        let regions = laid_out(&Plan::awkward(0x30_0000));
        assert_eq!(regions[0], (0x1_0000, 0x10_05a0, 0x230));
        assert_eq!(regions[1], (0x11_05a0, 0x10_0010, 0x7f0));
        assert_eq!(regions[2], (0x1_2345_0000_0010, 0x10_0007, 0x10_1800));
    }

    #[test]
    fn overlapping_and_empty_regions_are_refused() {
        let overlapping = vec![RegionPlan::new(0, 0x2000), RegionPlan::new(0x1ff0, 0x1000)];
        for regions in
            [overlapping, vec![RegionPlan::new(0, 0)], vec![], vec![RegionPlan::new(u64::MAX - 15, 16)]]
        {
            assert!(matches!(Plan { regions, sealed: true }.lay_out(), Err(Error::Plan { .. })));
        }
    }
}
