// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may be configured of asymmetric access.
//!
//! Above: nothing.  Below: `common`.

mod common;

use common::*;
use model::{
    AluaGroup, AluaGroupName, AluaKey, Change, IdentityKey, LunAluaSetting, Model, RelativePort, UnitSerial,
};

fn group(text: &str) -> AluaGroupName {
    AluaGroupName::parse(text).unwrap()
}

fn create(backstore: &str, name: &str, id: u16) -> Change {
    let (backstore, name) = (backstore_id(backstore), group(name));
    Change::CreateAluaGroup { backstore, name, group: AluaGroup::new(id) }
}

fn delete(backstore: &str, name: &str) -> Change {
    Change::DeleteAluaGroup { backstore: backstore_id(backstore), name: group(name) }
}

fn set(backstore: &str, name: &str, attribute: &str, value: &str) -> Change {
    let (attribute, value) = (attribute.to_owned(), value.to_owned());
    Change::SetAluaAttribute { backstore: backstore_id(backstore), group: group(name), attribute, value }
}

fn put(target: u64, setting: LunAluaSetting) -> Change {
    Change::SetLunAlua { place: place(target, 1, 0), setting }
}

fn serial(backstore: &str, text: &str) -> Change {
    Change::SetUnitSerial { backstore: backstore_id(backstore), serial: UnitSerial::parse(text).unwrap() }
}

fn alter(states: &[(u16, u32)], offline: &[u16]) -> Change {
    Change::AlterAlua {
        serial: UnitSerial::parse("serial of r0").unwrap(),
        states: states.to_vec(),
        offline: offline.iter().map(|port| RelativePort::parse(*port).unwrap()).collect(),
    }
}

/// Two targets that show one backstore, which has a group besides the default.
fn furnished() -> Model {
    make([
        Change::CreateBackstore(ramdisk("r0")),
        create_target(1, [(1, 1)]),
        create_target(2, [(1, 2)]),
        map(1, 1, 0, "ramdisk/r0"),
        map(2, 1, 0, "ramdisk/r0"),
        create("ramdisk/r0", "grp1", 5),
        put(2, LunAluaSetting::Group(group("grp1"))),
    ])
}

fn state(model: &Model, backstore: &str, name: &str) -> (u32, u32) {
    let group = model.backstores()[&backstore_id(backstore)].alua.get(&group(name)).unwrap();
    (group.get(AluaKey::AccessState), group.get(AluaKey::AccessStatus))
}

#[test]
fn every_backstore_has_the_default_group_for_good() {
    let model = make([Change::CreateBackstore(ramdisk("r0"))]);
    assert_eq!(state(&model, "ramdisk/r0", "default_tg_pt_gp"), (0, 0));
    check_refused(
        &model,
        delete("ramdisk/r0", "default_tg_pt_gp"),
        "Can not delete default_tg_pt_gp",
        "it is always there",
    );
}

#[test]
fn a_name_and_an_id_are_taken_once() {
    check_refused(
        &furnished(),
        create("ramdisk/r0", "grp1", 6),
        "ALUA group grp1 of storage object ramdisk/r0 already exists",
        "choose another name, or delete it: `/backstores/ramdisk/r0/alua delete grp1`",
    );
    check_refused(
        &furnished(),
        create("ramdisk/r0", "grp2", 5),
        "ALUA group id 5 of storage object ramdisk/r0 is in use by grp1",
        "choose another number",
    );
    check_refused(
        &furnished(),
        create("ramdisk/r0", "grp2", 0),
        "ALUA group id 0 of storage object ramdisk/r0 is in use by default_tg_pt_gp",
        "choose another number",
    );
}

#[test]
fn a_group_in_use_stays_until_its_luns_have_left_it() {
    check_refused(
        &furnished(),
        delete("ramdisk/r0", "grp1"),
        "ALUA group grp1 of storage object ramdisk/r0 is in use by LUN naa.5001405000000002/tpg1/lun0",
        "put the LUN into another group first: `/vhost/naa.5001405000000002/tpg1/luns/lun0 set alua \
         alua_tg_pt_gp_name=default_tg_pt_gp`",
    );
    let left = furnished().apply(put(2, LunAluaSetting::Group(AluaGroupName::default_group()))).unwrap();
    let gone = left.apply(delete("ramdisk/r0", "grp1")).unwrap();
    assert!(gone.backstores()[&backstore_id("ramdisk/r0")].alua.get(&group("grp1")).is_none());
}

