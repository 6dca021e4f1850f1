// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps between two models: single ones in words, and random ones on a toy target that refuses any
//! step that does not find what it needs.

mod common;

use common::{
    backstore_id, block, create_target, lun, make, map, place, ramdisk, set_option, set_parameter, tag, tpg,
    wwn,
};
use model::{
    AclPlace, AluaGroup, AluaGroupName, AluaGroups, Backstore, BackstoreId, Change, CompletionAffinity, Lun,
    LunAlias, LunAlua, LunAluaSetting, LunMapping, MappedLun, Medium, Model, Place, RelativePort, Step,
    TargetOptions, TpgTag, UnitSerial, Wwn, plan, plan_by,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn furnished() -> Model {
    make([Change::CreateBackstore(ramdisk("r0")), create_target(1, [(1, 1)]), map(1, 1, 0, "ramdisk/r0")])
}

fn after(model: &Model, changes: impl IntoIterator<Item = Change>) -> Model {
    changes.into_iter().fold(model.clone(), |model, change| model.apply(change).unwrap())
}

fn map_step(number: u16, backstore: &str) -> Step {
    let (wwn, tag, lun) = (wwn(1), tag(1), lun(number));
    Step::MapLun { wwn, tag, lun, backstore: backstore_id(backstore), write_protect: false }
}

fn unmap_step(number: u16) -> Step {
    Step::UnmapLun { wwn: wwn(1), tag: tag(1), lun: lun(number) }
}

fn open(model: &Model, id: &str) -> Step {
    Step::OpenBackstore(model.backstores()[&backstore_id(id)].clone())
}

#[test]
fn what_is_built_is_built_from_the_bottom() {
    let model = furnished();
    let create_tpg = Step::CreateTpg {
        wwn: wwn(1),
        tag: tag(1),
        nexus: wwn(1_000_001),
        relative_port: RelativePort::parse(1).unwrap(),
    };
    assert_eq!(
        plan(&Model::default(), &model),
        [open(&model, "ramdisk/r0"), Step::CreateTarget(wwn(1)), create_tpg, map_step(0, "ramdisk/r0")]
    );
}

#[test]
fn what_is_torn_down_is_torn_down_from_the_top() {
    assert_eq!(
        plan(&furnished(), &Model::default()),
        [
            unmap_step(0),
            Step::RemoveTpg { wwn: wwn(1), tag: tag(1) },
            Step::RemoveTarget(wwn(1)),
            Step::CloseBackstore(backstore_id("ramdisk/r0")),
        ]
    );
}

#[test]
fn nothing_changed_is_no_step() {
    assert_eq!(plan(&furnished(), &furnished()), []);
}

#[test]
fn an_attribute_is_an_update_under_the_lun() {
    let set = Change::SetAttribute {
        backstore: backstore_id("ramdisk/r0"),
        attribute: "emulate_fua_write".to_owned(),
        value: "0".to_owned(),
    };
    let model = after(&furnished(), [set]);
    let updated = model.backstores()[&backstore_id("ramdisk/r0")].clone();
    assert_eq!(plan(&furnished(), &model), [Step::UpdateBackstore(updated)]);
}

#[test]
fn a_size_is_a_step_under_the_lun() {
    let resize = Change::Resize { backstore: backstore_id("ramdisk/r0"), size_bytes: 1 << 20, shrink: false };
    let model = after(&furnished(), [resize]);
    let resized = model.backstores()[&backstore_id("ramdisk/r0")].clone();
    assert_eq!(resized.medium.size_bytes(), Some(1_048_576));
    let step = Step::ResizeBackstore { backstore: resized, from_bytes: Some(65_536) };
    assert_eq!(plan(&furnished(), &model), [step]);
}

#[test]
fn a_smaller_size_is_a_step_under_the_lun_only_where_a_change_says_so() {
    let shrink = |id: &str| Change::Resize { backstore: backstore_id(id), size_bytes: 4096, shrink: true };
    let changes = [shrink("ramdisk/r0")];
    let model = after(&furnished(), changes.clone());
    let backstore = model.backstores()[&backstore_id("ramdisk/r0")].clone();
    assert_eq!(backstore.medium.size_bytes(), Some(4096));
    let step = Step::ShrinkBackstore { backstore, from_bytes: Some(65_536) };
    assert_eq!(plan_by(&furnished(), &model, &changes), [step]);
    // Without the word it is another disk, as when a file of an earlier day is restored.
    let steps = plan_by(&furnished(), &model, &[shrink("fileio/f0")]);
    assert_eq!(steps[..2], [unmap_step(0), Step::CloseBackstore(backstore_id("ramdisk/r0"))]);
    assert_eq!(steps, plan(&furnished(), &model));
}

#[test]
fn another_medium_under_the_same_name_is_closed_and_opened_below_its_luns() {
    let mut smaller = ramdisk("r0");
    smaller.medium = Medium::ramdisk(1 << 12, false).unwrap();
    let model = after(
        &furnished(),
        [
            Change::UnmapLun(place(1, 1, 0)),
            Change::DeleteBackstore(backstore_id("ramdisk/r0")),
            Change::CreateBackstore(smaller),
            map(1, 1, 0, "ramdisk/r0"),
        ],
    );
    assert_eq!(
        plan(&furnished(), &model),
        [
            unmap_step(0),
            Step::CloseBackstore(backstore_id("ramdisk/r0")),
            open(&model, "ramdisk/r0"),
            map_step(0, "ramdisk/r0"),
        ]
    );
}

#[test]
fn a_new_nexus_makes_a_new_target_port_group() {
    let again = [
        Change::DeleteTpg { wwn: wwn(1), tag: tag(1) },
        Change::CreateTpg { wwn: wwn(1), tag: tag(1), tpg: tpg(9) },
        map(1, 1, 0, "ramdisk/r0"),
    ];
    let steps = plan(&furnished(), &after(&furnished(), again));
    assert_eq!(steps.first(), Some(&unmap_step(0)));
    assert_eq!(steps.get(1), Some(&Step::RemoveTpg { wwn: wwn(1), tag: tag(1) }));
    assert_eq!(steps.last(), Some(&map_step(0, "ramdisk/r0")));
    assert_eq!(steps.len(), 4);
}

#[test]
fn write_protection_is_a_new_mapping_and_another_alias_is_none() {
    let remap = |alias, write_protect| {
        let mapping = LunMapping {
            backstore: backstore_id("ramdisk/r0"),
            alias: LunAlias::made_up(alias),
            write_protect,
            alua: LunAlua::default(),
        };
        let mapped = Change::MapLun { wwn: wwn(1), tag: tag(1), lun: lun(0), mapping };
        after(&furnished(), [Change::UnmapLun(place(1, 1, 0)), mapped])
    };
    assert_eq!(plan(&furnished(), &remap(99, false)), []);
    assert_eq!(plan(&furnished(), &remap(7, true)).len(), 2);
}

#[test]
fn a_device_moves_from_one_name_to_another_closed_first() {
    let old = make([Change::CreateBackstore(block("b0", "/dev/sda"))]);
    let new = make([Change::CreateBackstore(block("b1", "/dev/sda"))]);
    assert_eq!(plan(&old, &new), [Step::CloseBackstore(backstore_id("block/b0")), open(&new, "block/b1")]);
}

#[test]
fn an_option_that_changed_is_one_step_and_one_that_did_not_is_none() {
    let model = after(&furnished(), [set_option(1, "num_queues", "4")]);
    let options = model.targets()[&wwn(1)].options.clone();
    assert_eq!(plan(&furnished(), &model), [Step::SetOptions { wwn: wwn(1), options: options.clone() }]);
    assert_eq!(plan(&furnished(), &after(&furnished(), [set_option(1, "seg_max", "126")])), []);
    let back = Step::SetOptions { wwn: wwn(1), options: TargetOptions::default() };
    assert_eq!(plan(&model, &furnished()), [back]);
    let new = plan(&Model::default(), &model);
    assert_eq!(new[1..3], [Step::CreateTarget(wwn(1)), Step::SetOptions { wwn: wwn(1), options }]);
}

#[test]
fn a_completion_affinity_that_changed_is_one_step_and_one_that_did_not_is_none() {
    let set = |value: &str| after(&furnished(), [set_parameter(1, "cmd_completion_affinity", value)]);
    let model = set("-2");
    let affinity = model.targets()[&wwn(1)].completion_affinity;
    let step = Step::SetCompletionAffinity { wwn: wwn(1), affinity };
    assert_eq!(plan(&furnished(), &model), std::slice::from_ref(&step));
    assert_eq!(plan(&furnished(), &set("-1")), []);
    let [Step::SetCompletionAffinity { affinity, .. }] = plan(&model, &furnished())[..] else { panic!() };
    assert_eq!(affinity.number(), -1);
    assert_eq!(plan(&Model::default(), &model)[1..3], [Step::CreateTarget(wwn(1)), step]);
}

/// A target that knows nothing but its steps.
#[derive(Debug, Default, PartialEq)]
struct Toy {
    open: BTreeMap<BackstoreId, Backstore>,
    targets: BTreeMap<Wwn, TargetOptions>,
    affinities: BTreeMap<Wwn, CompletionAffinity>,
    tpgs: BTreeMap<(Wwn, TpgTag), (Wwn, RelativePort)>,
    luns: BTreeMap<(Wwn, TpgTag, Lun), (BackstoreId, bool)>,
    access: BTreeMap<BackstoreId, (AluaGroups, u16)>,
    lun_access: BTreeMap<(Wwn, TpgTag, Lun), LunAlua>,
}

impl Toy {
    /// Does a step; each must find what it needs and nothing that is in its way.
    fn step(&mut self, step: Step) {
        match step {
            Step::OpenBackstore(backstore) => {
                assert!(self.open.insert(backstore.id(), bare(&backstore)).is_none());
            }
            Step::UpdateBackstore(backstore)
            | Step::SelectModes(backstore)
            | Step::ResizeBackstore { backstore, .. }
            | Step::ShrinkBackstore { backstore, .. } => {
                assert!(self.open.insert(backstore.id(), bare(&backstore)).is_some());
            }
            Step::CloseBackstore(id) => {
                assert!(self.luns.values().all(|(shown, _)| *shown != id));
                assert!(self.open.remove(&id).is_some());
                self.access.remove(&id);
            }
            Step::CreateTarget(wwn) => {
                assert!(self.targets.insert(wwn, TargetOptions::default()).is_none());
            }
            Step::SetOptions { wwn, options } => {
                assert_ne!(self.targets.insert(wwn, options.clone()).unwrap(), options);
            }
            Step::SetCompletionAffinity { wwn, affinity } => {
                assert!(self.targets.contains_key(&wwn));
                assert_ne!(self.affinities.get(&wwn).copied().unwrap_or_default(), affinity);
                self.affinities.insert(wwn, affinity);
                self.affinities.retain(|_, affinity| *affinity != CompletionAffinity::default());
            }
            Step::RemoveTarget(wwn) => {
                self.affinities.remove(&wwn);
                assert!(self.tpgs.keys().all(|(of, _)| *of != wwn));
                assert!(self.targets.remove(&wwn).is_some());
            }
            Step::CreateTpg { wwn, tag, nexus, relative_port } => {
                assert!(self.targets.contains_key(&wwn));
                assert!(self.tpgs.values().all(|(_, port)| *port != relative_port));
                assert!(self.tpgs.insert((wwn, tag), (nexus, relative_port)).is_none());
            }
            Step::RemoveTpg { wwn, tag } => {
                assert!(self.luns.keys().all(|(of, group, _)| (of, group) != (&wwn, &tag)));
                assert!(self.tpgs.remove(&(wwn, tag)).is_some());
            }
            Step::MapLun { wwn, tag, lun, backstore, write_protect } => {
                assert!(self.tpgs.contains_key(&(wwn.clone(), tag)));
                assert!(self.open.contains_key(&backstore));
                assert!(self.luns.insert((wwn, tag, lun), (backstore, write_protect)).is_none());
            }
            Step::UnmapLun { wwn, tag, lun } => {
                let key = (wwn, tag, lun);
                assert!(self.luns.remove(&key).is_some());
                self.lun_access.remove(&key);
            }
            Step::SetAlua { backstore, groups, lu_group } => {
                assert!(self.open.contains_key(&backstore));
                let after = (groups, lu_group);
                assert_ne!(self.access.get(&backstore).cloned().unwrap_or_default(), after);
                // What is as it begins is not noted.
                self.access.insert(backstore, after);
                self.access.retain(|_, access| *access != Default::default());
            }
            Step::SetLunAlua { place: Place { wwn, tag, lun }, alua } => {
                let key = (wwn, tag, lun);
                let (shown, _) = self.luns.get(&key).unwrap();
                let (groups, _) = self.access.get(shown).cloned().unwrap_or_default();
                assert!(groups.get(&alua.group).is_some());
                self.lun_access.insert(key, alua);
                self.lun_access.retain(|_, alua| *alua != LunAlua::default());
            }
        }
    }

    /// A size that nobody knows yet is that of what is open: no step follows from it.
    fn take_sizes(&mut self, from: &Self) {
        for (id, backstore) in &mut self.open {
            let known = from.open.get(id).and_then(|open| open.medium.size_bytes());
            if let Medium::Block { size_bytes: size @ None, .. }
            | Medium::Fileio { size_bytes: size @ None, .. } = &mut backstore.medium
            {
                *size = known;
            }
        }
    }

    fn of(model: &Model) -> Self {
        let open = model.backstores().iter().map(|(id, backstore)| (id.clone(), bare(backstore)));
        let mut toy = Self { open: open.collect(), ..Self::default() };
        for (id, backstore) in model.backstores() {
            let access = (backstore.alua.clone(), model.lu_group_id(&backstore.lu_group));
            if access != Default::default() {
                toy.access.insert(id.clone(), access);
            }
        }
        for (wwn, target) in model.targets() {
            toy.targets.insert(wwn.clone(), target.options.clone());
            if target.completion_affinity != CompletionAffinity::default() {
                toy.affinities.insert(wwn.clone(), target.completion_affinity);
            }
            for (tag, tpg) in &target.tpgs {
                toy.tpgs.insert((wwn.clone(), *tag), (tpg.nexus.clone(), tpg.relative_port));
                let list = tpg.acls.get(&tpg.nexus);
                for (lun, mapping) in &tpg.luns {
                    let mut show = |number: Lun, read_only| {
                        let shown = (mapping.backstore.clone(), read_only);
                        toy.luns.insert((wwn.clone(), *tag, number), shown);
                        if mapping.alua != LunAlua::default() {
                            toy.lun_access.insert((wwn.clone(), *tag, number), mapping.alua.clone());
                        }
                    };
                    let Some(list) = list else {
                        show(*lun, mapping.write_protect);
                        continue;
                    };
                    for (number, mapped) in list.luns.iter().filter(|(_, mapped)| mapped.of == *lun) {
                        show(*number, mapping.write_protect || mapped.write_protect);
                    }
                }
            }
        }
        toy
    }
}

/// Everything that `Model` promises to be always true.
fn check_invariants(model: &Model) {
    let mut paths = Vec::new();
    for (id, backstore) in model.backstores() {
        assert_eq!(*id, backstore.id());
        paths.extend(backstore.medium.path().map(|path| path.as_path().to_owned()));
    }
    for one in model.backstores().values() {
        for other in model.backstores().values().filter(|other| other.unit_serial == one.unit_serial) {
            assert_eq!(one.alua, other.alua, "one unit has two sets of ALUA groups");
        }
        let known = one.lu_group.as_str() == "default_lu_gp" || model.lu_groups().contains_key(&one.lu_group);
        assert!(known, "a backstore is in an LU group that is not there");
    }
    let distinct: BTreeSet<_> = paths.iter().collect();
    assert_eq!(distinct.len(), paths.len(), "a path is in two backstores");
    let mut ports = BTreeSet::new();
    for tpg in model.targets().values().flat_map(|target| target.tpgs.values()) {
        assert!(ports.insert(tpg.relative_port), "a relative port is in two groups");
        let mut shown = BTreeSet::new();
        for mapping in tpg.luns.values() {
            assert!(model.backstores().contains_key(&mapping.backstore), "a LUN shows nothing");
            assert!(shown.insert(&mapping.backstore), "a backstore is shown twice in a group");
            let groups = &model.backstores()[&mapping.backstore].alua;
            assert!(groups.get(&mapping.alua.group).is_some(), "a LUN is in an ALUA group that is not there");
        }
        for mapped in tpg.acls.values().flat_map(|acl| acl.luns.values()) {
            assert!(tpg.luns.contains_key(&mapped.of), "a mapped LUN is of no LUN");
        }
    }
}

/// Without what has a step of its own.
fn bare(backstore: &Backstore) -> Backstore {
    let mut bare = backstore.clone();
    (bare.alua, bare.lu_group) = (AluaGroups::default(), AluaGroupName::default_lu_group());
    bare
}

/// The changes of asymmetric access.
fn any_alua_change() -> impl Strategy<Value = Change> {
    let id = || prop_oneof![Just("ramdisk/a"), Just("block/a"), Just("block/b")].prop_map(backstore_id);
    let word = |words: &'static [&'static str]| {
        proptest::sample::select(words).prop_map(|word| AluaGroupName::parse(word).unwrap())
    };
    let group = move || word(&["default_tg_pt_gp", "one", "two"]);
    let lu_group = move || word(&["default_lu_gp", "left", "right"]);
    let any_place = || (1..3_u64, 0..3_u8, 0..3_u16).prop_map(|(target, tpg, lun)| place(target, tpg, lun));
    let attribute = proptest::sample::select(vec!["alua_access_state", "alua_access_type", "preferred"]);
    prop_oneof![
        (id(), group(), 0..4_u16).prop_map(|(backstore, name, id)| {
            Change::CreateAluaGroup { backstore, name, group: AluaGroup::new(id) }
        }),
        (id(), group()).prop_map(|(backstore, name)| Change::DeleteAluaGroup { backstore, name }),
        (id(), group(), attribute, 0..5_u32).prop_map(|(backstore, group, attribute, value)| {
            let (attribute, value) = (attribute.to_owned(), value.to_string());
            Change::SetAluaAttribute { backstore, group, attribute, value }
        }),
        (any_place(), group()).prop_map(|(place, group)| {
            Change::SetLunAlua { place, setting: LunAluaSetting::Group(group) }
        }),
        (any_place(), any::<bool>()).prop_map(|(place, offline)| {
            Change::SetLunAlua { place, setting: LunAluaSetting::Offline(offline) }
        }),
        (0..4_u16, 0..5_u32, proptest::option::of(1..6_u16)).prop_map(|(id, state, port)| {
            let serial = UnitSerial::parse("serial of a").unwrap();
            let offline = port.map(|port| RelativePort::parse(port).unwrap()).into_iter().collect();
            Change::AlterAlua { serial, states: vec![(id, state)], offline }
        }),
        (lu_group(), 0..3_u16).prop_map(|(name, id)| Change::CreateLuGroup { name, id }),
        lu_group().prop_map(Change::DeleteLuGroup),
        (id(), lu_group()).prop_map(|(backstore, group)| Change::SetLuGroup { backstore, group }),
    ]
}

