// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access in the tree: what can be made, written and read, as in LIO.
//!
//! Above: nothing.  Below: `common`.

mod common;

use common::*;
use configfs::Tree;
use rustix::io::Errno;

const TPG: &str = "target/vhost/naa.5001405aabbccdd0/tpgt_1";
const DISK: &str = "target/core/fileio_0/disk0";

fn group(tree: &Tree, name: &str, id: &str) -> String {
    let path = format!("{DISK}/alua/{name}");
    tree.mkdir(&path).unwrap();
    tree.write(&format!("{path}/tg_pt_gp_id"), id).unwrap();
    path
}

fn read(tree: &Tree, path: &str) -> String {
    tree.read(path).unwrap()
}

#[test]
fn a_group_has_no_id_until_one_is_written_and_then_keeps_it() {
    let (plane, tree) = tree();
    furnish(&tree);
    plane.asked();
    let path = format!("{DISK}/alua/standby");
    tree.mkdir(&path).unwrap();
    assert_eq!(read(&tree, &format!("{path}/tg_pt_gp_id")), "");
    assert_eq!(read(&tree, &format!("{path}/alua_access_type")), "Implicit and Explicit\n");
    tree.write(&format!("{path}/nonop_delay_msecs"), "7").unwrap();
    let state = format!("{path}/alua_access_state");
    check_refused(&tree, "a state without an id", Errno::INVAL, || tree.write(&state, "2"));
    let lun = format!("{TPG}/lun/lun_0/alua_tg_pt_gp");
    check_refused(&tree, "a LUN in a group without an id", Errno::NODEV, || tree.write(&lun, "standby"));
    assert_eq!(plane.asked().len(), 2, "only the LUN was asked for, twice");
    let id = format!("{path}/tg_pt_gp_id");
    for wrong in ["0x10000", "x", "-1"] {
        check_refused(&tree, wrong, Errno::INVAL, || tree.write(&id, wrong));
    }
    tree.write(&id, "16\n").unwrap();
    assert_eq!(read(&tree, &id), "16\n");
    assert_eq!(read(&tree, &format!("{path}/nonop_delay_msecs")), "7\n");
    check_refused(&tree, "another id", Errno::INVAL, || tree.write(&id, "17"));
    let other = format!("{DISK}/alua/other");
    tree.mkdir(&other).unwrap();
    let id = format!("{other}/tg_pt_gp_id");
    check_refused(&tree, "an id in use", Errno::INVAL, || tree.write(&id, "16"));
    // Any will do.
    tree.write(&id, "0").unwrap();
    assert_eq!(read(&tree, &id), "1\n");
}

#[test]
fn every_file_of_a_group_takes_lios_range_and_no_more() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let path = group(&tree, "grp1", "5");
    for (file, good, reads, bad) in [
        ("alua_access_state", "2", "2\n", "5"),
        ("alua_access_state", "3", "3\n", "15"),
        ("alua_access_state", "1", "1\n", "14"),
        ("alua_access_state", "0", "0\n", "4"),
        ("alua_access_status", "1", "Altered by Explicit STPG\n", "3"),
        ("alua_access_status", "2", "Altered by Implicit ALUA\n", "x"),
        ("alua_access_status", "0", "None\n", "-1"),
        ("alua_access_type", "1", "Implicit\n", "4"),
        ("alua_access_type", "2", "Explicit\n", "Implicit"),
        ("alua_access_type", "0", "None\n", ""),
        ("alua_access_type", "3", "Implicit and Explicit\n", "256"),
        ("alua_support_standby", "0", "0\n", "2"),
        ("alua_support_lba_dependent", "0", "0\n", "1"),
        ("alua_support_transitioning", "0", "0\n", "2"),
        ("alua_write_metadata", "1", "1\n", "2"),
        ("implicit_trans_secs", "255", "255\n", "256"),
        ("nonop_delay_msecs", "10000", "10000\n", "10001"),
        ("trans_delay_msecs", "30000", "30000\n", "30001"),
        ("preferred", "1", "1\n", "2"),
    ] {
        let path = format!("{path}/{file}");
        tree.write(&path, good).unwrap_or_else(|errno| panic!("{good} -> {path}: {errno}"));
        assert_eq!(read(&tree, &path), reads, "{path}");
        check_refused(&tree, &format!("{bad} -> {path}"), Errno::INVAL, || tree.write(&path, bad));
        assert_eq!(read(&tree, &path), reads, "{path}");
    }
    // Standby is no longer supported, and without implicit access nothing can be set.
    let state = format!("{path}/alua_access_state");
    check_refused(&tree, "an unsupported state", Errno::INVAL, || tree.write(&state, "2"));
    tree.write(&format!("{path}/alua_access_type"), "2").unwrap();
    check_refused(&tree, "a state of an explicit group", Errno::INVAL, || tree.write(&state, "1"));
    check_refused(&tree, "members", Errno::ACCESS, || tree.write(&format!("{path}/members"), "x"));
}

