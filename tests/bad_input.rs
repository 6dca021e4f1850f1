// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong is told in one clear line, and changes nothing.
//!
//! The line names the thing; a second one that starts with `hint: ` may say the way out.

use anyhow::Result;
use initiator::{Guest, LunAddress, Options, commands};
use rustix::fs::{Gid, Mode, OFlags, Uid, chown};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use stories::daemon::{Daemon, Places};
use stories::deadline::Deadline;
use stories::firmware::{Firmware, Then, write_loader};
use stories::loop_device::{self, LoopDevice};
use stories::process::{command, run};
use stories::programs::built;
use stories::scratch::Scratch;
use stories::shell::{Answer, Shell};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

/// How long a daemon that refuses to start may take.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The owner of nothing, by its number and by its name.
const NOBODY: (u32, &str) = (65534, "nobody");

/// The refusal is one line, perhaps with a hint, and has all of `parts` in it.
fn assert_one_clear_line(what: &str, answer: &Answer, parts: &[&str]) {
    let Answer { status, stdout, stderr } = answer;
    assert_eq!((*status, stdout.as_str()), (1, ""), "{what}: {stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    let is_clear = match lines.as_slice() {
        [message] => !message.starts_with("hint: "),
        [message, hint] => !message.starts_with("hint: ") && hint.starts_with("hint: "),
        _ => false,
    };
    assert!(is_clear, "{what} is refused with:\n{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{what}: no {part:?} in:\n{stderr}");
    }
}

/// Every one is refused, and the tree stays as it is.
fn assert_refused(shell: &Shell, cases: &[(String, &[&str])]) -> Result<()> {
    let before = shell.well("ls /")?;
    for (line, parts) in cases {
        let words: Vec<&str> = line.split(' ').collect();
        assert_one_clear_line(line, &shell.run(&words)?, parts);
        assert_eq!(shell.well("ls /")?, before, "{line} changed something");
    }
    Ok(())
}

#[test]
fn names_and_numbers_that_are_wrong_or_taken_are_refused() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    stage.create_fileio("disk1", 1 << 20)?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    let luns = format!("/vhost/{WWN}/tpg1/luns");
    let file = stage.scratch.join("disk2");
    let file = file.display();
    assert_refused(
        &stage.shell,
        &[
            ("/vhost create foo".into(), &["WWN not valid as: naa", "foo"]),
            ("/vhost create naa.600140568720f76f6001405".into(), &["naa.600140568720f76f6001405"]),
            ("/vhost create iqn.2003-01.org.example:disk".into(), &["iqn.2003-01.org.example:disk"]),
            (format!("/vhost create {WWN}"), &[WWN]),
            (format!("/vhost/{WWN} create 256"), &["256"]),
            (format!("/vhost/{WWN} create -1"), &["-1"]),
            (format!("/vhost/{WWN} create 1"), &["TPG"]),
            (format!("{luns} create /backstores/fileio/disk1 16384"), &["16384"]),
            (format!("{luns} create /backstores/fileio/disk1 0"), &["LUN"]),
            (format!("{luns} create /backstores/fileio/disk0 1"), &["fileio/disk0 already exists"]),
            (format!("{luns} create /backstores/fileio/nosuch"), &["/backstores/fileio/nosuch"]),
            (format!("{luns} delete 7"), &["7"]),
            (format!("/vhost/{WWN} delete 9"), &["9"]),
            ("/vhost delete naa.5001405000000001".into(), &["naa.5001405000000001"]),
            ("/backstores/fileio delete nosuch".into(), &["No storage object named", "nosuch"]),
            ("/backstores/fileio delete disk0".into(), &["disk0", "in use"]),
            (format!("/backstores/fileio create disk0 {file} 1M"), &["disk0", "exists"]),
            (format!("/backstores/fileio create a/b {file} 1M"), &["a/b"]),
            (format!("/backstores/fileio create disk2 {file} 1.5G"), &["Cannot interpret size", "1.5G"]),
            (format!("/backstores/fileio create disk2 {file} lots"), &["Cannot interpret size", "lots"]),
            ("/backstores/ramdisk create r0 -1M".into(), &["-1M"]),
            (format!("/backstores/fileio create disk2 {file} 1M true true serial junk"), &["junk"]),
            (format!("/backstores/fileio create disk2 {file} 99999999T"), &["99999999T is too large"]),
            (format!("/backstores/fileio create disk2 {file} 1M maybe"), &["'maybe'", "write_back"]),
            ("/backstores/fileio/disk0 set attribute =1".into(), &["group", "set GROUP attribute=1"]),
            ("/backstores/fileio/disk0 set attribute nosuch=1".into(), &["nosuch", "`set attribute`"]),
            ("/backstores/fileio/disk0 get attribute nosuch".into(), &["nosuch", "`get attribute`"]),
            ("/backstores/nosuch ls".into(), &["/backstores/nosuch", "block fileio ramdisk"]),
            ("ls / deep".into(), &["'deep'"]),
            ("bookmarks go nosuch".into(), &["nosuch", "`bookmarks show`"]),
            ("/nosuch ls".into(), &["No such path /nosuch"]),
            ("frobnicate".into(), &["frobnicate"]),
        ],
    )?;
    assert!(!stage.scratch.join("disk2").exists());
    Ok(())
}

