// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What runs now: open backstores, targets, and the maps that guests see.
//!
//! Above: `running`, which holds the lock.
//! Below: `target`, `vhost-scsi`.
//! Never here: opening, or waiting.

mod gone; // what nexuses took that are there no more
mod shown; // what nexuses are shown of asymmetric access
mod sizes; // other sizes, and the space below
mod sockets; // where front ends come in
mod steps; // what each step makes of it

pub(super) use gone::Gone;
use gone::Leaving;

use super::Farewell;
use super::access::{Access, LunAccess};
use super::fault::beyond_medium;
use super::medium::{HandedOver, Opened};
use super::memories::{Counting, Memories};
use super::offer::offer;
use crate::machine::{Countable, Fault, Live, LiveBackstore, LiveTarget, Rest, Statistics};
use crate::store::Units;
use backstore::HostLock;
use model::{Backstore, BackstoreId, IdentityKey, Key, Kind, Lun, Step, TpgTag, Wwn};
use scsi::inquiry::Identity;
use scsi::mode::UaInterlock;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use target::{
    Attentions, Group, LogicalUnit, LunMap, Mapping, MediaWishes, Nexus, Readiness, Reservations,
    SanitizeWork, Scarcity, Tally, UnitFlags,
};
use vhost_scsi::{Endpoint, Left, MapChange, Scope, TargetPort, Undrained};

/// The logical block of a medium that says nothing, in bytes.
const BLOCK_BYTES: u32 = 512;

#[derive(Default)]
pub(super) struct State {
    units: BTreeMap<BackstoreId, Unit>,
    /// How many ever were, to number them.
    units_opened: u64,
    /// How many media were to be cut, to number those cuts.
    cuts: u64,
    targets: BTreeMap<Wwn, Target>,
    /// Targets whose map is to be published anew.
    changed: BTreeSet<Wwn>,
    /// What targets whose rings run are not shown, because another process has locked it.
    withheld: BTreeSet<(Wwn, BackstoreId)>,
    /// What was opened and had not the size that was last known.
    resized: BTreeSet<BackstoreId>,
    /// What the change under way has still to wait for.
    rest: Vec<Rest>,
    /// What is to be waited for after the next [`State::publish`].
    left: Vec<Farewell>,
    /// Nexuses that are there no more, or not at all units where they were.
    leaving: Leaving,
    /// What units remember, by serial number.
    memories: Memories,
    /// What is known of asymmetric access.
    pub(super) access: Access,
    /// Whether nobody is let in any more.
    is_ending: bool,
    /// Whom [`State::tell_access`] has to tell.
    untold: Vec<Arc<Attentions>>,
}

struct Unit {
    backstore: Backstore,
    opened: Opened,
    logical_unit: Arc<LogicalUnit>,
    /// What its ways count under.
    number: u64,
    /// Which cut it waits for, while it shows less than its medium has.
    cutting: Option<u64>,
    /// What was seen of the space below it.
    scarcity: Scarcity,
}

struct Target {
    port: Arc<TargetPort>,
    /// Absent between a target's first step and the moment its map is whole, and longer where something was in the place of
    /// its socket when the daemon started.
    endpoint: Option<Endpoint>,
    /// What is there.
    socket_fault: Option<String>,
    /// Where a guest that was here before a restart has seen another size.
    resized: Vec<(u8, scsi::Lun)>,
    tpgs: BTreeMap<TpgTag, Tpg>,
}

struct Tpg {
    nexus: Arc<Nexus>,
    luns: BTreeMap<Lun, Shown>,
}

/// What a LUN shows.
struct Shown {
    backstore: BackstoreId,
    write_protect: bool,
    /// What the nexus has to be told about it: as long as the LUN shows the same, whatever map it is in.
    attentions: Arc<Attentions>,
    access: LunAccess,
    /// What was asked by it, likewise.
    tally: Arc<Tally>,
}

