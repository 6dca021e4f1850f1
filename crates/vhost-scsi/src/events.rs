// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest is told without having asked: the events of virtio 1.2, 5.6.6.3.
//!
//! Above: `holds` finds out what a new map means to a guest; `port` knows where its event queue runs; `queue` fills
//! the guest's buffers.
//! Below: `target`'s maps.
//! Never here: a ring.
//!
//! What cannot be told yet is kept in order, at most [`PENDING_MAX`] of it.  What is too much is forgotten, and the
//! next event says that others were missed, upon which a guest looks at everything anew.

use scsi::Sense;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use target::{LogicalUnit, LunMap, Mapping};

/// Bytes of an event.
pub(crate) const EVENT_BYTES: usize = 16;
/// Events kept for one guest, as many as LIO keeps.
pub(crate) const PENDING_MAX: usize = 128;

/// VIRTIO_SCSI_F_HOTPLUG: the guest wants to hear of units that come and go.
pub(crate) const FEATURE_HOTPLUG: u64 = 1 << 1;
/// VIRTIO_SCSI_F_CHANGE: the guest wants to hear of units that change.
pub(crate) const FEATURE_CHANGE: u64 = 1 << 2;

const NO_EVENT: u32 = 0;
const TRANSPORT_RESET: u32 = 1;
const PARAM_CHANGE: u32 = 3;
const EVENTS_MISSED: u32 = 0x8000_0000;

/// What happened to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It is there now.
    Appeared,
    /// It is there no more.
    Removed,
    /// CAPACITY DATA HAS CHANGED.
    CapacityChanged,
    /// MODE PARAMETERS CHANGED.
    ModeChanged,
    /// INQUIRY DATA HAS CHANGED.
    InquiryChanged,
}

impl Happened {
    /// The feature that a guest must have acknowledged to be told.
    fn feature(self) -> u64 {
        match self {
            Self::Appeared | Self::Removed => FEATURE_HOTPLUG,
            Self::CapacityChanged | Self::ModeChanged | Self::InquiryChanged => FEATURE_CHANGE,
        }
    }

    /// The unit attention that says the same to who does not hear events: at the unit itself, or, of a unit that came
    /// or went, at the others.
    fn attention(self) -> Sense {
        match self {
            Self::Appeared | Self::Removed => Sense::REPORTED_LUNS_DATA_CHANGED,
            Self::CapacityChanged => Sense::CAPACITY_DATA_CHANGED,
            Self::ModeChanged => Sense::MODE_PARAMETERS_CHANGED,
            Self::InquiryChanged => Sense::INQUIRY_DATA_CHANGED,
        }
    }

    /// The fields `event` and `reason`.  Of a change the reason is ASC and ASCQ, as a unit attention has them.
    fn fields(self) -> (u32, u32) {
        match self {
            Self::Appeared => (TRANSPORT_RESET, 1),
            Self::Removed => (TRANSPORT_RESET, 2),
            Self::CapacityChanged => (PARAM_CHANGE, 0x092a),
            Self::ModeChanged => (PARAM_CHANGE, 0x012a),
            Self::InquiryChanged => (PARAM_CHANGE, 0x033f),
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The SCSI target id.
    pub(crate) target: u8,
    pub(crate) lun: scsi::Lun,
    pub(crate) happened: Happened,
}

/// The bytes of an event, or of the news that some were missed and nothing else.
pub(crate) fn encode(event: Option<Event>, missed: bool) -> [u8; EVENT_BYTES] {
    let (code, reason) = event.map_or((NO_EVENT, 0), |event| event.happened.fields());
    let code = if missed { code | EVENTS_MISSED } else { code };
    let address = event.map_or([0; 8], |event| event.lun.field(event.target));
    let mut bytes = [0; EVENT_BYTES];
    bytes[..4].copy_from_slice(&code.to_le_bytes());
    bytes[4..12].copy_from_slice(&address);
    bytes[12..].copy_from_slice(&reason.to_le_bytes());
    bytes
}

/// Events that a guest has not been told, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    events: VecDeque<Event>,
    /// Whether others were, or may have been, missed.
    pub(crate) missed: bool,
}

impl Pending {
    /// Nothing but that others may have been missed, if that is so.
    pub(crate) fn after(missed: bool) -> Self {
        Self { missed, ..Self::default() }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.missed
    }

