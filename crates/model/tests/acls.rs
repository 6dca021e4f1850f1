// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access control lists: what they take, what they refuse, and what a guest sees through one.

mod common;

use common::{backstore_id, check_refused, create_target, lun, make, map, place, ramdisk, tag, tpg, wwn};
use model::{AclPlace, Change, LunAlias, MappedLun, Model, Step, plan};

/// The nexus of the only target port group.
const NEXUS: u64 = 1_000_001;

fn acl(initiator: u64) -> AclPlace {
    AclPlace { wwn: wwn(1), tag: tag(1), initiator: wwn(initiator) }
}

fn mapped(initiator: u64, number: u16, of: u16, write_protect: bool) -> Change {
    let mapped = MappedLun { of: lun(of), alias: LunAlias::made_up(9), write_protect };
    Change::MapAclLun { acl: acl(initiator), lun: lun(number), mapped }
}

/// Ramdisks `r0` and `r1` as LUNs 0 and 5.
fn furnished() -> Model {
    make([
        Change::CreateBackstore(ramdisk("r0")),
        Change::CreateBackstore(ramdisk("r1")),
        create_target(1, [(1, 1)]),
        map(1, 1, 0, "ramdisk/r0"),
        map(1, 1, 5, "ramdisk/r1"),
    ])
}

fn after(model: &Model, changes: impl IntoIterator<Item = Change>) -> Model {
    changes.into_iter().fold(model.clone(), |model, change| model.apply(change).unwrap())
}

/// The guest's LUNs, as (number, backstore, whether writes are refused).
fn seen(model: &Model) -> Vec<(u16, String, bool)> {
    let seen = model.tpg(&wwn(1), tag(1)).unwrap().seen();
    seen.into_iter()
        .map(|(lun, shown)| (lun.get(), shown.backstore.to_string(), shown.write_protect))
        .collect()
}

#[test]
fn a_list_for_another_initiator_changes_nothing_for_the_guest() {
    let model = after(&furnished(), [Change::CreateAcl(acl(7)), mapped(7, 3, 5, true)]);
    let all = [(0, "ramdisk/r0".to_owned(), false), (5, "ramdisk/r1".to_owned(), false)];
    assert_eq!(seen(&model), all);
    assert_eq!(plan(&furnished(), &model), []);
}

#[test]
fn the_list_of_the_nexus_decides_what_the_guest_sees() {
    let empty = after(&furnished(), [Change::CreateAcl(acl(NEXUS))]);
    assert_eq!(seen(&empty), []);
    let model = after(&empty, [mapped(NEXUS, 3, 5, true), mapped(NEXUS, 9, 5, false)]);
    assert_eq!(seen(&model), [(3, "ramdisk/r1".to_owned(), true), (9, "ramdisk/r1".to_owned(), false)]);
    let model = after(&model, [Change::DeleteAcl(acl(NEXUS))]);
    assert_eq!(model, furnished());
}

#[test]
fn the_steps_are_those_of_what_the_guest_sees() {
    let model = after(&furnished(), [Change::CreateAcl(acl(NEXUS)), mapped(NEXUS, 3, 5, true)]);
    let unmap = |number| Step::UnmapLun { wwn: wwn(1), tag: tag(1), lun: lun(number) };
    let steps = plan(&furnished(), &model);
    assert_eq!(steps[..2], [unmap(0), unmap(5)]);
    let Step::MapLun { lun: number, backstore, write_protect, .. } = &steps[2] else { panic!("{steps:?}") };
    assert_eq!((number.get(), backstore, *write_protect), (3, &backstore_id("ramdisk/r1"), true));
    assert_eq!(steps.len(), 3);
    // A list that says what the group says is no step: the guest notices nothing.
    let same = [Change::CreateAcl(acl(NEXUS)), mapped(NEXUS, 0, 0, false), mapped(NEXUS, 5, 5, false)];
    assert_eq!(plan(&furnished(), &after(&furnished(), same)), []);
}

