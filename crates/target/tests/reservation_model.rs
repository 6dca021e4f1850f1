// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sequences of orders by chance, from three initiators with five nexuses, against a plain model of SPC-4's persistent
//! reservations and SPC-2's reservations beside them.
//!
//! Above: nothing.  Below: `target`, through `execute`, with steps taken at once.
//! Never here: a word of the code it judges.  The model is written from the standard, in the form of its tables.  Where
//! several things are wrong with one order, and the standard does not say which comes first, each is right.

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::Outcome::{self, Check, Conflict, Done};
use support::{OBSERVER, Rig};
use target::{NexusName, NexusNumber};

/// The initiator and the relative target port of each nexus, which are numbered from 1.
const NEXUSES: [(u8, u8); 5] = [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2)];

const INVALID_CDB: Outcome = Check(5, 0x24, 0);
const INVALID_LIST: Outcome = Check(5, 0x26, 0);
const WRONG_LENGTH: Outcome = Check(5, 0x1a, 0);

/// What comes to the unit.
#[derive(Clone, Debug)]
enum Act {
    /// REGISTER, or REGISTER AND IGNORE EXISTING KEY.
    Register {
        nexus: usize,
        ignores: bool,
        key: u64,
        new: u64,
        flags: u8,
        named: Option<Vec<u8>>,
    },
    /// RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT AND ABORT, with so many bytes more or less than they want.
    Order {
        nexus: usize,
        action: u8,
        scope: u8,
        kind: u8,
        key: u64,
        theirs: u64,
        flags: u8,
        more: i8,
    },
    /// REGISTER AND MOVE.
    Move {
        nexus: usize,
        key: u64,
        new: u64,
        flags: u8,
        to: (u8, u8),
    },
    /// RESERVE (6) and (10), RELEASE (6) and (10), by their operation codes.
    Old {
        nexus: usize,
        code: u8,
    },
    /// LOGICAL UNIT RESET.
    Reset,
    /// I_T NEXUS RESET.
    NexusReset(usize),
    /// The guest of a nexus is started anew.
    GuestReset(usize),
    Read(usize),
    Write(usize),
    /// TEST UNIT READY, which is told what is pending.
    Look(usize),
}

/// In the place of a key: the one that the nexus has by then.
const OWN: u64 = u64::MAX;
/// The one that the holder has by then.
const HOLDERS: u64 = u64::MAX - 1;

const APTPL: u8 = 0x01;
const ALL_TG_PT: u8 = 0x04;
const SPEC_I_PT: u8 = 0x08;
const UNREG: u8 = 0x02;

fn acts() -> impl Strategy<Value = Act> {
    let nexus = || 1..=NEXUSES.len();
    // Few keys and types, so that they meet.
    let key = || prop::sample::select(vec![0_u64, 1, 1, 2]);
    let known = || prop::sample::select(vec![0_u64, 1, 1, 2, OWN, OWN, OWN, HOLDERS, HOLDERS]);
    let kind = prop::sample::select(vec![1_u8, 3, 5, 6, 7, 8, 5, 7, 2]);
    let scope = prop::sample::select(vec![0_u8, 0, 0, 0, 0, 0, 1]);
    let more = prop::sample::select(vec![0_i8, 0, 0, 0, 0, 0, 0, 0, -1, 1]);
    let flags = || prop::sample::select(vec![0, 0, APTPL, ALL_TG_PT, ALL_TG_PT, ALL_TG_PT | APTPL]);
    let named = prop::option::weighted(
        0.2,
        prop::collection::vec(prop::sample::select(vec![1_u8, 2, 3, 3, 9]), 0..3),
    );
    let to = (1..=3_u8, 1..=3_u8);
    prop_oneof![
        8 => (nexus(), any::<bool>(), key(), key(), flags(), named).prop_map(
            |(nexus, ignores, key, new, flags, named)| Act::Register { nexus, ignores, key, new, flags, named }
        ),
        4 => (nexus(), 0..3_u64).prop_map(|(nexus, new)| {
            Act::Register { nexus, ignores: true, key: 0, new, flags: 0, named: None }
        }),
        9 => (nexus(), 1..=5_u8, scope, kind, known(), known(), flags(), more).prop_map(
            |(nexus, action, scope, kind, key, theirs, flags, more)| {
                Act::Order { nexus, action, scope, kind, key, theirs, flags, more }
            }
        ),
        3 => (nexus(), known(), key(), 0..4_u8, to)
            .prop_map(|(nexus, key, new, flags, to)| Act::Move { nexus, key, new, flags, to }),
        2 => (nexus(), prop::sample::select(vec![0x16_u8, 0x56, 0x17, 0x57, 0x17, 0x57]))
            .prop_map(|(nexus, code)| Act::Old { nexus, code }),
        1 => Just(Act::Reset),
        1 => nexus().prop_map(Act::NexusReset),
        1 => nexus().prop_map(Act::GuestReset),
        1 => nexus().prop_map(Act::Read),
        2 => nexus().prop_map(Act::Write),
        4 => nexus().prop_map(Act::Look),
    ]
}

