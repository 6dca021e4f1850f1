// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The map of a guest's memory: which address lies where.
//!
//! Above: the connection, which builds maps; `view` and `io_buf`, which translate with them.
//! Below: `mapping`.
//! Never here: access to the bytes.
//!
//! A map never changes. A front end that adds or removes memory gets a new map, which shares the mappings that
//! stay; the old map dies with the last request that uses it.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::address::{GuestAddress, UserAddress};
use crate::error::MapError;
use crate::mapping::Mapping;

/// Regions of one map, at most: the number of memory slots we offer (`GET_MAX_MEM_SLOTS`).
pub const REGIONS_MAX: usize = 512;

/// A region as the front end describes it.
#[derive(Debug)]
pub struct RegionSpec {
    /// Where the guest sees it.
    pub guest: GuestAddress,
    /// Where the front end sees it.
    pub user: UserAddress,
    /// Length in bytes.
    pub bytes: u64,
    /// Where it begins in `file`, in bytes; any alignment.
    pub file_offset: u64,
    /// What holds the bytes. Closed as soon as it is mapped.
    pub file: OwnedFd,
}

/// What a map knows about one of its regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Where the guest sees it.
    pub guest: GuestAddress,
    /// Where the front end sees it.
    pub user: UserAddress,
    /// Length in bytes.
    pub bytes: u64,
    /// Whether its file is sealed against shrinking. One that is not may be cut short at any time.
    pub shrink_sealed: bool,
}

/// A range of this process's memory that maps guest bytes. Valid while a holder of the map it came from lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRange {
    /// The first byte. Others write to it at any time: never make a reference of it.
    pub ptr: NonNull<u8>,
    /// Length in bytes.
    pub bytes: u64,
}

/// All memory of one guest. Immutable; shared as `Arc<GuestMemory>`.
#[derive(Clone, Debug, Default)]
pub struct GuestMemory {
    /// By guest address, rising.
    regions: Vec<Region>,
    /// The same by address in this process, rising: the way back.
    by_host: Vec<HostSpan>,
}

/// Where a region lies in this process, and what the guest calls it.
#[derive(Clone, Copy, Debug)]
struct HostSpan {
    start: usize,
    bytes: u64,
    guest: u64,
}

#[derive(Clone, Debug)]
struct Region {
    guest: u64,
    bytes: u64,
    /// `mapping.start()`, where the translation finds it without following the `Arc`.
    host: NonNull<u8>,
    user: u64,
    mapping: Arc<Mapping>,
}

// SAFETY: `host` is a copy of an address inside `mapping`, which is `Send`.
unsafe impl Send for Region {}
// SAFETY: as above; `mapping` is `Sync`.
unsafe impl Sync for Region {}

/// Remembers in which region the last address was, to find the next one faster. Any hint is good for any map.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegionHint(usize);

/// Where a guest address was found.
#[derive(Clone, Copy)]
pub(crate) struct Located {
    /// Which region, in the order of the map: a hint for the next look-up.
    pub(crate) region: usize,
    pub(crate) host: NonNull<u8>,
    /// Bytes of the region from here to its end; not zero.
    pub(crate) left_bytes: u64,
}

impl GuestMemory {
    /// A guest without memory, as it is before the front end sends a table.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Maps a whole table.
    ///
    /// # Errors
    /// Names the first region that is at fault. Nothing of the table stays mapped then.
    pub fn from_regions(specs: Vec<RegionSpec>) -> Result<Self, MapError> {
        if specs.len() > REGIONS_MAX {
            return Err(MapError::TooManyRegions { regions: specs.len() });
        }
        specs.into_iter().try_fold(Self::empty(), Self::add)
    }

    /// Returns this map and one region more.
    ///
    /// # Errors
    /// As [`from_regions`](Self::from_regions).
    pub fn with_region(&self, spec: RegionSpec) -> Result<Self, MapError> {
        self.clone().add(spec)
    }

    /// Returns this map without the region that begins at both addresses and is `bytes` long, or `None` where there is
    /// no such region.
    pub fn without_region(&self, guest: GuestAddress, user: UserAddress, bytes: u64) -> Option<Self> {
        let is_meant =
            |region: &Region| region.guest == guest.0 && region.user == user.0 && region.bytes == bytes;
        let at = self.regions.iter().position(is_meant)?;
        let mut memory = self.clone();
        memory.regions.remove(at);
        memory.sort_by_host();
        Some(memory)
    }

    /// The regions, by rising guest address.
    pub fn regions(&self) -> impl Iterator<Item = RegionInfo> {
        self.regions.iter().map(|region| RegionInfo {
            guest: GuestAddress(region.guest),
            user: UserAddress(region.user),
            bytes: region.bytes,
            shrink_sealed: region.mapping.is_shrink_sealed(),
        })
    }

    /// Whether the front end has taken bytes away that it had promised, and something has touched them. Answers
    /// computed with such memory must not be given.
    pub fn is_broken(&self) -> bool {
        self.regions.iter().any(|region| region.mapping.is_broken())
    }

    /// The end of the highest region: the first address that no region reaches.  0 where there is no memory.
    pub fn end(&self) -> u64 {
        // Does not overflow: `MapError::GuestOverflow`.
        self.regions.last().map_or(0, |region| region.guest + region.bytes)
    }

