// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mounted tree, as find(1) sees it, is the one that was recorded on Linux 6.1: every path with its kind and mode,
//! and sizes, links and owners as configfs has them.
//!
//! What the files say is compared in `crates/configfs/tests/lio.rs`, which also has the recording.

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags, RawDir};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::mem::MaybeUninit;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::programs::workspace;

const TPG: &str = "vhost/naa.5001405aabbccdd0/tpgt_1";

/// Kind and mode of each path below `target`.
fn recorded() -> Result<BTreeMap<String, String>> {
    let file = workspace().join("crates/configfs/tests/lio/tree-6.1.txt");
    let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(' ')) {
        let mut words = line.split_whitespace();
        let (kind, second) = (words.next().context("a kind")?, words.next().context("a word")?);
        let (mode, path) = match kind {
            "L" => ("777", second),
            _ => (second, words.next().context("a path")?),
        };
        let path = path.trim_start_matches("target").trim_matches('/');
        all.insert(path.to_owned(), format!("{kind} {mode}"));
    }
    Ok(all)
}

/// Makes what the recording has.
fn furnish(mounted: &Mounted, disk: &LoopDevice) -> Result<()> {
    let file = mounted.scratch.sparse_file("d.img", 16 << 20)?;
    let fileio = format!("fd_dev_name={},fd_dev_size=16777216,fd_buffered_io=1", file.display());
    let block = format!("udev_path={}", disk.path().display());
    for dir in ["vhost", "vhost/naa.5001405aabbccdd0", TPG] {
        std::fs::create_dir(mounted.top(dir))?;
    }
    mounted.write(&format!("{TPG}/nexus"), "naa.5001405aabbccdd1\n")?;
    let devices = [
        ("fileio_0", "disk0", fileio.as_str(), "virtual_scsi_port"),
        ("iblock_0", "disk1", &block, "virtual_scsi_port"),
        ("rd_mcp_0", "ram0", "rd_pages=2048", "v"),
    ];
    for (lun, (hba, name, control, link)) in devices.into_iter().enumerate() {
        let device = format!("core/{hba}/{name}");
        std::fs::create_dir(mounted.top(&format!("core/{hba}")))?;
        std::fs::create_dir(mounted.top(&device))?;
        mounted.write(&format!("{device}/control"), control)?;
        mounted.write(&format!("{device}/enable"), "1\n")?;
        let lun = format!("{TPG}/lun/lun_{lun}");
        std::fs::create_dir(mounted.top(&lun))?;
        symlink(mounted.top(&device), mounted.top(&format!("{lun}/{link}")))?;
    }
    // Groups that somebody made there.
    std::fs::create_dir(mounted.top("core/fileio_0/disk0/alua/standby"))?;
    mounted.write("core/fileio_0/disk0/alua/standby/tg_pt_gp_id", "16\n")?;
    std::fs::create_dir(mounted.top("core/alua/lu_gps/mylu"))?;
    mounted.write("core/alua/lu_gps/mylu/lu_gp_id", "7\n")?;
    Ok(())
}

/// Walks what is there.
fn walk(at: &Path, name: &str, into: &mut BTreeMap<String, Metadata>) -> Result<()> {
    let found = std::fs::symlink_metadata(at).with_context(|| format!("no {}", at.display()))?;
    if found.is_dir() {
        for entry in std::fs::read_dir(at)? {
            let entry = entry?;
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            walk(&entry.path(), below.trim_start_matches('/'), into)?;
        }
    }
    into.insert(name.to_owned(), found);
    Ok(())
}

