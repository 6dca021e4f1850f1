// SPDX-License-Identifier: Apache-2.0 OR MIT
//! saveconfig.json, read: files of LIO's tools, and our own there and back.
//!
//! Above: nothing.  Below: `common`, the files of `fixtures`.
//! Never here: files that are wrong, which `restore_wrong` has.

mod common;
mod fixtures;

use api::v1::RestoreOptions;
use common::{clearing, draft, everything, map_in_lists, read, text};
use fixtures::{LIO_6_1, TARGETCLI_2, TARGETCLI_3, edited};
use lunard::machine::{Live, LiveBackstore};
use lunard::saveconfig::{self, DocumentError, RestoreError};
use model::{
    AbsolutePath, Backstore, BackstoreId, BackstoreName, Change, Key, Kind, Lun, LunAlias, LunAlua,
    LunMapping, Medium, Model, Step, TpgTag, UnitSerial, Wwn, plan,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn only_target(wwn: &str) -> RestoreOptions {
    RestoreOptions { target: Some(wwn.to_owned()), ..everything() }
}

fn only_object(name: &str) -> RestoreOptions {
    RestoreOptions { storage_object: Some(name.to_owned()), ..everything() }
}

fn restored(text: &str) -> Model {
    draft(&Model::default(), text, &everything()).unwrap().model
}

fn notes(text: &str) -> Vec<String> {
    read(text, &everything()).unwrap().notes()
}

fn id(text: &str) -> BackstoreId {
    let (kind, name) = text.split_once('/').unwrap();
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
    BackstoreId { kind, name: BackstoreName::parse(name).unwrap() }
}

fn wwn(text: &str) -> Wwn {
    Wwn::parse(text).unwrap()
}

fn luns(model: &Model, target: &str) -> Vec<(u16, String, String)> {
    let tpg = model.tpg(&wwn(target), TpgTag::new(1)).unwrap();
    let lun = |(lun, mapping): (&Lun, &LunMapping)| {
        (lun.get(), mapping.backstore.to_string(), mapping.alias.to_string())
    };
    tpg.luns.iter().map(lun).collect()
}

fn own(lun: u16, backstore: &str, alias: &str) -> (u16, String, String) {
    (lun, backstore.to_owned(), alias.to_owned())
}

#[test]
fn a_file_of_a_real_kernel_is_restored() {
    let model = restored(LIO_6_1);
    assert_eq!(model.backstores().len(), 2);
    let disk0 = model.backstore(&id("fileio/disk0")).unwrap();
    assert_eq!(disk0.unit_serial.as_str(), "b9311139-ff05-4ffd-a5cc-8b35be14d722");
    assert_eq!(disk0.medium.path().map(AbsolutePath::as_str), Some("/tmp/d.img"));
    assert_eq!(disk0.medium.size_bytes(), Some(16_777_216));
    assert_eq!(disk0.write_back(), Some(true));
    assert_eq!(luns(&model, "naa.50014051768b3758"), [own(0, "fileio/disk0", "41ec07eb12")]);
    assert_eq!(
        notes(LIO_6_1),
        [
            "attributes of block/disk1 that cannot be so here keep their defaults: optimal_sectors=4294967288 queue_depth=256"
        ]
    );
}

#[test]
fn files_of_both_versions_of_targetcli_are_restored() {
    for (file, target, aliases) in [
        (TARGETCLI_2, "naa.500140517aa1ed3c", ["a7975b902c", "f57c2e53f0", "f41e38bd0b"]),
        (TARGETCLI_3, "naa.500140586dbe412a", ["32cc25f97f", "6610daed35", "eba1342b19"]),
    ] {
        let model = restored(file);
        let names: Vec<String> = model.backstores().keys().map(ToString::to_string).collect();
        assert_eq!(names, ["block/disk0", "fileio/f0", "fileio/f1", "ramdisk/r0"]);
        assert_eq!(
            luns(&model, "naa.500140568720f76f"),
            [
                own(0, "block/disk0", aliases[0]),
                own(5, "fileio/f0", aliases[1]),
                own(7, "ramdisk/r0", aliases[2])
            ]
        );
        assert_eq!(luns(&model, target), []);
        assert_eq!(model.backstore(&id("fileio/f1")).unwrap().write_back(), Some(false));
        assert_eq!(model.backstore(&id("fileio/f0")).unwrap().attribute(Key::IsNonrot), Some(1));
        assert_eq!(
            notes(file),
            ["attributes of 4 storage objects that cannot be so here keep their defaults: submit_type=0"]
        );
    }
}

#[test]
fn what_lunar_writes_of_a_restored_file_is_that_file_where_both_have_words() {
    let again: Value = serde_json::from_str(&text(&restored(TARGETCLI_2))).unwrap();
    let file: Value = serde_json::from_str(TARGETCLI_2).unwrap();
    for (again, file) in
        again["storage_objects"].as_array().unwrap().iter().zip(file["storage_objects"].as_array().unwrap())
    {
        for key in ["name", "plugin", "wwn", "dev", "size", "write_back", "readonly", "aio"] {
            assert_eq!(again.get(key), file.get(key), "{key} of {}", file["name"]);
        }
        for (name, value) in again["attributes"].as_object().unwrap() {
            let is_unbuilt = ["emulate_3pc", "emulate_caw", "max_write_same_len"];
            // LIO 6.1 and older have it, this file's tree had not.
            if !is_unbuilt.contains(&name.as_str()) && name != "alua_support" {
                assert_eq!(Some(value), file["attributes"].get(name), "{name} of {}", file["name"]);
            }
        }
    }
    for (again, file) in
        again["targets"].as_array().unwrap().iter().rev().zip(file["targets"].as_array().unwrap())
    {
        assert_eq!(again["wwn"], file["wwn"]);
        assert_eq!(again["tpgs"][0]["luns"], file["tpgs"][0]["luns"]);
    }
}

#[test]
fn targets_of_other_fabrics_and_backstores_that_are_not_served_are_kept_and_told() {
    let iscsi =
        json!({"fabric": "iscsi", "wwn": "iqn.2003-01.org.x:sn.1", "tpgs": [{"tag": 1, "portals": []}]});
    let tape = json!({"name": "tape", "plugin": "pscsi", "dev": "/dev/sg1", "attributes": {}});
    let module = json!({"name": "iscsi", "discovery_enable_auth": true});
    let lun = json!({"index": 3, "storage_object": "/backstores/pscsi/tape", "alias": "0123456789"});
    let file = edited(LIO_6_1, |value| {
        value["fabric_modules"] = json!([module.clone()]);
        value["storage_objects"].as_array_mut().unwrap().insert(0, tape.clone());
        value["targets"].as_array_mut().unwrap().push(iscsi.clone());
        value["targets"][0]["tpgs"][0]["luns"].as_array_mut().unwrap().push(lun.clone());
    });
    let model = restored(&file);
    assert_eq!((model.backstores().len(), model.targets().len()), (2, 1));
    assert_eq!(
        notes(&file)[..4],
        [
            "storage object pscsi/tape is not served; it is kept as it is",
            "fabric module iscsi is not served; it is kept as it is",
            "LUN 3 of naa.50014051768b3758/tpg1 shows pscsi/tape, which is not served; it is kept as it is",
            "target iqn.2003-01.org.x:sn.1 of fabric iscsi is not served; it is kept as it is",
        ]
    );
    let again: Value = serde_json::from_str(&text(&model)).unwrap();
    assert_eq!(again["fabric_modules"], json!([module]));
    assert_eq!(again["storage_objects"][2], tape);
    assert_eq!(again["targets"][1], iscsi);
    assert_eq!(again["targets"][0]["tpgs"][0]["luns"][1], lun);
    assert_eq!(restored(&text(&model)), model);
}

#[test]
fn a_kept_lun_gives_way_to_one_that_was_mapped_since() {
    let file = edited(LIO_6_1, |value| {
        value["targets"][0]["tpgs"][0]["luns"]
            .as_array_mut()
            .unwrap()
            .push(json!({"index": 3, "storage_object": "/backstores/user/u", "alias": "0123456789"}));
    });
    let mapping = LunMapping {
        backstore: id("block/disk1"),
        alias: LunAlias::parse("aaaaaaaaaa").unwrap(),
        write_protect: false,
        alua: LunAlua::default(),
    };
    let (wwn, tag, lun) = (wwn("naa.50014051768b3758"), TpgTag::new(1), Lun::parse(3).unwrap());
    let model = restored(&file).apply(Change::MapLun { wwn, tag, lun, mapping }).unwrap();
    let again: Value = serde_json::from_str(&text(&model)).unwrap();
    let luns = again["targets"][0]["tpgs"][0]["luns"].as_array().unwrap();
    assert_eq!(luns.len(), 2);
    assert_eq!(luns[1]["storage_object"], "/backstores/block/disk1");
}

#[test]
fn clearing_forgets_what_was_kept() {
    let file = json!({"targets": [{"fabric": "iscsi", "wwn": "iqn.x", "tpgs": []}]}).to_string();
    let model = restored(&file);
    assert_eq!(model.foreign().things().len(), 1);
    let other = json!({"targets": [{"fabric": "loopback", "wwn": "naa.5", "tpgs": []}]}).to_string();
    let both = draft(&model, &other, &everything()).unwrap().model;
    assert_eq!(both.foreign().things().len(), 2);
    let one = draft(&both, &other, &clearing()).unwrap().model;
    assert_eq!(one.foreign().things().keys().collect::<Vec<_>>(), ["target loopback/naa.5"]);
    assert_eq!(saveconfig::clear(&both).unwrap().model, Model::default());
}

#[test]
fn what_is_there_already_is_listed_and_nothing_happens() {
    let model = restored(LIO_6_1);
    let error = draft(&model, LIO_6_1, &everything()).unwrap_err();
    assert!(
        matches!(&error, RestoreError::Conflict { objects, targets } if (objects.len(), targets.len()) == (2, 1))
    );
    assert_eq!(
        error.to_string(),
        "storageobject 'block:disk1' exist not restoring; storageobject 'fileio:disk0' exist not restoring; \
         target with wwn naa.50014051768b3758 exist, not restoring"
    );
}

#[test]
fn many_conflicts_are_counted() {
    let objects: Vec<Value> =
        (0..20).map(|n| json!({"name": format!("r{n:02}"), "plugin": "rd_mcp", "size": 4096})).collect();
    let file = json!({"storage_objects": objects}).to_string();
    let error = draft(&restored(&file), &file, &everything()).unwrap_err().to_string();
    assert!(error.starts_with("storageobject 'ramdisk:r00' exist not restoring; "), "{error}");
    assert!(error.ends_with("storageobject 'ramdisk:r15' exist not restoring; and 4 more"), "{error}");
}

#[test]
fn a_file_restored_over_itself_is_no_step() {
    // A guest that is connected notices nothing, though LIO's file has neither nexus nor relative port.
    let model = restored(LIO_6_1);
    let again = draft(&model, LIO_6_1, &clearing()).unwrap();
    assert_eq!(again.model, model);
    assert_eq!(plan(&model, &again.model), []);
}

#[test]
fn clearing_first_leaves_only_what_the_file_has() {
    let model = restored(TARGETCLI_2);
    let after = draft(&model, LIO_6_1, &clearing()).unwrap().model;
    let targets: Vec<&str> = after.targets().keys().map(Wwn::as_str).collect();
    assert_eq!(targets, ["naa.50014051768b3758"]);
    assert_eq!(after.backstores().len(), 2);
    let fresh = draft(&Model::default(), LIO_6_1, &everything()).unwrap().model;
    assert_eq!(after, fresh);
}

#[test]
fn one_target_brings_the_storage_objects_it_shows() {
    let options = only_target("500140568720F76F");
    let model = draft(&Model::default(), TARGETCLI_2, &options).unwrap().model;
    let names: Vec<String> = model.backstores().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["block/disk0", "fileio/f0", "ramdisk/r0"]);
    assert_eq!(model.targets().len(), 1);
    // Those that are there are used as they are.
    let objects = draft(&Model::default(), TARGETCLI_2, &only_object("f0")).unwrap().model;
    let both = draft(&objects, TARGETCLI_2, &options).unwrap();
    assert_eq!(both.model.backstores(), model.backstores());
}