    /// How many buffers it takes to say it.
    pub(crate) fn buffers(&self) -> usize {
        self.events.len().max(usize::from(self.missed))
    }

    /// The next to say.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn push(&mut self, event: Event) {
        let of_unit = |other: &&Event| (other.target, other.lun) == (event.target, event.lun);
        // What is the last word on a unit already need not be said twice.
        if self.events.iter().rev().find(of_unit) == Some(&event) {
            return;
        }
        if self.events.len() < PENDING_MAX {
            self.events.push_back(event);
        } else {
            self.missed = true;
        }
    }

    /// Adds what came later.
    pub(crate) fn append(&mut self, later: Self) {
        self.missed |= later.missed;
        later.events.into_iter().for_each(|event| self.push(event));
    }

    /// Forgets what a guest that acknowledged `features` is not to be told.
    pub(crate) fn retain_for(&mut self, features: u64) {
        self.events.retain(|event| features & event.happened.feature() != 0);
        self.missed &= features & (FEATURE_HOTPLUG | FEATURE_CHANGE) != 0;
    }
}

impl FromIterator<Event> for Pending {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut pending = Self::default();
        events.into_iter().for_each(|event| pending.push(event));
        pending
    }
}

type Units<'a> = BTreeMap<(u8, scsi::Lun), &'a Mapping>;

fn units(map: &LunMap) -> Units<'_> {
    let mappings = map
        .groups()
        .flat_map(|(target, group)| group.mappings().map(move |(lun, mapping)| ((target, lun), mapping)));
    mappings.collect()
}

/// What it means to a guest that `new` is shown and no more `old`: what went, what changed, what came.
pub(crate) fn between(old: &LunMap, new: &LunMap) -> Vec<Event> {
    let (old, new) = (units(old), units(new));
    let mut events = Vec::new();
    let mut tell = |&(target, lun): &(u8, scsi::Lun), happened| events.push(Event { target, lun, happened });
    for (place, was) in &old {
        if new.get(place).is_none_or(|is| !is_same(&was.unit, &is.unit)) {
            tell(place, Happened::Removed);
        }
    }
    for (place, is) in &new {
        match old.get(place).filter(|was| is_same(&was.unit, &is.unit)) {
            Some(was) => changes(was, is).for_each(|happened| tell(place, happened)),
            None => tell(place, Happened::Appeared),
        }
    }
    events
}

/// Establishes the unit attentions that go with the events between two maps.
pub(crate) fn establish(events: &[Event], old: &LunMap, new: &LunMap) {
    let (before, now) = (units(old), units(new));
    let stays = |place: &(u8, scsi::Lun), is: &Mapping| {
        before.get(place).is_some_and(|was| is_same(&was.unit, &is.unit))
    };
    for event in events {
        let condition = event.happened.attention();
        match event.happened {
            Happened::Appeared | Happened::Removed => {
                let others = now.iter().filter(|((target, _), _)| *target == event.target);
                let others = others.filter(|(place, is)| stays(place, is));
                others.for_each(|(_, mapping)| mapping.attentions.establish(condition));
            }
            Happened::CapacityChanged | Happened::ModeChanged | Happened::InquiryChanged => {
                if let Some(mapping) = now.get(&(event.target, event.lun)) {
                    mapping.attentions.establish(condition);
                }
            }
        }
    }
}

/// Takes back what a guest that has just begun to look around needs not to be told.
pub(crate) fn forget(map: &LunMap) {
    for mapping in units(map).values() {
        for condition in [
            Sense::REPORTED_LUNS_DATA_CHANGED,
            Sense::CAPACITY_DATA_CHANGED,
            Sense::MODE_PARAMETERS_CHANGED,
            Sense::INQUIRY_DATA_CHANGED,
        ] {
            mapping.attentions.clear(condition);
        }
    }
}

/// Units with one serial number are one unit to a guest, whatever they are kept in.
fn is_same(was: &LogicalUnit, is: &LogicalUnit) -> bool {
    was.identity.unit_serial == is.identity.unit_serial
}

