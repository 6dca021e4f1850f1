// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file of what is to be, applied to a whole daemon with real files, a ramdisk, and a guest that is connected.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options};
use std::path::{Path, PathBuf};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

/// Writes a file beside the daemon's directories.
fn file(stage: &Stage, name: &str, text: &str) -> Result<PathBuf> {
    let path = stage.scratch.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A disk in a file and one in memory, that one target shows.
fn disks(image: &Path, megabytes: u32) -> String {
    format!(
        r#"
scope = ["*"]

[fileio.disk0]
path = "{}"
size = "{megabytes}M"

[ramdisk.r0]
size = "8M"

[vhost."{WWN}".tpg1]
lun0 = "fileio/disk0"
lun7 = {{ backstore = "ramdisk/r0", write_protect = true }}
"#,
        image.display()
    )
}

#[test]
fn a_file_makes_everything_once_and_survives_a_restart() -> Result<()> {
    let mut stage = Stage::set()?;
    let image = stage.scratch.join("disk0.img");
    let path = file(&stage, "disks.toml", &disks(&image, 16))?;
    let shown = path.display();
    let apply = format!("apply -f {shown}");
    let would = format!(
        "+ /backstores/fileio/disk0\n    path: {}\n    size_bytes: 16777216 (16.0MiB)\n\
         + /backstores/ramdisk/r0\n    size_bytes: 8388608 (8.0MiB)\n\
         + /vhost/{WWN}\n+ /vhost/{WWN}/tpg1\n\
         + /vhost/{WWN}/tpg1/luns/lun0\n    backstore: fileio/disk0\n\
         + /vhost/{WWN}/tpg1/luns/lun7\n    backstore: ramdisk/r0\n    write_protect: true\n6 to make\n",
        image.display()
    );
    assert_eq!(stage.shell.well(&format!("diff {shown}"))?, would);
    assert_eq!(stage.shell.well(&format!("{apply} --dry-run"))?, format!("{would}Nothing was changed.\n"));
    assert!(!image.exists(), "nothing was made");
    let so = format!("Everything is as {shown} says.\n");
    assert_eq!(stage.shell.well(&apply)?, format!("{would}{so}"));
    assert_eq!(std::fs::metadata(&image)?.len(), 16 << 20);
    assert!(stage.daemon.socket(WWN).exists());
    let tree = stage.shell.well("ls / --json")?;
    assert_eq!(stage.shell.well(&apply)?, so, "once more there is nothing to do");

    stage.daemon.kill()?;
    stage.daemon.restart()?;
    assert_eq!(stage.shell.well(&apply)?, so);
    assert_eq!(stage.shell.well("ls / --json")?, tree);
    Ok(())
}

#[test]
fn a_connected_guest_sees_disks_grow_and_loses_none_unless_it_is_forced() -> Result<()> {
    let stage = Stage::set()?;
    let image = stage.scratch.join("disk0.img");
    let path = file(&stage, "disks.toml", &disks(&image, 16))?;
    let apply = format!("apply -f {}", path.display());
    stage.shell.well(&apply)?;
    let _guest = Guest::connect(stage.daemon.socket(WWN), Options::default()).context("a guest")?;

    std::fs::write(&path, disks(&image, 32))?;
    let so = format!("Everything is as {} says.\n", path.display());
    let grown =
        "~ /backstores/fileio/disk0\n    size_bytes: 16777216 (16.0MiB) -> 33554432 (32.0MiB)\n1 to change\n";
    assert_eq!(stage.shell.well(&apply)?, format!("{grown}{so}"));
    assert_eq!(std::fs::metadata(&image)?.len(), 32 << 20);

    std::fs::write(&path, "scope = [\"*\"]\n")?;
    let refused = stage.shell.run(&["apply", "-f", &path.display().to_string()])?;
    assert_eq!(refused.status, 1);
    assert_eq!(
        refused.stderr,
        format!(
            "the guests of target {WWN} are connected and would lose what they have\n\
             hint: nothing was changed; shut them down first, or force it: --force\n"
        )
    );
    assert!(
        refused.stdout.contains(&format!("The guest of {WWN} is connected and would lose what it has.\n"))
    );
    assert!(stage.daemon.socket(WWN).exists());
    stage.shell.well(&format!("{apply} --force"))?;
    assert!(!stage.daemon.socket(WWN).exists());
    assert!(image.exists(), "files stay");
    Ok(())
}

#[test]
fn a_list_for_a_guest_shows_it_what_the_file_says_and_never_more() -> Result<()> {
    let stage = Stage::set()?;
    let nexus = "naa.50014050000000ff";
    let listed = |mapped: &str| {
        format!(
            "[ramdisk.r0]\nsize = \"8M\"\n[vhost.\"{WWN}\".tpg1]\nnexus = \"{nexus}\"\nlun0 = \"ramdisk/r0\"\n\
             [vhost.\"{WWN}\".tpg1.acls.\"{nexus}\"]\n{mapped}"
        )
    };
    let path = file(&stage, "acl.toml", &listed("mapped_lun0 = \"lun0\"\n"))?;
    let apply = ["apply", "-f", &path.display().to_string()];
    stage.shell.well(&apply.join(" "))?;
    let _guest = Guest::connect(stage.daemon.socket(WWN), Options::default()).context("a guest")?;
    let before = stage.shell.well("ls / --json")?;

    std::fs::write(&path, listed("mapped_lun0 = \"lun7\"\n"))?;
    let refused = stage.shell.run(&apply)?;
    let line = format!(
        "{}: Could not find matching TPG LUN 7 for mapped LUN 0 of node ACL {nexus} of TPG 1 of target {WWN}: the file \
         has no such LUN there\nhint: nothing was changed; see to the file\n",
        path.display()
    );
    assert_eq!((refused.status, refused.stderr), (1, line));
    std::fs::write(&path, listed(""))?;
    let refused = stage.shell.run(&apply)?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.starts_with(&format!("the guests of target {WWN} are connected and would lose")));
    assert_eq!(stage.shell.well("ls / --json")?, before);

    stage.shell.well(&format!("{} --force", apply.join(" ")))?;
    let list = stage.shell.well(&format!("ls /vhost/{WWN}/tpg1/acls"))?;
    assert!(list.contains("[Mapped LUNs: 0]"), "{list}");
    assert_eq!(stage.shell.well(&apply.join(" "))?, format!("Everything is as {} says.\n", path.display()));
    Ok(())
}