#[derive(Clone, Copy)]
struct Registration {
    key: u64,
    all_ports: bool,
}

/// One logical unit, as the standards speak of it.
#[derive(Clone, Default)]
struct Model {
    registrations: BTreeMap<usize, Registration>,
    /// The type, and the holder; of the types 7 and 8 every registrant is one.
    held: Option<(u8, usize)>,
    generation: u32,
    /// PTPL_A.
    outlasts_power: bool,
    /// Who has the unit by RESERVE.
    reserved: Option<usize>,
    pending: BTreeMap<usize, Vec<(u8, u8)>>,
    /// Whose commands were aborted by the last act.
    aborted: Vec<usize>,
}

fn ports_of(initiator: u8) -> Vec<usize> {
    (1..).zip(NEXUSES).filter(|(_, (is, _))| *is == initiator).map(|(nexus, _)| nexus).collect()
}

fn find(initiator: u8, port: u8) -> Option<usize> {
    ports_of(initiator).into_iter().find(|nexus| NEXUSES[nexus - 1].1 == port)
}

impl Model {
    fn key(&self, nexus: usize) -> Option<u64> {
        self.registrations.get(&nexus).map(|registration| registration.key)
    }

    fn is_holder(&self, nexus: usize) -> bool {
        match self.held {
            Some((7 | 8, _)) => self.registrations.contains_key(&nexus),
            Some((_, holder)) => holder == nexus,
            None => false,
        }
    }

    fn tell(&mut self, nexus: usize, condition: (u8, u8)) {
        let pending = self.pending.entry(nexus).or_default();
        if !pending.contains(&condition) {
            pending.push(condition);
        }
    }

    /// Every registrant but one is told.
    fn tell_others(&mut self, but: usize, condition: (u8, u8)) {
        let others: Vec<usize> = self.registrations.keys().copied().filter(|other| *other != but).collect();
        others.into_iter().for_each(|other| self.tell(other, condition));
    }

    /// Registrations end at once, as `by` wants it: the reservation of a holder goes with it.
    fn leave(&mut self, leaving: &BTreeSet<usize>, by: usize) {
        self.registrations.retain(|nexus, _| !leaving.contains(nexus));
        let Some((kind, holder)) = self.held else { return };
        let is_for_all = kind >= 7;
        if is_for_all && self.registrations.is_empty() || !is_for_all && leaving.contains(&holder) {
            self.held = None;
            if kind >= 5 {
                self.tell_others(by, (0x2a, 0x04));
            }
        }
    }

    /// What a command meets before anyone looks at what it says.  SAM-5, status precedence.
    fn meets(&mut self, nexus: usize, conflicts: bool) -> Option<Outcome> {
        let pending = self.pending.entry(nexus).or_default();
        let reset = pending.iter().position(|(asc, _)| *asc == 0x29);
        if reset.is_none() && conflicts {
            return Some(Conflict);
        }
        let at = reset.or_else(|| (!pending.is_empty()).then_some(0))?;
        let (asc, ascq) = pending.remove(at);
        Some(Check(6, asc, ascq))
    }

    /// Whether a reservation keeps a nexus from reading or writing.
    fn is_barred(&self, nexus: usize, writes: bool) -> bool {
        let registered = self.registrations.contains_key(&nexus);
        let persistent = match self.held {
            None => false,
            Some((5..=8, _)) if registered => false,
            Some((1 | 5 | 7, _)) if !writes => false,
            Some(_) => !self.is_holder(nexus),
        };
        persistent || self.reserved.is_some_and(|holder| holder != nexus)
    }