#[test]
fn one_storage_object_comes_alone_by_either_name() {
    for name in ["f1", "fileio/f1", "fileio:f1"] {
        let model = draft(&Model::default(), TARGETCLI_2, &only_object(name)).unwrap().model;
        assert_eq!(model.backstores().keys().cloned().collect::<Vec<_>>(), [id("fileio/f1")]);
        assert_eq!(model.targets().len(), 0);
    }
}

#[test]
fn one_storage_object_is_replaced_under_its_luns() {
    let mut model = restored(TARGETCLI_2);
    let file = edited(TARGETCLI_2, |value| value["storage_objects"][1]["dev"] = json!("/srv/other.img"));
    map_in_lists(&mut model);
    let options = RestoreOptions { clear_existing: true, ..only_object("f0") };
    let after = draft(&model, &file, &options).unwrap().model;
    assert_eq!(after.targets(), model.targets());
    let path = after.backstore(&id("fileio/f0")).unwrap().medium.path();
    assert_eq!(path.map(AbsolutePath::as_str), Some("/srv/other.img"));
    assert_eq!(after.backstores().len(), 4);
    let steps = plan(&model, &after);
    assert!(matches!(steps[0], Step::UnmapLun { .. }), "{steps:?}");
    assert_eq!(steps.len(), 4);
}