#[test]
fn a_directory_that_changes_while_it_is_read_shows_once_what_stays_and_not_what_went() -> Result<()> {
    if let Some(why) = mounted::missing() {
        println!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    for number in 0..40 {
        shell.well(&format!("/backstores/ramdisk create r{number} 1M"))?;
    }
    let core = rustix::fs::open(mounted.top("core"), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    // A buffer for a few names: the rest is asked for afterwards.
    let mut buffer = [MaybeUninit::uninit(); 256];
    let mut read = RawDir::new(&core, &mut buffer);
    let mut names = Vec::new();
    let mut entry = || -> Result<Option<String>> {
        let next = read.next().transpose()?;
        Ok(next.map(|entry| entry.file_name().to_string_lossy().into_owned()))
    };
    names.extend(entry()?);
    shell.well("/backstores/ramdisk delete r3")?;
    shell.well("/backstores/ramdisk delete r39")?;
    while let Some(name) = entry()? {
        // Who looks at each, as ls -l does, is told of the next ones with the listing.
        let _ = std::fs::symlink_metadata(mounted.top("core").join(&name));
        names.push(name);
    }
    let all: BTreeSet<&String> = names.iter().collect();
    assert_eq!(all.len(), names.len(), "{names:?}");
    let stay = |number: &u32| *number != 3 && *number != 39;
    let missing: Vec<u32> =
        (0..40).filter(stay).filter(|number| !all.contains(&format!("rd_mcp_{number}"))).collect();
    assert_eq!(missing, Vec::<u32>::new(), "{names:?}");
    // The kernel was told that they went, and listing them has not told it the opposite.
    for gone in ["core/rd_mcp_3", "core/rd_mcp_39"] {
        Deadline::seconds(10).until("it to go", || Ok((!mounted.top(gone).exists()).then_some(())))?;
    }
    assert!(mounted.top("core/rd_mcp_4/r4").exists());
    Ok(())
}

#[test]
fn groups_and_lists_that_another_door_makes_and_deletes_show_where_the_kernel_has_looked() -> Result<()> {
    if let Some(why) = mounted::missing() {
        println!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    let wwn = "naa.5001405aabbccdd0";
    shell.well("/backstores/ramdisk create r0 1M")?;
    shell.well(&format!("/vhost create {wwn}"))?;
    let (alua, acls) = ("core/rd_mcp_0/r0/alua", format!("{TPG}/acls"));
    let links = |path: &str| -> Result<u64> { Ok(std::fs::metadata(mounted.top(path))?.nlink()) };
    assert_eq!((links(alua)?, links(&acls)?), (3, 2));
    assert!(!mounted.top("core/rd_mcp_0/r0/alua/grp1").exists());
    shell.well("/backstores/ramdisk/r0/alua create grp1 5")?;
    shell.well(&format!("/vhost/{wwn}/tpg1/acls create naa.5001405aaaaaaaaa"))?;
    assert_eq!(mounted.read(&format!("{alua}/grp1/tg_pt_gp_id"))?, "5\n");
    let one_more = || Ok(((links(alua)?, links(&acls)?) == (4, 3)).then_some(()));
    Deadline::seconds(10).until("another link", one_more)?;
    shell.well("/backstores/ramdisk/r0/alua delete grp1")?;
    shell.well(&format!("/vhost/{wwn}/tpg1/acls delete naa.5001405aaaaaaaaa"))?;
    let gone = || Ok((!mounted.top(&format!("{alua}/grp1")).exists()).then_some(()));
    Deadline::seconds(10).until("the group to go", gone)?;
    assert!(!mounted.top(&format!("{acls}/naa.5001405aaaaaaaaa")).exists());
    let one_less = || Ok(((links(alua)?, links(&acls)?) == (3, 2)).then_some(()));
    Deadline::seconds(10).until("one link less", one_less)?;
    Ok(())
}

#[test]
fn the_mounted_tree_has_the_paths_modes_sizes_and_links_of_lios() -> Result<()> {
    if let Some(why) = mounted::missing().or((!loop_device::available()).then_some("no loop device")) {
        println!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 64 << 20)?, &[])?;
    furnish(&mounted, &disk)?;
    let mut found = BTreeMap::new();
    walk(&mounted.top(""), "", &mut found)?;
    let kind = |is: &Metadata| {
        if is.is_dir() {
            "D"
        } else if is.is_symlink() {
            "L"
        } else {
            "F"
        }
    };
    let is: BTreeMap<String, String> = found
        .iter()
        .map(|(path, is)| (path.clone(), format!("{} {:o}", kind(is), is.mode() & 0o7777)))
        .collect();
    let mut lio = recorded()?;
    // Attributes that LIO has none of are beside its own, where its tools do not save them; so is what a later kernel has.
    let rsoc = if mounted::kernel_has_rsoc() { "attrib/emulate_rsoc" } else { "emulate_rsoc" };
    for (device, physical) in
        [("fileio_0/disk0", "F 644"), ("iblock_0/disk1", "F 444"), ("rd_mcp_0/ram0", "F 644")]
    {
        let own = [("emulate_removable", "F 644"), ("physical_block_size", physical), (rsoc, "F 644")];
        lio.extend(own.map(|(path, is)| (format!("core/{device}/{path}"), is.to_owned())));
        // What the kernel has since 2026.
        lio.insert(format!("core/{device}/wwn/pd_text_id_info"), "F 644".to_owned());
    }
    let differ: Vec<String> = lio
        .iter()
        .chain(&is)
        .filter(|(path, _)| lio.get(*path) != is.get(*path))
        .map(|(path, _)| format!("{path}: {:?}, and LIO {:?}", is.get(path), lio.get(path)))
        .collect();
    assert_eq!(differ, Vec::<String>::new());
    assert!(lio.len() > 300, "the recording is read");

    let mut numbers = BTreeSet::new();
    for (path, is) in &found {
        let within = format!("{path}/");
        let below = |other: &str| {
            let rest = if path.is_empty() { Some(other) } else { other.strip_prefix(&within) };
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        };
        let directories = found.iter().filter(|(other, is)| is.is_dir() && below(other)).count() as u64;
        let (size, links) = match kind(is) {
            "D" => (0, 2 + directories),
            "L" => (0, 1),
            _ => (4096, 1),
        };
        assert_eq!((is.size(), is.nlink()), (size, links), "{path}");
        assert_eq!((is.uid(), is.gid()), (0, 0), "{path}");
        assert!(numbers.insert(is.ino()), "{path} has the number of another");
    }
    Ok(())
}
