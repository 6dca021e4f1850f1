// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A unit whose blocks are reached otherwise through one target port group than through the other: LBA dependent access.
//!
//! Above: `units`, which has one; `commands`, which asks what a command could reach.
//! Below: `target`.
//! Never here: the arithmetic of the target.  Which block is reached is found out block by block, so that it can be held to it.

use crate::units::{DISK_BYTES, Keeper};
use scsi::alua::{AccessState, AlteredBy, PortGroup, SupportedStates, Wanted};
use scsi::referrals::{Referrals, UserDataSegment};
use scsi::{Lba, Sense};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use target::{
    AccessGroup, Alua, Attentions, Group, LogicalUnit, Mapping, Membership, Nexus, NexusName, Steer,
    UnitState,
};

/// Bytes of each block.
const BLOCK: usize = 512;
/// Blocks of the unit.
const BLOCKS: u64 = DISK_BYTES / 512;
/// What every block begins with that nobody has written, its number behind it.
const SECRET: [u8; 8] = *b"\xf1Lunar\xf1\xf2";
const SECRET_BYTES: usize = SECRET.len() + 2;

const EXTENDED_COPY: u8 = 0x83;

/// The two target port groups, each with one port.
const GROUPS: [u16; 2] = [0, 5];

/// One kind of segments: the first block, the last, and how it is reached by each group; 0 to 3.
type Segment = (u64, u64, [u8; 2]);

/// Maps: size of a segment, multiplier, and the segments.
const MAPS: [(u32, u32, &[Segment]); 3] = [
    (0, 0, &[(0, 31, [0, 2]), (32, 63, [3, 1]), (64, 95, [1, 0])]),
    (4, 2, &[(0, 123, [0, 2]), (4, 127, [3, 0])]),
    (16, 0, &[(0, 15, [2, 3]), (16, 127, [0, 0])]),
];

/// Ways to the unit: each of two LUNs through one group and the other, for each map.
pub(crate) const WAYS: u8 = 6;

/// The unit, and the ways to it.
pub(crate) struct Segmented {
    /// The state of each group, as numbers.
    states: Mutex<[u8; 2]>,
    state: Weak<UnitState>,
    keeper: Arc<Keeper>,
    ways: Vec<Arc<Attentions>>,
}

/// The group of a LUN, by its place in [`GROUPS`], and its map, by that in [`MAPS`].
fn way(lun: u8) -> (usize, usize) {
    (usize::from(lun % 2), usize::from(lun / 2))
}

impl Segmented {
    /// A SCSI target that reaches `unit` by so many LUNs.
    pub(crate) fn new(unit: LogicalUnit, keeper: Arc<Keeper>) -> (Group, Arc<Self>) {
        let (state, unit) = (Arc::clone(&unit.state), Arc::new(unit));
        let nexus = Nexus::new("naa.6001405000000001", "naa.5001405000000001", 2, 2);
        let mappings: Vec<_> = (0..WAYS)
            .map(|lun| {
                let lun_number = scsi::Lun::new(lun.into()).expect("a small LUN");
                (lun_number, Mapping::new(Arc::clone(&unit), false).in_group(membership(lun)))
            })
            .collect();
        let ways = mappings.iter().map(|(_, mapping)| Arc::clone(&mapping.attentions)).collect();
        let states = Mutex::new([4; 2]);
        let own = Arc::new(Self { states, state: Arc::downgrade(&state), keeper, ways });
        own.show([4; 2]);
        (Group::new(nexus, mappings), own)
    }