#[test]
fn options_of_a_target_are_restored_and_a_file_of_lio_leaves_them() {
    let name = "naa.50014051768b3758";
    let set = |option: &str, value: &str| Change::SetOption {
        wwn: wwn(name),
        option: option.to_owned(),
        value: value.to_owned(),
    };
    let plain = restored(LIO_6_1);
    let model = plain.apply(set("num_queues", "4")).unwrap();
    assert_eq!(restored(&text(&model)).targets(), model.targets());
    assert_eq!(draft(&model, LIO_6_1, &clearing()).unwrap().model, model);
    // A file of ours means the default by saying nothing.
    assert_eq!(draft(&model, &text(&plain), &clearing()).unwrap().model, plain);
    let file = edited(&text(&model), |value| value["targets"][0]["options"]["novel"] = json!(1));
    assert_eq!(notes(&file), ["option 'novel' of target naa.50014051768b3758 is not known here"]);
    let file = edited(&text(&model), |value| value["targets"][0]["options"]["num_queues"] = json!(255));
    let error = draft(&Model::default(), &file, &everything()).unwrap_err().to_string();
    assert!(error.contains("num_queues") && error.contains("'255'"), "{error}");
}

#[test]
fn the_completion_affinity_of_a_file_is_kept_and_saved_again() {
    let file = |value: Value| {
        edited(LIO_6_1, |file| file["targets"][0]["parameters"] = json!({"cmd_completion_affinity": value}))
    };
    let saved = |model: &Model| -> Value {
        serde_json::from_str::<Value>(&text(model)).unwrap()["targets"][0]["parameters"].clone()
    };
    assert_eq!(saved(&restored(LIO_6_1)), json!({"cmd_completion_affinity": "-1"}));
    // The CPU 0 is online wherever this runs.
    for (said, number) in [(json!("-2"), "-2"), (json!("0"), "0"), (json!(-2), "-2"), (json!("0x0"), "0")] {
        let model = restored(&file(said.clone()));
        assert_eq!(saved(&model), json!({"cmd_completion_affinity": number}), "{said}");
        assert_eq!(restored(&text(&model)).targets(), model.targets());
    }
    let model = restored(&file(json!("-2")));
    let says_none = edited(LIO_6_1, |file| file["targets"][0]["parameters"] = json!({}));
    // A kernel that has no such thing says nothing of it; one that cannot be changes nothing either.
    assert_eq!(draft(&model, &says_none, &clearing()).unwrap().model, model);
    assert_eq!(draft(&model, &file(json!("8191")), &clearing()).unwrap().model, model);
    assert_ne!(draft(&model, LIO_6_1, &clearing()).unwrap().model, model);
}