impl Target {
    /// Where it shows any of these.
    fn luns_of(&self, shown: &BTreeSet<BackstoreId>) -> Vec<(u8, scsi::Lun)> {
        let luns = self.tpgs.iter().flat_map(|(tag, tpg)| tpg.luns.iter().map(move |lun| (tag, lun)));
        let these = luns.filter(|(_, (_, lun))| shown.contains(&lun.backstore));
        these.filter_map(|(tag, (lun, _))| Some((tag.get(), scsi::Lun::new(lun.get())?))).collect()
    }
}

impl State {
    /// Nothing runs yet, and units remember this.
    pub(super) fn remembering(units: Units) -> Self {
        Self { memories: Memories::new(units), ..Self::default() }
    }

    /// All that was configured when the daemon started is there, so that what comes now is new.
    pub(super) fn have_power(&mut self) {
        self.memories.have_power();
    }

    pub(super) fn is_connected(&self, wwn: &Wwn) -> bool {
        self.targets.get(wwn).is_some_and(|target| target.port.connections() > 0)
    }

    /// Whether rings of a target run, which may lead only to what is locked.
    pub(super) fn is_running(&self, wwn: &Wwn) -> bool {
        self.targets.get(wwn).is_some_and(|target| target.port.is_running())
    }

    /// The lock of a backstore, where it is open and has one.
    pub(super) fn host_lock(&self, id: &BackstoreId) -> Option<Arc<HostLock>> {
        self.units.get(id)?.opened.host_lock().cloned()
    }

    /// Refuses a logical block that the open medium cannot read or write by itself, and what is asked of space beyond what it
    /// can.
    pub(super) fn must_fit(&self, backstore: &Backstore) -> Result<(), Fault> {
        let Some(unit) = self.units.get(&backstore.id()) else { return Ok(()) };
        let is_new = |key: &Key| backstore.is_wanted(*key) && !unit.backstore.is_wanted(*key);
        if let Some(key) = unit.opened.beyond().find(is_new) {
            return Err(beyond_medium(&backstore.id(), key));
        }
        unit.opened.must_hold_blocks_of(backstore)
    }

    /// The open medium of a backstore that these steps close, for one that they open on the same file or
    /// device: it is locked by ourselves until they are committed, and cannot be opened a second time.
    /// `there` is what the path of the wanted one leads to.
    pub(super) fn hand_over(
        &self,
        steps: &[Step],
        wanted: &Backstore,
        there: &Metadata,
    ) -> Option<HandedOver> {
        let closed = steps.iter().filter_map(|step| match step {
            Step::CloseBackstore(id) => self.units.get(id),
            _ => None,
        });
        closed.into_iter().find_map(|unit| unit.opened.handed_over(&unit.backstore, wanted, there))
    }

    /// The target, whose map will be published anew.
    fn target(&mut self, wwn: &Wwn) -> Option<&mut Target> {
        self.changed.insert(wwn.clone());
        self.targets.get_mut(wwn)
    }

    /// Which attributes these steps set, which have to count before the steps are taken: that waits for a disk, and whoever
    /// holds the state must not.
    pub(super) fn to_count(&self, steps: &[Step]) -> Vec<Counting> {
        let sets = |step: &Step| {
            let Step::UpdateBackstore(is) = step else { return None };
            let unit = self.units.get(&is.id())?;
            let (was, unit) = (unit.backstore.clone(), Arc::clone(&unit.logical_unit.state));
            Some(Counting { was, is: is.clone(), unit })
        };
        steps.iter().filter_map(sets).collect()
    }

    fn update(&mut self, backstore: &Backstore) -> Option<Farewell> {
        let id = backstore.id();
        let unit = self.units.get_mut(&id)?;
        let write_back = backstore.is_own_on(Key::EmulateWriteCache);
        let last = if backstore.kind() == Kind::Fileio
            && write_back != unit.backstore.is_own_on(Key::EmulateWriteCache)
        {
            let other = unit.opened.with_write_back(write_back);
            farewell(std::mem::replace(&mut unit.opened, other))
        } else {
            None
        };
        unit.backstore = unit.opened.fitted(backstore);
        unit.logical_unit = self.memories.remembering(logical_unit(&unit.backstore, &unit.opened));
        self.mark_shown(&id);
        last
    }

