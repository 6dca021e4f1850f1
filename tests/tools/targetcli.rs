// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's own targetcli works in the tree that `lunard --configfs` mounts, and so do mkdir, echo and ln.
//!
//! It takes root, /dev/fuse and targetcli; where one is missing the story says so and ends.

use anyhow::{Context, Result};
use rustix::io::Errno;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::programs::workspace;

const WWN: &str = "naa.500140568720f76f";

fn skipped(why: Option<&str>) -> bool {
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    why.is_some()
}

#[test]
fn targetcli_does_what_the_page_does() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    if !loop_device::available() {
        println!("skipped: attaching a loop device takes root");
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 64 << 20)?, &[])?;
    let (disk, file) = (disk.path().display().to_string(), mounted.scratch.join("f0.img"));
    let said = mounted.well(&format!(
        "targetcli ls >/dev/null\n\
         targetcli /backstores/block create disk0 {disk}\n\
         targetcli /backstores/fileio create f0 {} 16M\n\
         targetcli /vhost create {WWN}\n\
         targetcli /vhost/{WWN}/tpg1/luns create /backstores/block/disk0\n\
         targetcli /vhost/{WWN}/tpg1/luns create /backstores/fileio/f0\n\
         targetcli saveconfig\n",
        file.display()
    ))?;
    assert_eq!(
        said,
        format!(
            "Created block storage object disk0 using {disk}.\nCreated fileio f0 with size 16777216\n\
             Created target {WWN}.\nCreated TPG 1.\nCreated LUN 0.\nCreated LUN 1.\n\
             Configuration saved to /etc/rtslib-fb-target/saveconfig.json\n"
        )
    );
    let shell = mounted.shell()?;
    let ls = shell.well("ls")?;
    assert!(ls.contains("lun0") && ls.contains("[block/disk0 ("), "{ls}");
    let link = std::fs::read_dir(mounted.top(&format!("vhost/{WWN}/tpgt_1/lun/lun_0")))?
        .filter_map(Result::ok)
        .find(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .context("a link")?;
    assert_eq!(std::fs::read_link(link.path())?, Path::new("../../../../../../target/core/iblock_0/disk0"));
    let info = std::fs::read_to_string(link.path().join("info"))?;
    let name = disk.trim_start_matches("/dev/");
    assert!(
        info.starts_with("Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: "),
        "{info}"
    );
    assert!(
        info.contains(&format!("\n        iBlock device: {name}  UDEV PATH: {disk}  readonly: 0\n")),
        "{info}"
    );
    // What it saved it restores, without an error.
    let said = mounted.well("targetcli clearconfig confirm=true\ntargetcli restoreconfig")?;
    assert_eq!(
        said,
        "All configuration cleared\n\
         Configuration restored from /etc/rtslib-fb-target/saveconfig.json\n"
    );
    assert!(shell.well("ls")?.contains("[block/disk0 ("));
    Ok(())
}

/// What a saveconfig.json says of the attributes of each storage object, and what Lunar's own has beside them.
fn said(file: &Path) -> Result<(BTreeMap<String, Value>, Value)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    let whole: Value = serde_json::from_str(&text)?;
    let mut all = BTreeMap::new();
    for object in whole["storage_objects"].as_array().context("no storage objects")? {
        let id = format!(
            "{}/{}",
            object["plugin"].as_str().unwrap_or("?"),
            object["name"].as_str().unwrap_or("?")
        );
        all.insert(id, object["attributes"].clone());
    }
    Ok((all, whole["x_lunar"]["storage_objects"].clone()))
}

/// The attributes that can be written of each backstore on Linux 6.1.
fn recorded() -> Result<BTreeSet<String>> {
    let file = workspace().join("crates/configfs/tests/lio/tree-6.1.txt");
    let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("F 644 target/core/fileio_0/disk0/attrib/"));
    let mut names: BTreeSet<String> =
        lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    if mounted::kernel_has_rsoc() {
        names.insert("emulate_rsoc".to_owned());
    }
    Ok(names)
}

#[test]
fn what_targetcli_saves_is_what_lio_has_and_restored_is_what_was() -> Result<()> {
    let no_disk = || (!loop_device::available()).then_some("attaching a loop device takes root");
    if skipped(mounted::missing_tool().or_else(no_disk)) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 64 << 20)?, &[])?;
    shell.well(&format!("/backstores/block create disk0 {}", disk.path().display()))?;
    for (name, cache) in [("f0", "true"), ("f1", "false")] {
        let file = mounted.scratch.join(name);
        shell.well(&format!("/backstores/fileio create {name} {} 16M {cache}", file.display()))?;
    }
    shell.well("/backstores/ramdisk create r0 1M")?;
    shell.well("/backstores/ramdisk/r0 set attribute emulate_tas=0 max_write_same_len=8")?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0"))?;
    let [before, theirs, after] = ["before", "theirs", "after"].map(|name| mounted.scratch.join(name));
    shell.well(&format!("saveconfig {}", before.display()))?;
    let file = theirs.display();
    let printed = mounted.well(&format!(
        "targetcli pwd > /dev/null\ntargetcli saveconfig {file}\ntargetcli clearconfig confirm=true\n\
         targetcli restoreconfig {file} 2>&1"
    ))?;
    assert!(printed.ends_with(&format!("\nConfiguration restored from {file}\n")), "{printed}");
    shell.well(&format!("saveconfig {}", after.display()))?;
    let lio = recorded()?;
    for (id, attributes) in said(&theirs)?.0 {
        let names: BTreeSet<String> =
            attributes.as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
        assert_eq!(names, lio, "{id}");
    }
    let ((was, was_own), (is, mut is_own)) = (said(&before)?, said(&after)?);
    assert_eq!(is, was);
    // targetcli has a word for that, and always says it.
    assert_eq!(is_own["block/disk0"]["readonly"], Value::Bool(false));
    is_own["block/disk0"].as_object_mut().context("an object")?.remove("readonly");
    assert_eq!(is_own, was_own);
    Ok(())
}

