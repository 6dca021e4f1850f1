// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar --root` on a tree that behaves as the kernel's: the one that `lunard --configfs` mounts.
//!
//! The kernel's own is in `guest/kernel_target.rs`.  It takes root and /dev/fuse; where one is missing the story says
//! so and ends.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::scratch::Scratch;
use stories::shell::{Answer, Shell};

const WWN: &str = "naa.500140568720f76f";

/// A tree, and a shell that works on it.
struct Root {
    shell: Shell,
    tree: PathBuf,
    scratch: Scratch,
    _daemon: Daemon,
}

impl Root {
    /// Nothing where the host has not what it takes.
    fn mount() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            println!("skipped: mounting takes root and /dev/fuse");
            return Ok(None);
        }
        let scratch = Scratch::new()?;
        let mut places = Places::in_scratch(&scratch);
        let mounted = scratch.join("tree");
        places.options = vec!["--configfs".to_owned(), mounted.display().to_string()];
        let shell = Shell::new(&places.state, &places.runtime)?;
        let daemon = Daemon::start_at(places)?;
        let tree = mounted.join("target");
        Deadline::seconds(30).until("the tree", || Ok(tree.join("core").is_dir().then_some(())))?;
        Ok(Some(Self { shell, tree, scratch, _daemon: daemon }))
    }

    fn run(&self, line: &str) -> Result<Answer> {
        let (tree, saved) =
            (self.tree.display().to_string(), self.scratch.join("saved").display().to_string());
        let mut words = vec!["--root", &tree, "--save-dir", &saved];
        words.extend(line.split_ascii_whitespace());
        self.shell.run(&words)
    }

    #[track_caller]
    fn well(&self, line: &str) -> Result<String> {
        let answer = self.run(line)?;
        ensure!(answer.status == 0, "{line}: {}{}", answer.stdout, answer.stderr);
        Ok(answer.stdout)
    }

    #[track_caller]
    fn refused(&self, line: &str, words: &str) -> Result<()> {
        let answer = self.run(line)?;
        ensure!(answer.status == 1 && answer.stderr.starts_with(words), "{line}: {answer:?}");
        Ok(())
    }

    /// What the owner of the tree says of the same.
    fn other_door(&self, line: &str) -> Result<String> {
        self.shell.well(line)
    }
}

#[test]
fn a_target_made_by_writes_is_the_one_that_its_owner_shows() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    let file = root.scratch.join("disk0.img");
    let created = root.well(&format!("/backstores/fileio create disk0 {} 8M", file.display()))?;
    assert_eq!(created, "Created fileio disk0 with size 8388608\n");
    assert_eq!(std::fs::metadata(&file)?.len(), 8 << 20);
    let created = root.well(&format!("/vhost create {WWN}"))?;
    assert_eq!(created, format!("Created target {WWN}.\nCreated TPG 1.\n"));
    assert_eq!(
        root.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0"))?,
        "Created LUN 0.\n"
    );
    assert_eq!(root.well("ls")?, root.other_door("ls")?);
    assert_eq!(
        root.well("/backstores/fileio/disk0 set attribute is_nonrot=1")?,
        "Parameter is_nonrot is now '1'.\n"
    );
    assert!(root.other_door("/backstores/fileio/disk0 get attribute is_nonrot")?.contains("is_nonrot=1"));
    Ok(())
}

#[test]
fn what_is_refused_on_the_way_leaves_nothing() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    let file = root.scratch.join("disk0.img");
    let create = format!("/backstores/fileio create disk0 {}", file.display());
    root.refused(&create, "Attempting to create file for new fileio backstore, need a size\n")?;
    root.refused(
        "/backstores/block create b0 /dev/nosuch",
        "Could not open /dev/nosuch: it does not exist\n",
    )?;
    // The last write of several: the directory and the file are gone again.
    let path = root.scratch.join("comma,.img");
    root.refused(
        &format!("/backstores/fileio create disk0 {} 8M", path.display()),
        &format!("the kernel cannot take {}: a comma ends its path\n", path.display()),
    )?;
    assert!(!path.exists());
    root.refused("/vhost create naa.6", "WWN not valid as: naa\n")?;
    let core: Vec<_> =
        std::fs::read_dir(root.tree.join("core"))?.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(core, ["alua"]);
    root.refused(&format!("/vhost/{WWN} ls"), &format!("No such path /vhost/{WWN}\n"))
}