fn changes(was: &Mapping, is: &Mapping) -> impl Iterator<Item = Happened> {
    let (before, now) = (&*was.unit, &*is.unit);
    let same = Arc::ptr_eq(&was.unit, &is.unit);
    // LBPME and LBPRZ, which READ CAPACITY (16) has as well.
    let managed = |unit: &LogicalUnit| {
        let provisioning = unit.media.provisioning();
        (provisioning.is_managed(), provisioning.reads_zero())
    };
    // What was not there, and is not yet, has no blocks of which to tell: it does once it is there.
    let is_there = before.store.is_some() || now.store.is_some();
    let capacity = before.geometry != now.geometry
        || before.store.is_some() != now.store.is_some()
        || (is_there && managed(before) != managed(now));
    // D_SENSE too, which follows the capacity.
    let modes = |unit: &LogicalUnit| (unit.own_modes(), unit.flags.fua_write);
    let mode = modes(before) != modes(now);
    let protection = was.refuses_writes() != is.refuses_writes();
    let inquiry = !was.says_as(is);
    [
        (!same && capacity, Happened::CapacityChanged),
        (protection || (!same && mode), Happened::ModeChanged),
        (inquiry, Happened::InquiryChanged),
    ]
    .into_iter()
    .filter_map(|(is_so, happened)| is_so.then_some(happened))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lun: u16, happened: Happened) -> Event {
        Event { target: 1, lun: scsi::Lun::new(lun).unwrap(), happened }
    }

    #[test]
    fn events_have_the_bytes_of_the_standard() {
        let told = |lun, happened| encode(Some(event(lun, happened)), false);
        assert_eq!(told(3, Happened::Appeared), [1, 0, 0, 0, 1, 1, 0, 3, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(told(300, Happened::Removed), [1, 0, 0, 0, 1, 1, 0x41, 0x2c, 0, 0, 0, 0, 2, 0, 0, 0]);
        let changed = |happened| told(0, happened)[12..14].to_vec();
        assert_eq!(told(0, Happened::CapacityChanged)[..4], [3, 0, 0, 0]);
        assert_eq!(changed(Happened::CapacityChanged), [0x2a, 0x09]);
        assert_eq!(changed(Happened::ModeChanged), [0x2a, 0x01]);
        assert_eq!(changed(Happened::InquiryChanged), [0x3f, 0x03]);
        assert_eq!(encode(None, true), [0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(Some(event(3, Happened::Appeared)), true)[..4], [1, 0, 0, 0x80]);
    }

    #[test]
    fn what_is_too_much_is_missed() {
        let mut pending: Pending = (0..128).map(|lun| event(lun, Happened::Appeared)).collect();
        assert!(!pending.missed);
        pending.append([event(128, Happened::Appeared)].into_iter().collect());
        assert!(pending.missed);
        assert_eq!(pending.buffers(), 128);
    }

    #[test]
    fn the_last_word_on_a_unit_is_said_once_and_an_earlier_one_again() {
        let (came, went) = (event(1, Happened::Appeared), event(1, Happened::Removed));
        let mut pending: Pending =
            [came, went, went, came, event(2, Happened::Removed), came].into_iter().collect();
        let told: Vec<Event> = std::iter::from_fn(|| pending.next()).collect();
        assert_eq!(told, [came, went, came, event(2, Happened::Removed)]);
    }

    #[test]
    fn a_guest_is_told_what_it_wants_to_hear() {
        let all = || -> Pending {
            [event(0, Happened::Appeared), event(1, Happened::CapacityChanged)].into_iter().collect()
        };
        let mut hotplug = all();
        hotplug.retain_for(FEATURE_HOTPLUG);
        assert_eq!(hotplug, [event(0, Happened::Appeared)].into_iter().collect());
        let mut change = Pending { missed: true, ..all() };
        change.retain_for(FEATURE_CHANGE);
        assert_eq!(change.next(), Some(event(1, Happened::CapacityChanged)));
        assert!(change.missed);
        let mut neither = Pending { missed: true, ..all() };
        neither.retain_for(0);
        assert!(neither.is_empty());
    }
}