#[test]
fn what_the_file_has_not_is_told() {
    for (options, words) in [
        (only_target("naa.5001405000000009"), "the file has no target naa.5001405000000009"),
        (only_object("nosuch"), "the file has no storage object nosuch"),
    ] {
        assert_eq!(read(LIO_6_1, &options), Err(DocumentError::NotThere(words.to_owned())));
    }
    let file = edited(LIO_6_1, |value| value["storage_objects"][0]["name"] = json!("disk0"));
    let words = "disk0 can be block/disk0 or fileio/disk0".to_owned();
    assert_eq!(read(&file, &only_object("disk0")), Err(DocumentError::Malformed(words)));
    assert!(read(&file, &only_object("block/disk0")).is_ok());
}

#[test]
fn what_is_not_asked_for_is_not_looked_at() {
    let file = edited(LIO_6_1, |value| {
        value["storage_objects"][0]["dev"] = json!(7);
        value["targets"][0]["wwn"] = json!(null);
    });
    assert!(read(&file, &everything()).is_err());
    assert!(read(&file, &only_object("disk0")).is_ok());
}

#[test]
fn two_restores_at_once_do_not_lose_each_others_kept_things() {
    let kept = |wwn: &str| json!({"targets": [{"fabric": "iscsi", "wwn": wwn, "tpgs": []}]}).to_string();
    let first = draft(&Model::default(), &kept("iqn.a"), &everything()).unwrap();
    let second = draft(&Model::default(), &kept("iqn.b"), &everything()).unwrap();
    // The second finds that the first has come between, and is drafted anew.
    assert!(second.moved_to(&first.model).is_err());
    let anew = draft(&first.model, &kept("iqn.b"), &everything()).unwrap();
    assert_eq!(anew.model.foreign().things().len(), 2);
}