    /// What is on its disk at first.
    pub(crate) fn contents() -> Vec<u8> {
        let block = |number: u16| {
            let mut bytes = vec![0; BLOCK];
            bytes[..SECRET.len()].copy_from_slice(&SECRET);
            bytes[SECRET.len()..SECRET_BYTES].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        (0..).take(usize::try_from(BLOCKS).expect("a small disk")).flat_map(block).collect()
    }

    /// The administrator has the groups in other states, or back in the first.
    pub(crate) fn happens(self: &Arc<Self>, other: [u8; 2]) {
        let mut states = self.states.lock().expect("nobody panics with it");
        *states = if *states == [4; 2] { other } else { [4; 2] };
        self.show(*states);
        for way in &self.ways {
            way.establish(Sense::ASYMMETRIC_ACCESS_STATE_CHANGED);
        }
    }

    /// For each block, whether it is reached by a LUN of the second SCSI target; none is by any other way.
    pub(crate) fn reached(&self, lun: Option<u8>) -> Vec<bool> {
        let blocks = usize::try_from(BLOCKS).expect("a small disk");
        let Some((group, map)) = lun.map(way) else { return vec![false; blocks] };
        let state = self.states.lock().expect("nobody panics with it")[group];
        let (blocks, multiplier, segments) = MAPS[map];
        let stripe = u64::from(blocks) * u64::from(multiplier);
        let is_reached = |block: u64| match state {
            0 | 1 => true,
            4 => segments.iter().any(|(first, last, states)| {
                let inside = (*first..=*last).contains(&block);
                inside && (stripe == 0 || (block - first) % stripe < u64::from(blocks)) && states[group] < 2
            }),
            _ => false,
        };
        (0..BLOCKS).map(is_reached).collect()
    }

    /// Has everybody see how it is.
    fn show(self: &Arc<Self>, states: [u8; 2]) {
        let Some(state) = self.state.upgrade() else { return };
        let groups = GROUPS.into_iter().zip(states).zip([2, 3]);
        state.set_alua(Alua {
            groups: groups.map(|((id, state), port)| group(id, parse(state), port)).collect(),
            referrals: Some(referrals(0)),
            steer: Some(Arc::new(Steering(Arc::downgrade(self)))),
        });
        for (lun, attentions) in (0..).zip(&self.ways) {
            attentions.gate().set_access_state(states[way(lun).0]);
        }
    }
}

/// What a LUN has of the groups.
fn membership(lun: u8) -> Membership {
    let (group, map) = way(lun);
    Membership {
        group: GROUPS[group],
        lu_group: 1,
        implicit: true,
        explicit: true,
        multi_port: true,
        non_optimized_delay: Duration::from_millis(1),
        referrals: Some(referrals(map)),
    }
}

/// A map as commands look into it.
fn referrals(map: usize) -> Arc<Referrals> {
    let (segment_blocks, multiplier, segments) = MAPS[map];
    let segments = segments.iter().map(|(first, last, states)| UserDataSegment {
        first: Lba(*first),
        last: Lba(*last),
        states: GROUPS.into_iter().zip(states.map(parse)).collect(),
    });
    Arc::new(Referrals { segment_blocks, multiplier, segments: segments.collect() })
}

/// Does what a guest asks for, all of it or nothing.
struct Steering(Weak<Segmented>);

impl Steer for Steering {
    fn alter(&self, _: &str, _: &NexusName, wanted: &[Wanted]) -> Result<(), Sense> {
        let unit = self.0.upgrade().ok_or(Sense::INTERNAL_TARGET_FAILURE)?;
        let mut now = unit.states.lock().expect("nobody panics with it");
        let mut states = *now;
        for Wanted { state, id } in wanted {
            let group = GROUPS.iter().position(|group| group == id);
            let group = group.filter(|_| *state != AccessState::Offline);
            states[group.ok_or(Sense::INVALID_FIELD_IN_PARAMETER_LIST)?] = *state as u8;
        }
        if unit.keeper.fails.load(Ordering::SeqCst) {
            unit.keeper.failures.fetch_add(1, Ordering::SeqCst);
            return Err(Sense::INTERNAL_TARGET_FAILURE);
        }
        *now = states;
        unit.show(states);
        Ok(())
    }
}

fn parse(number: u8) -> AccessState {
    AccessState::parse(number).expect("a state")
}

fn group(id: u16, state: AccessState, port: u16) -> AccessGroup {
    let supported = SupportedStates { lba_dependent: true, ..SupportedStates::ALL_BUT_LBA_DEPENDENT };
    let ports = vec![port];
    AccessGroup {
        told: PortGroup { id, preferred: false, state, supported, altered_by: AlteredBy::Nobody, ports },
        implicit_transition_seconds: 0,
        transition_delay: Duration::ZERO,
    }
}

/// The blocks that a command reads or writes which is nothing else than a transfer.  SBC-3, by the length of the CDB.
fn transferred(cdb: &[u8; 32]) -> Option<Range<u64>> {
    let number = |at: Range<usize>| cdb[at].iter().fold(0, |all, byte| (all << 8) | u64::from(*byte));
    let to_the_end = |first, blocks| if blocks == 0 { BLOCKS.saturating_sub(first) } else { blocks };
    let (first, blocks) = match cdb[0] {
        0x08 | 0x0a => (number(1..4) & 0x1f_ffff, if cdb[4] == 0 { 256 } else { number(4..5) }),
        0x28 | 0x2a | 0x2e | 0x2f => (number(2..6), number(7..9)),
        0x34 | 0x41 => (number(2..6), to_the_end(number(2..6), number(7..9))),
        0xa8 | 0xaa | 0xae | 0xaf => (number(2..6), number(6..10)),
        0x88 | 0x8a | 0x8b | 0x8e | 0x8f => (number(2..10), number(10..14)),
        0x90 | 0x93 => (number(2..10), to_the_end(number(2..10), number(10..14))),
        0x89 => (number(2..10), number(13..14)),
        0x9c => (number(2..10), number(12..14)),
        _ => return None,
    };
    Some(first..first.saturating_add(blocks))
}

/// What a command did to the unit.
pub(crate) struct Deed<'a> {
    /// What was sent.
    pub(crate) cdb: &'a [u8; 32],
    /// For each block, whether the way that it came reaches it.
    pub(crate) reached: &'a [bool],
    /// Whether this unit has answered it with GOOD.
    pub(crate) good: bool,
    /// What was on the disk before.
    pub(crate) before: &'a [u8],
    /// What is on it now.
    pub(crate) after: &'a [u8],
    /// What was read.
    pub(crate) data_in: &'a [u8],
}