    /// An act with the keys that are meant.
    fn meant(&self, act: &Act) -> Act {
        let mut act = act.clone();
        let of = |nexus: usize, key: u64| match (key, self.held) {
            (OWN, _) => self.key(nexus).unwrap_or(1),
            (HOLDERS, Some((_, holder))) => self.key(holder).unwrap_or(1),
            (HOLDERS, None) => 1,
            (key, _) => key,
        };
        match &mut act {
            Act::Order { nexus, key, theirs, .. } => {
                (*key, *theirs) = (of(*nexus, *key), of(*nexus, *theirs));
            }
            Act::Move { nexus, key, .. } => *key = of(*nexus, *key),
            _ => {}
        }
        act
    }

    /// Carries out one act; what it may be answered.  An answer that is not GOOD has changed nothing but attentions.
    fn act(&mut self, act: &Act) -> Vec<Outcome> {
        self.aborted.clear();
        let (nexus, conflicts) = match *act {
            Act::Reset => {
                self.reserved = None;
                (1..=NEXUSES.len()).for_each(|nexus| self.tell(nexus, (0x29, 0x03)));
                return vec![Done];
            }
            Act::NexusReset(nexus) | Act::GuestReset(nexus) => {
                self.reserved.take_if(|holder| *holder == nexus);
                if matches!(act, Act::NexusReset(_)) {
                    self.tell(nexus, (0x29, 0x07));
                }
                return vec![Done];
            }
            Act::Read(nexus) => (nexus, self.is_barred(nexus, false)),
            Act::Write(nexus) => (nexus, self.is_barred(nexus, true)),
            Act::Look(nexus) => (nexus, self.reserved.is_some_and(|holder| holder != nexus)),
            Act::Old { nexus, code: 0x17 | 0x57 } => (nexus, false),
            Act::Old { nexus, .. } => (nexus, self.reserved.is_some_and(|holder| holder != nexus)),
            // SPC-2: while the unit is reserved, these conflict whoever they come from.
            Act::Register { nexus, .. } | Act::Order { nexus, .. } | Act::Move { nexus, .. } => {
                (nexus, self.reserved.is_some())
            }
        };
        // A conflict is one whether it shows in the CDB or later: it comes before attentions.
        let conflicts = conflicts || self.clone().carry_out(nexus, act) == [Conflict];
        match self.meets(nexus, conflicts) {
            Some(outcome) => vec![outcome],
            None => self.carry_out(nexus, act),
        }
    }

    fn carry_out(&mut self, nexus: usize, act: &Act) -> Vec<Outcome> {
        match act {
            Act::Old { code, .. } => vec![self.old(nexus, *code)],
            Act::Register { ignores, key, new, flags, named, .. } => {
                self.register(nexus, (!ignores).then_some(*key), *new, *flags, named.as_deref())
            }
            Act::Order { action, scope, kind, key, theirs, more, .. } => {
                let kind = (*scope == 0 && [1, 3, 5, 6, 7, 8].contains(kind)).then_some(*kind);
                self.order(nexus, *action, kind, *key, *theirs, *more)
            }
            Act::Move { key, new, flags, to, .. } => self.move_to(nexus, *key, *new, *flags, *to),
            _ => vec![Done],
        }
    }

    /// SPC-3, exceptions to SPC-2 RESERVE and RELEASE behavior; else SPC-2.
    fn old(&mut self, nexus: usize, code: u8) -> Outcome {
        let takes_part = matches!(self.held, Some((5..=8, _))) && self.registrations.contains_key(&nexus);
        if self.is_holder(nexus) || takes_part {
            return Done;
        }
        // SPC-2, reservations overview.
        if !self.registrations.is_empty() {
            return Conflict;
        }
        if code == 0x17 || code == 0x57 {
            self.reserved.take_if(|holder| *holder == nexus);
        } else {
            self.reserved = Some(nexus);
        }
        Done
    }

