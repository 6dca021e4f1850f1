// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any configuration is the same after it was written, for tools or for people, and read again.
//!
//! `LUNAR_RESTORE_CASES` is the number of random configurations that go there and back; 64 without it.

mod common;

use common::{Counting, clearing, draft, everything, map_in_lists, read, text};
use lunard::saveconfig::{Apply, Document, Restore};
use model::{
    ALUA_ATTRIBUTES, ATTRIBUTES, AbsolutePath, AluaGroup, AluaGroupName, Backstore, BackstoreId,
    BackstoreName, Change, Foreign, IDENTITY_FIELDS, Lun, LunAlias, LunAlua, LunMapping, Medium, Model,
    RelativePort, Tpg, TpgTag, UnitSerial, Wwn,
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

fn cases() -> u32 {
    std::env::var("LUNAR_RESTORE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

fn medium() -> impl Strategy<Value = Medium> {
    let path = "/[a-z]{1,8}/[a-z0-9 .é-]{0,12}x".prop_map(|text| AbsolutePath::parse(&text).unwrap());
    let size = prop_oneof![Just(None), (1_u64..1 << 40).prop_map(|blocks| Some(blocks * 4096))];
    prop_oneof![
        (path.clone(), any::<Option<bool>>()).prop_map(|(path, read_only)| Medium::Block {
            path,
            read_only,
            size_bytes: None
        }),
        (path, size, any::<bool>()).prop_map(|(path, size_bytes, sparse)| Medium::Fileio {
            path,
            size_bytes,
            sparse
        }),
        (0_u64..1 << 40, any::<bool>()).prop_map(|(bytes, nullio)| Medium::ramdisk(bytes, nullio).unwrap()),
    ]
}

fn backstore() -> impl Strategy<Value = Backstore> {
    let settings = prop::collection::vec((0..ATTRIBUTES.len(), 0_u32..5000), 0..12);
    ("[!-.0-~]{1,20}", "[!-~]{1,40}", medium(), settings).prop_map(|(name, serial, medium, settings)| {
        let name = BackstoreName::parse(&format!("n{name}")).unwrap();
        let mut backstore = Backstore::new(name, UnitSerial::parse(&serial).unwrap(), medium).unwrap();
        for (row, value) in settings {
            // Most values are refused; those that are not count.
            let _ = backstore.set_attribute(ATTRIBUTES[row].name, &(value & 1).to_string());
            let _ = backstore.set_attribute(ATTRIBUTES[row].name, &value.to_string());
            let _ = backstore.set_attribute("block_size", &(512 << (value % 4)).to_string());
            let field = IDENTITY_FIELDS[value as usize % IDENTITY_FIELDS.len()].name;
            let _ = backstore.set_identity(field, &value.to_string());
        }
        backstore
    })
}

/// A group of a backstore, or of backstores, as far as it can be.
fn make_groups(
    model: &mut Model,
    made: &[BackstoreId],
    index: usize,
    (which, number, row, value): (usize, u16, usize, u32),
) {
    let Some(backstore) = made.get(which).cloned() else { return };
    let name = AluaGroupName::parse(&format!("g{index}")).unwrap();
    if index % 3 == 2 {
        let _ = model.make(Change::CreateLuGroup { name: name.clone(), id: number });
        let _ = model.make(Change::SetLuGroup { backstore, group: name });
        return;
    }
    let group = AluaGroup::new(number);
    let _ = model.make(Change::CreateAluaGroup { backstore: backstore.clone(), name: name.clone(), group });
    let default = AluaGroupName::default_group();
    if index % 3 == 1 {
        let map = format!("{} 2; 0 99 {number}:S 9:O; {} 99 {number}:O 9:U", row + 1, row + 1);
        let _ = model.make(Change::SetLbaMap { backstore: backstore.clone(), map });
        for (attribute, value) in [("alua_access_type", "1"), ("alua_access_state", "4")] {
            let (backstore, group) = (backstore.clone(), name.clone());
            let (attribute, value) = (attribute.to_owned(), value.to_owned());
            model.make(Change::SetAluaAttribute { backstore, group, attribute, value }).ok();
        }
    }
    let (attribute, value) = (ALUA_ATTRIBUTES[row].name.to_owned(), value.to_string());
    for group in [name, default] {
        let (backstore, attribute, value) = (backstore.clone(), attribute.clone(), value.clone());
        let _ = model.make(Change::SetAluaAttribute { backstore, group, attribute, value });
    }
}

/// Any configuration, by changes of which those that are refused do not count.
fn model() -> impl Strategy<Value = Model> {
    let target = (0_u64..6, 0_u32..3, prop::collection::btree_map(any::<u8>(), 1_u16..2000, 0..4));
    let mapping = (0_usize..64, 0_usize..8, any::<bool>(), 0_u16..=16383, any::<u64>());
    let kept = prop::collection::vec(("[a-z]{1,8}", "[a-z0-9.:é]{1,12}"), 0..3);
    let parts = (
        prop::collection::vec(backstore(), 0..8),
        prop::collection::vec(target, 0..4),
        prop::collection::vec(mapping, 0..16),
        kept,
        prop::collection::vec((0_usize..8, 0_u16..9, 0..ALUA_ATTRIBUTES.len(), 0_u32..20), 0..6),
    );
    parts.prop_map(|(backstores, targets, mappings, kept, groups_wanted)| {
        let mut model = Model::default();
        let mut made = Vec::new();
        for backstore in backstores {
            let id = backstore.id();
            if model.make(Change::CreateBackstore(backstore)).is_ok() {
                made.push(id);
            }
        }
        for (index, change) in groups_wanted.into_iter().enumerate() {
            make_groups(&mut model, &made, index, change);
        }
        let mut groups = Vec::new();
        for (number, queues, tags) in targets {
            let wwn = Wwn::made_up(number);
            let tpg = |(tag, port): (&u8, &u16)| {
                let nexus = Wwn::made_up(1000 + u64::from(*port));
                (TpgTag::new(*tag), Tpg::new(nexus, RelativePort::parse(*port).unwrap()))
            };
            let tpgs: BTreeMap<TpgTag, Tpg> = tags.iter().map(tpg).collect();
            if model.make(Change::CreateTarget { wwn: wwn.clone(), tpgs: tpgs.clone() }).is_ok() {
                groups.extend(tpgs.into_keys().map(|tag| (wwn.clone(), tag)));
                let (option, value) = ("num_queues".to_owned(), queues.to_string());
                model.make(Change::SetOption { wwn: wwn.clone(), option, value }).unwrap();
                let (parameter, value) =
                    ("cmd_completion_affinity".to_owned(), format!("-{}", queues % 2 + 1));
                model.make(Change::SetParameter { wwn, parameter, value }).unwrap();
            }
        }
        for (group, backstore, write_protect, lun, alias) in mappings {
            let (Some((wwn, tag)), Some(backstore)) =
                (groups.get(group % groups.len().max(1)).cloned(), made.get(backstore).cloned())
            else {
                continue;
            };
            let mut alua = LunAlua { offline: alias % 5 == 0, ..LunAlua::default() };
            if alias % 2 == 0 {
                let groups = model.backstores()[&backstore].alua.iter().map(|(name, _)| name.clone());
                alua.group = groups.last().unwrap();
            }
            let alias = LunAlias::made_up(alias);
            let mapping = LunMapping { backstore, alias, write_protect, alua };
            // A number or a storage object that is taken is no mapping.
            let _ = model.make(Change::MapLun { wwn, tag, lun: Lun::parse(lun).unwrap(), mapping });
        }
        map_in_lists(&mut model);
        let things = kept.into_iter().map(|(fabric, wwn)| {
            let target = json!({"fabric": format!("x{fabric}"), "wwn": wwn, "tpgs": []});
            (format!("target x{fabric}/{wwn}"), target.to_string())
        });
        let is = Foreign::new(things.collect()).unwrap();
        model.make(Change::KeepForeign { was: Foreign::default(), is }).unwrap();
        model
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_is_the_same_after_it_was_saved_and_restored(model in model()) {
        let file = text(&model);
        let document = read(&file, &everything()).unwrap();
        let kept: Vec<String> = document.notes().into_iter().filter(|note| !note.contains("is kept")).collect();
        prop_assert_eq!(kept, Vec::<String>::new());
        let again = Restore::new(document, everything()).draft(&Model::default(), &mut Counting::default());
        let again = again.unwrap().model;
        prop_assert_eq!(&again, &model);
        prop_assert_eq!(text(&again), file);
    }

    #[test]
    fn any_configuration_replaces_any_other(one in model(), other in model()) {
        let after = draft(&one, &text(&other), &clearing()).unwrap();
        prop_assert_eq!(&after.model, &other);
        // And the same changes lead there again.
        prop_assert_eq!(after.moved_to(&one).unwrap().model, other);
    }

    #[test]
    fn any_configuration_is_the_same_after_it_was_written_for_people_and_applied(model in model()) {
        let file = lunard::saveconfig::by_hand(&model);
        let document = Document::read_wanted(file.as_bytes(), &mut Counting::default());
        let document = document.unwrap_or_else(|err| panic!("{err}: {file}"));
        let notes: Vec<String> = document.notes().into_iter().filter(|note| !note.contains("is kept")).collect();
        prop_assert_eq!(notes, Vec::<String>::new());
        let draft = Apply::new(document, false).draft(&Model::default(), &mut Counting::default());
        let after = draft.unwrap_or_else(|err| panic!("{err}: {file}")).model;
        prop_assert_eq!(&after, &model);
        prop_assert_eq!(lunard::saveconfig::by_hand(&after), file);
    }

    #[test]
    fn any_configuration_that_was_applied_over_another_is_so(one in model(), other in model()) {
        for file in [lunard::saveconfig::by_hand(&other), text(&other)] {
            let document = Document::read_wanted(file.as_bytes(), &mut Counting::default()).unwrap();
            let apply = Apply::new(document, false);
            // Two that are one unit, or another size, can be in the way.
            let Ok(draft) = apply.draft(&one, &mut Counting::default()) else { continue };
            let again = apply.draft(&draft.model, &mut Counting::default()).unwrap();
            prop_assert_eq!(&again.changes, &vec![]);
            prop_assert_eq!(apply.compare(&draft.model, &again).differences, vec![]);
            for (id, wanted) in other.backstores() {
                prop_assert_eq!(&draft.model.backstores()[id].alua, &wanted.alua);
                prop_assert_eq!(&draft.model.backstores()[id].lu_group, &wanted.lu_group);
            }
        }
    }
}