#[test]
fn a_lun_is_only_in_a_group_of_its_backstore() {
    check_refused(
        &furnished(),
        put(1, LunAluaSetting::Group(group("nosuch"))),
        "No ALUA group 'nosuch' on storage object ramdisk/r0",
        "`ls /backstores/ramdisk/r0/alua` shows what is there",
    );
    let members: Vec<String> = furnished()
        .members(&backstore_id("ramdisk/r0"), &group("grp1"))
        .map(|place| place.to_string())
        .collect();
    assert_eq!(members, ["naa.5001405000000002/tpg1/lun0"]);
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_can() {
    check_refused(
        &furnished(),
        set("ramdisk/r0", "grp1", "nonop_delay_msecs", "10001"),
        "nonop_delay_msecs of ALUA group grp1 of ramdisk/r0 cannot be '10001': it takes 0 to 10000",
        "By how many milliseconds reads and writes are delayed while the group is active/non-optimized",
    );
    check_refused(
        &furnished(),
        set("ramdisk/r0", "grp1", "tg_pt_gp_id", "7"),
        "No attribute 'tg_pt_gp_id' on ALUA group grp1 of storage object ramdisk/r0",
        "`get alua` shows what is there",
    );
    let explicit = furnished().apply(set("ramdisk/r0", "grp1", "alua_access_type", "2")).unwrap();
    check_refused(
        &explicit,
        set("ramdisk/r0", "grp1", "alua_access_state", "1"),
        "the state of ALUA group grp1 of ramdisk/r0 cannot be set: its alua_access_type is not implicit",
        "set alua_access_type to 1 or 3 first",
    );
    check_refused(
        &furnished(),
        set("ramdisk/r0", "grp1", "alua_access_state", "4"),
        "ALUA group grp1 of ramdisk/r0 does not support state 4",
        "set lba_map of the backstore first",
    );
}

#[test]
fn a_map_is_one_for_all_ways_to_a_unit_and_stays_while_a_group_needs_it() {
    let set_map =
        |map: &str| Change::SetLbaMap { backstore: backstore_id("ramdisk/way0"), map: map.to_owned() };
    let map_of = |model: &Model, name: &str| {
        let backstore = &model.backstores()[&backstore_id(name)];
        backstore.alua.lba_map().map(ToString::to_string).unwrap_or_default()
    };
    let model = make([
        Change::CreateBackstore(ramdisk("way0")),
        Change::CreateBackstore(ramdisk("way1")),
        serial("ramdisk/way0", "one"),
        serial("ramdisk/way1", "one"),
        set_map("8 0; 0 7 0:S"),
    ]);
    assert_eq!(map_of(&model, "ramdisk/way1"), "8 0; 0 7 0:S");
    check_refused(
        &model,
        set("ramdisk/way1", "default_tg_pt_gp", "alua_access_state", "4"),
        "ALUA group default_tg_pt_gp of ramdisk/way1 cannot be LBA dependent (4) while guests may change its state",
        "set alua_access_type to 1 first",
    );
    check_refused(
        &model,
        set("ramdisk/way1", "default_tg_pt_gp", "alua_support_lba_dependent", "0"),
        "alua_support_lba_dependent of ALUA group default_tg_pt_gp of ramdisk/way1 cannot be '0': it follows lba_map",
        "set lba_map of the backstore, or take it back",
    );
    let model = model.apply(set("ramdisk/way1", "default_tg_pt_gp", "alua_access_type", "1")).unwrap();
    let model = model.apply(set("ramdisk/way1", "default_tg_pt_gp", "alua_access_state", "4")).unwrap();
    let needs = "ALUA group default_tg_pt_gp of ramdisk/way0 is LBA dependent (4), and no lba_map says how";
    let hint = "set lba_map, or give the group another state";
    check_refused(&model, set_map(""), needs, hint);
    let groups = model.backstores()[&backstore_id("ramdisk/way0")].alua.clone();
    let mut bare = groups.clone();
    bare.restore_lba_map(None);
    let put = Change::PutAluaGroups { backstore: backstore_id("ramdisk/way0"), groups: bare.clone() };
    check_refused(&model, put, needs, hint);
    let mut third = ramdisk("way0");
    third.alua = bare;
    let made = Model::default().apply(Change::CreateBackstore(third));
    assert_eq!(made.map_err(|refusal| refusal.to_string()), Err(needs.to_owned()));
    let model = model.apply(set("ramdisk/way0", "default_tg_pt_gp", "alua_access_state", "0")).unwrap();
    assert_eq!(map_of(&model.apply(set_map(" ")).unwrap(), "ramdisk/way1"), "");
}

#[test]
fn a_guest_changes_states_all_or_none_and_says_so() {
    let model = furnished().apply(alter(&[(0, 1), (5, 2)], &[])).unwrap();
    assert_eq!(state(&model, "ramdisk/r0", "default_tg_pt_gp"), (1, 1));
    assert_eq!(state(&model, "ramdisk/r0", "grp1"), (2, 1));
    let words = "the unit serial of r0 has no such ALUA group or port, or it cannot be in that state";
    let hint = "REPORT TARGET PORT GROUPS tells a guest what there is";
    for bad in [&[(0, 1), (6, 2)][..], &[(0, 1), (5, 4)], &[(0, 15)]] {
        check_refused(&furnished(), alter(bad, &[]), words, hint);
    }
    let implicit = furnished().apply(set("ramdisk/r0", "grp1", "alua_access_type", "1")).unwrap();
    check_refused(&implicit, alter(&[(5, 2)], &[]), words, hint);
}

#[test]
fn a_guest_takes_a_port_offline_by_its_relative_identifier() {
    let offline = |model: &Model, target| {
        let alua = &model.targets()[&wwn(target)].tpgs[&tag(1)].luns[&lun(0)].alua;
        (alua.offline, alua.status.number())
    };
    let model = furnished().apply(alter(&[], &[2])).unwrap();
    assert_eq!((offline(&model, 1), offline(&model, 2)), ((false, 0), (true, 1)));
    let back = model.apply(put(2, LunAluaSetting::Offline(false))).unwrap();
    assert_eq!(offline(&back, 2), (false, 2));
    assert!(furnished().apply(alter(&[], &[3])).is_err());
    let never = furnished().apply(set("ramdisk/r0", "grp1", "alua_support_offline", "0")).unwrap();
    assert!(never.apply(alter(&[], &[2])).is_err());
}

#[test]
fn backstores_of_one_unit_serial_number_say_that_they_are_the_same() {
    let who = |model: &Model, name: &str| {
        let backstore = &model.backstores()[&backstore_id(name)];
        [IdentityKey::ProductId, IdentityKey::VendorId].map(|key| backstore.identity_text(key))
    };
    let say = |backstore: &str, attribute: &str, value: &str| {
        let (attribute, value) = (attribute.to_owned(), value.to_owned());
        Change::SetIdentity { backstore: backstore_id(backstore), attribute, value }
    };
    let model = make([
        Change::CreateBackstore(ramdisk("way0")),
        Change::CreateBackstore(ramdisk("way1")),
        say("ramdisk/way1", "vendor_id", "ACME"),
        serial("ramdisk/way0", "one"),
        serial("ramdisk/way1", "one"),
    ]);
    // Who joins is called what the unit is called.
    assert_eq!(who(&model, "ramdisk/way1"), ["way0", "LIO-ORG"]);
    let model = model.apply(say("ramdisk/way1", "vendor_id", "ACME")).unwrap();
    assert_eq!(who(&model, "ramdisk/way0"), ["way0", "ACME"]);
    assert_eq!(who(&model, "ramdisk/way1"), ["way0", "ACME"]);
    // Once a guest may see it by one way, it stays what it is by the other.
    let model = model.apply(create_target(1, [(1, 1)])).unwrap();
    let model = model.apply(map(1, 1, 0, "ramdisk/way0")).unwrap();
    assert!(model.apply(say("ramdisk/way1", "product_id", "other")).is_err());
    assert!(model.apply(say("ramdisk/way1", "product_id", "way0")).is_ok());
}

#[test]
fn backstores_of_one_unit_serial_number_have_the_same_groups() {
    let mut twin = ramdisk("r1");
    twin.unit_serial = UnitSerial::parse("serial of r0").unwrap();
    let model = furnished().apply(Change::CreateBackstore(twin.clone())).unwrap();
    assert!(model.backstores()[&backstore_id("ramdisk/r1")].alua.get(&group("grp1")).is_some());
    let model = model.apply(set("ramdisk/r1", "grp1", "alua_access_state", "2")).unwrap();
    assert_eq!(state(&model, "ramdisk/r0", "grp1"), (2, 2));
    let model = model.apply(create("ramdisk/r0", "grp2", 6)).unwrap();
    assert_eq!(state(&model, "ramdisk/r1", "grp2"), (0, 0));
    // What a LUN of the other is in is in use.
    assert!(model.apply(delete("ramdisk/r1", "grp1")).is_err());
    // One that brings others is refused, and named.
    let own = make([Change::CreateBackstore(ramdisk("r2")), create("ramdisk/r2", "own", 9)]);
    let mut stranger = own.backstores()[&backstore_id("ramdisk/r2")].clone();
    stranger.unit_serial = UnitSerial::parse("serial of r0").unwrap();
    check_refused(
        &model,
        Change::CreateBackstore(stranger),
        "ramdisk/r2 has the unit serial number of ramdisk/r0 and other ALUA groups",
        "give it the same groups, or none: it takes those of the other",
    );
}

#[test]
fn a_serial_number_that_another_backstore_has_brings_its_groups() {
    let model = furnished().apply(Change::CreateBackstore(ramdisk("r1"))).unwrap();
    let model = model.apply(serial("ramdisk/r1", "serial of r0")).unwrap();
    assert_eq!(state(&model, "ramdisk/r1", "grp1"), (0, 0));
}

#[test]
fn members_of_a_group_of_logical_units_change_together() {
    let lu = |backstore: &str, name: &str| Change::SetLuGroup {
        backstore: backstore_id(backstore),
        group: group(name),
    };
    let changes = [
        Change::CreateBackstore(ramdisk("r1")),
        Change::CreateBackstore(ramdisk("r2")),
        create("ramdisk/r1", "another", 5),
        create("ramdisk/r2", "grp1", 5),
        Change::CreateLuGroup { name: group("cluster"), id: 7 },
        lu("ramdisk/r0", "cluster"),
        lu("ramdisk/r1", "cluster"),
        set("ramdisk/r0", "grp1", "alua_access_state", "2"),
    ];
    let model = changes.into_iter().fold(furnished(), |model, change| model.apply(change).unwrap());
    assert_eq!(state(&model, "ramdisk/r0", "grp1"), (2, 2));
    assert_eq!(state(&model, "ramdisk/r1", "another"), (2, 2));
    assert_eq!(state(&model, "ramdisk/r2", "grp1"), (0, 0));
    // So they do when a guest asks for it, but for one that guests may not change.
    let model = model.apply(alter(&[(5, 1)], &[])).unwrap();
    assert_eq!(state(&model, "ramdisk/r0", "grp1"), (1, 1));
    assert_eq!(state(&model, "ramdisk/r1", "another"), (1, 1));
    assert_eq!(state(&model, "ramdisk/r2", "grp1"), (0, 0));
    let model = model.apply(set("ramdisk/r1", "another", "alua_access_type", "1")).unwrap();
    let model = model.apply(alter(&[(5, 2)], &[])).unwrap();
    assert_eq!(state(&model, "ramdisk/r0", "grp1"), (2, 1));
    assert_eq!(state(&model, "ramdisk/r1", "another"), (1, 1));
    assert_eq!(model.lu_group_id(&group("cluster")), 7);
    check_refused(
        &model,
        Change::DeleteLuGroup(group("cluster")),
        "LU group cluster is in use by storage object ramdisk/r0",
        "put the storage object into another group first",
    );
    check_refused(
        &model,
        Change::CreateLuGroup { name: group("other"), id: 7 },
        "LU group id 7 is in use by cluster",
        "choose another number",
    );
    check_refused(
        &model,
        lu("ramdisk/r2", "nosuch"),
        "No LU group 'nosuch'",
        "[lu_groups] of a file that is applied makes it, or mkdir in core/alua/lu_gps of LIO's tree",
    );
}

#[test]
fn what_a_lun_has_is_set_by_lios_names() {
    let parse = |attribute, text| LunAluaSetting::parse(&place(1, 1, 0), attribute, text);
    assert_eq!(parse("alua_tg_pt_gp_name", "grp1"), Ok(LunAluaSetting::Group(group("grp1"))));
    let default = LunAluaSetting::Group(AluaGroupName::default_group());
    assert_eq!(parse("alua_tg_pt_gp_name", "NULL"), Ok(default));
    assert_eq!(parse("alua_tg_pt_offline", "1"), Ok(LunAluaSetting::Offline(true)));
    assert_eq!(
        parse("alua_tg_pt_offline", "2").map_err(|refusal| refusal.to_string()),
        Err("alua_tg_pt_offline of LUN naa.5001405000000001/tpg1/lun0 cannot be '2': it takes 0 or 1".into())
    );
    assert_eq!(
        parse("alua_tg_pt_status", "3").map_err(|refusal| refusal.to_string()),
        Err("alua_tg_pt_status of LUN naa.5001405000000001/tpg1/lun0 cannot be '3': it takes 0 to 2".into())
    );
    assert_eq!(
        parse("nosuch", "3").map_err(|refusal| refusal.to_string()),
        Err("No ALUA attribute 'nosuch' on LUN naa.5001405000000001/tpg1/lun0".into())
    );
}