    /// SPC-4, registering; `key` is `None` where it is not compared.
    fn register(
        &mut self,
        nexus: usize,
        key: Option<u64>,
        new: u64,
        flags: u8,
        named: Option<&[u8]>,
    ) -> Vec<Outcome> {
        let own = self.registrations.get(&nexus).copied();
        if key.is_some_and(|key| key != own.map_or(0, |own| own.key)) {
            return vec![Conflict];
        }
        let all_ports = flags & ALL_TG_PT != 0;
        let mut refusals = Vec::new();
        if named.is_some() && (key.is_none() || own.is_some()) {
            refusals.push(INVALID_LIST);
        }
        if own.is_some_and(|own| own.all_ports) && !all_ports {
            refusals.push(INVALID_CDB);
        }
        if !refusals.is_empty() {
            return refusals;
        }
        let (initiator, port) = NEXUSES[nexus - 1];
        if new == 0 {
            let Some(own) = own else { return vec![Done] };
            let goes_along = |other: &usize| own.all_ports && self.key(*other) == Some(own.key);
            let leaving = ports_of(initiator).into_iter().filter(goes_along).chain([nexus]).collect();
            self.leave(&leaving, nexus);
        } else {
            // Of each that is named, and is not registered yet.
            let mut more = Vec::new();
            for other in named.unwrap_or_default() {
                let theirs =
                    if all_ports { ports_of(*other) } else { find(*other, port).into_iter().collect() };
                if theirs.is_empty() {
                    return vec![INVALID_LIST];
                }
                more.extend(theirs.into_iter().filter(|other| !self.registrations.contains_key(other)));
            }
            if all_ports {
                // As if the order had come by each port: there, too, another key is a conflict, and any key but 0 where
                // there is none yet.
                let known = key.filter(|_| own.is_some());
                let is_free = |other: &usize| match self.key(*other) {
                    None => key.is_none_or(|key| key == 0),
                    Some(theirs) => key.is_none() || known == Some(theirs),
                };
                more.extend(ports_of(initiator).into_iter().filter(is_free));
            }
            more.push(nexus);
            let registration = Registration { key: new, all_ports };
            self.registrations.extend(more.into_iter().map(|nexus| (nexus, registration)));
        }
        self.generation += 1;
        self.outlasts_power = flags & APTPL != 0;
        vec![Done]
    }

    fn order(
        &mut self,
        nexus: usize,
        action: u8,
        kind: Option<u8>,
        key: u64,
        theirs: u64,
        more: i8,
    ) -> Vec<Outcome> {
        let Some(own) = self.key(nexus) else { return vec![Conflict] };
        if action == 1 && self.held.is_some() && !self.is_holder(nexus) {
            return vec![Conflict];
        }
        // Too little has no key.
        if more < 0 {
            return vec![WRONG_LENGTH];
        }
        if own != key {
            return vec![Conflict];
        }
        let mut refusals = Vec::new();
        if more > 0 {
            refusals.push(WRONG_LENGTH);
        }
        if kind.is_none() && (action == 1 || action == 2) {
            refusals.push(INVALID_CDB);
        }
        if !refusals.is_empty() {
            return refusals;
        }
        match (action, kind) {
            (1, Some(kind)) => match self.held {
                None => self.held = Some((kind, nexus)),
                Some((is, _)) if is == kind => {}
                Some(_) => return vec![Conflict],
            },
            (2, Some(kind)) if self.is_holder(nexus) => {
                if self.held.map(|(is, _)| is) != Some(kind) {
                    return vec![Check(5, 0x26, 4)];
                }
                self.held = None;
                if kind >= 5 {
                    self.tell_others(nexus, (0x2a, 0x04));
                }
            }
            (2, _) => {}
            (3, _) => {
                self.tell_others(nexus, (0x2a, 0x03));
                (self.held, self.registrations) = (None, BTreeMap::new());
                self.generation += 1;
            }
            _ => return vec![self.preempt(nexus, kind, theirs, action == 5)],
        }
        vec![Done]
    }

    fn preempt(&mut self, nexus: usize, kind: Option<u8>, theirs: u64, aborts: bool) -> Outcome {
        let is_for_all = matches!(self.held, Some((7 | 8, _)));
        if theirs == 0 && !is_for_all {
            return INVALID_LIST;
        }
        let takes = match self.held {
            Some((7 | 8, _)) => theirs == 0,
            Some((_, holder)) => self.key(holder) == Some(theirs),
            None => false,
        };
        let is_meant = |other: &usize| theirs == 0 || self.key(*other) == Some(theirs);
        let mut leaving: BTreeSet<usize> = self.registrations.keys().copied().filter(is_meant).collect();
        if takes {
            let Some(kind) = kind else { return INVALID_CDB };
            leaving.remove(&nexus);
            self.registrations.retain(|other, _| !leaving.contains(other));
            let before = self.held.replace((kind, nexus));
            // Whatever the type was.
            if before.is_some_and(|(before, _)| before != kind) {
                self.tell_others(nexus, (0x2a, 0x04));
            }
        } else {
            if leaving.is_empty() {
                return Conflict;
            }
            self.leave(&leaving, nexus);
        }
        for other in leaving {
            if other != nexus {
                self.tell(other, (0x2a, 0x05));
            }
            if aborts {
                self.aborted.push(other);
            }
        }
        self.generation += 1;
        Done
    }

