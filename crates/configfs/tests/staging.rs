// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is not whole is seen only here; what is whole is a change, and what another door changes shows.
//!
//! Above: nothing.  Below: the tree over a daemon without guests.

mod common;

use common::{furnish, tree};
use configfs::Daemon;
use model::{Backstore, BackstoreName, Change, Medium, UnitSerial};
use rustix::io::Errno;

const TARGET: &str = "target/vhost/naa.5001405aabbccdd0";

fn ramdisk(name: &str) -> Change {
    let serial = UnitSerial::parse("s").unwrap();
    let medium = Medium::ramdisk(4096, false).unwrap();
    Change::CreateBackstore(Backstore::new(BackstoreName::parse(name).unwrap(), serial, medium).unwrap())
}

fn delete(name: &str) -> Change {
    let name = BackstoreName::parse(name).unwrap();
    Change::DeleteBackstore(model::BackstoreId { kind: model::Kind::Ramdisk, name })
}

#[test]
fn a_backstore_is_a_change_from_enable_on() {
    let (plane, tree) = tree();
    let disk = "target/core/rd_mcp_3/r0";
    tree.mkdir("target/core/rd_mcp_3").unwrap();
    tree.mkdir(disk).unwrap();
    tree.write(&format!("{disk}/control"), "rd_pages=16").unwrap();
    tree.write(&format!("{disk}/attrib/emulate_write_cache"), "1").unwrap();
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
    tree.write(&format!("{disk}/enable"), "1\n").unwrap();
    tree.write(&format!("{disk}/attrib/emulate_model_alias"), "1").unwrap();
    tree.write(&format!("{disk}/wwn/vpd_unit_serial"), "s1\n").unwrap();
    assert_eq!(
        plane.asked(),
        [
            ["create storage object ramdisk/r0"],
            ["set emulate_model_alias=1 on storage object ramdisk/r0"],
            ["set serial number s1 on storage object ramdisk/r0"],
        ]
    );
    assert_eq!(tree.read(&format!("{disk}/attrib/emulate_write_cache")).unwrap(), "1\n");
    assert_eq!(tree.read(&format!("{disk}/wwn/product_id")).unwrap(), "r0\n");
}

#[test]
fn a_backstore_that_was_given_no_serial_number_has_one() {
    let (_plane, tree) = tree();
    tree.mkdir("target/core/rd_mcp_0").unwrap();
    tree.mkdir("target/core/rd_mcp_0/r0").unwrap();
    let serial = "target/core/rd_mcp_0/r0/wwn/vpd_unit_serial";
    assert_eq!(tree.read(serial).unwrap(), "T10 VPD Unit Serial Number: \n");
    tree.write("target/core/rd_mcp_0/r0/control", "rd_pages=1").unwrap();
    tree.write("target/core/rd_mcp_0/r0/enable", "1").unwrap();
    assert_eq!(tree.read(serial).unwrap().len(), "T10 VPD Unit Serial Number: ".len() + 36 + 1);
}

#[test]
fn a_target_port_group_is_one_change_with_its_luns_once_it_has_a_nexus() {
    let (plane, tree) = tree();
    plane.set(ramdisk("r0"));
    tree.mkdir("target/vhost").unwrap();
    tree.mkdir(TARGET).unwrap();
    tree.mkdir(&format!("{TARGET}/tpgt_1")).unwrap();
    assert_eq!(tree.read(&format!("{TARGET}/tpgt_1/nexus")), Err(Errno::NODEV));
    tree.mkdir(&format!("{TARGET}/tpgt_1/lun/lun_0")).unwrap();
    let link = format!("{TARGET}/tpgt_1/lun/lun_0/v");
    tree.symlink("../../target/core/rd_mcp_0/r0", &link).unwrap();
    assert_eq!(tree.read(&link).unwrap(), "../../../../../../target/core/rd_mcp_0/r0");
    assert_eq!(tree.rmdir("target/core/rd_mcp_0/r0"), Err(Errno::BUSY));
    assert_eq!(plane.asked(), [["create target naa.5001405aabbccdd0"]]);
    tree.write(&format!("{TARGET}/tpgt_1/nexus"), "naa.5001405aabbccdd1").unwrap();
    assert_eq!(
        plane.asked(),
        [["create TPG naa.5001405aabbccdd0/tpg1", "map ramdisk/r0 to LUN naa.5001405aabbccdd0/tpg1/lun0"]]
    );
    assert_eq!(tree.read(&link).unwrap(), "../../../../../../target/core/rd_mcp_0/r0");
}