/// A file with this many targets of iSCSI, each with these LUNs, and four lists of them all.
fn of_iscsi(targets: usize, luns: usize) -> String {
    let lun = |index| json!({"index": index, "storage_object": "/backstores/user/u", "alias": "0a1b2c3d4e"});
    let mapped =
        |index| json!({"index": index, "tpg_lun": index, "alias": "0a1b2c3d4e", "write_protect": false});
    let acl = |number| {
        let mapped: Vec<Value> = (0..luns).map(mapped).collect();
        json!({"node_wwn": format!("iqn.2003-01.org.example:{number}"), "chap_userid": "u", "mapped_luns": mapped})
    };
    let target = |number| {
        let acls: Vec<Value> = if luns == 0 { Vec::new() } else { (0..4).map(acl).collect() };
        let tpg = json!({"tag": 1, "luns": (0..luns).map(lun).collect::<Vec<_>>(), "node_acls": acls});
        json!({"fabric": "iscsi", "wwn": format!("iqn.2003-01.org.example:t{number}"), "tpgs": [tpg]})
    };
    json!({"targets": (0..targets).map(target).collect::<Vec<_>>()}).to_string()
}

#[test]
fn what_is_kept_of_other_fabrics_is_bounded_and_real_files_are_far_below() {
    for (targets, luns) in [(4096, 0), (500, 20)] {
        assert_eq!(restored(&of_iscsi(targets, luns)).foreign().things().len(), targets);
    }
    let error = read(&of_iscsi(4097, 0), &everything()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "4097 targets, LUNs and backstores of other kinds cannot be kept: 4096 can"
    );
    let long = json!({"targets": [{"fabric": "iscsi", "wwn": "iqn.x", "novel": "n".repeat(16_777_216)}]});
    let error = read(&long.to_string(), &everything()).unwrap_err().to_string();
    assert!(
        error.ends_with(" bytes of other fabrics and backstores cannot be kept: 16777216 can"),
        "{error}"
    );
}

#[test]
fn a_size_that_ends_within_a_block_is_rounded_down() {
    let file = edited(LIO_6_1, |value| {
        value["storage_objects"][1]["size"] = json!(16_777_999);
        value["storage_objects"][1]["attributes"]["block_size"] = json!(4096);
    });
    let model = restored(&file);
    let disk0 = model.backstore(&id("fileio/disk0")).unwrap();
    assert_eq!(disk0.medium.size_bytes(), Some(16_777_216));
    assert_eq!(
        notes(&file)[0],
        "the size of storage object fileio/disk0, 16777999 bytes, is taken as 16777216: whole blocks"
    );
}

