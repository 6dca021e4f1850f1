// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunard` as a user of its own: all that it does it does without root, and it serves whom its group lets in.
//!
//! The directories are those of the unit and of tmpfiles.d in `packaging`.

use anyhow::{Result, ensure};
use rustix::fs::{Gid, Uid, chown};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use stories::daemon::{Daemon, Places};
use stories::firmware::{Firmware, Identity, Then, write_loader};
use stories::loop_device::{self, LoopDevice};
use stories::process::run;
use stories::scratch::Scratch;

// Numbers that no distribution gives to anybody.
const LUNAR: u32 = 64_801;
const SOCKET_GROUP: u32 = 64_802;
const DISK_GROUP: u32 = 64_803;
const GUEST: u32 = 64_804;
const LIMIT: Duration = Duration::from_secs(60);

fn give(path: &Path, user: u32, group: u32, mode: u32) -> Result<()> {
    chown(path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(())
}

/// What sysusers, tmpfiles and StateDirectory= make.
fn places(scratch: &Scratch) -> Result<Places> {
    let options = vec![format!("--socket-group={SOCKET_GROUP}")];
    let groups = vec![SOCKET_GROUP, DISK_GROUP];
    let places = Places { user: Some(LUNAR), groups, options, ..Places::in_scratch(scratch) };
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    for directory in [&places.state, &places.runtime, &places.runtime.join("vhost")] {
        std::fs::create_dir(directory)?;
        give(directory, LUNAR, SOCKET_GROUP, 0o710)?;
    }
    give(&places.state, LUNAR, LUNAR, 0o700)?;
    Ok(places)
}

fn mode_and_owner(path: &Path) -> Result<(u32, u32, u32)> {
    let found = rustix::fs::stat(path)?;
    Ok((found.st_mode & 0o7777, found.st_uid, found.st_gid))
}

/// Boots a machine of a user with these groups from LUN 0 and returns what its loader printed.
fn boot(scratch: &Scratch, options: &[String], groups: &[u32]) -> Result<String> {
    let identity = Identity { user: GUEST, groups: groups.to_vec() };
    Firmware::boot_as(scratch, "machine", options, Then::Ends, Some(&identity))?.finish()
}

#[test]
fn everything_works_without_root_and_outsiders_are_refused() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: becoming somebody else takes root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let mut daemon = Daemon::start_at(places(&scratch)?)?;
    let shell = daemon.shell()?;
    let images = scratch.directory("images")?;
    give(&images, LUNAR, LUNAR, 0o700)?;
    let file = images.join("disk0");
    shell.well(&format!("/backstores/fileio create disk0 {} 1M", file.display()))?;
    assert_eq!(mode_and_owner(&file)?, (0o600, LUNAR, LUNAR));
    write_loader(&file, "from a file\n")?;
    let wwn = shell.create_target()?;
    shell.well(&format!("/vhost/{wwn}/tpg1/luns create /backstores/fileio/disk0 0"))?;
    assert_eq!(mode_and_owner(&daemon.socket(&wwn))?, (0o660, LUNAR, SOCKET_GROUP));
    assert_eq!(mode_and_owner(&daemon.places().runtime.join("api.sock"))?, (0o660, LUNAR, LUNAR));

    let options = shell.qemu(&wwn, &["--memory", "64M"])?;
    assert_eq!(boot(&scratch, &options, &[SOCKET_GROUP])?, "from a file\n");
    // Ended and started again, it finds everything where it was and has nothing to ask of root.
    ensure!(daemon.terminate()?.success());
    daemon.restart()?;
    assert_eq!(boot(&scratch, &options, &[SOCKET_GROUP])?, "from a file\n");
    assert_eq!(mode_and_owner(&daemon.places().runtime.join("vhost"))?, (0o710, LUNAR, SOCKET_GROUP));

    // An outsider cannot connect a guest, and neither he nor a guest's user can configure anything.
    let once: Vec<String> = options.iter().map(|option| without_reconnect(option)).collect();
    let told = boot(&scratch, &once, &[]).expect_err("a machine of an outsider booted").to_string();
    assert!(told.contains("Permission denied"), "{told}");
    for groups in [format!("--groups={SOCKET_GROUP}"), "--clear-groups".to_owned()] {
        let mut ls = Command::new("setpriv");
        ls.args([&format!("--reuid={GUEST}"), &format!("--regid={GUEST}"), &groups, "--", "sh", "-c"]);
        ls.args([
            "test -w \"$0\" && echo may",
            &daemon.places().runtime.join("api.sock").display().to_string(),
        ]);
        let output = run(&mut ls, LIMIT)?;
        assert_eq!(String::from_utf8(output.stdout)?, "", "{groups}");
    }
    Ok(())
}

fn without_reconnect(option: &str) -> String {
    option.split_once(",reconnect").map_or(option, |(start, _)| start).to_owned()
}

#[test]
fn a_device_is_served_that_a_group_of_its_may_open_and_no_other() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device of a group is a loop device, which takes root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let daemon = Daemon::start_at(places(&scratch)?)?;
    let shell = daemon.shell()?;
    let image = scratch.sparse_file("image", 1 << 20)?;
    write_loader(&image, "from a device\n")?;
    let device = LoopDevice::attach(&image, &[])?;
    let before = mode_and_owner(device.path())?;
    give(device.path(), 0, 0, 0o660)?;
    let refused = shell.run(&[&format!("/backstores/block create disk0 {}", device.path().display())])?;
    give(device.path(), 0, DISK_GROUP, 0o660)?;
    let made = shell.well(&format!("/backstores/block create disk0 {}", device.path().display()));
    let wwn = shell.create_target()?;
    let mapped = shell.well(&format!("/vhost/{wwn}/tpg1/luns create /backstores/block/disk0 0"));
    let options = shell.qemu(&wwn, &["--memory", "64M"])?;
    let booted = boot(&scratch, &options, &[SOCKET_GROUP]);
    // The node of the device outlives it, and was as somebody wanted it.
    give(device.path(), before.1, before.2, before.0)?;
    assert_ne!(refused.status, 0);
    made?;
    mapped?;
    assert_eq!(booted?, "from a device\n");
    Ok(())
}