#[test]
fn everything_goes_the_way_it_came() {
    let (plane, tree) = tree();
    furnish(&tree);
    plane.asked();
    for (lun, link) in [(0, "virtual_scsi_port"), (1, "virtual_scsi_port"), (2, "v")] {
        tree.unlink(&format!("{TARGET}/tpgt_1/lun/lun_{lun}/{link}")).unwrap();
        tree.rmdir(&format!("{TARGET}/tpgt_1/lun/lun_{lun}")).unwrap();
    }
    tree.write(&format!("{TARGET}/tpgt_1/nexus"), "NULL").unwrap();
    assert_eq!(tree.read(&format!("{TARGET}/tpgt_1/nexus")), Err(Errno::NODEV));
    tree.rmdir(&format!("{TARGET}/tpgt_1")).unwrap();
    tree.rmdir(TARGET).unwrap();
    for (hba, name) in [("fileio_0", "disk0"), ("iblock_0", "disk1"), ("rd_mcp_0", "ram0")] {
        tree.rmdir(&format!("target/core/{hba}/{name}")).unwrap();
        tree.rmdir(&format!("target/core/{hba}")).unwrap();
    }
    tree.rmdir("target/vhost").unwrap();
    assert_eq!(tree.list("target").unwrap(), ["core", "dbroot", "version"]);
    assert_eq!(tree.list("target/core").unwrap(), ["alua"]);
    assert_eq!(plane.asked().len(), 8);
}

#[test]
fn what_another_door_makes_has_an_hba_of_its_own_that_goes_with_it() {
    let (plane, tree) = tree();
    tree.mkdir("target/core/fileio_0").unwrap();
    plane.set(ramdisk("a"));
    plane.set(ramdisk("b"));
    assert_eq!(tree.list("target/core").unwrap(), ["alua", "fileio_0", "rd_mcp_1", "rd_mcp_2"]);
    let id =
        |name| model::BackstoreId { kind: model::Kind::Ramdisk, name: BackstoreName::parse(name).unwrap() };
    plane.set(Change::DeleteBackstore(id("a")));
    assert_eq!(tree.list("target/core").unwrap(), ["alua", "fileio_0", "rd_mcp_2"]);
    // Its last backstore taken away here, an HBA stays until it is taken away itself.
    tree.rmdir("target/core/rd_mcp_2/b").unwrap();
    tree.rmdir("target/core/rd_mcp_2").unwrap();
    assert_eq!(tree.list("target/core").unwrap(), ["alua", "fileio_0"]);
}

#[test]
fn an_hba_that_a_tool_made_goes_with_the_last_backstore_that_another_door_takes_out_of_it() {
    let (plane, tree) = tree();
    for name in ["a", "b"] {
        let device = format!("target/core/rd_mcp_0/{name}");
        tree.mkdir("target/core/rd_mcp_0")
            .or_else(|errno| (errno == Errno::EXIST).then_some(()).ok_or(errno))
            .unwrap();
        // Until it is used it stays, whatever happens elsewhere.
        plane.set(ramdisk("other"));
        plane.set(delete("other"));
        assert_eq!(tree.list("target/core").unwrap(), ["alua", "rd_mcp_0"]);
        tree.mkdir(&device).unwrap();
        tree.write(&format!("{device}/control"), "rd_pages=1").unwrap();
        tree.write(&format!("{device}/enable"), "1").unwrap();
    }
    plane.set(delete("a"));
    assert_eq!(tree.list("target/core").unwrap(), ["alua", "rd_mcp_0"]);
    plane.set(delete("b"));
    assert_eq!(tree.list("target/core").unwrap(), ["alua"]);
    // What is half made keeps its own.
    tree.mkdir("target/core/rd_mcp_0").unwrap();
    tree.mkdir("target/core/rd_mcp_0/half").unwrap();
    tree.mkdir("target/core/rd_mcp_0/c").unwrap();
    tree.write("target/core/rd_mcp_0/c/control", "rd_pages=1").unwrap();
    tree.write("target/core/rd_mcp_0/c/enable", "1").unwrap();
    plane.set(delete("c"));
    tree.rmdir("target/core/rd_mcp_0/half").unwrap();
    tree.rmdir("target/core/rd_mcp_0").unwrap();
}

