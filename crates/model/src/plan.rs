// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From one model to another, in steps on the running target.
//!
//! Above: the owner of the model, which hands the steps on.  Below: `model`.
//! Never here: how a step is done.
//!
//! The order is such that every step finds what it needs: LUNs go before the target port groups, those
//! before their targets, and what shows a backstore before the backstore; then all comes in the opposite
//! order.
//!
//! LUNs are taken as the guest sees them: an access control list is no step of its own.
//!
//! A thing that was deleted and made again in one transaction, and is the same in every word, is the same
//! thing: no step.  Serial numbers and nexuses are made up anew each time, so this takes an
//! administrator who repeats a serial number by hand.

use crate::{
    AluaGroups, Backstore, BackstoreId, Change, CompletionAffinity, Lun, LunAlua, LunMapping, Model, Place,
    RelativePort, Target, TargetOptions, Tpg, TpgTag, UnitSerial, Wwn,
};
use std::collections::{BTreeMap, BTreeSet};

/// One thing to do on the running target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stop showing a LUN.
    UnmapLun {
        /// In which target.
        wwn: Wwn,
        /// In which target port group.
        tag: TpgTag,
        /// The number.
        lun: Lun,
    },
    /// Remove a target port group, which has no LUN any more.
    RemoveTpg {
        /// From which target.
        wwn: Wwn,
        /// Its tag.
        tag: TpgTag,
    },
    /// Remove a target, which has no target port group any more, and its socket.
    RemoveTarget(Wwn),
    /// Close a backstore, which no LUN shows any more.
    CloseBackstore(BackstoreId),
    /// Open a backstore.
    OpenBackstore(Backstore),
    /// Take over the attributes of an open backstore.
    UpdateBackstore(Backstore),
    /// Take note of what a guest has saved of an open backstore.  It is in force already for the guest that asked, which
    /// tells the others.
    SelectModes(Backstore),
    /// Take over the asymmetric access of an open backstore.
    SetAlua {
        /// Which backstore.
        backstore: BackstoreId,
        /// All of its target port groups.
        groups: AluaGroups,
        /// The id of its group of logical units.
        lu_group: u16,
    },
    /// Take over the size of an open backstore, and make its file that large where it is not.  What is larger already
    /// stays so.
    ResizeBackstore {
        /// As it is to be.
        backstore: Backstore,
        /// What it had, in bytes: from another size it is another step.
        from_bytes: Option<u64>,
    },
    /// Take over the smaller size of an open backstore, and cut its file once nobody is under way beyond.
    ShrinkBackstore {
        /// As it is to be.
        backstore: Backstore,
        /// What it had, in bytes.
        from_bytes: Option<u64>,
    },
    /// Make a target without target port groups, and its socket.
    CreateTarget(Wwn),
    /// Take over the options of a target, for front ends that connect from now on.
    SetOptions {
        /// Of which target.
        wwn: Wwn,
        /// All of them.
        options: TargetOptions,
    },
    /// Take over where commands are to complete: for LIO, for nobody else heeds it.
    SetCompletionAffinity {
        /// Of which target.
        wwn: Wwn,
        /// Where.
        affinity: CompletionAffinity,
    },
    /// Make a target port group without LUNs.
    CreateTpg {
        /// In which target.
        wwn: Wwn,
        /// Its tag.
        tag: TpgTag,
        /// The initiator's name that stands for the guest.
        nexus: Wwn,
        /// What its port is called.
        relative_port: RelativePort,
    },
    /// Show an open backstore.
    MapLun {
        /// In which target.
        wwn: Wwn,
        /// In which target port group.
        tag: TpgTag,
        /// The number, which is free.
        lun: Lun,
        /// What to show.
        backstore: BackstoreId,
        /// Whether this mapping refuses writes.
        write_protect: bool,
    },
    /// Take over the asymmetric access of a LUN.
    SetLunAlua {
        /// Which LUN.
        place: Place,
        /// All of it.
        alua: LunAlua,
    },
}