#[test]
fn what_cannot_be_prepared_is_not_begun() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well("/backstores/ramdisk create kept 8M")?;
    let before = stage.shell.well("ls / --json")?;
    let text = "scope = [\"*\"]\n[ramdisk.r0]\nsize = \"8M\"\n[block.b0]\npath = \"/dev/nosuch\"\n";
    let path = file(&stage, "disks.toml", text)?;
    let refused = stage.shell.run(&["apply", "-f", &path.display().to_string()])?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("/dev/nosuch"), "{}", refused.stderr);
    assert_eq!(stage.shell.well("ls / --json")?, before);
    Ok(())
}

#[test]
fn what_was_saved_is_what_is_applied_and_resize_is_for_guests_that_run() -> Result<()> {
    let stage = Stage::set()?;
    let image = stage.create_fileio("disk0", 1 << 20)?;
    stage.shell.well("/backstores/ramdisk create r0 8M")?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    let saved = stage.scratch.join("saved.json");
    stage.shell.well(&format!("saveconfig {}", saved.display()))?;
    let so = format!("Everything is as {} says.\n", saved.display());
    assert_eq!(stage.shell.well(&format!("apply -f {}", saved.display()))?, so);

    assert_eq!(stage.shell.well("/backstores/fileio/disk0 resize 2M")?, "Resized fileio disk0 to 2097152\n");
    assert_eq!(std::fs::metadata(&image)?.len(), 2 << 20);
    assert_eq!(stage.shell.well("/backstores/ramdisk/r0 resize +8M")?, "Resized ramdisk r0 to 16777216\n");
    std::fs::File::options().write(true).open(&image)?.set_len(4 << 20)?;
    assert_eq!(stage.shell.well("/backstores/fileio/disk0 resize")?, "Resized fileio disk0 to 4194304\n");
    let refused = stage.shell.run(&["/backstores/fileio/disk0", "resize", "1M"])?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.starts_with("storage object fileio/disk0 has 4194304 bytes and cannot shrink"));

    // The file that was saved has the sizes of before: nothing shrinks for it.
    let refused = stage.shell.run(&["apply", "-f", &saved.display().to_string()])?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.starts_with("storage object "), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot shrink"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn what_was_written_in_toml_makes_the_same_after_all_was_cleared() -> Result<()> {
    let stage = Stage::set()?;
    let image = stage.scratch.join("disk0.img");
    let text = disks(&image, 16).replace(
        "lun0 = \"fileio/disk0\"",
        "lun0 = { backstore = \"fileio/disk0\", alua_tg_pt_gp_name = \"near\" }",
    );
    let text =
        format!("{text}\n[fileio.disk0.alua.near]\ntg_pt_gp_id = 4\nalua_access_state = 1\npreferred = 1\n");
    let path = file(&stage, "disks.toml", &text)?;
    stage.shell.well(&format!("apply -f {}", path.display()))?;
    let alua = stage.shell.well("/backstores/fileio/disk0/alua/near get alua")?;
    let members = format!("members=[{{'driver': 'vhost', 'target': '{WWN}', 'tpgt': 1, 'lun': 0}}] [ro]");
    for line in ["alua_access_state=1", "preferred=1", "tg_pt_gp_id=4 [ro]", &members] {
        assert!(alua.lines().any(|shown| shown == line), "{line} is not in {alua}");
    }
    assert_eq!(groups_of_disk0(&stage)?, GROUPS);
    let saved = stage.scratch.join("saved.toml");
    stage.shell.well(&format!("saveconfig {}", saved.display()))?;
    let tree = stage.shell.well("ls / --json")?;
    stage.shell.well_once_guests_have_left("clearconfig confirm=True")?;
    stage.shell.well(&format!("apply -f {}", saved.display()))?;
    assert_eq!(stage.shell.well("ls / --json")?, tree);
    assert_eq!(stage.shell.well("/backstores/fileio/disk0/alua/near get alua")?, alua);
    assert_eq!(groups_of_disk0(&stage)?, GROUPS);
    Ok(())
}

/// 12 bytes follow: preferred and active/non-optimized, what it can be, group 4, changed by nobody, and its one port, 1.
const GROUPS: [u8; 16] = [0, 0, 0, 0x0c, 0x81, 0xcf, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1];

/// The target port groups of LUN 0, as its guest is told of them.
fn groups_of_disk0(stage: &Stage) -> Result<Vec<u8>> {
    let mut guest = Guest::boot(stage.daemon.socket(WWN), Options::default())?;
    let report = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];
    let command = Command::new(LunAddress([1, 1, 0, 0, 0, 0, 0, 0]), &report).data_in(255);
    let answer = guest.execute(&command)?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(answer.data_in)
}