#[test]
fn what_cannot_be_taken_over_is_told() {
    let file = edited(TARGETCLI_3, |value| {
        value["novel"] = json!(1);
        value["storage_objects"][0]["exclusive"] = json!(false);
        value["storage_objects"][0]["control"] = json!("x");
        value["storage_objects"][0]["alua_tpgs"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "grp1", "tg_pt_gp_id": 5, "novel": 1}));
        value["targets"][0]["tpgs"][0]["enable"] = json!(false);
        value["targets"][0]["parameters"] =
            json!({"cmd_completion_affinity": "8191", "default_submit_type": "0"});
        value["targets"][0]["tpgs"][0]["attributes"] = json!({"fabric_prot_type": 3});
        value["targets"][0]["tpgs"][0]["portals"] = json!([{"ip_address": "0.0.0.0", "port": 3260}]);
        value["targets"][0]["tpgs"][0]["node_acls"] = json!([{
            "node_wwn": "naa.5001405000000001", "chap_userid": "u", "tag": "t",
            "mapped_luns": [{"index": 0, "tpg_lun": 77}],
        }]);
        value["targets"][0]["tpgs"][0]["luns"][0]["alias"] = json!("no/file");
    });
    let told = notes(&file);
    assert_eq!(
        told[..told.len() - 1],
        [
            "'novel' of the file is not known here",
            "'novel' of ALUA group grp1 of storage object block/disk0 is not known here",
            "'control' of storage object block/disk0 is not known here",
            "storage object block/disk0 is opened exclusively all the same",
            "parameters.cmd_completion_affinity=8191 of target naa.500140568720f76f is not taken over: it takes -1, -2 \
             or the number of a CPU that is online",
            "parameters.default_submit_type=0 of target naa.500140568720f76f is not taken over",
            "attributes.fabric_prot_type=3 of TPG 1 of target naa.500140568720f76f is not taken over",
            "the portals of TPG 1 of target naa.500140568720f76f are not taken over: vhost has none",
            "TPG 1 of target naa.500140568720f76f is served, for vhost has no switch to disable it",
            "LUN 0 of naa.500140568720f76f/tpg1 gets another alias",
            "'chap_userid' of node ACL naa.5001405000000001 of TPG 1 of target naa.500140568720f76f is not known \
             here",
            "the tag of node ACL naa.5001405000000001 of TPG 1 of target naa.500140568720f76f is not taken over",
            "Could not find matching TPG LUN 77 for mapped LUN 0 of node ACL naa.5001405000000001 of TPG 1 of target \
             naa.500140568720f76f",
        ]
    );
}

/// A file of targetcli's with a list as it writes one.
fn with_node_acl(node_wwn: &str, mapped_luns: Value) -> String {
    edited(LIO_6_1, |value| {
        value["targets"][0]["tpgs"][0]["node_acls"] =
            json!([{"node_wwn": node_wwn, "mapped_luns": mapped_luns}]);
    })
}

#[test]
fn node_acls_are_restored_and_written_as_they_were() {
    let lun = json!({"alias": "0a1b2c3d4e", "index": 9, "tpg_lun": 0, "write_protect": true});
    let file = with_node_acl("naa.5001405aaaaaaaaa", json!([lun]));
    let model = restored(&file);
    let tpg = model.tpg(&wwn("naa.50014051768b3758"), TpgTag::new(1)).unwrap();
    let (lun, mapped) = tpg.acls[&wwn("naa.5001405aaaaaaaaa")].luns.first_key_value().unwrap();
    assert_eq!(
        (lun.get(), mapped.of.get(), mapped.alias.as_str(), mapped.write_protect),
        (9, 0, "0a1b2c3d4e", true)
    );
    let written: Value = serde_json::from_str(&text(&model)).unwrap();
    let before: Value = serde_json::from_str(&file).unwrap();
    let acls = |value: &Value| value["targets"][0]["tpgs"][0]["node_acls"].clone();
    assert_eq!(acls(&written), acls(&before));
}