    /// Marks the targets that show a backstore.
    fn mark_shown(&mut self, id: &BackstoreId) {
        for (wwn, target) in &self.targets {
            if target.tpgs.values().any(|tpg| tpg.luns.values().any(|shown| shown.backstore == *id)) {
                self.changed.insert(wwn.clone());
            }
        }
    }

    /// The backstores whose file or device is not there.
    pub(super) fn missing(&self) -> Vec<Backstore> {
        let missing = self.units.values().filter(|unit| unit.opened.store.is_none());
        missing.map(|unit| unit.backstore.clone()).collect()
    }

    /// Serves a backstore that was missing and has been opened.  Returns whether it was still wanted so.
    pub(super) fn appear(&mut self, backstore: &Backstore, mut opened: Opened) -> bool {
        let id = backstore.id();
        let Some(unit) = self.units.get_mut(&id) else { return false };
        if unit.opened.store.is_some() || unit.backstore != *backstore {
            return false;
        }
        // It may be another than was there before, and can do something else.
        unit.backstore = opened.fitted(backstore);
        unit.logical_unit = self.memories.remembering(logical_unit(&unit.backstore, &opened));
        opened.belongs_to(&unit.logical_unit);
        unit.opened = opened;
        self.mark_shown(&id);
        // Nothing of a target is left behind by what it is shown anew.
        let farewells = self.publish();
        self.left = farewells;
        true
    }

    /// What could be said of an open medium and it cannot do.
    pub(super) fn limits(&self, id: &BackstoreId) -> Option<Vec<Key>> {
        let opened = &self.units.get(id)?.opened;
        opened.store.is_some().then(|| opened.beyond().collect())
    }

    /// Takes note of whether what is missing does not answer, or is not there.
    pub(super) fn note_hang(&mut self, backstore: &Backstore, hangs: bool) {
        let id = backstore.id();
        let Some(unit) = self.units.get_mut(&id).filter(|unit| unit.opened.store.is_none()) else { return };
        if unit.opened.hangs() == hangs || unit.backstore != *backstore {
            return;
        }
        unit.opened = unit.opened.lost(hangs);
        unit.logical_unit = unit.not_ready(hangs);
        self.mark_shown(&id);
        let farewells = self.publish();
        self.left = farewells;
    }

    /// The SANITIZE that another process has begun and nobody goes on with, of each open backstore.
    pub(super) fn left_behind(&self) -> Vec<(BackstoreId, SanitizeWork)> {
        let open = self.units.iter().filter_map(|(id, unit)| Some((id, unit, unit.opened.store.as_ref()?)));
        let left = open.filter_map(|(id, unit, store)| {
            let medium = Arc::clone(&store.backstore);
            Some((id.clone(), SanitizeWork::left_behind(&unit.logical_unit.state, medium)?))
        });
        left.collect()
    }

    /// Gives up a medium that is gone.  `None` where another has been opened meanwhile.
    pub(super) fn lose(
        &mut self,
        id: &BackstoreId,
        medium: &Weak<dyn backstore::Backstore>,
    ) -> Option<Vec<Farewell>> {
        let unit = self.units.get_mut(id)?;
        unit.opened.store.as_ref().filter(|store| is_of(store, medium))?;
        let lost = unit.opened.lost(false);
        let old = std::mem::replace(&mut unit.opened, lost);
        (unit.cutting, unit.scarcity) = (None, Scarcity::default());
        // What it said of itself stays said: guests hear that it is not ready and that its capacity has gone, and not that
        // it has become another.
        unit.logical_unit = unit.not_ready(false);
        self.mark_shown(id);
        let mut farewells: Vec<_> = farewell(old).into_iter().collect();
        farewells.extend(self.publish());
        Some(farewells)
    }