/// The steps that turn a target running as `old` into one running as `new`.  Nothing shrinks.
#[must_use]
pub fn plan(old: &Model, new: &Model) -> Vec<Step> {
    plan_by(old, new, &[])
}

/// The steps that turn a target running as `old` into one running as `new`, as `changes` have asked for: what shrinks is
/// in none of the two models.
#[must_use]
pub fn plan_by(old: &Model, new: &Model, changes: &[Change]) -> Vec<Step> {
    let shrinks: BTreeSet<&BackstoreId> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Resize { backstore, shrink: true, size_bytes: _ } => Some(backstore),
            _ => None,
        })
        .collect();
    let selected: BTreeSet<&UnitSerial> = changes
        .iter()
        .filter_map(|change| match change {
            Change::SelectModes { serial, saved: _ } => Some(serial),
            _ => None,
        })
        .collect();
    let reopened: BTreeSet<&BackstoreId> = old
        .backstores
        .iter()
        .filter(|(id, was)| {
            new.backstores.get(*id).is_some_and(|is| must_reopen(was, is, shrinks.contains(*id)))
        })
        .map(|(id, _)| id)
        .collect();
    let mut steps = Vec::new();
    removals(old, new, &reopened, &mut steps);
    backstores(old, new, &reopened, (&shrinks, &selected), &mut steps);
    additions(old, new, &reopened, &mut steps);
    steps
}

/// Whether it says something else of itself than it did.
fn says_otherwise(was: &Backstore, is: &Backstore) -> bool {
    is_set_otherwise(was, is) || was.selected() != is.selected()
}

/// Whether the administrator had it say something else.
fn is_set_otherwise(was: &Backstore, is: &Backstore) -> bool {
    was.attributes() != is.attributes() || was.identity() != is.identity()
}

fn must_reopen(was: &Backstore, is: &Backstore, shrinks: bool) -> bool {
    let is_other = if shrinks {
        // What is smaller is the same if it would be so the other way round.
        is.medium.is_other_than(&was.medium) && was.medium.is_other_than(&is.medium)
    } else {
        was.medium.is_other_than(&is.medium)
    };
    was.unit_serial != is.unit_serial || is_other
}

fn removals(old: &Model, new: &Model, reopened: &BTreeSet<&BackstoreId>, steps: &mut Vec<Step>) {
    let (mut tpgs, mut targets) = (Vec::new(), Vec::new());
    for (wwn, target) in &old.targets {
        for (tag, tpg) in &target.tpgs {
            let kept = kept_tpg(new, wwn, *tag, tpg);
            let (seen, still) = (tpg.seen(), kept.map(Tpg::seen).unwrap_or_default());
            for (lun, mapping) in &seen {
                let same = still.get(lun).is_some_and(|is| shows_same(mapping, is));
                if !same || reopened.contains(&mapping.backstore) {
                    steps.push(Step::UnmapLun { wwn: wwn.clone(), tag: *tag, lun: *lun });
                }
            }
            if kept.is_none() {
                tpgs.push(Step::RemoveTpg { wwn: wwn.clone(), tag: *tag });
            }
        }
        if !new.targets.contains_key(wwn) {
            targets.push(Step::RemoveTarget(wwn.clone()));
        }
    }
    steps.append(&mut tpgs);
    steps.append(&mut targets);
}