impl Deed<'_> {
    /// Holds the command to what it could reach.
    pub(crate) fn check(&self) {
        let Self { cdb, before, after, .. } = self;
        if before != after {
            self.check_written();
        }
        for secret in secrets(self.data_in) {
            self.check_read(secret);
        }
        let touched = transferred(cdb).filter(|_| self.good).unwrap_or_default();
        let missed = touched.take(self.reached.len()).find(|block| self.is_out(*block));
        assert!(missed.is_none(), "{cdb:02x?}: GOOD, and block {missed:?} is not reached");
    }

    fn check_written(&self) {
        let blocks = (0..).zip(self.before.chunks(BLOCK).zip(self.after.chunks(BLOCK)));
        for (block, (_, now)) in blocks.filter(|(_, (before, after))| before != after) {
            let cdb = self.cdb;
            assert!(!self.is_out(block), "{cdb:02x?}: block {block} was written, which is not reached");
            // Whatever else is written, the guest has sent.
            if cdb[0] == EXTENDED_COPY && now.starts_with(&SECRET) {
                self.check_read(&now[..SECRET_BYTES]);
            }
        }
    }

    /// What a guest has copied elsewhere it may read there; what is nowhere it has sent itself.
    fn check_read(&self, secret: &[u8]) {
        let mut heads = self.before.chunks(BLOCK).zip(0..).filter(|(block, _)| block.starts_with(secret));
        let (first, open) = (heads.clone().next(), heads.any(|(_, block)| !self.is_out(block)));
        let read = first.map(|(_, block)| block).filter(|_| !open);
        assert!(read.is_none(), "{:02x?}: block {read:?} was read, which is not reached", self.cdb);
    }

    fn is_out(&self, block: u64) -> bool {
        let reached = usize::try_from(block).ok().and_then(|block| self.reached.get(block));
        reached == Some(&false)
    }
}

/// What looks like the beginning of a block that nobody has written.
fn secrets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == SECRET[0]).map(|(at, _)| at);
    let found = begins.filter_map(|at| bytes.get(at..at + SECRET_BYTES));
    found.filter(|head| head.starts_with(&SECRET))
}