#[test]
fn a_map_says_which_blocks_are_reached_how() {
    const MAP: &str = "2048 2\n0 6143 0:O 5:S\n2048 8191 0:A 5:U\n";
    let (_plane, tree) = tree();
    furnish(&tree);
    let path = group(&tree, "grp1", "5");
    let (file, state) = (format!("{DISK}/lba_map"), format!("{path}/alua_access_state"));
    assert_eq!(read(&tree, &file), "");
    check_refused(&tree, "a state without a map", Errno::INVAL, || tree.write(&state, "4"));
    for wrong in ["2048 2\n", "x", "2048 2\n0 7 0:L\n", "0 0\n0 7 0:O\n7 8 0:O\n", "0 0\n8 7 0:O\n"] {
        check_refused(&tree, wrong, Errno::INVAL, || tree.write(&file, wrong));
        assert_eq!(read(&tree, &file), "");
    }
    tree.write(&file, MAP).unwrap();
    assert_eq!(read(&tree, &file), MAP);
    let support = format!("{path}/alua_support_lba_dependent");
    assert_eq!(read(&tree, &support), "1\n");
    tree.write(&support, "1").unwrap();
    check_refused(&tree, "no support of what there is", Errno::INVAL, || tree.write(&support, "0"));
    check_refused(&tree, "a state that guests may change", Errno::INVAL, || tree.write(&state, "4"));
    let access_type = format!("{path}/alua_access_type");
    tree.write(&access_type, "1").unwrap();
    tree.write(&state, "4").unwrap();
    check_refused(&tree, "guests that may change it", Errno::INVAL, || tree.write(&access_type, "3"));
    check_refused(&tree, "no map for a state", Errno::BUSY, || tree.write(&file, ""));
    // Another one will do.
    tree.write(&file, "8 0\n0 7 5:S").unwrap();
    assert_eq!(read(&tree, &file), "8 0\n0 7 5:S\n");
    tree.write(&state, "0").unwrap();
    tree.write(&file, "\n").unwrap();
    assert_eq!((read(&tree, &file), read(&tree, &support)), (String::new(), "0\n".to_owned()));
}

#[test]
fn a_map_that_is_written_before_enable_is_there_after_it() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let disk = "target/core/rd_mcp_0/new";
    tree.mkdir(disk).unwrap();
    let file = format!("{disk}/lba_map");
    check_refused(&tree, "no map", Errno::INVAL, || tree.write(&file, "8"));
    tree.write(&file, "8 0\n0 7 0:O\n").unwrap();
    assert_eq!(read(&tree, &file), "8 0\n0 7 0:O\n");
    tree.write(&format!("{disk}/control"), "rd_pages=256").unwrap();
    tree.write(&format!("{disk}/enable"), "1").unwrap();
    assert_eq!(read(&tree, &file), "8 0\n0 7 0:O\n");
    assert_eq!(read(&tree, &format!("{disk}/alua/default_tg_pt_gp/alua_support_lba_dependent")), "1\n");
}