#[test]
fn what_was_refused_here_leaves_an_hba_to_go_with_its_last_backstore() {
    let (plane, tree) = tree();
    plane.set(ramdisk("a"));
    assert_eq!(tree.list("target/core").unwrap(), ["alua", "rd_mcp_0"]);
    *plane.missing.lock().unwrap() = true;
    assert_eq!(tree.rmdir("target/core/rd_mcp_0/a"), Err(Errno::NOENT));
    *plane.missing.lock().unwrap() = false;
    plane.set(delete("a"));
    assert_eq!(tree.list("target/core").unwrap(), ["alua"]);
}

#[test]
fn a_value_that_is_there_already_is_no_wish() {
    let (plane, tree) = tree();
    let disk = "target/core/fileio_0/f0";
    tree.mkdir("target/core/fileio_0").unwrap();
    tree.mkdir(disk).unwrap();
    tree.write(&format!("{disk}/control"), "fd_dev_name=/tmp/f,fd_dev_size=4096").unwrap();
    // As LIO's tools make one with a cache.
    tree.write(&format!("{disk}/attrib/emulate_write_cache"), "1").unwrap();
    tree.write(&format!("{disk}/control"), "fd_buffered_io=1").unwrap();
    tree.write(&format!("{disk}/enable"), "1").unwrap();
    tree.write(&format!("{disk}/attrib/emulate_model_alias"), "1").unwrap();
    plane.asked();
    // As they restore a file that they have saved.
    for name in tree.list(&format!("{disk}/attrib")).unwrap() {
        let path = format!("{disk}/attrib/{name}");
        if tree.kind(&path) == Some(configfs::NodeKind::File(0o644)) {
            let text = tree.read(&path).unwrap();
            tree.write(&path, text.trim_end()).unwrap();
        }
    }
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
    let set = || -> Vec<(model::Key, u32)> {
        plane.model().backstores().values().flat_map(|backstore| backstore.attributes().iter()).collect()
    };
    assert_eq!(set(), []);
    tree.write(&format!("{disk}/attrib/emulate_tas"), "0").unwrap();
    tree.write(&format!("{disk}/attrib/emulate_tas"), "0").unwrap();
    assert_eq!(set(), [(model::Key::EmulateTas, 0)]);
    assert_eq!(plane.asked().len(), 1);

    // What reads 0 because the medium can do no more is a wish all the same: another medium may come.
    let tpu = format!("{disk}/attrib/emulate_tpu");
    let id = plane.model().backstores().keys().next().unwrap().clone();
    plane.learn_limits(&id, &[model::Key::EmulateTpu]);
    assert_eq!(tree.read(&tpu).as_deref(), Ok("0\n"));
    tree.write(&tpu, "0").unwrap();
    plane.learn_limits(&id, &[]);
    assert_eq!(tree.read(&tpu).as_deref(), Ok("0\n"));
}

#[test]
fn what_is_staged_has_an_end() {
    let (_plane, tree) = tree();
    for number in 0..4096 {
        tree.mkdir(&format!("target/core/fileio_{number}")).unwrap();
    }
    assert_eq!(tree.mkdir("target/core/fileio_4096"), Err(Errno::NOSPC));
}

