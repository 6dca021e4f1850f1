// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire, byte for byte: what strangers send and read must not change by accident.

use api::v1::{
    Acl, AluaGroup, AluaMember, Applied, Backstore, BackstoreId, BackstoreState, Backups, BlockDevice,
    Change, Changes, Cleared, Config, CreateBackstore, Kind, LuGroup, Lun, LunAlua, MappedLun, MoveMedium,
    Outcome, Problem, Restored, Saved, Target, Tpg, Waiting,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// `value` is written as `json`, and `json` is read as `value`.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
}

/// `json` is not a change, and `what` says why.
fn check_refused(json: &str, what: &str) {
    let err = serde_json::from_str::<Change>(json).unwrap_err().to_string();
    assert!(err.contains(what), "{err}");
}

fn disk0() -> BackstoreId {
    BackstoreId { kind: Kind::Block, name: "disk0".to_owned() }
}

#[test]
fn changes_of_backstores() {
    check(
        &Change::CreateBackstore(CreateBackstore::Block {
            name: "disk0".to_owned(),
            path: "/dev/sda".to_owned(),
            read_only: None,
            unit_serial: None,
        }),
        r#"{"change":"create_backstore","kind":"block","name":"disk0","path":"/dev/sda"}"#,
    );
    check(
        &Change::CreateBackstore(CreateBackstore::Fileio {
            name: "f0".to_owned(),
            path: "/srv/f0.img".to_owned(),
            size_bytes: Some(1_048_576),
            write_back: Some(false),
            sparse: Some(true),
            unit_serial: Some("b9311139-ff05-4ffd-a5cc-8b35be14d722".to_owned()),
        }),
        r#"{"change":"create_backstore","kind":"fileio","name":"f0","path":"/srv/f0.img","size_bytes":1048576,"write_back":false,"sparse":true,"unit_serial":"b9311139-ff05-4ffd-a5cc-8b35be14d722"}"#,
    );
    check(
        &Change::CreateBackstore(CreateBackstore::Ramdisk {
            name: "r0".to_owned(),
            size_bytes: 4096,
            nullio: true,
            unit_serial: None,
        }),
        r#"{"change":"create_backstore","kind":"ramdisk","name":"r0","size_bytes":4096,"nullio":true}"#,
    );
    check(
        &Change::DeleteBackstore { id: disk0() },
        r#"{"change":"delete_backstore","kind":"block","name":"disk0"}"#,
    );
    check(
        &Change::SetAttribute {
            id: disk0(),
            attribute: "emulate_fua_write".to_owned(),
            value: "0".to_owned(),
        },
        r#"{"change":"set_attribute","kind":"block","name":"disk0","attribute":"emulate_fua_write","value":"0"}"#,
    );
}

#[test]
fn a_new_identity() {
    check(
        &Change::SetIdentity { id: disk0(), attribute: "vendor_id".to_owned(), value: "ACME".to_owned() },
        r#"{"change":"set_identity","kind":"block","name":"disk0","attribute":"vendor_id","value":"ACME"}"#,
    );
}

#[test]
fn a_new_size() {
    check(
        &Change::Resize { id: disk0(), size_bytes: 1 << 40, shrink: false },
        r#"{"change":"resize","kind":"block","name":"disk0","size_bytes":1099511627776}"#,
    );
}

#[test]
fn changes_of_what_a_target_is_set_to() {
    let wwn = || "naa.500140568720f76f".to_owned();
    check(
        &Change::SetOption { wwn: wwn(), option: "num_queues".to_owned(), value: "4".to_owned() },
        r#"{"change":"set_option","wwn":"naa.500140568720f76f","option":"num_queues","value":"4"}"#,
    );
    check(
        &Change::SetParameter {
            wwn: wwn(),
            parameter: "cmd_completion_affinity".to_owned(),
            value: "-2".to_owned(),
        },
        r#"{"change":"set_parameter","wwn":"naa.500140568720f76f","parameter":"cmd_completion_affinity","value":"-2"}"#,
    );
}