#[test]
fn what_was_saved_comes_back_after_a_clear() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    root.well("/backstores/ramdisk create r0 4M")?;
    root.well("/backstores/ramdisk/r0 set attribute is_nonrot=0")?;
    root.well(&format!("/vhost create {WWN}"))?;
    root.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0 3"))?;
    let before = root.well("ls")?;
    let saved = root.scratch.join("saved/saveconfig.json");
    assert_eq!(root.well("saveconfig")?, format!("Configuration saved to {}\n", saved.display()));
    root.refused("restoreconfig", "storageobject 'ramdisk:r0' exist not restoring; ")?;
    assert_eq!(root.well("clearconfig confirm=True")?, "All configuration cleared\n");
    assert!(root.well("ls")?.contains("[Targets: 0]"));
    assert_eq!(root.well("restoreconfig")?, format!("Configuration restored from {}\n", saved.display()));
    // The nexus too, which LIO's own tools would make up anew.
    assert_eq!(root.well("ls")?, before);
    assert!(root.well("/backstores/ramdisk/r0 get attribute is_nonrot")?.contains("is_nonrot=0"));
    Ok(())
}

/// `lunar import-lio` from the tree into another daemon.
fn import(root: &Root, into: &Daemon, options: &[&str]) -> Result<Answer> {
    let (tree, saved) = (root.tree.display().to_string(), root.scratch.join("saved").display().to_string());
    let mut words = vec!["--root", &tree, "--save-dir", &saved, "import-lio"];
    words.extend(options);
    into.shell()?.run(&words)
}

#[test]
fn what_is_taken_over_is_the_same_there_and_can_be_made_again() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    let scratch = Scratch::new()?;
    let lunar = Daemon::start(&scratch)?;
    let file = root.scratch.join("disk0.img");
    root.well(&format!("/backstores/fileio create disk0 {} 8M", file.display()))?;
    root.well("/backstores/fileio/disk0 set attribute is_nonrot=1")?;
    root.well(&format!("/vhost create {WWN}"))?;
    root.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 7"))?;
    let (before, empty) = (root.well("ls")?, lunar.shell()?.well("ls")?);

    let answer = import(&root, &lunar, &["--dry-run"])?;
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    ensure!(
        answer.stdout.ends_with("  tpg1/lun7 shows fileio/disk0\nNothing was changed.\n"),
        "{}",
        answer.stdout
    );
    assert_eq!((root.well("ls")?, lunar.shell()?.well("ls")?), (before.clone(), empty.clone()));

    let answer = import(&root, &lunar, &["--take"])?;
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    ensure!(answer.stdout.contains("Taken over: 1 storage objects, 1 targets.\n"), "{}", answer.stdout);
    assert_eq!((root.well("ls")?, lunar.shell()?.well("ls")?), (empty, before.clone()));
    let nonrot = lunar.shell()?.well("/backstores/fileio/disk0 get attribute is_nonrot")?;
    assert!(nonrot.contains("is_nonrot=1"), "{nonrot}");

    // The way back.
    lunar.shell()?.well("clearconfig confirm=True")?;
    let kept = scratch.join(".local/state/lunar/taken-from-the-kernel.json");
    root.well(&format!("restoreconfig {}", kept.display()))?;
    assert_eq!(root.well("ls")?, before);
    Ok(())
}

#[test]
fn what_lunar_refuses_is_where_it_was() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    let scratch = Scratch::new()?;
    let lunar = Daemon::start(&scratch)?;
    root.well("/backstores/ramdisk create r0 4M")?;
    root.well(&format!("/vhost create {WWN}"))?;
    root.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0"))?;
    lunar.shell()?.well(&format!("/vhost create {WWN}"))?;
    let (before, there) = (root.well("ls")?, lunar.shell()?.well("ls")?);
    let answer = import(&root, &lunar, &["--take"])?;
    assert_eq!((answer.status, answer.stdout.as_str()), (1, ""));
    assert_eq!(
        answer.stderr,
        format!(
            "Lunar did not take it over: target with wwn {WWN} exist, not restoring\nhint: the kernel has it again, as \
             before\n"
        )
    );
    assert_eq!((root.well("ls")?, lunar.shell()?.well("ls")?), (before, there));
    Ok(())
}

#[test]
fn a_tree_without_a_target_of_the_kernel_is_one_line() -> Result<()> {
    let scratch = Scratch::new()?;
    let shell = Shell::new(&scratch.join("state"), &scratch.join("run"))?;
    let at = scratch.path().display().to_string();
    let answer = shell.run(&["--root", &at, "ls"])?;
    assert_eq!((answer.status, answer.stdout.as_str()), (1, ""));
    assert_eq!(
        answer.stderr,
        format!(
            "there is no target of the kernel at {at}\nhint: load it: modprobe target_core_mod, with configfs mounted at \
             /sys/kernel/config\n"
        )
    );
    Ok(())
}

