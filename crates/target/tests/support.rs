// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One unit that several nexuses reach, without a ring.
//!
//! Above: the tests of this crate.  Below: `target`, with a backstore that is never used.
//! Never here: what a test claims.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "support/orders.rs"] // This file is a test of its own as well, whose modules would lie elsewhere.
pub(crate) mod orders;

use backstore::{Backstore, Channel, Geometry, IoKind};
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use scsi::inquiry::Identity;
use scsi::{Address, Lun, SenseKey, Status};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use target::{
    Answer, Attentions, Buffers, Decision, Ended, Group, LogicalUnit, LunMap, Mapping, Membership, Nexus,
    NexusName, Reply, Scope, Script, Step, Store, TaskAttribute, UnitFlags, UnitState, execute,
};

pub(crate) const FLAGS: UnitFlags = UnitFlags { solid_state: false, ..UnitFlags::DEFAULT };

/// A medium that has a shape and nothing in it.
pub(crate) struct Shape(pub(crate) Geometry);

/// What the units here say that they are.
pub(crate) fn identity() -> Identity {
    Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("disk0"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: "serial".into(),
        company_id: 0x00_1405,
    }
}

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
    maps: BTreeMap<usize, LunMap>,
    memory: Arc<GuestMemory>,
    /// What commands of several steps had made quiet, and whether it was aborted.
    pub(crate) quiesced: RefCell<Vec<(Scope, bool)>>,
    /// What scripts waited for, one after the other.
    pub(crate) order: RefCell<Vec<&'static str>>,
    /// What its scripts did on the medium.
    pub(crate) done: RefCell<Vec<IoKind>>,
    /// What happens while the so many'th of what its scripts do on the medium is under way.
    pub(crate) meanwhile: RefCell<Option<(usize, Happens)>>,
    /// What happens before what a script asks a helper for next is begun.
    pub(crate) before_ask: RefCell<Option<Happens>>,
    /// How long its scripts have waited.
    pub(crate) waited: RefCell<Duration>,
}

/// Something that happens once.
pub(crate) type Happens = Box<dyn FnOnce()>;