    /// What the guest calls a byte that this map has at `host` in this process.  Slower than the way there.
    pub(crate) fn guest_of_host(&self, host: *const u8) -> Option<GuestAddress> {
        let after = self.by_host.partition_point(|span| span.start <= host.addr());
        let span = self.by_host.get(after.checked_sub(1)?)?;
        let offset = (host.addr() - span.start) as u64;
        (offset < span.bytes).then(|| GuestAddress(span.guest + offset))
    }

    /// Finds `bytes` bytes at an address of the front end. `None` unless all lie in one region; rings do.
    pub fn host_of_user(&self, user: UserAddress, bytes: u64) -> Option<HostRange> {
        let region = self.regions.iter().find(|region| user.0.wrapping_sub(region.user) < region.bytes)?;
        region.slice(user.0 - region.user, bytes)
    }

    /// Finds `bytes` bytes at a guest address. `None` unless all lie in one region; use `IoBuf` where they may not.
    /// `near` is where an earlier look-up ended, which is where this one most likely does, too.
    #[inline]
    pub fn host_of_guest(&self, guest: GuestAddress, bytes: u64, near: &mut RegionHint) -> Option<HostRange> {
        let found = self.locate(guest, near.0)?;
        near.0 = found.region;
        (bytes <= found.left_bytes).then_some(HostRange { ptr: found.host, bytes })
    }

    /// Finds the region of an address, trying the region `hint` first.
    #[inline]
    pub(crate) fn locate(&self, guest: GuestAddress, hint: usize) -> Option<Located> {
        if let Some(region) = self.regions.get(hint)
            && let Some(offset) = region.offset_of(guest)
        {
            return region.located(hint, offset);
        }
        self.search(guest)
    }

    /// The slow way of `locate`. Apart, so that the fast one is small enough to be inlined.
    #[inline(never)]
    fn search(&self, guest: GuestAddress) -> Option<Located> {
        let after = self.regions.partition_point(|region| region.guest <= guest.0);
        let index = after.checked_sub(1)?;
        let region = self.regions.get(index)?;
        region.located(index, region.offset_of(guest)?)
    }

    fn add(mut self, spec: RegionSpec) -> Result<Self, MapError> {
        let RegionSpec { guest, user, bytes, file_offset, file } = spec;
        let at = self.place_of(guest, user, bytes)?;
        let mapping = Mapping::map(file.as_fd(), file_offset, bytes)
            .map_err(|source| MapError::Mapping { guest, source })?;
        let host = mapping.start();
        self.regions
            .insert(at, Region { guest: guest.0, bytes, host, user: user.0, mapping: Arc::new(mapping) });
        self.sort_by_host();
        Ok(self)
    }

    fn sort_by_host(&mut self) {
        let span = |region: &Region| HostSpan {
            start: region.host.addr().get(),
            bytes: region.bytes,
            guest: region.guest,
        };
        self.by_host = self.regions.iter().map(span).collect();
        self.by_host.sort_unstable_by_key(|span| span.start);
    }

    /// Checks a new region against itself and the others. Returns its place in the order.
    fn place_of(&self, guest: GuestAddress, user: UserAddress, bytes: u64) -> Result<usize, MapError> {
        if self.regions.len() >= REGIONS_MAX {
            return Err(MapError::TooManyRegions { regions: self.regions.len() + 1 });
        }
        if bytes == 0 {
            return Err(MapError::Empty { guest });
        }
        guest.0.checked_add(bytes).ok_or(MapError::GuestOverflow { guest, bytes })?;
        user.0.checked_add(bytes).ok_or(MapError::UserOverflow { user, bytes })?;
        for other in &self.regions {
            if overlap(other.guest, other.bytes, guest.0, bytes) {
                let (first, second) = in_order(GuestAddress(other.guest), guest);
                return Err(MapError::GuestOverlap { first, second });
            }
            if overlap(other.user, other.bytes, user.0, bytes) {
                let (first, second) = in_order(UserAddress(other.user), user);
                return Err(MapError::UserOverlap { first, second });
            }
        }
        Ok(self.regions.partition_point(|other| other.guest < guest.0))
    }
}

impl Region {
    #[inline]
    fn offset_of(&self, guest: GuestAddress) -> Option<u64> {
        let offset = guest.0.wrapping_sub(self.guest);
        (offset < self.bytes).then_some(offset)
    }

    #[inline]
    fn located(&self, region: usize, offset: u64) -> Option<Located> {
        let host = self.slice(offset, 1)?.ptr;
        Some(Located { region, host, left_bytes: self.bytes - offset })
    }

    #[inline]
    fn slice(&self, offset: u64, bytes: u64) -> Option<HostRange> {
        if offset.checked_add(bytes)? > self.bytes {
            return None;
        }
        let offset = usize::try_from(offset).ok()?;
        // SAFETY: `offset <= self.bytes`, which is the length of the mapping that begins at `host`, checked above.
        let ptr = unsafe { self.host.add(offset) };
        Some(HostRange { ptr, bytes })
    }
}

fn overlap(first: u64, first_bytes: u64, second: u64, second_bytes: u64) -> bool {
    // No addition overflows: both ranges were checked when they came in.
    first < second + second_bytes && second < first + first_bytes
}

fn in_order<T: Ord>(one: T, other: T) -> (T, T) {
    if one <= other { (one, other) } else { (other, one) }
}

#[cfg(test)]
mod tests;