#[test]
fn a_guest_that_is_connected_is_a_session() {
    let (plane, tree) = tree();
    furnish(&tree);
    let acls = format!("{TARGET}/tpgt_1/acls");
    assert_eq!(tree.list(&acls).unwrap(), Vec::<String>::new());
    *plane.connected.lock().unwrap() = true;
    assert_eq!(tree.list(&acls).unwrap(), ["naa.5001405aabbccdd1"]);
    let session = format!("{acls}/naa.5001405aabbccdd1");
    let info = tree.read(&format!("{session}/info")).unwrap();
    assert!(
        info.starts_with("InitiatorName: naa.5001405aabbccdd1\nInitiatorAlias: guest\nLIO Session ID: 1 "),
        "{info}"
    );
    // A tool that maps a new LUN to every session may say what is so already, and nothing else.
    tree.mkdir(&format!("{session}/lun_1")).unwrap();
    let to = format!("/sys/kernel/config/{TARGET}/tpgt_1/lun/lun_0");
    assert_eq!(tree.symlink(&to, &format!("{session}/lun_1/x")), Err(Errno::OPNOTSUPP));
    let to = format!("/sys/kernel/config/{TARGET}/tpgt_1/lun/lun_1");
    tree.symlink(&to, &format!("{session}/lun_1/x")).unwrap();
    tree.write(&format!("{session}/lun_1/write_protect"), "0").unwrap();
    assert_eq!(tree.write(&format!("{session}/lun_1/write_protect"), "1"), Err(Errno::INVAL));
    tree.unlink(&format!("{session}/lun_1/x")).unwrap();
    tree.rmdir(&format!("{session}/lun_1")).unwrap();
    *plane.connected.lock().unwrap() = false;
    assert_eq!(tree.list(&acls).unwrap(), Vec::<String>::new());
}

#[test]
fn what_guests_reserved_is_said_in_lios_words() {
    let (plane, tree) = tree();
    furnish(&tree);
    let name = BackstoreName::parse("disk0").unwrap();
    let id = model::BackstoreId { kind: model::Kind::Fileio, name };
    let model = configfs::Daemon::model(&*plane);
    let tpgs = &model.targets().values().next().unwrap().tpgs;
    let relative_port = tpgs.values().next().unwrap().relative_port.get();
    let registrant = |initiator: &str, relative_port, key, holds| configfs::LiveRegistrant {
        initiator: initiator.to_owned(),
        relative_port,
        key,
        generation: 2,
        all_target_ports: false,
        holds,
    };
    let held = configfs::LiveReservations {
        generation: 3,
        outlasts_power: true,
        registrants: vec![
            registrant("naa.5001405aabbccdd1", relative_port, 0xaaa, true),
            registrant("naa.6001405000000002", 999, 0xbbb, false),
        ],
        kind: Some(5),
        legacy: None,
    };
    let says = |file: &str| tree.read(&format!("target/core/fileio_0/disk0/pr/{file}")).unwrap();
    plane.reservations.lock().unwrap().insert(id.clone(), held);
    for (file, expected) in [
        ("res_holder", "SPC-3 Reservation: vhost Initiator: naa.5001405aabbccdd1\n"),
        ("res_pr_all_tgt_pts", "SPC-3 Reservation: Single Target Port registration\n"),
        ("res_pr_generation", "0x00000003\n"),
        ("res_pr_type", "SPC-3 Reservation Type: Write Exclusive Access, Registrants Only\n"),
        ("res_type", "SPC3_PERSISTENT_RESERVATIONS\n"),
        ("res_aptpl_active", "APTPL Bit Status: Activated\n"),
        (
            "res_pr_registered_i_pts",
            "SPC-3 PR Registrations:\n\
             vhost Node: naa.5001405aabbccdd1 Key: 0x0000000000000aaa PRgen: 0x00000002\n\
             vhost Node: naa.6001405000000002 Key: 0x0000000000000bbb PRgen: 0x00000002\n",
        ),
    ] {
        assert_eq!(says(file), expected, "{file}");
    }
    let port = says("res_pr_holder_tg_port");
    assert!(
        port.starts_with("SPC-3 Reservation: vhost Target Node Endpoint: naa.5001405aabbccdd0\n"),
        "{port}"
    );
    assert!(port.ends_with(" vhost Portal Group Tag: 1 vhost Logical Unit: 0\n"), "{port}");
    // A holder whose target is deleted: the port that it had is another's by now.
    let gone = configfs::LiveReservations {
        registrants: vec![registrant("naa.6001405000000009", relative_port, 0xaaa, true)],
        kind: Some(5),
        ..configfs::LiveReservations::default()
    };
    plane.reservations.lock().unwrap().insert(id.clone(), gone);
    assert_eq!(says("res_holder"), "SPC-3 Reservation: vhost Initiator: naa.6001405000000009\n");
    assert_eq!(says("res_pr_holder_tg_port"), "No SPC-3 Reservation holder\n");
    let legacy = Some("naa.5001405aabbccdd1".to_owned());
    let old = configfs::LiveReservations { legacy, ..configfs::LiveReservations::default() };
    plane.reservations.lock().unwrap().insert(id, old);
    assert_eq!(says("res_type"), "SPC2_RESERVATIONS\n");
    assert_eq!(says("res_holder"), "SPC-2 Reservation: vhost Initiator: naa.5001405aabbccdd1\n");
    assert_eq!(says("res_pr_registered_i_pts"), "SPC-3 PR Registrations:\nNone\n");
}

