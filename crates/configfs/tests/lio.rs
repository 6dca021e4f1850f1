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

/// A recording with what Linux has since 6.3, and in 2026.
fn with_newer(mut recorded: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (beside, newer, says) in
        [("emulate_rest_reord", "emulate_rsoc", "F 644 = 1"), ("company_id", "pd_text_id_info", "F 644 =")]
    {
        let homes = recorded.keys().filter_map(|path| path.strip_suffix(beside).map(str::to_owned));
        let paths: Vec<String> = homes.map(|home| format!("{home}{newer}")).collect();
        recorded.extend(paths.into_iter().map(|path| (path, says.to_owned())));
    }
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

/// Attributes that LIO has none of.
const OWN: [(&str, &str); 2] =
    [("attrib/emulate_removable", "F 644 = 0"), ("attrib/physical_block_size", "F 644 = 512")];

#[test]
fn an_unconfigured_backstore_is_lios_but_for_what_is_not_built() {
    let (_plane, tree) = tree();
    tree.mkdir("target/core/fileio_0").unwrap();
    tree.mkdir("target/core/fileio_0/disk0").unwrap();
    let mut is = BTreeMap::new();
    dump(&tree, "target/core/fileio_0", &mut is);
    let mut lio = with_newer(recorded(UNCONFIGURED));
    let device = "target/core/fileio_0/disk0";
    for (path, says) in UNBUILT.into_iter().chain(OWN) {
        lio.insert(format!("{device}/{path}"), says.trim_end().to_owned());
    }
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
    for device in ["fileio_0/disk0", "iblock_0/disk1", "rd_mcp_0/ram0"] {
        lio.extend(OWN.map(|(path, says)| (format!("target/core/{device}/{path}"), says.to_owned())));
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