/// A file with what is more than a LUN: an ALUA group with a LUN in it, and a list of what an initiator sees.
const FILE: &str = r#"{
  "fabric_modules": [],
  "storage_objects": [{
    "name": "r0", "plugin": "ramdisk", "size": 4194304, "wwn": "5a1e0f6c-0000-4000-8000-000000000001",
    "alua_tpgs": [{
      "name": "far", "tg_pt_gp_id": 16, "alua_access_state": 1, "alua_access_status": 2, "alua_access_type": 3,
      "nonop_delay_msecs": 20, "preferred": 1
    }]
  }],
  "targets": [{
    "fabric": "vhost", "wwn": "naa.500140568720f76f",
    "tpgs": [{
      "tag": 1, "enable": true, "portals": [],
      "luns": [{
        "alias": "0123456789", "alua_tg_pt_gp_name": "far", "index": 0, "storage_object": "/backstores/ramdisk/r0"
      }],
      "node_acls": [{
        "node_wwn": "naa.5001405000000aaa",
        "mapped_luns": [{ "alias": "abcdef0123", "index": 3, "tpg_lun": 0, "write_protect": true }]
      }]
    }]
  }]
}"#;

#[test]
fn groups_and_lists_of_a_file_are_made_and_read_back() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    let file = root.scratch.join("file.json");
    std::fs::write(&file, FILE)?;
    let restored = root.well(&format!("restoreconfig {}", file.display()))?;
    assert_eq!(restored, format!("Configuration restored from {}\n", file.display()));
    let group = root.tree.join("core/rd_mcp_0/r0/alua/far");
    for (name, text) in [
        ("tg_pt_gp_id", "16\n"),
        ("alua_access_state", "1\n"),
        ("nonop_delay_msecs", "20\n"),
        ("members", "vhost/naa.500140568720f76f/tpgt_1/lun_0\n"),
    ] {
        assert_eq!(std::fs::read_to_string(group.join(name))?, text, "{name}");
    }
    let list = root.tree.join(format!("vhost/{WWN}/tpgt_1/acls/naa.5001405000000aaa/lun_3"));
    assert_eq!(std::fs::read_to_string(list.join("write_protect"))?, "1\n");
    assert!(std::fs::symlink_metadata(list.join("abcdef0123"))?.is_symlink());
    // Saved by this door and by the other it is the same; what was made up is in both.
    let saved = |line: &str| -> Result<serde_json::Value> {
        let path = root.scratch.join("out.json");
        let line = format!("{line} {}", path.display());
        if line.starts_with("other") {
            root.other_door(&line[6..])?
        } else {
            root.well(&line)?
        };
        Ok(serde_json::from_slice(&std::fs::read(&path)?)?)
    };
    let (ours, other) = (saved("saveconfig")?, saved("other saveconfig")?);
    for (name, at) in [
        ("groups", "/storage_objects/0/alua_tpgs"),
        ("lists", "/targets/0/tpgs/0/node_acls"),
        ("LUNs", "/targets/0/tpgs/0/luns"),
    ] {
        assert_eq!(ours.pointer(at), other.pointer(at), "{name}");
        assert!(ours.pointer(at).is_some_and(|value| !value.as_array().is_none_or(Vec::is_empty)), "{name}");
    }
    // And all of it goes again, in an order in which nothing is in use.
    assert_eq!(root.well("clearconfig confirm=True")?, "All configuration cleared\n");
    assert!(!root.tree.join("core/rd_mcp_0").exists() && !root.tree.join("vhost").join(WWN).exists());
    Ok(())
}