#[test]
fn a_map_of_the_greatest_length_reads_as_it_was_written_and_a_longer_one_is_refused() {
    let lines: String = (1000..1291).map(|block| format!("{block} {block} 0:O\n")).collect();
    let map = format!("0 0\n{lines}100000 100000 0:O\n");
    assert_eq!(map.len(), 4096);
    let (_plane, tree) = tree();
    furnish(&tree);
    let file = format!("{DISK}/lba_map");
    tree.write(&file, &map).unwrap();
    assert_eq!(read(&tree, &file), map);
    let longer = format!("{map}7 7 0:O\n");
    check_refused(&tree, "too long", Errno::INVAL, || tree.write(&file, &longer));
    assert_eq!(read(&tree, &file), map);
}

#[test]
fn a_group_between_two_states_is_transitioning() {
    let (plane, tree) = tree();
    furnish(&tree);
    let path = group(&tree, "grp1", "5");
    tree.write(&format!("{TPG}/lun/lun_0/alua_tg_pt_gp"), "grp1").unwrap();
    tree.write(&format!("{path}/alua_access_state"), "2").unwrap();
    plane.transitioning.lock().unwrap().insert(5);
    assert_eq!(read(&tree, &format!("{path}/alua_access_state")), "15\n");
    assert_eq!(read(&tree, &format!("{DISK}/alua/default_tg_pt_gp/alua_access_state")), "0\n");
    let said = read(&tree, &format!("{TPG}/lun/lun_0/alua_tg_pt_gp"));
    assert!(said.contains("TG Port Primary Access State: Transitioning\n"), "{said}");
    plane.transitioning.lock().unwrap().clear();
    assert_eq!(read(&tree, &format!("{path}/alua_access_state")), "2\n");
}

#[test]
fn a_lun_goes_into_a_group_and_back_when_the_group_goes() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let path = group(&tree, "standby", "16");
    let lun = format!("{TPG}/lun/lun_0");
    tree.write(&format!("{lun}/alua_tg_pt_gp"), "standby").unwrap();
    tree.write(&format!("{path}/alua_access_state"), "2").unwrap();
    assert_eq!(
        read(&tree, &format!("{lun}/alua_tg_pt_gp")),
        "TG Port Alias: standby\nTG Port Group ID: 16\nTG Port Primary Access State: Standby\n\
         TG Port Primary Access Status: Altered by Implicit ALUA\nTG Port Secondary Access State: None\n\
         TG Port Secondary Access Status: None\n"
    );
    assert_eq!(read(&tree, &format!("{path}/members")), "vhost/naa.5001405aabbccdd0/tpgt_1/lun_0\n");
    assert_eq!(read(&tree, &format!("{DISK}/alua/default_tg_pt_gp/members")), "");
    check_refused(&tree, "rmdir of the backstore", Errno::NOTEMPTY, || tree.rmdir(DISK));
    tree.rmdir(&path).unwrap();
    assert_eq!(tree.kind(&path), None);
    let now = read(&tree, &format!("{lun}/alua_tg_pt_gp"));
    assert!(now.starts_with("TG Port Alias: default_tg_pt_gp\nTG Port Group ID: 0\n"), "{now}");
    // NULL, or nothing, is the default too.
    group(&tree, "again", "16");
    for none in ["NULL", ""] {
        tree.write(&format!("{lun}/alua_tg_pt_gp"), "again").unwrap();
        tree.write(&format!("{lun}/alua_tg_pt_gp"), none).unwrap();
        assert_eq!(read(&tree, &format!("{lun}/alua_tg_pt_gp")), now);
    }
}