#[test]
fn files_and_devices_that_cannot_serve_are_refused() -> Result<()> {
    let stage = Stage::set()?;
    let here = stage.scratch.path().display();
    stage.create_fileio("disk0", 1 << 20)?;
    assert_refused(
        &stage.shell,
        &[
            (format!("/backstores/block create d {here}/nosuch"), &["/nosuch"]),
            (format!("/backstores/block create d {here}"), &["directory"]),
            (format!("/backstores/block create d {here}/disk0"), &["/disk0"]),
            ("/backstores/block create d /dev/null".into(), &["/dev/null"]),
            (format!("/backstores/fileio create f {here} 1M"), &["exists but is not a file"]),
            (format!("/backstores/fileio create f {here}/new 1000"), &["/new", "1000"]),
            (format!("/backstores/fileio create f {here}/new"), &["size"]),
            (
                format!("/backstores/fileio create f {here}/nosuch/new 1M"),
                &["/nosuch/new", &format!("there is no directory {here}/nosuch")],
            ),
            (format!("/backstores/fileio create f {here}/new 0"), &["/new", "0 bytes", "block"]),
            (format!("/backstores/fileio create f {here}/disk0 1M"), &["disk0"]),
            ("/backstores/fileio create f /proc/self/mem".into(), &["/proc/self/mem"]),
        ],
    )?;
    assert!(!stage.scratch.join("new").exists());
    assert!(!stage.scratch.join("nosuch").exists());
    Ok(())
}

#[test]
fn a_device_that_is_busy_is_refused() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: a device that can be busy is a loop device, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let device = LoopDevice::attach(&stage.scratch.sparse_file("disk", 1 << 20)?, &[])?;
    let path = device.path().display();
    let exclusive = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let claim = rustix::fs::open(device.path(), exclusive, Mode::empty())?;
    assert_refused(
        &stage.shell,
        &[(format!("/backstores/block create d {path}"), &[&path.to_string(), "in use"])],
    )?;
    drop(claim);
    stage.shell.well(&format!("/backstores/block create d {path}"))?;
    assert_refused(&stage.shell, &[(format!("/backstores/block create e {path}"), &[&path.to_string()])])
}

#[test]
fn a_target_whose_guest_runs_is_not_deleted() -> Result<()> {
    let stage = Stage::set()?;
    write_loader(&stage.create_fileio("disk0", 1 << 20)?, "up\n")?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    let mut machine = Firmware::boot(&stage.scratch, "machine", &options, Then::Halts)?;
    machine.wait_for("up\n")?;
    assert_refused(&stage.shell, &[(format!("/vhost delete {wwn}"), &[&wwn])])?;
    machine.kill()?;
    Ok(())
}

