// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tree is the one that was recorded on Linux 6.1, but for what is listed here.
//!
//! Above: nothing.  Below: the tree over a daemon without guests; `lio/` has the recordings.

mod common;

use common::{dump, furnish, recorded, tree};
use configfs::Counters;
use rustix::io::Errno;
use std::collections::BTreeMap;

const FRESH: &str = include_str!("lio/fresh-6.1.txt");
const UNCONFIGURED: &str = include_str!("lio/unconfigured-6.1.txt");
const TREE: &str = include_str!("lio/tree-6.1.txt");

/// A recording with what Linux has in 2026.
fn with_newer(mut recorded: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let homes = recorded.keys().filter_map(|path| path.strip_suffix("company_id").map(str::to_owned));
    let paths: Vec<String> = homes.map(|home| format!("{home}pd_text_id_info")).collect();
    recorded.extend(paths.into_iter().map(|path| (path, "F 644 =".to_owned())));
    recorded
}

/// How what is there differs from what was recorded, one line a path.
fn differences(recorded: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, said) in recorded {
        match is.get(path) {
            None => lines.push(format!("{path}: not there")),
            Some(says) if says.trim_end() != said => {
                lines.push(format!("{path}: {says:?}, and LIO {said:?}"))
            }
            Some(_) => {}
        }
    }
    lines.extend(is.keys().filter(|path| !recorded.contains_key(*path)).map(|path| format!("{path}: more")));
    lines
}

#[test]
fn a_fresh_tree_is_lios() {
    let (_plane, tree) = tree();
    let mut is = BTreeMap::new();
    dump(&tree, "target", &mut is);
    assert_eq!(differences(&recorded(FRESH), &is), Vec::<String>::new());
}

/// What a new backstore says of what is not built, the age of one that was not made, and that files are thin.
const UNBUILT: [(&str, &str); 4] = [
    ("attrib/emulate_tpu", "F 644 = 1"),
    ("attrib/emulate_tpws", "F 644 = 1"),
    ("attrib/unmap_zeroes_data", "F 644 = 1"),
    ("statistics/scsi_lu/creation_time", "F 444 = 0"),
];

/// Attributes that LIO of Linux 6.1 has none of: its tools would save them if they were in `attrib`.
fn own(plugin: &str) -> [(&'static str, &'static str); 3] {
    let physical = if plugin == "iblock" { "F 444 = 512" } else { "F 644 = 512" };
    [("emulate_removable", "F 644 = 0"), ("emulate_rsoc", "F 644 = 1"), ("physical_block_size", physical)]
}

#[test]
fn an_unconfigured_backstore_is_lios_but_for_what_is_not_built() {
    let (_plane, tree) = tree();
    tree.mkdir("target/core/fileio_0").unwrap();
    tree.mkdir("target/core/fileio_0/disk0").unwrap();
    let mut is = BTreeMap::new();
    dump(&tree, "target/core/fileio_0", &mut is);
    let mut lio = with_newer(recorded(UNCONFIGURED));
    let device = "target/core/fileio_0/disk0";
    for (path, says) in UNBUILT.into_iter().chain(own("fileio")) {
        lio.insert(format!("{device}/{path}"), says.trim_end().to_owned());
    }
    // It names a file that there is.
    assert_eq!(
        tree.read(&format!("{device}/info")).unwrap(),
        "Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 0  HwMaxSectors: 0\n        \
         TCM FILEIO ID: 0        File: /dev/null  Size: 0  Mode: O_DSYNC Async: 0\n"
    );
    let info = format!("{device}/info");
    lio.insert(info.clone(), is[&info].trim_end().to_owned());
    assert_eq!(differences(&lio, &is), Vec::<String>::new());
}

/// Files that differ in a configured tree, by the end of their path, and why.
const DIFFER: &[(&str, &str)] = &[
    ("attrib/emulate_tpu", "files and memory are thin"),
    ("attrib/emulate_tpws", "files and memory are thin"),
    ("attrib/unmap_zeroes_data", "they are"),
    ("attrib/max_unmap_block_desc_count", "0 is what the medium takes"),
    ("attrib/max_unmap_lba_count", "0 is what the medium takes"),
    ("attrib/max_write_same_len", "0 is what the medium takes"),
    ("attrib/unmap_granularity", "0 is what the medium says"),
    ("attrib/hw_max_sectors", "8 MiB, whatever the medium"),
    ("attrib/optimal_sectors", "8 MiB, whatever the medium"),
    ("attrib/hw_queue_depth", "128, whatever the medium"),
    ("attrib/queue_depth", "128, whatever the medium"),
    ("/info", "8 MiB, and another device"),
    ("creation_time", "an age"),
    ("hs_num_cmds", "no guest is counted here"),
    ("num_cmds", "no guest is counted here"),
    ("read_mbytes", "no guest is counted here"),
    ("write_mbytes", "no guest is counted here"),
    ("resets", "no guest is counted here"),
    ("aborts_complete", "no guest is counted here"),
    ("aborts_no_task", "no guest is counted here"),
    ("in_cmds", "no guest is counted here"),
    ("hs_in_cmds", "no guest is counted here"),
];