/// What a file with two disks, a target and one LUN is, where a line may be added to each disk.
fn wanted(root: &Root, of_disk: &str, of_ramdisk: &str) -> Result<PathBuf> {
    let path = root.scratch.join("wanted.toml");
    let image = root.scratch.join("disk0.img");
    let text = format!(
        "scope = [\"*\"]\n[fileio.disk0]\npath = \"{}\"\nsize = \"8M\"\n{of_disk}\n\
         [ramdisk.r0]\nsize = \"4M\"\n{of_ramdisk}\n\
         [vhost.\"{WWN}\".tpg1]\nlun0 = \"fileio/disk0\"\nlun3 = \"ramdisk/r0\"\n",
        image.display()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

#[test]
fn a_file_is_compared_and_made_so_and_is_no_work_the_second_time() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    root.well("/backstores/ramdisk create old 4M")?;
    let path = wanted(&root, "", "attributes = { is_nonrot = 0 }")?;
    let shown = path.display();
    let image = root.scratch.join("disk0.img");
    let would = format!(
        "- /backstores/ramdisk/old\n+ /backstores/fileio/disk0\n    path: {}\n    size_bytes: 8388608 (8.0MiB)\n\
         + /backstores/ramdisk/r0\n    size_bytes: 4194304 (4.0MiB)\n    is_nonrot: 0\n\
         + /vhost/{WWN}\n+ /vhost/{WWN}/tpg1\n\
         + /vhost/{WWN}/tpg1/luns/lun0\n    backstore: fileio/disk0\n\
         + /vhost/{WWN}/tpg1/luns/lun3\n    backstore: ramdisk/r0\n6 to make, 1 to remove\n",
        image.display()
    );
    let before = root.well("ls")?;
    assert_eq!(root.well(&format!("diff {shown}"))?, would);
    assert_eq!(root.well("ls")?, before);
    let so = format!("Everything is as {shown} says.\n");
    assert_eq!(root.well(&format!("apply -f {shown}"))?, format!("{would}{so}"));
    assert_eq!(std::fs::read_to_string(root.tree.join("core/rd_mcp_1/r0/attrib/is_nonrot"))?, "0\n");
    assert!(root.other_door("ls")?.contains("lun3"));
    assert_eq!(root.well(&format!("apply -f {shown}"))?, so);

    // What the file leaves out of the attributes is the kernel's; what it says is made so below a guest.
    wanted(&root, "attributes = { emulate_fua_write = 0 }", "")?;
    assert_eq!(
        root.well(&format!("apply -f {shown}"))?,
        format!("~ /backstores/fileio/disk0\n    emulate_fua_write: 1 -> 0\n1 to change\n{so}")
    );
    assert_eq!(std::fs::read_to_string(root.tree.join("core/rd_mcp_1/r0/attrib/is_nonrot"))?, "0\n");
    Ok(())
}

#[test]
fn a_file_that_the_kernel_refuses_in_the_middle_leaves_what_was_there() -> Result<()> {
    let Some(root) = Root::mount()? else { return Ok(()) };
    root.well("/backstores/ramdisk create old 4M")?;
    root.well("/backstores/ramdisk/old set attribute is_nonrot=0")?;
    root.well(&format!("/vhost create {WWN}"))?;
    root.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/old 3"))?;
    let saved = |root: &Root| -> Result<String> {
        let path = root.scratch.join("out.json");
        root.well(&format!("saveconfig {}", path.display()))?;
        Ok(std::fs::read_to_string(&path)?)
    };
    let before = saved(&root)?;
    // A value that no kernel takes is known before anything is done.
    let path = wanted(&root, "", "attributes = { emulate_ua_intlck_ctrl = 7 }")?;
    root.refused(
        &format!("apply -f {}", path.display()),
        &format!(
            "{}: attribute emulate_ua_intlck_ctrl of ramdisk/r0 cannot be '7': it takes 0, 1, 2\n",
            path.display()
        ),
    )?;
    assert_eq!(saved(&root)?, before);
    // Which names a disk has that is not there yet, the kernel alone knows: its refusal comes after the old LUN and its disk
    // went, and a file was made, and all is taken back.  What a disk has that is there is known before.
    let path = wanted(&root, "", "attributes = { emulate_nothing = 1 }")?;
    root.refused(
        &format!("apply -f {}", path.display()),
        &format!("cannot write '1' to {}/core/", root.tree.display()),
    )?;
    assert_eq!(saved(&root)?, before);
    assert!(!root.scratch.join("disk0.img").exists(), "the file is gone again");
    std::fs::write(&path, "[ramdisk.old]\nsize = \"4M\"\nattributes = { emulate_nothing = 1 }\n")?;
    root.refused(
        &format!("diff {}", path.display()),
        "storage object ramdisk/old has no attribute emulate_nothing in this kernel\n",
    )?;
    // Nor has the kernel options, or another size for what is open.
    std::fs::write(&path, format!("[vhost.\"{WWN}\"]\noptions = {{ num_queues = 4 }}\n"))?;
    root.refused(
        &format!("diff {}", path.display()),
        &format!("target {WWN} of the kernel has no options\n"),
    )?;
    // A difference that could not be made is none to show.
    let file = path.display();
    std::fs::write(&path, "[ramdisk.old]\nsize = \"8M\"\n")?;
    for line in [format!("diff {file}"), format!("apply -f {file}")] {
        let words =
            "storage object ramdisk/old cannot be resized: the kernel's target knows no such change\n";
        root.refused(&line, words)?;
    }
    let lun = "{ backstore = \"ramdisk/old\", write_protect = true }";
    std::fs::write(&path, format!("[ramdisk.old]\nsize = \"4M\"\n[vhost.\"{WWN}\".tpg1]\nlun4 = {lun}\n"))?;
    for line in [format!("diff {file}"), format!("apply -f {file}")] {
        root.refused(&line, &format!("LUN {WWN}/tpg1/lun4 cannot refuse writes in the kernel\n"))?;
    }
    assert_eq!(saved(&root)?, before);
    Ok(())
}