#[test]
fn changes_of_targets() {
    let wwn = || "naa.500140568720f76f".to_owned();
    check(
        &Change::CreateTarget { wwn: Some(wwn()), tpgs: vec![1] },
        r#"{"change":"create_target","wwn":"naa.500140568720f76f","tpgs":[1]}"#,
    );
    check(&Change::CreateTarget { wwn: None, tpgs: vec![] }, r#"{"change":"create_target","tpgs":[]}"#);
    check(&Change::DeleteTarget { wwn: wwn() }, r#"{"change":"delete_target","wwn":"naa.500140568720f76f"}"#);
    check(
        &Change::CreateTpg { wwn: wwn(), tag: None },
        r#"{"change":"create_tpg","wwn":"naa.500140568720f76f"}"#,
    );
    check(
        &Change::DeleteTpg { wwn: wwn(), tag: 2 },
        r#"{"change":"delete_tpg","wwn":"naa.500140568720f76f","tag":2}"#,
    );
    check(
        &Change::MapLun { wwn: wwn(), tag: 1, lun: Some(300), backstore: disk0(), write_protect: true },
        r#"{"change":"map_lun","wwn":"naa.500140568720f76f","tag":1,"lun":300,"backstore":{"kind":"block","name":"disk0"},"write_protect":true}"#,
    );
    let (group, value) = ("grp1".to_owned(), "2".to_owned());
    check(
        &Change::CreateAluaGroup { id: disk0(), group: group.clone(), group_id: None },
        r#"{"change":"create_alua_group","kind":"block","name":"disk0","group":"grp1"}"#,
    );
    check(
        &Change::SetAluaAttribute {
            id: disk0(),
            group: group.clone(),
            attribute: "alua_access_state".to_owned(),
            value,
        },
        r#"{"change":"set_alua_attribute","kind":"block","name":"disk0","group":"grp1","attribute":"alua_access_state","value":"2"}"#,
    );
    check(
        &Change::DeleteAluaGroup { id: disk0(), group: group.clone() },
        r#"{"change":"delete_alua_group","kind":"block","name":"disk0","group":"grp1"}"#,
    );
    let attribute = "alua_tg_pt_gp_name".to_owned();
    check(
        &Change::SetLunAlua { wwn: wwn(), tag: 1, lun: 0, attribute, value: group },
        r#"{"change":"set_lun_alua","wwn":"naa.500140568720f76f","tag":1,"lun":0,"attribute":"alua_tg_pt_gp_name","value":"grp1"}"#,
    );
    check(
        &Change::CreateLuGroup { group: "cluster".to_owned(), group_id: 7 },
        r#"{"change":"create_lu_group","group":"cluster","group_id":7}"#,
    );
    check(
        &Change::SetLuGroup { id: disk0(), group: "cluster".to_owned() },
        r#"{"change":"set_lu_group","kind":"block","name":"disk0","group":"cluster"}"#,
    );
    check(
        &Change::SetLbaMap { id: disk0(), lba_map: "8 0; 0 7 5:O".to_owned() },
        r#"{"change":"set_lba_map","kind":"block","name":"disk0","lba_map":"8 0; 0 7 5:O"}"#,
    );
    check(
        &Change::DeleteLuGroup { group: "cluster".to_owned() },
        r#"{"change":"delete_lu_group","group":"cluster"}"#,
    );
    check(
        &Change::UnmapLun { wwn: wwn(), tag: 1, lun: 0 },
        r#"{"change":"unmap_lun","wwn":"naa.500140568720f76f","tag":1,"lun":0}"#,
    );
}

#[test]
fn changes_of_access_control_lists() {
    let (wwn, initiator) = (|| "naa.500140568720f76f".to_owned(), || "naa.5001405aaaaaaaaa".to_owned());
    check(
        &Change::CreateAcl { wwn: wwn(), tag: 1, initiator: initiator() },
        r#"{"change":"create_acl","wwn":"naa.500140568720f76f","tag":1,"initiator":"naa.5001405aaaaaaaaa"}"#,
    );
    check(
        &Change::DeleteAcl { wwn: wwn(), tag: 1, initiator: initiator() },
        r#"{"change":"delete_acl","wwn":"naa.500140568720f76f","tag":1,"initiator":"naa.5001405aaaaaaaaa"}"#,
    );
    check(
        &Change::MapAclLun {
            wwn: wwn(),
            tag: 1,
            initiator: initiator(),
            lun: Some(9),
            of: 5,
            write_protect: true,
        },
        r#"{"change":"map_acl_lun","wwn":"naa.500140568720f76f","tag":1,"initiator":"naa.5001405aaaaaaaaa","lun":9,"of":5,"write_protect":true}"#,
    );
    check(
        &Change::UnmapAclLun { wwn: wwn(), tag: 1, initiator: initiator(), lun: 9 },
        r#"{"change":"unmap_acl_lun","wwn":"naa.500140568720f76f","tag":1,"initiator":"naa.5001405aaaaaaaaa","lun":9}"#,
    );
    check(
        &Change::ProtectAclLun { wwn: wwn(), tag: 1, initiator: initiator(), lun: 9, write_protect: false },
        r#"{"change":"protect_acl_lun","wwn":"naa.500140568720f76f","tag":1,"initiator":"naa.5001405aaaaaaaaa","lun":9,"write_protect":false}"#,
    );
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let read = |json: &str| serde_json::from_str::<Change>(json).unwrap();
    assert_eq!(read(r#"{"change":"create_target"}"#), Change::CreateTarget { wwn: None, tpgs: vec![] });
    assert_eq!(
        read(r#"{"change":"map_lun","wwn":"w","tag":1,"backstore":{"kind":"block","name":"disk0"}}"#),
        Change::MapLun { wwn: "w".to_owned(), tag: 1, lun: None, backstore: disk0(), write_protect: false }
    );
}

#[test]
fn a_field_that_is_not_known_is_refused() {
    // Else a misspelt `write_protect` would be a LUN that can be written.
    check_refused(
        r#"{"change":"map_lun","wwn":"w","tag":1,"backstore":{"kind":"block","name":"d"},"writeprotect":true}"#,
        "writeprotect",
    );
    check_refused(
        r#"{"change":"create_backstore","kind":"block","name":"d","path":"/d","readonly":true}"#,
        "readonly",
    );
    check_refused(r#"{"change":"delete_backstore","kind":"block","name":"d","force":true}"#, "force");
    check_refused(r#"{"change":"create_backstore","kind":"pscsi","name":"d","path":"/d"}"#, "pscsi");
    check_refused(r#"{"change":"format_host"}"#, "format_host");
    check_refused(r#"{"change":"unmap_lun","wwn":"w","tag":1,"lun":65536}"#, "65536");
    check_refused(r#"{"change":"unmap_lun","wwn":"w","tag":-1,"lun":0}"#, "-1");
    let err = serde_json::from_str::<Changes>(r#"{"changes":[],"dry_run":true}"#).unwrap_err();
    assert!(err.to_string().contains("dry_run"), "{err}");
    let forced = r#"{"kind":"block","name":"disk0","loaded":false,"force":true}"#;
    check(&MoveMedium { id: disk0(), loaded: false, force: true }, forced);
    let misspelt = forced.replace("force", "forced");
    let err = serde_json::from_str::<MoveMedium>(&misspelt).unwrap_err();
    assert!(err.to_string().contains("forced"), "{err}");
}

#[test]
fn the_configuration() {
    let backstore = Backstore {
        id: disk0(),
        path: Some("/dev/disk/by-id/dm-0".to_owned()),
        unit_serial: "s".to_owned(),
        size_bytes: 15_032_385_536,
        block_bytes: 512,
        read_only: false,
        write_back: true,
        nullio: false,
        state: BackstoreState::Activated,
        attributes: BTreeMap::from([("block_size".to_owned(), "512".to_owned())]),
        identity: BTreeMap::from([("vendor_id".to_owned(), "LIO-ORG".to_owned())]),
        device: Some(BlockDevice { name: "dm-0".to_owned(), major: 252, minor: 0 }),
        space: None,
        alua_groups: vec![AluaGroup {
            name: "grp1".to_owned(),
            group_id: 5,
            attributes: BTreeMap::from([("preferred".to_owned(), "1".to_owned())]),
            members: vec![AluaMember { wwn: "naa.500140568720f76f".to_owned(), tag: 1, lun: 0 }],
        }],
        lu_group: "cluster".to_owned(),
        lba_map: Some("8 0; 0 7 5:O".to_owned()),
    };
    let alua = LunAlua { group: "grp1".to_owned(), offline: true, status: 1, write_metadata: false };
    let lun = Lun { lun: 0, backstore: disk0(), alias: "a08824829b".to_owned(), write_protect: false, alua };
    let mapped = MappedLun { lun: 9, of: 0, alias: "b08824829b".to_owned(), write_protect: true };
    let target = Target {
        wwn: "naa.500140568720f76f".to_owned(),
        socket: "/run/lunar/vhost/naa.500140568720f76f.sock".to_owned(),
        socket_fault: Some("cannot bind it; move it away".to_owned()),
        connected: true,
        options: BTreeMap::from([("num_queues".to_owned(), "4".to_owned())]),
        parameters: BTreeMap::from([("cmd_completion_affinity".to_owned(), "-2".to_owned())]),
        tpgs: vec![Tpg {
            tag: 1,
            nexus: "naa.5001405aaaaaaaaa".to_owned(),
            luns: vec![lun],
            acls: vec![Acl { initiator: "naa.5001405aaaaaaaaa".to_owned(), luns: vec![mapped] }],
            waiting: vec![Waiting { lun: 9, command: "WRITE (10)".to_owned(), seconds: 45, commands: 3 }],
        }],
    };
    check(
        &Config {
            backstores: vec![backstore],
            targets: vec![target],
            lu_groups: vec![LuGroup { name: "cluster".to_owned(), group_id: 7 }],
        },
        concat!(
            r#"{"backstores":[{"kind":"block","name":"disk0","path":"/dev/disk/by-id/dm-0","unit_serial":"s","#,
            r#""size_bytes":15032385536,"block_bytes":512,"read_only":false,"write_back":true,"nullio":false,"#,
            r#""state":"activated","attributes":{"block_size":"512"},"identity":{"vendor_id":"LIO-ORG"},"device":{"name":"dm-0","major":252,"minor":0},"#,
            r#""alua_groups":[{"name":"grp1","group_id":5,"attributes":{"preferred":"1"},"members":[{"wwn":"naa.500140568720f76f","tag":1,"lun":0}]}],"#,
            r#""lu_group":"cluster","lba_map":"8 0; 0 7 5:O"}],"#,
            r#""targets":[{"wwn":"naa.500140568720f76f","socket":"/run/lunar/vhost/naa.500140568720f76f.sock","#,
            r#""socket_fault":"cannot bind it; move it away","connected":true,"options":{"num_queues":"4"},"#,
            r#""parameters":{"cmd_completion_affinity":"-2"},"tpgs":[{"tag":1,"nexus":"naa.5001405aaaaaaaaa","luns":[{"lun":0,"#,
            r#""backstore":{"kind":"block","name":"disk0"},"alias":"a08824829b","write_protect":false,"#,
            r#""alua":{"group":"grp1","offline":true,"status":1,"write_metadata":false}}],"acls":[{"initiator":"naa.5001405aaaaaaaaa","luns":[{"lun":9,"#,
            r#""of":0,"alias":"b08824829b","write_protect":true}]}],"waiting":[{"lun":9,"command":"WRITE (10)","seconds":45,"commands":3}]}]}],"lu_groups":[{"name":"cluster","group_id":7}]}"#
        ),
    );
}

#[test]
fn answers() {
    check(
        &Applied {
            results: vec![
                Outcome::TpgCreated { tag: 1 },
                Outcome::LunMapped { lun: 0 },
                Outcome::AclLunMapped { lun: 9 },
                Outcome::AttributeSet { value: "1".to_owned() },
                Outcome::OptionSet { value: "4".to_owned() },
                Outcome::Done,
            ],
        },
        r#"{"results":[{"result":"tpg_created","tag":1},{"result":"lun_mapped","lun":0},{"result":"acl_lun_mapped","lun":9},{"result":"attribute_set","value":"1"},{"result":"option_set","value":"4"},{"result":"done"}]}"#,
    );
    check(
        &Problem { code: "target_exists".to_owned(), message: "m".to_owned(), hint: Some("h".to_owned()) },
        r#"{"code":"target_exists","message":"m","hint":"h"}"#,
    );
    check(
        &Restored { path: None, storage_objects: 2, targets: 1, notes: vec!["n".to_owned()] },
        r#"{"storage_objects":2,"targets":1,"notes":["n"]}"#,
    );
    check(
        &Cleared { storage_objects: 2, targets: 1, kept_things: 0 },
        r#"{"storage_objects":2,"targets":1,"kept_things":0}"#,
    );
    check(
        &Saved {
            path: "/var/lib/lunar/saveconfig.json".to_owned(),
            backups: Some(Backups { kept: 10, directory: "/var/lib/lunar/backup/".to_owned() }),
        },
        r#"{"path":"/var/lib/lunar/saveconfig.json","backups":{"kept":10,"directory":"/var/lib/lunar/backup/"}}"#,
    );
}