#[test]
fn a_group_that_a_guest_is_connected_to_stays_whatever_the_door() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well("/backstores/ramdisk create r0 1M")?;
    let wwn = stage.serve("ramdisk/r0")?;
    stage.shell.well(&format!("/vhost/{wwn} create 2"))?;
    let saved = stage.scratch.join("saved.json");
    stage.shell.well(&format!("saveconfig {}", saved.display()))?;
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;
    let before = stage.shell.well("ls / --json")?;
    for tag in [1, 2] {
        let refused = format!("TPG {wwn}/tpg{tag} is in use by a guest");
        assert_refused(
            &stage.shell,
            &[(
                format!("/vhost/{wwn} delete {tag}"),
                &[&refused, "the LUNs of the group can be deleted", "shut the guest down"],
            )],
        )?;
        // A file without the group, in either form.
        let other = 3 - tag;
        let file = stage.scratch.join("wanted.toml");
        let lun = if tag == 1 { "" } else { "lun0 = \"ramdisk/r0\"\n" };
        std::fs::write(&file, format!("[vhost.\"{wwn}\".tpg{other}]\n{lun}"))?;
        let answer = stage.shell.run(&["apply", "-f", &file.display().to_string()])?;
        assert_eq!(answer.status, 1);
        assert!(answer.stderr.contains("would lose what they have"), "{}", answer.stderr);
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&saved)?)?;
        if let Some(groups) = document["targets"][0]["tpgs"].as_array_mut() {
            groups.retain(|group| group["tag"] != tag);
        }
        let file = stage.scratch.join("wanted.json");
        std::fs::write(&file, document.to_string())?;
        let restore = format!("restoreconfig {} clear_existing=true", file.display());
        assert_refused(&stage.shell, &[(restore, &[&refused])])?;
        assert_eq!(stage.shell.well("ls / --json")?, before);
        let ready = commands::test_unit_ready(LunAddress::unit(1, 0));
        Deadline::seconds(20)
            .until("the disk", || Ok(guest.execute(&ready)?.check_condition().is_none().then_some(())))?;
    }
    // What the hint says: its LUNs can go; and the group, when the guest has left.
    stage.shell.well(&format!("/vhost/{wwn}/tpg1/luns delete 0"))?;
    drop(guest);
    stage.shell.well_once_guests_have_left(&format!("/vhost/{wwn} delete 1")).map(drop)
}

#[test]
fn a_path_that_the_daemon_may_not_open_names_user_and_group() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving the daemon another user takes root");
        return Ok(());
    }
    const DISK_GROUP: u32 = 6;
    let scratch = Scratch::new()?;
    let file = scratch.sparse_file("disk", 1 << 20)?;
    chown(&file, None, Some(Gid::from_raw(DISK_GROUP)))?;
    std::fs::set_permissions(&file, Permissions::from_mode(0o660))?;
    let daemon = Daemon::start_at(places_of_nobody(&scratch)?)?;
    let file = file.display().to_string();
    assert_refused(
        &daemon.shell()?,
        &[(format!("/backstores/fileio create f {file}"), &[&file, NOBODY.1, "disk"])],
    )
}

#[test]
fn without_a_daemon_the_shell_says_how_to_start_it() -> Result<()> {
    let scratch = Scratch::new()?;
    let answer = Places::in_scratch(&scratch).shell()?.run(&["/vhost", "create"])?;
    assert_one_clear_line("/vhost create", &answer, &["no lunard is running", "start it"]);
    Ok(())
}

/// Places that belong to nobody, and a daemon that runs as nobody.
fn places_of_nobody(scratch: &Scratch) -> Result<Places> {
    let places = Places { user: Some(NOBODY.0), ..Places::in_scratch(scratch) };
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    for folder in [&places.state, &places.runtime] {
        std::fs::create_dir(folder)?;
        chown(folder, Some(Uid::from_raw(NOBODY.0)), Some(Gid::from_raw(NOBODY.0)))?;
    }
    Ok(places)
}

/// Runs a daemon that must refuse to start, and say why in one line with all of `parts`.
fn assert_no_start(lunard: &mut Command, parts: &[&str]) -> Result<()> {
    let Output { status, stderr, .. } = run(lunard, START_LIMIT)?;
    let stderr = String::from_utf8(stderr)?;
    assert_eq!(status.code(), Some(1), "{stderr}");
    let told: Vec<&str> = stderr.lines().filter(|line| line.starts_with("lunard: ")).collect();
    assert!(told.len() == 1 && !stderr.contains("panicked"), "{stderr}");
    for part in parts {
        assert!(told[0].contains(part), "no {part:?} in {}", told[0]);
    }
    Ok(())
}