    /// Whether anything is missing, or withheld from a guest.
    pub(super) fn seeks(&self) -> bool {
        !self.withheld.is_empty()
            || self.units.values().any(|unit| unit.opened.store.is_none())
            || self.unserved().next().is_some()
    }

    /// The locks that would let guests see what is withheld from them.
    pub(super) fn withheld(&self) -> Vec<Arc<HostLock>> {
        self.withheld.iter().filter_map(|(_, id)| self.host_lock(id)).collect()
    }

    /// Shows guests what was withheld, where this process has the lock by now.
    pub(super) fn show_withheld(&mut self) -> Vec<Farewell> {
        self.changed.extend(self.withheld.iter().map(|(wwn, _)| wwn.clone()));
        self.publish()
    }

    /// Shows guests what the steps made.  Returns what has to be waited for before it is unlocked.
    pub(super) fn publish(&mut self) -> Vec<Farewell> {
        self.show_access();
        for wwn in std::mem::take(&mut self.changed) {
            let before = self.withheld.clone();
            self.withheld.retain(|(of, _)| *of != wwn);
            let Some(target) = self.targets.get(&wwn) else { continue };
            let mut change = target.port.change_map();
            let (map, withheld) = self.map_of(target, &mut change);
            let left = change.publish(map).into_iter().map(|left| unlock_later(&target.port, left));
            self.left.extend(left);
            for id in withheld {
                if !before.contains(&(wwn.clone(), id.clone())) {
                    tracing::warn!(
                        "{id} is not shown to the guest of {wwn}: another process has locked it; look for another \
                         lunard, or QEMU with the image"
                    );
                }
                self.withheld.insert((wwn.clone(), id));
            }
        }
        self.tell_access();
        self.memories.forget_unused();
        std::mem::take(&mut self.left)
    }

    /// What a target shows, and what it has to withhold.
    fn map_of(&self, target: &Target, change: &mut MapChange<'_>) -> (LunMap, Vec<BackstoreId>) {
        let (mut map, mut withheld) = (LunMap::default(), Vec::new());
        for (tag, tpg) in &target.tpgs {
            let units = tpg.luns.iter().filter_map(|(lun, shown)| {
                let id = &shown.backstore;
                let unit = self.units.get(id)?;
                let unit = match &unit.opened.store {
                    Some(store) if !change.may_show(store) => {
                        withheld.push(id.clone());
                        unit.not_ready(false)
                    }
                    _ => Arc::clone(&unit.logical_unit),
                };
                let mut mapping = Mapping::counted(unit, shown.write_protect, Arc::clone(&shown.tally));
                if let Some(membership) = &shown.access.membership {
                    mapping = mapping.in_group(membership.clone());
                }
                Some((scsi::Lun::new(lun.get())?, mapping.telling(Arc::clone(&shown.attentions))))
            });
            map.insert(tag.get(), Group::new(Arc::clone(&tpg.nexus), units));
        }
        (map, withheld)
    }

    /// What was under way at the end, in one line.
    pub(super) fn what_is_left(&self, undrained: &Undrained) -> Option<String> {
        let Undrained { commands, silent } = undrained;
        let name = |store: u64| {
            let is_it = |unit: &Unit| unit.opened.store.as_ref().is_some_and(|open| open.id == store);
            let found = self.units.iter().find(|(_, unit)| is_it(unit));
            found.map_or_else(|| "a storage object that was deleted".to_owned(), |(id, _)| id.to_string())
        };
        let mut left: Vec<String> =
            commands.iter().map(|(&store, count)| format!("{count} on {}", name(store))).collect();
        left.extend(silent.iter().map(|number| format!("what reactor-{number} has, which does not answer")));
        (!left.is_empty()).then(|| format!("commands were left for the next lunard: {}", left.join(", ")))
    }