    fn move_to(&mut self, nexus: usize, key: u64, new: u64, flags: u8, to: (u8, u8)) -> Vec<Outcome> {
        if self.key(nexus) != Some(key) {
            return vec![Conflict];
        }
        if self.held.is_some_and(|(kind, holder)| kind >= 7 || holder != nexus) {
            return vec![Conflict];
        }
        let (to, mut refusals) = (find(to.0, to.1), Vec::new());
        if self.held.is_none() {
            refusals.push(INVALID_CDB);
        }
        if new == 0 || to.is_none_or(|to| to == nexus) {
            refusals.push(INVALID_LIST);
        }
        let (Some(to), Some((kind, _)), true) = (to, self.held, refusals.is_empty()) else { return refusals };
        self.registrations.insert(to, Registration { key: new, all_ports: false });
        self.held = Some((kind, to));
        if flags & UNREG != 0 {
            self.registrations.remove(&nexus);
        }
        self.generation += 1;
        self.outlasts_power = flags & APTPL != 0;
        vec![Done]
    }

    /// READ RESERVATION as the standard lays it out.
    fn reservation(&self) -> Vec<u8> {
        let generation = self.generation.to_be_bytes();
        let Some((kind, holder)) = self.held else { return [&generation[..], &[0; 4]].concat() };
        let key = if kind >= 7 { 0 } else { self.key(holder).unwrap_or(u64::MAX) };
        [&generation[..], &[0, 0, 0, 16], &key.to_be_bytes(), &[0, 0, 0, 0, 0, kind, 0, 0]].concat()
    }

    /// The keys, and the descriptors of READ FULL STATUS, in order: the standard knows none.
    fn full_status(&self) -> (Vec<u64>, Vec<Vec<u8>>) {
        let mut keys: Vec<u64> = self.registrations.values().map(|is| is.key).collect();
        keys.sort_unstable();
        let descriptor = |(nexus, registration): (&usize, &Registration)| {
            let (initiator, port) = NEXUSES[nexus - 1];
            let holds = self.is_holder(*nexus);
            let flags = u8::from(registration.all_ports) << 1 | u8::from(holds);
            let kind = self.held.filter(|_| holds).map_or(0, |(kind, _)| kind);
            let head = [0, 0, 0, 0, flags, kind, 0, 0, 0, 0, 0, port, 0, 0, 0, 24];
            [&registration.key.to_be_bytes()[..], &head, &transport_id(initiator)].concat()
        };
        let mut descriptors: Vec<_> = self.registrations.iter().map(descriptor).collect();
        descriptors.sort_unstable();
        (keys, descriptors)
    }
}

fn transport_id(initiator: u8) -> [u8; 24] {
    let mut id = [0; 24];
    id[0] = 6;
    id[4..12].copy_from_slice(&[0x60, 0x01, 0x40, 0x50, 0, 0, 0, initiator]);
    id
}

/// The nexus with this number.
fn numbered(number: NexusNumber) -> usize {
    let initiator = number.initiator.to_be_bytes();
    assert_eq!(initiator[..7], [0x60, 0x01, 0x40, 0x50, 0, 0, 0]);
    find(initiator[7], u8::try_from(number.relative_port).unwrap()).unwrap()
}

fn rig() -> Rig {
    let name = |(initiator, port): (u8, u8)| NexusName {
        initiator: format!("naa.600140500000000{initiator}"),
        relative_port: port.into(),
    };
    Rig::named(&NEXUSES.map(name))
}