#[test]
fn a_configured_tree_has_every_path_and_mode_of_lios_and_its_texts_but_for_what_is_listed() {
    let (_plane, tree) = tree();
    furnish(&tree);
    // Groups that somebody made there.
    for (group, file, id) in [
        ("target/core/fileio_0/disk0/alua/standby", "tg_pt_gp_id", "16"),
        ("target/core/alua/lu_gps/mylu", "lu_gp_id", "7"),
    ] {
        tree.mkdir(group).unwrap();
        tree.write(&format!("{group}/{file}"), id).unwrap();
    }
    let mut is = BTreeMap::new();
    dump(&tree, "target", &mut is);
    let mut lio = with_newer(recorded(TREE));
    for (plugin, name) in [("fileio", "disk0"), ("iblock", "disk1"), ("rd_mcp", "ram0")] {
        let device = format!("target/core/{plugin}_0/{name}");
        lio.extend(own(plugin).map(|(path, says)| (format!("{device}/{path}"), says.to_owned())));
    }
    let mode = |said: &str| said.split(' ').take(2).collect::<Vec<_>>().join(" ");
    for (path, said) in &mut lio {
        if let Some(is) = is.get(path)
            && DIFFER.iter().any(|(end, _)| path.ends_with(end))
        {
            assert_eq!(mode(said), mode(is), "{path}");
            is.trim_end().clone_into(said);
        }
    }
    assert_eq!(differences(&lio, &is), Vec::<String>::new());
}

#[test]
fn an_attribute_that_later_kernels_have_is_in_attrib_where_the_kernel_is_one_of_them() {
    for (release, is_there) in [
        ("5.14.0-503.el9", false),
        ("6.2.16", false),
        ("6.3.0-rc1", true),
        ("6.12", true),
        ("10.0.1", true),
        ("nonsense", false),
    ] {
        let tree = common::tree_on(release).1;
        tree.mkdir("target/core/rd_mcp_0").unwrap();
        tree.mkdir("target/core/rd_mcp_0/r0").unwrap();
        let (here, elsewhere) = if is_there { ("attrib/", "") } else { ("", "attrib/") };
        let path = |home: &str| format!("target/core/rd_mcp_0/r0/{home}emulate_rsoc");
        assert_eq!(tree.read(&path(elsewhere)), Err(Errno::NOENT), "{release}");
        tree.write(&path(here), "0").unwrap();
        assert_eq!(tree.read(&path(here)).as_deref(), Ok("0\n"), "{release}");
        let listed = tree.list(&format!("target/core/rd_mcp_0/r0/{here}")).unwrap();
        assert!(listed.iter().any(|name| name == "emulate_rsoc"), "{release}");
    }
}

#[test]
fn what_lio_has_no_attribute_for_is_set_beside_its_attributes() {
    let (plane, tree) = tree();
    furnish(&tree);
    let device = "target/core/rd_mcp_1/r1";
    tree.mkdir("target/core/rd_mcp_1").unwrap();
    tree.mkdir(device).unwrap();
    tree.write(&format!("{device}/emulate_removable"), "1").unwrap();
    tree.write(&format!("{device}/control"), "rd_pages=1").unwrap();
    tree.write(&format!("{device}/enable"), "1").unwrap();
    plane.asked();
    for (name, value) in [("physical_block_size", "4096"), ("emulate_rsoc", "0")] {
        tree.write(&format!("{device}/{name}"), value).unwrap();
    }
    assert_eq!(
        plane.asked(),
        [
            ["set physical_block_size=4096 on storage object ramdisk/r1"],
            ["set emulate_rsoc=0 on storage object ramdisk/r1"]
        ]
    );
    assert_eq!(tree.read(&format!("{device}/emulate_removable")).as_deref(), Ok("1\n"));
    assert_eq!(tree.read(&format!("{device}/emulate_rsoc")).as_deref(), Ok("0\n"));
    // A fact of the device, which nobody sets.
    assert_eq!(tree.write("target/core/iblock_0/disk1/physical_block_size", "512"), Err(Errno::ACCESS));
}

#[test]
fn info_of_a_device_is_that_of_the_page_but_for_the_longest_transfer() {
    let (_plane, tree) = tree();
    let path = "/dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000";
    tree.mkdir("target/core/iblock_0").unwrap();
    tree.mkdir("target/core/iblock_0/disk0").unwrap();
    tree.write("target/core/iblock_0/disk0/control", &format!("udev_path={path}")).unwrap();
    tree.write("target/core/iblock_0/disk0/enable", "1").unwrap();
    assert_eq!(
        tree.read("target/core/iblock_0/disk0/info").unwrap(),
        "Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
         iBlock device: dm-0  UDEV PATH: /dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000  readonly: 0\n        \
         Major: 252 Minor: 0  CLAIMED: IBLOCK\n"
    );
}