#[test]
fn the_decoy_of_iscsi_takes_what_a_clear_writes_and_no_target() {
    let (plane, tree) = tree();
    tree.mkdir("target/iscsi").unwrap();
    let auth = "target/iscsi/discovery_auth";
    for file in ["password_mutual", "userid_mutual", "password", "userid"] {
        tree.write(&format!("{auth}/{file}"), "NULL").unwrap();
        assert_eq!(tree.read(&format!("{auth}/{file}")).unwrap(), "NULL\n");
    }
    tree.write(&format!("{auth}/enforce_discovery_auth"), "0").unwrap();
    assert_eq!(tree.write(&format!("{auth}/enforce_discovery_auth"), "1"), Err(Errno::INVAL));
    assert_eq!(tree.mkdir("target/iscsi/iqn.2003-01.org.x:y"), Err(Errno::OPNOTSUPP));
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
}

#[test]
fn an_empty_text_gives_an_identity_back() {
    let (_plane, tree) = tree();
    tree.mkdir("target/core/rd_mcp_0").unwrap();
    tree.mkdir("target/core/rd_mcp_0/r0").unwrap();
    let disk = "target/core/rd_mcp_0/r0";
    let written =
        [("vendor_id", "ACME\n"), ("product_id", "Vault"), ("revision", " 9 "), ("company_id", "15")];
    let says = |expected: [&str; 4]| {
        let files = written.map(|(file, _)| tree.read(&format!("{disk}/wwn/{file}")).unwrap());
        assert_eq!(files, expected);
    };
    for (file, text) in written {
        tree.write(&format!("{disk}/wwn/{file}"), text).unwrap();
    }
    says(["ACME\n", "Vault\n", "9\n", "0x00000f\n"]);
    tree.write(&format!("{disk}/control"), "rd_pages=8").unwrap();
    tree.write(&format!("{disk}/enable"), "1").unwrap();
    says(["ACME\n", "Vault\n", "9\n", "0x00000f\n"]);
    // As LIO, of product and model alias the later counts.
    tree.write(&format!("{disk}/attrib/emulate_model_alias"), "1").unwrap();
    says(["ACME\n", "r0\n", "9\n", "0x00000f\n"]);
    for (file, _) in written {
        tree.write(&format!("{disk}/wwn/{file}"), "\n").unwrap();
    }
    says(["LIO-ORG\n", "r0\n", "4.0\n", "0x001405\n"]);
}