fn send(rig: &Rig, act: &Act) -> Outcome {
    let out = |nexus: usize, action: u8, of: u8, list: &[u8]| {
        let bytes = u8::try_from(list.len()).unwrap();
        rig.send_with(nexus, 0, &[0x5f, action, of, 0, 0, 0, 0, 0, bytes, 0], list).0
    };
    let keys = |key: u64, other: u64| [key.to_be_bytes(), other.to_be_bytes()].concat();
    match *act {
        Act::Register { nexus, ignores, key, new, flags, ref named } => {
            let specifies = if named.is_some() { SPEC_I_PT } else { 0 };
            let mut list = [&keys(key, new)[..], &[0, 0, 0, 0, flags | specifies, 0, 0, 0]].concat();
            if let Some(named) = named {
                list.extend([0, 0, 0, u8::try_from(24 * named.len()).unwrap()]);
                list.extend(named.iter().flat_map(|initiator| transport_id(*initiator)));
            }
            out(nexus, if ignores { 6 } else { 0 }, 0, &list)
        }
        Act::Order { nexus, action, scope, kind, key, theirs, flags, more } => {
            let mut list = [&keys(key, theirs)[..], &[0, 0, 0, 0, flags, 0, 0, 0, 0]].concat();
            list.truncate(24_usize.checked_add_signed(more.into()).unwrap());
            out(nexus, action, if action == 3 { 0 } else { scope << 4 | kind }, &list)
        }
        Act::Move { nexus, key, new, flags, to: (initiator, port) } => {
            let list = [&keys(key, new)[..], &[0, flags, 0, port, 0, 0, 0, 24], &transport_id(initiator)];
            out(nexus, 7, 0, &list.concat())
        }
        Act::Old { nexus, code } => rig.send(nexus, &[code, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Act::Reset => {
            rig.state.reset().unwrap();
            Done
        }
        Act::NexusReset(nexus) => {
            rig.group(nexus).nexus_loss().happen().unwrap();
            Done
        }
        Act::GuestReset(nexus) => {
            rig.group(nexus).nexus_loss().by_reset().unwrap();
            Done
        }
        Act::Read(nexus) => rig.send(nexus, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Act::Write(nexus) => rig.send(nexus, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Act::Look(nexus) => rig.send(nexus, &[0x00, 0, 0, 0, 0, 0]),
    }
}

/// What PERSISTENT RESERVE IN says is what the model has.
fn check(rig: &Rig, model: &Model) -> Result<(), TestCaseError> {
    let read = |action| rig.send_with(OBSERVER, 0, &[0x5e, action, 0, 0, 0, 0, 0, 1, 0, 0], &[]);
    while matches!(rig.send(OBSERVER, &[0x00, 0, 0, 0, 0, 0]), Check(6, 0x29, 0x03)) {}
    if let Some(holder) = model.reserved {
        for nexus in [OBSERVER, holder] {
            let answer = rig.send_with(nexus, 0, &[0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0], &[]).0;
            prop_assert!(matches!(answer, Conflict | Check(6, 0x29, _)), "{:?}", answer);
        }
        return Ok(());
    }
    prop_assert_eq!(read(1).1, model.reservation());
    prop_assert_eq!(read(2).1, [0, 8, 0x1d, 0x90 | u8::from(model.outlasts_power), 0xea, 1, 0, 0]);
    let (status, keys) = (read(3).1, read(0).1);
    let mut descriptors: Vec<Vec<u8>> = status[8..].chunks(48).map(<[u8]>::to_vec).collect();
    descriptors.sort_unstable();
    let mut read_keys: Vec<u64> =
        keys[8..].chunks(8).map(|key| u64::from_be_bytes(key.try_into().unwrap())).collect();
    read_keys.sort_unstable();
    let header = |count: usize| {
        let bytes = u32::try_from(count * model.registrations.len()).unwrap();
        [model.generation.to_be_bytes(), bytes.to_be_bytes()].concat()
    };
    prop_assert_eq!((&keys[..8], &status[..8]), (&header(8)[..], &header(48)[..]));
    prop_assert_eq!((read_keys, descriptors), model.full_status());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_sequence_of_orders_comes_to_what_the_standard_says(
        acts in prop::collection::vec(acts(), 1..60),
    ) {
        let (rig, mut model) = (rig(), Model::default());
        for (number, act) in acts.iter().enumerate() {
            let act = &model.meant(act);
            let (sent, expected) = (send(&rig, act), model.act(act));
            prop_assert!(expected.contains(&sent), "{} {:?}: {:?} and not {:?}", number, act, sent, expected);
            let mut aborted: Vec<usize> = rig.quiesced.borrow_mut().drain(..).filter(|(_, aborts)| *aborts)
                .map(|(scope, _)| numbered(scope.nexus.unwrap())).collect();
            aborted.sort_unstable();
            model.aborted.sort_unstable();
            prop_assert_eq!(&aborted, &model.aborted, "{} {:?}", number, act);
            check(&rig, &model)?;
        }
    }
}
