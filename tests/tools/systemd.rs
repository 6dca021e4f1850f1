// SPDX-License-Identifier: Apache-2.0 OR MIT
//! systemd's own tools accept the files in `packaging`, and what they make of them is what `lunard` needs.
//!
//! The unit itself cannot be started where systemd is not the first process; `own_user` runs the daemon as it would be.

use anyhow::{Context, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stories::process::{command, run};
use stories::programs::{built, find_in_path, workspace};
use stories::scratch::Scratch;

const LIMIT: Duration = Duration::from_secs(60);

/// How long an end of `lunard` takes at the most, in seconds: its manual says so.
const END_SECONDS: u64 = 10;

fn packaged(file: &str) -> PathBuf {
    workspace().join("packaging").join(file)
}

/// Runs a tool, which must say nothing where all is well; `false` where it is not installed.
fn accepts(tool: &str, arguments: &[&str]) -> Result<bool> {
    if find_in_path(tool).is_none() {
        println!("skipped: {tool} is not installed");
        return Ok(false);
    }
    let output = run(command(tool).args(arguments), LIMIT)?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{tool}: {said}");
    Ok(true)
}

/// The values of a setting of the unit.
fn settings(unit: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    unit.lines().filter_map(value).collect()
}

fn seconds(unit: &str, key: &str) -> Result<u64> {
    let values = settings(unit, key);
    let value = values.first().with_context(|| format!("no {key} in the unit"))?;
    Ok(value.parse()?)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() -> Result<()> {
    if find_in_path("systemd-analyze").is_none() {
        println!("skipped: systemd-analyze is not installed");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let unit = std::fs::read_to_string(packaged("systemd/lunard.service"))?;
    // It looks for the program, which is not installed here.
    let here = unit.replace("/usr/bin/lunard", &built("lunard")?.display().to_string());
    let copy = scratch.join("lunard.service");
    std::fs::write(&copy, here)?;
    let mut verify = command("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&copy);
    let output = run(&mut verify, LIMIT)?;
    let said = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    assert!(output.status.success() && !said.contains("lunard.service"), "{said}");
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_of_a_whole_machines_tree() -> Result<()> {
    if find_in_path("systemd-analyze").is_none() {
        println!("skipped: systemd-analyze is not installed");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let drop_in = scratch.directory("lunard.service.d")?.join("configfs.conf");
    for (file, copy) in [
        ("lunard.service", scratch.join("lunard.service")),
        ("lunar-configfs.service", scratch.join("lunar-configfs.service")),
        ("lunard.service.d/configfs.conf", drop_in.clone()),
    ] {
        let text = std::fs::read_to_string(packaged(&format!("systemd/{file}")))?;
        let here = text
            .replace("/usr/bin/lunard", &built("lunard")?.display().to_string())
            .replace("/usr/bin/lunar ", &format!("{} ", built("lunar")?.display()));
        std::fs::write(copy, here)?;
    }
    let mut verify = command("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    let output = run(verify.arg(scratch.join("lunar-configfs.service")), LIMIT)?;
    let said = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    assert!(output.status.success() && !said.contains("lunar"), "{said}");

    // A mount in a view of its own would be seen by nobody: whatever makes one in the unit is off in the drop-in.
    let (unit, drop_in) = (
        std::fs::read_to_string(packaged("systemd/lunard.service"))?,
        std::fs::read_to_string(packaged("systemd/lunard.service.d/configfs.conf"))?,
    );
    for makes_a_view in [
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "ReadWritePaths",
        "ProtectControlGroups",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
    ] {
        assert!(!settings(&unit, makes_a_view).is_empty(), "{makes_a_view} is in the unit");
        let off = settings(&drop_in, makes_a_view);
        assert!(matches!(off.last().map(String::as_str), Some("no" | "" | "default")), "{makes_a_view}");
    }
    assert_eq!(settings(&drop_in, "ExecStart").len(), 2, "the unit's own is taken back first");
    let help = run(command(built("lunar")?).args(["bind", "--help"]), LIMIT)?;
    assert!(String::from_utf8(help.stdout)?.contains("--undo"));
    Ok(())
}

#[test]
fn the_unit_is_more_patient_than_an_end_and_kills_no_start_that_gets_on() -> Result<()> {
    let unit = std::fs::read_to_string(packaged("systemd/lunard.service"))?;
    assert!(seconds(&unit, "TimeoutStopSec")? > END_SECONDS + 5);
    // The owner of the configuration may wait five seconds for a disk that was taken away; half of this is its time.
    assert!(seconds(&unit, "WatchdogSec")? >= 4 * 5);
    assert_eq!(settings(&unit, "Type"), ["notify"]);
    assert_eq!(settings(&unit, "StateDirectoryMode"), ["0700"]);
    // Ten starts, a tenth of a second apart, and what a start itself takes: within the interval.
    assert_eq!(settings(&unit, "RestartSec"), ["100ms"]);
    assert_eq!((seconds(&unit, "StartLimitBurst")?, seconds(&unit, "StartLimitIntervalSec")?), (10, 60));
    Ok(())
}

#[test]
fn the_unit_starts_lunard_with_options_that_it_has() -> Result<()> {
    let unit = std::fs::read_to_string(packaged("systemd/lunard.service"))?;
    let starts = settings(&unit, "ExecStart");
    let mut words = starts.first().context("no ExecStart")?.split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/lunard"));
    let help = run(command(built("lunard")?).arg("--help"), LIMIT)?;
    let help = String::from_utf8(help.stdout)?;
    let options: Vec<&str> = words.filter(|word| word.starts_with("--")).collect();
    assert_eq!(options, ["--state-dir", "--runtime-dir"]);
    assert!(options.iter().all(|option| help.contains(option)), "{help}");
    Ok(())
}

#[test]
fn a_user_a_group_and_directories_are_made_that_let_members_of_kvm_through() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving directories to another user takes root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let root = scratch.directory("root")?;
    std::fs::create_dir(root.join("etc"))?;
    let at = format!("--root={}", root.display());
    let users = packaged("sysusers.d/lunar.conf").display().to_string();
    if !accepts("systemd-sysusers", &[&at, &users])? {
        return Ok(());
    }
    let (users, groups) = (read(&root, "etc/passwd")?, read(&root, "etc/group")?);
    let user = number(&users, "lunar:", 2)?;
    let kvm = number(&groups, "kvm:", 2)?;
    assert!(users.contains(":/var/lib/lunar:/usr/sbin/nologin"), "{users}");
    assert_ne!(number(&groups, "lunar:", 2)?, kvm);

    let directories = packaged("tmpfiles.d/lunar.conf").display().to_string();
    if !accepts("systemd-tmpfiles", &[&at, "--create", &directories])? {
        return Ok(());
    }
    for made in ["run/lunar", "run/lunar/vhost"] {
        let found = rustix::fs::stat(root.join(made))?;
        let mode = std::fs::metadata(root.join(made))?.permissions().mode() & 0o7777;
        assert_eq!((mode, found.st_uid, found.st_gid), (0o710, user, kvm), "{made}");
    }
    Ok(())
}

fn read(root: &Path, file: &str) -> Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("no {file} was made"))
}

/// A field of the line that begins so.
fn number(table: &str, start: &str, field: usize) -> Result<u32> {
    let line = table.lines().find(|line| line.starts_with(start));
    let line = line.with_context(|| format!("no {start} in {table}"))?;
    Ok(line.split(':').nth(field).context("a field")?.parse()?)
}