#[test]
fn a_lun_that_refuses_writes_is_not_opened_by_a_list() {
    let protected = match map(1, 1, 0, "ramdisk/r0") {
        Change::MapLun { wwn, tag, lun, mapping } => {
            let mapping = model::LunMapping { write_protect: true, ..mapping };
            Change::MapLun { wwn, tag, lun, mapping }
        }
        other => other,
    };
    let model = after(
        &furnished(),
        [
            Change::UnmapLun(place(1, 1, 0)),
            protected,
            Change::CreateAcl(acl(NEXUS)),
            mapped(NEXUS, 0, 0, false),
        ],
    );
    assert_eq!(seen(&model), [(0, "ramdisk/r0".to_owned(), true)]);
}

#[test]
fn write_protection_is_set_and_taken_back() {
    let model = after(&furnished(), [Change::CreateAcl(acl(NEXUS)), mapped(NEXUS, 0, 0, false)]);
    let protect = |write_protect| Change::ProtectAclLun { acl: acl(NEXUS), lun: lun(0), write_protect };
    let read_only = after(&model, [protect(true)]);
    assert_eq!(seen(&read_only), [(0, "ramdisk/r0".to_owned(), true)]);
    assert_eq!(after(&read_only, [protect(false)]), model);
}

#[test]
fn a_lun_that_goes_leaves_no_mapped_lun() {
    let model = after(
        &furnished(),
        [Change::CreateAcl(acl(7)), mapped(7, 0, 0, false), mapped(7, 5, 5, false), mapped(7, 9, 5, true)],
    );
    let model = after(&model, [Change::UnmapLun(place(1, 1, 5))]);
    let numbers: Vec<u16> = model.acl(&acl(7)).unwrap().luns.keys().map(|lun| lun.get()).collect();
    assert_eq!(numbers, [0]);
    assert!(model.apply(Change::DeleteTpg { wwn: wwn(1), tag: tag(1) }).is_ok(), "lists go with their group");
}

#[test]
fn a_mapped_lun_has_the_number_of_its_lun_or_the_lowest_free_one() {
    let model = after(&furnished(), [Change::CreateAcl(acl(7)), mapped(7, 5, 0, false)]);
    let list = model.acl(&acl(7)).unwrap();
    assert_eq!(list.free_lun(lun(3)), Ok(lun(3)));
    assert_eq!(list.free_lun(lun(5)), Ok(lun(0)));
}

#[test]
fn what_cannot_be_is_refused() {
    let model = after(&furnished(), [Change::CreateAcl(acl(7)), mapped(7, 9, 5, false)]);
    let list = "naa.5001405000000001/tpg1/acls/naa.5001405000000007";
    check_refused(
        &model,
        Change::CreateAcl(acl(7)),
        &format!("NodeACL {list} already exists"),
        &format!("`ls /vhost/{list}` shows it; delete it first to start anew"),
    );
    check_refused(
        &model,
        Change::DeleteAcl(acl(8)),
        "No such NodeACL: naa.5001405000000001/tpg1/acls/naa.5001405000000008",
        "`ls /vhost/naa.5001405000000001/tpg1/acls` shows what is there",
    );
    check_refused(
        &model,
        mapped(7, 9, 0, false),
        &format!("mapped LUN {list}/mapped_lun9 already exists"),
        "it shows LUN 5 of that TPG; choose another number",
    );
    check_refused(
        &model,
        mapped(7, 1, 1, false),
        "Invalid LUN: naa.5001405000000001/tpg1/lun1 does not exist",
        "`ls /vhost/naa.5001405000000001/tpg1/luns` shows what is there",
    );
    check_refused(
        &model,
        Change::UnmapAclLun { acl: acl(7), lun: lun(0) },
        &format!("No such mapped LUN: {list}/mapped_lun0"),
        &format!("`ls /vhost/{list}` shows what is there"),
    );
    let mut with_list = tpg(2);
    with_list.acls.insert(wwn(7), model::Acl::default());
    check_refused(
        &model,
        Change::CreateTpg { wwn: wwn(1), tag: tag(2), tpg: with_list },
        "a new TPG 2 cannot have LUNs",
        "map its LUNs afterwards",
    );
}

#[test]
fn lists_are_not_endless() {
    let model = (0..256)
        .fold(furnished(), |model, number| model.apply(Change::CreateAcl(acl(2000 + number))).unwrap());
    check_refused(
        &model,
        Change::CreateAcl(acl(7)),
        "there are 256 NodeACLs in naa.5001405000000001/tpg1 already",
        "delete one first",
    );
}