    pub(super) fn counted(&self, of: &Countable) -> Option<Statistics> {
        match of {
            Countable::Backstore(id) => {
                let unit = self.units.get(id)?;
                let tallies = unit.logical_unit.state.tallies();
                Some(Statistics { asked: tallies.of(unit.number), managed: tallies.managed() })
            }
            Countable::Lun(place) => {
                let tpg = self.targets.get(&place.wwn)?.tpgs.get(&place.tag)?;
                let shown = tpg.luns.get(&place.lun)?;
                let unit = self.units.get(&shown.backstore)?;
                let managed = unit.logical_unit.state.tallies().managed();
                Some(Statistics { asked: shown.tally.totals(), managed })
            }
        }
    }

    pub(super) fn live(&self, socket: impl Fn(&Wwn) -> PathBuf) -> Live {
        let backstores = self.units.iter().map(|(id, unit)| (id.clone(), unit.live(&self.access))).collect();
        let targets = self.targets.iter().map(|(wwn, target)| {
            let connected = target.port.connections() > 0;
            let socket_fault = target.socket_fault.clone();
            (wwn.clone(), LiveTarget { socket: socket(wwn), socket_fault, connected, waiting: Vec::new() })
        });
        Live { backstores, targets: targets.collect() }
    }

    /// A backstore as guests see it.
    pub(super) fn unit(&self, id: &BackstoreId) -> Option<Arc<LogicalUnit>> {
        self.units.get(id).map(|unit| Arc::clone(&unit.logical_unit))
    }

    pub(super) fn live_backstore(&self, id: &BackstoreId) -> Option<LiveBackstore> {
        self.units.get(id).map(|unit| unit.live(&self.access))
    }

    pub(super) fn connected(&self, wwn: &Wwn) -> bool {
        self.targets.get(wwn).is_some_and(|target| target.port.connections() > 0)
    }

    pub(super) fn reservations(&self, id: &BackstoreId) -> Option<Reservations> {
        let record = self.units.get(id)?.logical_unit.state.record();
        (record.reservations != Reservations::default()).then(|| record.reservations.clone())
    }
}

impl Unit {
    /// The unit as a guest sees it while another process has its medium, or while that is gone; `is_opening` where it is worth
    /// to wait.
    fn not_ready(&self, is_opening: bool) -> Arc<LogicalUnit> {
        let unit = &*self.logical_unit;
        let LogicalUnit { identity, identifying_text, geometry, flags, state, .. } = unit;
        let mut missing = LogicalUnit::missing(identity.clone(), geometry.block_bytes, *flags);
        missing.identifying_text.clone_from(identifying_text);
        (missing.media, missing.is_opening) = (unit.media, is_opening);
        (missing.granularity_blocks, missing.optimal_blocks) = (unit.granularity_blocks, unit.optimal_blocks);
        Arc::new(missing.remembering(Arc::clone(state)))
    }

    fn live(&self, access: &Access) -> LiveBackstore {
        let flags = self.logical_unit.flags;
        let known = self.backstore.medium.size_bytes().unwrap_or(0);
        let open = self.opened.store.as_ref();
        LiveBackstore {
            size_bytes: open.map_or(known, |store| store.backstore.geometry().bytes),
            block_bytes: self.logical_unit.geometry.block_bytes,
            read_only: flags.read_only,
            write_back: self.logical_unit.modes().write_cache,
            missing: open.is_none(),
            ejected: self.logical_unit.state.readiness() == Readiness::Ejected,
            stopped: self.logical_unit.state.readiness() == Readiness::Stopped,
            physical_block_bytes: self.logical_unit.geometry.physical_block_bytes(),
            device: self.opened.device.clone(),
            space: self.space(),
            transitioning: access.transitioning(&self.backstore.unit_serial).collect(),
        }
    }
}

/// Lets go of the lock of what a target shows no more when its last I/O there has ended.
fn unlock_later(port: &TargetPort, left: Left) -> Farewell {
    let scope = Scope { port: Some(port.id()), store: Some(left.store), ..Scope::default() };
    Farewell { hold: Some(left.hold), ..Farewell::of(scope) }
}

/// Whether that is its medium.
fn is_of(store: &target::Store, medium: &Weak<dyn backstore::Backstore>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(&store.backstore), medium.as_ptr())
}