#[test]
fn a_second_daemon_is_kept_out_of_a_state_directory() -> Result<()> {
    let stage = Stage::set()?;
    let places = Places { runtime: stage.scratch.join("other"), ..stage.daemon.places().clone() };
    let state = places.state.display().to_string();
    assert_no_start(&mut places.command()?, &[&state, "in use", "another"])?;
    stage.shell.well("ls /").map(drop)
}

#[test]
fn a_state_directory_that_is_not_writable_is_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let places = Places { state: "/proc/lunar".into(), ..Places::in_scratch(&scratch) };
    assert_no_start(&mut places.command()?, &["/proc/lunar"])?;
    if rustix::process::geteuid().is_root() {
        let places = places_of_nobody(&scratch)?;
        chown(&places.state, Some(Uid::from_raw(0)), None)?;
        let state = places.state.display().to_string();
        assert_no_start(&mut places.command()?, &[&state, "ermission denied"])?;
    }
    Ok(())
}

#[test]
fn a_damaged_database_is_named_and_left_as_it_is() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    stage.daemon.terminate()?;
    let database = stage.daemon.places().state.join("lunar.redb");
    let whole = std::fs::read(&database)?;
    for damage in [damaged_start(&whole), whole[..whole.len() / 2].to_vec(), b"not a database".to_vec()] {
        std::fs::write(&database, &damage)?;
        let name = database.display().to_string();
        assert_no_start(&mut stage.daemon.places().command()?, &[&name])?;
        assert_eq!(std::fs::read(&database)?, damage);
    }
    std::fs::write(&database, &whole)?;
    stage.daemon.restart()?;
    assert!(stage.shell.well("ls /backstores/fileio")?.contains("disk0"));
    Ok(())
}

fn damaged_start(whole: &[u8]) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    damaged[..64].fill(0xa5);
    damaged
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_before_anything_is_made() -> Result<()> {
    let scratch = Scratch::new()?;
    let places = Places { runtime: scratch.join(&"r".repeat(90)), ..Places::in_scratch(&scratch) };
    assert_no_start(&mut places.command()?, &["too long", ".sock"])?;
    assert!(!places.runtime.exists());
    Ok(())
}

#[test]
fn an_option_that_does_not_exist_is_refused() -> Result<()> {
    for program in ["lunard", "lunar"] {
        let output = run(command(built(program)?).arg("--nosuch"), START_LIMIT)?;
        let told = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && told.contains("--nosuch"), "{program}: {told}");
    }
    assert!(!Path::new("--nosuch").exists());
    Ok(())
}

#[test]
fn an_option_with_a_value_that_cannot_be_says_what_can() -> Result<()> {
    for (option, value, way_out) in [
        ("--reactors", "0", "1..=65535"),
        ("--reactors", "100000", "1..=65535"),
        ("--metrics", "9100", "such as 127.0.0.1:9100"),
        ("--metrics", "localhost:9100", "such as 127.0.0.1:9100"),
    ] {
        let output = run(command(built("lunard")?).args([option, value]), START_LIMIT)?;
        let told = String::from_utf8(output.stderr)?;
        let first = told.lines().next().unwrap_or_default();
        assert!(!output.status.success(), "{told}");
        assert!([option, value, way_out].iter().all(|part| first.contains(part)), "{told}");
    }
    Ok(())
}

#[test]
fn a_level_of_the_log_that_is_none_is_told_and_does_not_silence_it() -> Result<()> {
    let scratch = Scratch::new()?;
    let places = Places { level: Some("verbose"), ..Places::in_scratch(&scratch) };
    let log = places.log.clone();
    let mut daemon = Daemon::start_at(places)?;
    daemon.terminate()?;
    let log = std::fs::read_to_string(log)?;
    let told = "LUNAR_LOG is 'verbose', taken as info: it is one of off, error, warn, info, debug, trace";
    assert!(log.contains(told) && log.contains("INFO"), "{log}");
    Ok(())
}