#[test]
fn a_session_that_targetcli_saved_as_a_node_acl_hides_no_disk() {
    let model = restored(LIO_6_1);
    let target = wwn("naa.50014051768b3758");
    let nexus = model.tpg(&target, TpgTag::new(1)).unwrap().nexus.to_string();
    let after = draft(&model, &with_node_acl(&nexus, json!([])), &clearing()).unwrap().model;
    assert_eq!(after, model);
    // One of our own files says what it means.
    let acl = model::AclPlace { wwn: target, tag: TpgTag::new(1), initiator: wwn(&nexus) };
    let hidden = model.apply(Change::CreateAcl(acl)).unwrap();
    assert_eq!(draft(&model, &text(&hidden), &clearing()).unwrap().model, hidden);
}

#[test]
fn a_list_whose_mapped_luns_have_no_lun_stays_a_list() {
    let model = restored(LIO_6_1);
    let target = wwn("naa.50014051768b3758");
    let nexus = model.tpg(&target, TpgTag::new(1)).unwrap().nexus.clone();
    let file = with_node_acl(nexus.as_str(), json!([{"index": 0, "tpg_lun": 7}]));
    assert_eq!(
        notes(&file)[0],
        format!(
            "Could not find matching TPG LUN 7 for mapped LUN 0 of node ACL {nexus} of TPG 1 of target \
             naa.50014051768b3758"
        )
    );
    let after = draft(&model, &file, &clearing()).unwrap().model;
    let acls = &after.tpg(&target, TpgTag::new(1)).unwrap().acls;
    assert_eq!(acls.iter().map(|(of, acl)| (of, acl.luns.len())).collect::<Vec<_>>(), [(&nexus, 0)]);
}

#[test]
fn an_empty_list_of_a_file_that_lunar_wrote_is_no_session() {
    let model = restored(LIO_6_1);
    let target = wwn("naa.50014051768b3758");
    let nexus = model.tpg(&target, TpgTag::new(1)).unwrap().nexus.clone();
    let file = edited(&with_node_acl(nexus.as_str(), json!([])), |value| {
        value["x_lunar"] = json!({"version": 2});
    });
    let after = draft(&model, &file, &clearing()).unwrap().model;
    assert_eq!(after.tpg(&target, TpgTag::new(1)).unwrap().acls.len(), 1);
}

#[test]
fn a_read_only_device_is_restored_as_it_was_asked_for() {
    for wanted in [None, Some(false), Some(true)] {
        let path = AbsolutePath::parse("/dev/sr0").unwrap();
        let medium = Medium::Block { path, read_only: wanted, size_bytes: None };
        let serial = UnitSerial::parse("s").unwrap();
        let backstore = Backstore::new(BackstoreName::parse("cd").unwrap(), serial, medium).unwrap();
        let model = Model::default().apply(Change::CreateBackstore(backstore)).unwrap();
        for is in [false, true] {
            let live = LiveBackstore {
                size_bytes: 0,
                block_bytes: 2048,
                read_only: is,
                write_back: false,
                missing: false,
                ejected: false,
                stopped: false,
                physical_block_bytes: 512,
                device: None,
                space: None,
                transitioning: std::collections::BTreeSet::new(),
            };
            let live = Live { backstores: BTreeMap::from([(id("block/cd"), live)]), ..Live::default() };
            let file = saveconfig::text(&model, &live);
            let value: Value = serde_json::from_str(&file).unwrap();
            assert_eq!(value["storage_objects"][0]["readonly"], is);
            assert_eq!(value["storage_objects"][0]["attributes"]["block_size"], 2048);
            assert_eq!(restored(&file), model, "{wanted:?} {is}");
        }
    }
}

#[test]
fn an_attribute_of_the_device_that_was_edited_is_a_wish() {
    let path = AbsolutePath::parse("/dev/sda").unwrap();
    let medium = Medium::Block { path, read_only: None, size_bytes: None };
    let serial = UnitSerial::parse("s").unwrap();
    let backstore = Backstore::new(BackstoreName::parse("disk0").unwrap(), serial, medium).unwrap();
    let model = Model::default().apply(Change::CreateBackstore(backstore)).unwrap();
    assert_eq!(restored(&text(&model)), model);
    let file = edited(&text(&model), |value| {
        value["storage_objects"][0]["attributes"]["is_nonrot"] = json!(1);
    });
    let attribute = restored(&file).backstore(&id("block/disk0")).unwrap().attribute(Key::IsNonrot);
    assert_eq!(attribute, Some(1));
}