/// Of lists for nexuses, most of which some group has.
fn any_change_of_a_list() -> impl Strategy<Value = Change> {
    let list = (1..3_u64, 0..3_u8, 1_000_001..1_000_005_u64).prop_map(|(target, group, initiator)| {
        AclPlace { wwn: wwn(target), tag: tag(group), initiator: wwn(initiator) }
    });
    let number = || (0..3_u16).prop_map(lun);
    prop_oneof![
        list.clone().prop_map(Change::CreateAcl),
        list.clone().prop_map(Change::DeleteAcl),
        (list.clone(), number(), number(), any::<bool>()).prop_map(|(acl, lun, of, write_protect)| {
            let mapped = MappedLun { of, alias: LunAlias::made_up(8), write_protect };
            Change::MapAclLun { acl, lun, mapped }
        }),
        (list.clone(), number()).prop_map(|(acl, lun)| Change::UnmapAclLun { acl, lun }),
        (list, number(), any::<bool>()).prop_map(|(acl, lun, write_protect)| Change::ProtectAclLun {
            acl,
            lun,
            write_protect
        }),
    ]
}

/// Few names and numbers, so that changes meet.
fn any_change() -> impl Strategy<Value = Change> {
    let id = prop_oneof![Just("ramdisk/a"), Just("ramdisk/b"), Just("block/a"), Just("block/b")];
    let group = || (1..3_u64, 0..3_u8);
    prop_oneof![
        (id.clone(), 0..3_u8, 1..4_u64).prop_map(|(id, path, pages)| {
            let name = id.split_once('/').unwrap().1;
            let mut new =
                if id.starts_with("block") { block(name, &format!("/dev/{path}")) } else { ramdisk(name) };
            if id.starts_with("ramdisk") {
                new.medium = Medium::ramdisk(pages * 4096, false).unwrap();
            }
            Change::CreateBackstore(new)
        }),
        id.clone().prop_map(|id| Change::DeleteBackstore(backstore_id(id))),
        (id.clone(), prop_oneof![Just("block_size"), Just("emulate_fua_write")], 0..5_u32).prop_map(
            |(id, attribute, value)| {
                let value = if attribute == "block_size" { value << 9 } else { value };
                let (backstore, value) = (backstore_id(id), value.to_string());
                Change::SetAttribute { backstore, attribute: attribute.to_owned(), value }
            }
        ),
        (id.clone(), 1..5_u64).prop_map(|(id, pages)| Change::Resize {
            backstore: backstore_id(id),
            size_bytes: pages * 4096,
            shrink: false
        }),
        (1..3_u64, proptest::collection::btree_map(0..3_u8, 1..6_u16, 0..3))
            .prop_map(|(target, tpgs)| create_target(target, tpgs)),
        (1..3_u64).prop_map(|target| Change::DeleteTarget(wwn(target))),
        (1..3_u64, prop_oneof![Just("num_queues"), Just("seg_max")], 0..3_u32)
            .prop_map(|(target, option, value)| set_option(target, option, &value.to_string())),
        (1..3_u64, -2..2_i32).prop_map(|(target, value)| set_parameter(
            target,
            "cmd_completion_affinity",
            &value.to_string()
        )),
        (group(), 1..6_u16).prop_map(|((target, group), port)| Change::CreateTpg {
            wwn: wwn(target),
            tag: tag(group),
            tpg: tpg(port)
        }),
        group().prop_map(|(target, group)| Change::DeleteTpg { wwn: wwn(target), tag: tag(group) }),
        (group(), 0..3_u16, id, any::<bool>()).prop_map(|((target, group), number, id, write_protect)| {
            match map(target, group, number, id) {
                Change::MapLun { wwn, tag, lun, mapping } => {
                    Change::MapLun { wwn, tag, lun, mapping: LunMapping { write_protect, ..mapping } }
                }
                other => other,
            }
        }),
        any_alua_change(),
        (group(), 0..3_u16)
            .prop_map(|((target, group), number)| Change::UnmapLun(place(target, group, number))),
        any_change_of_a_list(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn random_changes_keep_what_is_always_true_and_a_refusal_changes_nothing(
        changes in proptest::collection::vec(any_change(), 0..60)
    ) {
        let mut model = Model::default();
        for change in changes {
            let before = model.clone();
            match model.make(change.clone()) {
                Ok(()) => prop_assert_eq!(before.apply(change), Ok(model.clone())),
                Err(_) => prop_assert_eq!(&before, &model),
            }
            check_invariants(&model);
        }
    }

    #[test]
    fn the_plan_turns_a_target_of_the_old_model_into_one_of_the_new(
        first in proptest::collection::vec(any_change(), 0..40),
        then in proptest::collection::vec(any_change(), 0..40),
    ) {
        let mut old = Model::default();
        for change in first {
            let _ = old.make(change);
        }
        let mut new = old.clone();
        for change in then {
            let _ = new.make(change);
        }
        let mut toy = Toy::of(&old);
        for step in plan(&old, &new) {
            toy.step(step);
        }
        let mut wanted = Toy::of(&new);
        wanted.take_sizes(&toy);
        prop_assert_eq!(toy, wanted);
    }
}