#[test]
fn a_device_that_is_not_open_is_named_as_one_that_there_is_and_has_no_size() {
    let (plane, tree) = tree();
    let device = "target/core/iblock_0/disk0";
    tree.mkdir("target/core/iblock_0").unwrap();
    tree.mkdir(device).unwrap();
    let info = || tree.read(&format!("{device}/info")).unwrap();
    let head = |name: &str| {
        format!(
            "Status: DEACTIVATED  Max Queue Depth: 0  SectorSize: 0  HwMaxSectors: 0\n        iBlock device: {name}  "
        )
    };
    assert_eq!(info(), head("0") + "readonly: 0\n        Major: 0 Minor: 0\n");
    tree.write(&format!("{device}/udev_path"), "/dev/1").unwrap();
    assert_eq!(info(), head("1") + "readonly: 0\n        Major: 0 Minor: 0\n");
    for (path, name) in [("/dev/2", "2"), ("/dev/mapper/2", "0"), ("/dev/..", "0"), ("/dev/nowhere", "0")] {
        tree.write(&format!("{device}/control"), &format!("udev_path={path}")).unwrap();
        let rest = format!("UDEV PATH: {path}  readonly: 0\n        Major: 0 Minor: 0\n");
        assert_eq!(info(), head(name) + &rest);
    }
    // One that was enabled, and is gone.
    tree.write(&format!("{device}/control"), "udev_path=/dev/2").unwrap();
    tree.write(&format!("{device}/enable"), "1").unwrap();
    assert!(info().contains("SectorSize: 512  HwMaxSectors: 16384\n        iBlock device: dm-0  "));
    *plane.missing.lock().unwrap() = true;
    assert_eq!(info(), head("2") + "UDEV PATH: /dev/2  readonly: 0\n        Major: 0 Minor: 0\n");
}

#[test]
fn info_of_files_and_ramdisks_is_lios() {
    let (_plane, tree) = tree();
    furnish(&tree);
    assert_eq!(
        tree.read("target/core/fileio_0/disk0/info").unwrap(),
        "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
         TCM FILEIO ID: 0        File: /tmp/d.img  Size: 16777216  Mode: Buffered-WCE Async: 0\n"
    );
    assert_eq!(
        tree.read("target/core/rd_mcp_0/ram0/info").unwrap(),
        "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
         TCM RamDisk ID: 0  RamDisk Makeup: rd_mcp\n        \
         PAGES/PAGE_SIZE: 2048*4096  SG_table_count: 2  nullio: 0 dummy: 0\n"
    );
}

#[test]
fn what_guests_did_is_in_the_statistics_of_the_backstore_and_of_the_lun() {
    let (plane, tree) = tree();
    furnish(&tree);
    let device = "target/core/fileio_0/disk0/statistics";
    let lun = "target/vhost/naa.5001405aabbccdd0/tpgt_1/lun/lun_0/statistics";
    assert_eq!(tree.read(&format!("{device}/scsi_lu/num_cmds")), Err(Errno::NODATA));
    *plane.counters.lock().unwrap() = Some(Counters {
        commands: 41,
        read_bytes: (3 << 20) + 5,
        write_bytes: (7 << 20) - 1,
        resets: 2,
        aborted: 5,
        nothing_to_abort: 9,
    });
    for (file, says) in [
        ("scsi_lu/num_cmds", "41\n"),
        ("scsi_lu/hs_num_cmds", "41\n"),
        ("scsi_lu/read_mbytes", "3\n"),
        ("scsi_lu/write_mbytes", "6\n"),
        ("scsi_lu/resets", "2\n"),
        ("scsi_lu/full_stat", "0\n"),
        ("scsi_tgt_dev/resets", "2\n"),
        ("scsi_tgt_dev/aborts_complete", "5\n"),
        ("scsi_tgt_dev/aborts_no_task", "9\n"),
    ] {
        assert_eq!(tree.read(&format!("{device}/{file}")).as_deref(), Ok(says), "{file}");
    }
    for (file, says) in [
        ("scsi_tgt_port/in_cmds", "41\n"),
        ("scsi_tgt_port/hs_in_cmds", "41\n"),
        ("scsi_tgt_port/read_mbytes", "3\n"),
        ("scsi_tgt_port/write_mbytes", "6\n"),
        ("scsi_port/busy_count", "0\n"),
    ] {
        assert_eq!(tree.read(&format!("{lun}/{file}")).as_deref(), Ok(says), "{file}");
    }
}