/// A nexus that every rig has, which only looks.
pub(crate) const OBSERVER: usize = 8;

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
        Self::in_groups(nexuses, flags, state, |_| None)
    }

    /// Each nexus in the target port group that `membership` says.
    pub(crate) fn in_groups(
        nexuses: usize,
        flags: UnitFlags,
        state: Arc<UnitState>,
        membership: impl Fn(usize) -> Option<Membership>,
    ) -> Self {
        let names: Vec<NexusName> = (1..=nexuses).map(name).collect();
        Self::of_nexuses(&names, flags, state, membership)
    }

    /// Nexuses of these names, numbered from 1.
    pub(crate) fn named(names: &[NexusName]) -> Self {
        Self::of_nexuses(names, FLAGS, UnitState::volatile("serial"), |_| None)
    }

    fn of_nexuses(
        names: &[NexusName],
        flags: UnitFlags,
        state: Arc<UnitState>,
        membership: impl Fn(usize) -> Option<Membership>,
    ) -> Self {
        let unit = || {
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
            Arc::new(LogicalUnit::new(store, identity(), 512, flags).remembering(Arc::clone(&state)))
        };
        let mapping = |number: usize| {
            let mapping = Mapping::new(unit(), false);
            match membership(number) {
                Some(membership) => mapping.in_group(membership),
                None => mapping,
            }
        };
        let map = |number: usize, name: NexusName| {
            let nexus =
                Nexus::new(name.initiator, format!("naa.500140500000000{number}"), 1, name.relative_port);
            let luns = [0, 1].map(|lun| (Lun::new(lun).unwrap(), mapping(number)));
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
        let names = (1..).zip(names.iter().cloned()).chain([(OBSERVER, name(OBSERVER))]);
        let maps = names.map(|(number, name)| (number, map(number, name))).collect();
        Self {
            state,
            maps,
            memory,
            quiesced: RefCell::default(),
            order: RefCell::default(),
            done: RefCell::default(),
            meanwhile: RefCell::default(),
            before_ask: RefCell::default(),
            waited: RefCell::default(),
        }
    }

    /// Nexus `nexus` is there no more.
    pub(crate) fn lose(&mut self, nexus: usize) {
        self.maps.remove(&nexus);
    }

    pub(crate) fn group(&self, nexus: usize) -> &Group {
        self.maps[&nexus].group(1).unwrap()
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

    /// Sends a command of nexus `nexus` to a LUN, with `data`, or with room for 4096 bytes.
    pub(crate) fn send_with(&self, nexus: usize, lun: u8, cdb: &[u8], data: &[u8]) -> (Outcome, Vec<u8>) {
        let mut whole = [0; 32];
        whole[..cdb.len()].copy_from_slice(cdb);
        let (data_out, data_in) = if data.is_empty() {
            (IoBuf::new(), self.list(8192, 4096))
        } else {
            let list = self.list(0, u32::try_from(data.len()).unwrap());
            list.copy_from(0, data);
            (list, IoBuf::new())
        };
        let mut buffers = Buffers { data_out, data_in };
        let address = Address::decode(&[1, 1, 0, lun, 0, 0, 0, 0]);
        let map = &self.maps[&nexus];
        let answer = match execute(map.way(address), address, TaskAttribute::Simple, &whole, &mut buffers) {
            Decision::Answer(answer) => answer,
            Decision::Io(_) => return (Outcome::Done, Vec::new()),
            Decision::Script(plan) => self.run(plan.script, &mut buffers),
            Decision::NoTarget => panic!("there is a target"),
        };
        let mut data = vec![0; usize::try_from(answer.data_in_bytes).unwrap()];
        buffers.data_in.copy_to(0, &mut data);
        (outcome(&answer), data)
    }

    /// Takes the steps of a command.
    fn run(&self, mut script: Box<dyn Script>, buffers: &mut Buffers) -> Answer {
        let mut last = script.next(target::Outcome::Begun, buffers);
        loop {
            let outcome = match last {
                Step::Ask { work, .. } => {
                    let happens = self.before_ask.borrow_mut().take();
                    happens.into_iter().for_each(|happens| happens());
                    let (sender, told) = mpsc::channel();
                    work(Reply::new(move |answer| sender.send(answer).unwrap()));
                    target::Outcome::Told(told.recv().unwrap())
                }
                Step::Quiesce { scope, abort } => {
                    self.quiesced.borrow_mut().push((scope, abort.is_some()));
                    self.order.borrow_mut().push("quiet");
                    target::Outcome::Quiet
                }
                Step::Done(answer) => return answer,
                Step::Wait(time) => {
                    *self.waited.borrow_mut() += time;
                    target::Outcome::Waited
                }
                Step::Io { buffer, kind, .. } => {
                    self.done.borrow_mut().push(kind);
                    self.order.borrow_mut().push("io");
                    let begun = self.done.borrow().len();
                    if let Some((_, happens)) = self.meanwhile.borrow_mut().take_if(|(at, _)| *at == begun) {
                        happens();
                    }
                    target::Outcome::Io { buffer, result: Ok(()) }
                }
                Step::Memory => target::Outcome::Memory(memory::ScratchPool::default().take()),
                Step::Claim(_) => target::Outcome::Claimed,
            };
            last = script.next(outcome, buffers);
        }
    }

    /// Sends a command of nexus `nexus` to a LUN, with a block of data if it writes one.
    pub(crate) fn send_to(&self, nexus: usize, lun: u8, cdb: &[u8]) -> (Outcome, Vec<u8>) {
        let data: &[u8] = if [0x0a, 0x2a, 0x8a, 0xaa].contains(&cdb[0]) { &[0; 512] } else { &[] };
        self.send_with(nexus, lun, cdb, data)
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
