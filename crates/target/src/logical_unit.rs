// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a logical unit is: an identity, a geometry, and where its blocks live.
//!
//! Above: `lun_map`, which leads to units; `lunard`, which makes them.
//! Below: `backstore`, `scsi`.
//! Never here: a change.  A unit whose attribute changes is a new value in the next map, with the same `UnitState`.

use crate::exclusion::Exclusions;
use crate::media::{Media, MediaWishes};
use crate::unit_state::UnitState;
use backstore::{Abilities, Backstore, IoKind};
use scsi::inquiry::Identity;
use scsi::mode::{Modes, UaInterlock};
use scsi::{BlockCount, Geometry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// An open backstore with the number that reactors know its channels by.
#[derive(Clone)]
pub struct Store {
    /// Unique for the life of the process.
    pub id: u64,
    /// Where the blocks live.
    pub backstore: Arc<dyn Backstore>,
    /// How often writes were lost: a flush failed, or a write that had to be durable took such news.
    pub losses: Arc<AtomicU64>,
    /// Blocks that one command has for itself.
    pub exclusions: Arc<Exclusions>,
    /// Whether a guest has switched the write cache off, so that every write must be durable before its answer.
    pub write_through: Arc<AtomicBool>,
}

/// What a [`Store`] is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreName {
    /// [`Store::id`]
    pub id: u64,
    /// [`Store::medium`]: that of its blocks.
    pub medium: u64,
}

impl StoreName {
    /// That of none.
    pub const NONE: Self = Self { id: u64::MAX, medium: u64::MAX };
}

impl Store {
    /// An open backstore that has lost nothing.
    pub fn new(id: u64, backstore: Arc<dyn Backstore>) -> Self {
        Self {
            id,
            backstore,
            losses: Arc::default(),
            exclusions: Arc::default(),
            write_through: Arc::default(),
        }
    }
}

impl Store {
    /// This one, with what is going on at the medium, which is that of another.
    #[must_use]
    pub fn in_place_of(self, before: &Self) -> Self {
        Self { exclusions: Arc::clone(&before.exclusions), ..self }
    }

    /// The number of its blocks, by whichever backstore and in whatever manner they are reached.
    #[must_use]
    pub fn medium(&self) -> u64 {
        self.exclusions.id()
    }

    /// What it is known by.
    #[must_use]
    pub fn name(&self) -> StoreName {
        StoreName { id: self.id, medium: self.medium() }
    }

    /// What is to be done where `kind` is asked for.
    #[must_use]
    pub fn kind(&self, kind: IoKind) -> IoKind {
        match kind {
            IoKind::Write { .. } if self.write_through.load(Ordering::Relaxed) => {
                IoKind::Write { durable: true }
            }
            IoKind::WriteWhole { .. } if self.write_through.load(Ordering::Relaxed) => {
                IoKind::WriteWhole { durable: true }
            }
            IoKind::WriteZeroes { bytes, .. } if self.write_through.load(Ordering::Relaxed) => {
                IoKind::WriteZeroes { bytes, durable: true }
            }
            kind => kind,
        }
    }
}

/// What the administrator set, as far as commands depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitFlags {
    /// WCE: a write may be answered from a volatile cache.
    pub write_cache: bool,
    /// FUA and DPO are understood, where there is a write cache to bypass.
    pub fua_write: bool,
    /// The medium does not rotate.
    pub solid_state: bool,
    /// The unit takes no writes.
    pub read_only: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// TAS of the control mode page.
    pub tas: bool,
    /// UA_INTLCK_CTRL of the control mode page.
    pub ua_interlock: UaInterlock,
    /// REPORT SUPPORTED OPERATION CODES exists.
    pub report_supported_operation_codes: bool,
    /// PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE exist.
    pub reservations: bool,
    /// Every registration has APTPL = 1, whatever was asked for.
    pub force_registrations_to_outlast_power: bool,
}

impl UnitFlags {
    /// As a medium that does not rotate has them, has a write cache, and of which an administrator has set nothing.
    pub const DEFAULT: Self = Self {
        write_cache: true,
        fua_write: true,
        solid_state: true,
        read_only: false,
        removable: false,
        tas: true,
        ua_interlock: UaInterlock::Clear,
        report_supported_operation_codes: true,
        reservations: true,
        force_registrations_to_outlast_power: false,
    };
}

/// A logical unit.
pub struct LogicalUnit {
    /// Where the blocks live; `None` while the file or device is missing.
    pub store: Option<Store>,
    /// Whether it is missing because the host waits for it: then guests are to wait too.
    pub is_opening: bool,
    /// How it is named.
    pub identity: Identity,
    /// What the administrator has written down about it: the text of REPORT IDENTIFYING INFORMATION.
    pub identifying_text: String,
    /// How its blocks lie.
    pub geometry: Geometry,
    /// OPTIMAL TRANSFER LENGTH GRANULARITY in blocks.
    pub granularity_blocks: u16,
    /// OPTIMAL TRANSFER LENGTH in blocks, 0 where there is nothing to say.
    pub optimal_blocks: u32,
    /// What the administrator set.
    pub flags: UnitFlags,
    /// What it does beyond reading and writing.
    pub media: Media,
    /// What it remembers.
    pub state: Arc<UnitState>,
}