/// What to wait for before a medium may close.
fn farewell(opened: Opened) -> Option<Farewell> {
    let store = opened.store.as_ref()?.id;
    let scope = Scope { store: Some(store), ..Scope::default() };
    Some(Farewell { close: Some(store), last: Some(opened), ..Farewell::of(scope) })
}

fn logical_unit(backstore: &Backstore, opened: &Opened) -> LogicalUnit {
    let identity = Identity {
        vendor: Identity::ascii_field(&backstore.identity_text(IdentityKey::VendorId)),
        product: Identity::ascii_field(&backstore.identity_text(IdentityKey::ProductId)),
        revision: Identity::ascii_field(&backstore.identity_text(IdentityKey::Revision)),
        unit_serial: backstore.unit_serial.to_string(),
        company_id: backstore.company_id(),
    };
    let known = opened.known();
    let geometry = known.as_ref().map(|(geometry, _)| geometry);
    let flags = UnitFlags {
        write_cache: backstore
            .write_back()
            .unwrap_or_else(|| geometry.is_some_and(|below| below.write_cache)),
        fua_write: backstore.is_on(Key::EmulateFuaWrite),
        solid_state: backstore
            .attribute(Key::IsNonrot)
            .map_or_else(|| geometry.is_some_and(|below| !below.rotational), |value| value != 0),
        read_only: false,
        removable: backstore.is_on(Key::EmulateRemovable),
        tas: backstore.is_own_on(Key::EmulateTas),
        ua_interlock: match backstore.own_attribute(Key::EmulateUaIntlckCtrl) {
            Some(1) => UaInterlock::Keep,
            Some(2) => UaInterlock::KeepAndEstablish,
            _ => UaInterlock::Clear,
        },
        report_supported_operation_codes: backstore.is_on(Key::EmulateRsoc),
        reservations: backstore.is_on(Key::EmulatePr),
        force_registrations_to_outlast_power: backstore.is_on(Key::ForcePrAptpl),
    };
    let block_bytes =
        backstore.block_bytes().or(geometry.map(|below| below.block_bytes)).unwrap_or(BLOCK_BYTES);
    let mut unit = match (opened.store.clone(), &known) {
        (Some(store), _) => LogicalUnit::new(store, identity, block_bytes, flags),
        (None, Some((geometry, abilities))) => {
            LogicalUnit::on(geometry, *abilities, identity, block_bytes, flags)
        }
        (None, None) => LogicalUnit::missing(identity, block_bytes, flags),
    };
    unit.identifying_text = backstore.identity_text(IdentityKey::PdTextIdInfo);
    unit.is_opening = opened.hangs();
    if known.is_none() {
        return unit;
    }
    unit = unit.with_media(&media_wishes(backstore));
    if let Some(bytes) = backstore.physical_block_bytes() {
        unit = unit.with_physical_blocks(bytes);
    }
    if let Some(optimal) = backstore.attribute(Key::OptimalSectors) {
        unit.optimal_blocks = optimal;
    }
    if unit.store.is_some() { unit } else { unit.without_blocks() }
}

/// What the administrator set of what a unit does beyond reading and writing.
fn media_wishes(backstore: &Backstore) -> MediaWishes {
    let switch = |key| Some(backstore.is_on(key));
    let number = |key| backstore.attribute(key).unwrap_or(0);
    MediaWishes {
        unmap: switch(Key::EmulateTpu),
        write_same_unmaps: switch(Key::EmulateTpws),
        unmapped_reads_zero: switch(Key::UnmapZeroesData),
        compare_and_write: switch(Key::EmulateCaw),
        third_party_copy: switch(Key::Emulate3pc),
        unmap_blocks_max: number(Key::MaxUnmapLbaCount),
        unmap_descriptors_max: number(Key::MaxUnmapBlockDescCount),
        unmap_granularity_blocks: number(Key::UnmapGranularity),
        unmap_alignment_blocks: number(Key::UnmapGranularityAlignment),
        write_same_blocks_max: number(Key::MaxWriteSameLen),
    }
}
