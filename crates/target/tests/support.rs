// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One unit that several nexuses reach, without a ring.
//!
//! Above: the tests of this crate.  Below: `target`, with a backstore that is never used.
//! Never here: what a test claims.

#![allow(dead_code, reason = "each test uses its part")]

use backstore::{Backstore, Channel, Geometry};
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use scsi::inquiry::Identity;
use scsi::mode::UaInterlock;
use scsi::{Address, Lun, SenseKey, Status};
use std::sync::Arc;
use target::{
    Answer, Attentions, Buffers, Decision, Ended, Group, LogicalUnit, LunMap, Mapping, Nexus, NexusName,
    Store, TaskAttribute, UnitFlags, UnitState, execute,
};

pub(crate) const FLAGS: UnitFlags = UnitFlags {
    write_cache: true,
    fua_write: true,
    solid_state: false,
    read_only: false,
    tas: true,
    ua_interlock: UaInterlock::Clear,
    report_supported_operation_codes: true,
};

/// A medium that has a shape and nothing in it.
struct Shape(Geometry);

impl Backstore for Shape {
    fn geometry(&self) -> &Geometry {
        &self.0
    }
    fn channel(&self, _: u32) -> Box<dyn Channel> {
        unreachable!("nothing is done here")
    }
}

/// One unit as LUN 0 and LUN 1 of several targets, which nexuses 1, 2, … reach.
pub(crate) struct Rig {
    pub(crate) state: Arc<UnitState>,
    maps: Vec<LunMap>,
    memory: Arc<GuestMemory>,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// GOOD, or an I/O.
    Done,
    Conflict,
    /// CHECK CONDITION with this key, code and qualifier.
    Check(u8, u8, u8),
}

/// The name of nexus `number`.
pub(crate) fn name(number: usize) -> NexusName {
    NexusName {
        initiator: format!("naa.600140500000000{number}"),
        relative_port: u16::try_from(number).unwrap(),
    }
}

impl Rig {
    pub(crate) fn new(nexuses: usize) -> Self {
        Self::with(nexuses, FLAGS)
    }

    pub(crate) fn with(nexuses: usize, flags: UnitFlags) -> Self {
        Self::of(nexuses, flags, UnitState::volatile("serial"))
    }

    pub(crate) fn of(nexuses: usize, flags: UnitFlags, state: Arc<UnitState>) -> Self {
        let unit = || {
            let identity = Identity {
                vendor: Identity::ascii_field("LIO-ORG"),
                product: Identity::ascii_field("disk0"),
                revision: Identity::ascii_field("4.0"),
                unit_serial: "serial".into(),
                company_id: 0x00_1405,
            };
            let below = Geometry {
                bytes: 16 * 512,
                block_bytes: 512,
                physical_block_bytes: 512,
                alignment_bytes: 0,
                io_min_bytes: 512,
                io_opt_bytes: 0,
                read_only: false,
                write_cache: true,
                rotational: false,
            };
            let store = Store::new(1, Arc::new(Shape(below)));
            Arc::new(LogicalUnit::new(store, identity, 512, flags).remembering(Arc::clone(&state)))
        };
        let map = |number: usize| {
            let name = name(number);
            let nexus =
                Nexus::new(name.initiator, format!("naa.500140500000000{number}"), 1, name.relative_port);
            let luns = [0, 1].map(|lun| (Lun::new(lun).unwrap(), Mapping::new(unit(), false)));
            let mut map = LunMap::default();
            map.insert(1, Group::new(nexus, luns));
            map
        };
        let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        let region = RegionSpec {
            guest: GuestAddress(0),
            user: UserAddress(0x1000_0000),
            bytes: 1 << 20,
            file_offset: 0,
            file,
        };
        let memory = Arc::new(GuestMemory::from_regions(vec![region]).unwrap());
        let maps = (1..=nexuses).map(map).collect();
        Self { state, maps, memory }
    }

    pub(crate) fn group(&self, nexus: usize) -> &Group {
        self.maps[nexus - 1].group(1).unwrap()
    }

    /// What nexus `nexus` has to be told about its LUN 0.
    pub(crate) fn attentions(&self, nexus: usize) -> &Attentions {
        &self.group(nexus).unit(Lun::default()).unwrap().attentions
    }

    fn list(&self, address: u64, bytes: u32) -> IoBuf {
        let mut list = IoBuf::new();
        list.push(&View::new(Arc::clone(&self.memory)), GuestAddress(address), bytes).unwrap();
        list
    }

    /// Sends a command of nexus `nexus` to a LUN, with room for 512 bytes either way that it needs.
    pub(crate) fn send_to(&self, nexus: usize, lun: u8, cdb: &[u8]) -> (Outcome, Vec<u8>) {
        let mut whole = [0; 32];
        whole[..cdb.len()].copy_from_slice(cdb);
        let out = [0x0a, 0x2a, 0x8a, 0xaa, 0x5f].contains(&cdb[0]);
        let (data_out, data_in) =
            if out { (self.list(0, 512), IoBuf::new()) } else { (IoBuf::new(), self.list(4096, 512)) };
        let mut buffers = Buffers { data_out, data_in };
        let address = Address::decode(&[1, 1, 0, lun, 0, 0, 0, 0]);
        let map = &self.maps[nexus - 1];
        match execute(map, address, TaskAttribute::Simple, &whole, &mut buffers) {
            Decision::Answer(answer) => {
                let mut data = vec![0; usize::try_from(answer.data_in_bytes).unwrap()];
                buffers.data_in.copy_to(0, &mut data);
                (outcome(&answer), data)
            }
            Decision::Io(_) => (Outcome::Done, Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a command of nexus `nexus` to LUN 0.
    pub(crate) fn send(&self, nexus: usize, cdb: &[u8]) -> Outcome {
        self.send_to(nexus, 0, cdb).0
    }
}

pub(crate) fn outcome(answer: &Answer) -> Outcome {
    match answer.ended {
        Ended::Status(Status::Good, _) => Outcome::Done,
        Ended::Status(Status::ReservationConflict, None) => Outcome::Conflict,
        Ended::Status(Status::CheckCondition, Some(sense)) => {
            Outcome::Check(sense.key as u8, sense.asc, sense.ascq)
        }
        other => panic!("{other:?}"),
    }
}

/// A unit attention as an outcome.
pub(crate) fn attention(asc: u8, ascq: u8) -> Outcome {
    Outcome::Check(SenseKey::UnitAttention as u8, asc, ascq)
}