impl LogicalUnit {
    /// A unit on an open backstore, whose blocks have `block_bytes` bytes.  What is left of the backstore
    /// behind the last whole block is not shown.
    pub fn new(store: Store, identity: Identity, block_bytes: u32, flags: UnitFlags) -> Self {
        let (below, abilities) = (store.backstore.geometry(), store.backstore.abilities());
        let unit = Self::on(below, abilities, identity, block_bytes, flags);
        Self { store: Some(store), ..unit }
    }

    /// A unit without the backstore of which this is known.  One whose file or device is gone says of itself what it said
    /// with it, but for its blocks: [`LogicalUnit::without_blocks`], when all else is set.
    pub fn on(
        below: &backstore::Geometry,
        abilities: Abilities,
        identity: Identity,
        block_bytes: u32,
        flags: UnitFlags,
    ) -> Self {
        let block = block_bytes.max(1);
        let ratio = (below.physical_block_bytes / block).max(1);
        let geometry = Geometry {
            blocks: BlockCount(below.bytes / u64::from(block)),
            block_bytes: block,
            physical_exponent: u8::try_from(ratio.ilog2().min(15)).unwrap_or(0),
            lowest_aligned: u16::try_from((below.alignment_bytes / block).min(0x3fff)).unwrap_or(0),
        };
        Self {
            state: UnitState::volatile(identity.unit_serial.as_str()),
            identity,
            identifying_text: String::new(),
            geometry,
            granularity_blocks: u16::try_from((below.io_min_bytes / block).max(1)).unwrap_or(u16::MAX),
            optimal_blocks: below.io_opt_bytes / block,
            flags: UnitFlags { read_only: flags.read_only || below.read_only, ..flags },
            media: Media::of(abilities, block),
            store: None,
            is_opening: false,
        }
    }

    /// The same while its blocks cannot be had.
    #[must_use]
    pub fn without_blocks(self) -> Self {
        let geometry =
            Geometry { blocks: BlockCount(0), physical_exponent: 0, lowest_aligned: 0, ..self.geometry };
        Self { store: None, geometry, ..self }
    }

    /// The same with physical blocks of so many bytes, the first of which begins with the first block.  Guests
    /// should write and give up no less.
    #[must_use]
    pub fn with_physical_blocks(mut self, bytes: u32) -> Self {
        let ratio = (bytes / self.geometry.block_bytes.max(1)).max(1);
        self.geometry.physical_exponent = u8::try_from(ratio.ilog2().min(15)).unwrap_or(0);
        self.geometry.lowest_aligned = 0;
        self.granularity_blocks = self.granularity_blocks.max(u16::try_from(ratio).unwrap_or(u16::MAX));
        self
    }

    /// The same with what the administrator set.
    #[must_use]
    pub fn with_media(self, wishes: &MediaWishes) -> Self {
        Self { media: self.media.with(wishes), ..self }
    }

    /// A unit whose file or device is not there: it says who it is, and is not ready.
    pub fn missing(identity: Identity, block_bytes: u32, flags: UnitFlags) -> Self {
        let geometry =
            Geometry { blocks: BlockCount(0), block_bytes, physical_exponent: 0, lowest_aligned: 0 };
        let state = UnitState::volatile(identity.unit_serial.as_str());
        Self {
            store: None,
            is_opening: false,
            identity,
            identifying_text: String::new(),
            geometry,
            granularity_blocks: 1,
            optimal_blocks: 0,
            flags,
            media: Media::default(),
            state,
        }
    }

    /// The same unit with what another one with its serial number remembers, or its predecessor.
    #[must_use]
    pub fn remembering(mut self, state: Arc<UnitState>) -> Self {
        self.state = state;
        if let Some(store) = &mut self.store {
            store.write_through = self.state.write_through();
            store.exclusions = self.state.exclusions();
        }
        self
    }

    /// What the administrator set of what MODE SELECT can change.
    pub fn own_modes(&self) -> Modes {
        let UnitFlags { write_cache, tas, ua_interlock, .. } = self.flags;
        // Fixed format has no room for the address of a block behind the first 2^32.
        let d_sense = self.geometry.blocks.0 > 1 << 32;
        Modes { write_cache, no_read_ahead: true, d_sense, tas, ua_interlock }
    }

    /// What is in force of it.
    pub fn modes(&self) -> Modes {
        self.state.modes().over(self.own_modes())
    }

    /// DPOFUA of the mode parameter header.
    pub(crate) fn dpofua(&self) -> bool {
        self.flags.fua_write && self.modes().write_cache
    }
}