#[test]
fn a_lun_is_put_offline_and_back() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let lun = format!("{TPG}/lun/lun_0");
    for (file, good, bad) in
        [("alua_tg_pt_offline", "1", "2"), ("alua_tg_pt_status", "1", "3"), ("alua_tg_pt_write_md", "1", "2")]
    {
        let path = format!("{lun}/{file}");
        tree.write(&path, good).unwrap();
        assert_eq!(read(&tree, &path), "1\n");
        check_refused(&tree, &format!("{bad} -> {path}"), Errno::INVAL, || tree.write(&path, bad));
    }
    let said = read(&tree, &format!("{lun}/alua_tg_pt_gp"));
    assert!(said.contains("Secondary Access State: Offline\n"), "{said}");
    assert!(said.ends_with("Secondary Access Status: Altered by Explicit STPG\n"), "{said}");
    tree.mkdir(&format!("{TPG}/lun/lun_9")).unwrap();
    let bare = format!("{TPG}/lun/lun_9/alua_tg_pt_offline");
    check_refused(&tree, "a LUN without a link", Errno::NODEV, || tree.write(&bare, "1"));
    assert_eq!(tree.read(&bare), Err(Errno::NODEV));
}

#[test]
fn what_a_lun_has_before_its_target_port_group_has_a_nexus_is_kept() {
    let (_plane, tree) = tree();
    furnish(&tree);
    group(&tree, "standby", "16");
    let tpg = "target/vhost/naa.5001405aabbccdd0/tpgt_2";
    tree.mkdir(tpg).unwrap();
    tree.mkdir(&format!("{tpg}/lun/lun_0")).unwrap();
    tree.symlink("/target/core/fileio_0/disk0", &format!("{tpg}/lun/lun_0/link")).unwrap();
    let file = format!("{tpg}/lun/lun_0/alua_tg_pt_gp");
    check_refused(&tree, "no such group", Errno::NODEV, || tree.write(&file, "bogus"));
    tree.write(&file, "standby").unwrap();
    tree.write(&format!("{tpg}/nexus"), "naa.5001405aabbccdd9").unwrap();
    let said = read(&tree, &file);
    assert!(said.starts_with("TG Port Alias: standby\n"), "{said}");
}

#[test]
fn groups_of_logical_units_are_made_joined_and_left() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let path = "target/core/alua/lu_gps/mylu";
    tree.mkdir(path).unwrap();
    assert_eq!(read(&tree, &format!("{path}/lu_gp_id")), "");
    let of_disk = format!("{DISK}/alua_lu_gp");
    check_refused(&tree, "a group without an id", Errno::NODEV, || tree.write(&of_disk, "mylu"));
    let id = format!("{path}/lu_gp_id");
    check_refused(&tree, "an id that is too large", Errno::INVAL, || tree.write(&id, "65536"));
    tree.write(&id, "7").unwrap();
    check_refused(&tree, "another id", Errno::INVAL, || tree.write(&id, "8"));
    tree.write(&of_disk, "mylu").unwrap();
    assert_eq!(read(&tree, &of_disk), "LU Group Alias: mylu\nLU Group ID: 7\n");
    assert_eq!(read(&tree, &format!("{path}/members")), "fileio_0/disk0\n");
    tree.rmdir(path).unwrap();
    assert_eq!(read(&tree, &of_disk), "LU Group Alias: default_lu_gp\nLU Group ID: 0\n");
}

#[test]
fn a_group_that_a_tool_left_half_made_goes_with_its_backstore() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let path = "target/core/rd_mcp_0/ram0/alua/half";
    tree.mkdir(path).unwrap();
    tree.rmdir(path).unwrap();
    assert_eq!(tree.kind(path), None);
    assert_eq!(tree.mkdir("target/core/rd_mcp_0/nothing/alua/x"), Err(Errno::NOENT));
    tree.mkdir("target/core/rd_mcp_0/new").unwrap();
    // Before `enable` there is no unit that could have groups.
    assert_eq!(tree.mkdir("target/core/rd_mcp_0/new/alua/x"), Err(Errno::NODEV));
    let state = "target/core/rd_mcp_0/new/alua/default_tg_pt_gp/alua_access_state";
    check_refused(&tree, "a state before enable", Errno::NODEV, || tree.write(state, "1"));
}