#[test]
fn a_target_made_by_hand_is_configured_and_what_another_door_changes_shows() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let file = mounted.scratch.sparse_file("disk", 16 << 20)?;
    for dir in ["core/fileio_0", "core/fileio_0/disk0", "vhost"] {
        std::fs::create_dir(mounted.top(dir))?;
    }
    mounted.write(
        "core/fileio_0/disk0/control",
        &format!("fd_dev_name={},fd_dev_size=16777216", file.display()),
    )?;
    mounted.write("core/fileio_0/disk0/enable", "1\n")?;
    let tpg = format!("vhost/{WWN}/tpgt_1");
    std::fs::create_dir(mounted.top(&format!("vhost/{WWN}")))?;
    std::fs::create_dir(mounted.top(&tpg))?;
    assert_eq!(
        mounted.read(&format!("{tpg}/nexus")).unwrap_err().raw_os_error(),
        Some(Errno::NODEV.raw_os_error())
    );
    mounted.write(&format!("{tpg}/nexus"), "naa.5001405aabbccdd1\n")?;
    std::fs::create_dir(mounted.top(&format!("{tpg}/lun/lun_0")))?;
    let link = mounted.top(&format!("{tpg}/lun/lun_0/virtual_scsi_port"));
    std::os::unix::fs::symlink(mounted.top("core/fileio_0/disk0"), &link)?;
    assert!(std::fs::read_to_string(link.join("info"))?.starts_with("Status: ACTIVATED "));
    let shell = mounted.shell()?;
    let ls = shell.well("ls")?;
    assert!(ls.contains("naa.5001405aabbccdd1, no-gen-acls") && ls.contains("[fileio/disk0 ("), "{ls}");
    // The other way round, and at once, also where the kernel has looked before.
    let links = || -> Result<u64> { Ok(std::fs::metadata(mounted.top("core"))?.nlink()) };
    let before = links()?;
    assert!(!mounted.top("core/rd_mcp_1").exists());
    shell.well("/backstores/ramdisk create r0 8M")?;
    let listed = std::fs::read_dir(mounted.top("core"))?.filter_map(Result::ok);
    assert!(listed.map(|entry| entry.file_name()).any(|name| name == "rd_mcp_1"));
    Deadline::seconds(60).until("another link", || Ok((links()? == before + 1).then_some(())))?;
    assert_eq!(mounted.read("core/rd_mcp_1/r0/enable")?, "1\n");
    shell.well("/backstores/ramdisk delete r0")?;
    let gone = || Ok((!mounted.top("core/rd_mcp_1").exists()).then_some(()));
    Deadline::seconds(60).until("the directory to go", gone)?;
    assert!(mounted.write("core/fileio_0/disk0/enable", "1").is_err());
    assert!(std::fs::write(mounted.top("core/x"), "").is_err());
    Ok(())
}

#[test]
fn a_tree_whose_daemon_was_killed_says_so_and_is_mounted_again() -> Result<()> {
    if skipped(mounted::missing()) {
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let open = File::open(mounted.top("version"))?;
    mounted.daemon.kill()?;
    let error = std::fs::read_dir(mounted.top("core")).map(drop).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::NOTCONN.raw_os_error()));
    assert!(std::io::read_to_string(&open).is_err());
    mounted.daemon.restart()?;
    assert!(
        mounted.read("version")?.starts_with("Target Engine Core ConfigFS Infrastructure v5.0 on Linux/")
    );
    // A tree that somebody stands in while the daemon ends.
    let stays = File::open(mounted.top("core"))?;
    mounted.daemon.terminate()?;
    assert!(!mounted.top("core").exists());
    drop(stays);
    mounted.daemon.restart()?;
    assert!(mounted.top("core").exists());
    Ok(())
}

/// The most requests of the kernel's of one `targetcli saveconfig`: for the tree of no LUN, and for each more.
const REQUESTS_MAX: u64 = 400;
const REQUESTS_A_LUN_MAX: u64 = 380;

/// By the clock that is `cargo xtask bench tools`' to show, beside a copy in memory.
#[test]
fn what_saving_asks_of_the_tree_grows_with_the_luns_and_no_faster() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mut asked = Vec::new();
    for luns in [10_u32, 40] {
        let mut mounted = Mounted::start()?;
        mounted.show_ramdisks(luns)?;
        // The first start makes what targetcli wants to be there.
        mounted.well("targetcli pwd > /dev/null")?;
        let file = mounted.scratch.join("saved.json");
        let Some(before) = mounted.requests()? else {
            println!("skipped: this kernel does not count the system calls of a thread");
            return Ok(());
        };
        mounted.well(&format!("targetcli saveconfig {}", file.display()))?;
        asked.push(mounted.requests()?.context("it was counted before")? - before);
        let saved = std::fs::read_to_string(&file)?;
        assert_eq!(saved.matches("\"plugin\": \"ramdisk\"").count(), usize::try_from(luns)?);
    }
    let [few, many] = asked[..] else { anyhow::bail!("two were counted") };
    println!("saving 10 LUNs makes {few} requests, and 40 make {many}");
    assert!(few <= REQUESTS_MAX + 10 * REQUESTS_A_LUN_MAX, "{few}");
    assert!(many <= REQUESTS_MAX + 40 * REQUESTS_A_LUN_MAX, "{many}");
    Ok(())
}