fn backstores(
    old: &Model,
    new: &Model,
    reopened: &BTreeSet<&BackstoreId>,
    (shrinks, selected): (&BTreeSet<&BackstoreId>, &BTreeSet<&UnitSerial>),
    steps: &mut Vec<Step>,
) {
    for id in old.backstores.keys() {
        if reopened.contains(id) || !new.backstores.contains_key(id) {
            steps.push(Step::CloseBackstore(id.clone()));
        }
    }
    for (id, is) in &new.backstores {
        match old.backstores.get(id) {
            Some(was) if !reopened.contains(id) => {
                if says_otherwise(was, is) {
                    let by_guest = selected.contains(&is.unit_serial) && !is_set_otherwise(was, is);
                    let step = if by_guest { Step::SelectModes } else { Step::UpdateBackstore };
                    steps.push(step(is.clone()));
                }
                let (size, from_bytes) = (is.medium.size_bytes(), was.medium.size_bytes());
                if size.is_some() && from_bytes != size {
                    let backstore = is.clone();
                    steps.push(if shrinks.contains(id) && size < from_bytes {
                        Step::ShrinkBackstore { backstore, from_bytes }
                    } else {
                        Step::ResizeBackstore { backstore, from_bytes }
                    });
                }
            }
            _ => steps.push(Step::OpenBackstore(is.clone())),
        }
    }
    let at_first = AluaGroups::default();
    for (id, is) in &new.backstores {
        let was = old.backstores.get(id).filter(|_| !reopened.contains(id));
        let before = was.map_or((&at_first, 0), |was| (&was.alua, old.lu_group_id(&was.lu_group)));
        let lu_group = new.lu_group_id(&is.lu_group);
        if before != (&is.alua, lu_group) {
            steps.push(Step::SetAlua { backstore: id.clone(), groups: is.alua.clone(), lu_group });
        }
    }
}

fn additions(old: &Model, new: &Model, reopened: &BTreeSet<&BackstoreId>, steps: &mut Vec<Step>) {
    let (mut tpgs, mut luns, mut access) = (Vec::new(), Vec::new(), Vec::new());
    for (wwn, target) in &new.targets {
        if !old.targets.contains_key(wwn) {
            steps.push(Step::CreateTarget(wwn.clone()));
        }
        let before = old.targets.get(wwn).map(|was| was.options.clone()).unwrap_or_default();
        if before != target.options {
            steps.push(Step::SetOptions { wwn: wwn.clone(), options: target.options.clone() });
        }
        let before = old.targets.get(wwn).map(|was| was.completion_affinity).unwrap_or_default();
        if before != target.completion_affinity {
            let affinity = target.completion_affinity;
            steps.push(Step::SetCompletionAffinity { wwn: wwn.clone(), affinity });
        }
        for (tag, tpg) in &target.tpgs {
            let kept = kept_tpg(old, wwn, *tag, tpg);
            if kept.is_none() {
                let Tpg { nexus, relative_port, luns: _, acls: _ } = tpg.clone();
                tpgs.push(Step::CreateTpg { wwn: wwn.clone(), tag: *tag, nexus, relative_port });
            }
            let (seen, before) = (tpg.seen(), kept.map(Tpg::seen).unwrap_or_default());
            for (lun, mapping) in &seen {
                let same = before.get(lun).is_some_and(|was| shows_same(was, mapping));
                let was = before.get(lun).filter(|_| same && !reopened.contains(&mapping.backstore));
                if was.map(|was| was.alua.clone()).unwrap_or_default() != mapping.alua {
                    let place = Place { wwn: wwn.clone(), tag: *tag, lun: *lun };
                    access.push(Step::SetLunAlua { place, alua: mapping.alua.clone() });
                }
                if !same || reopened.contains(&mapping.backstore) {
                    let LunMapping { backstore, alias: _, write_protect, alua: _ } = mapping.clone();
                    luns.push(Step::MapLun {
                        wwn: wwn.clone(),
                        tag: *tag,
                        lun: *lun,
                        backstore,
                        write_protect,
                    });
                }
            }
        }
    }
    steps.append(&mut tpgs);
    steps.append(&mut luns);
    steps.append(&mut access);
}

/// The target port group in the other model that is the same one.
fn kept_tpg<'a>(other: &'a Model, wwn: &Wwn, tag: TpgTag, tpg: &Tpg) -> Option<&'a Tpg> {
    let tpgs: &BTreeMap<TpgTag, Tpg> = other.targets.get(wwn).map(|Target { tpgs, .. }| tpgs)?;
    tpgs.get(&tag).filter(|same| same.nexus == tpg.nexus && same.relative_port == tpg.relative_port)
}

/// Guests never see an alias.
fn shows_same(one: &LunMapping, other: &LunMapping) -> bool {
    one.backstore == other.backstore && one.write_protect == other.write_protect
}
