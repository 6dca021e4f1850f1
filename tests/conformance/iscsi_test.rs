// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libiscsi's conformance suite, run by a Linux guest over the generic devices of its disks.
//!
//! One guest has a disk of each kind.  Every suite runs in a process of its own, so that a crash costs one suite; and on
//! every kind.  No test may fail, and each must pass on at least one kind, but for those that [`NEVER`], [`FAILS`] and
//! `read_only` explain.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use stories::guest::{Guest, Results};
use stories::programs::host_program;
use stories::stage::Stage;

mod read_only;
mod verdicts;

use verdicts::{Failure, Verdict, failures, verdicts};

/// The size of each disk.
const BYTES: u64 = 64 << 20;
/// What a guest may take for all suites on all kinds, emulated.
const LIMIT: Duration = Duration::from_secs(900);
/// What one suite may take, in the guest's seconds; one that hangs is a failure.
const SUITE_SECONDS: u32 = 120;

/// A kind of disk: its name, its LUN, and that of its second path where it has one.
struct Kind {
    name: &'static str,
    first: &'static str,
    second: Option<&'static str>,
    /// What makes it this kind, beside what makes all: an attribute of its backstore.
    attribute: &'static str,
    /// Whether it refuses writes.
    read_only: bool,
}

/// WRITE SAME of no more than a generic device moves in one command.
const LESS: &str = "max_write_same_len=4096";
const REMOVABLE: &str = "emulate_removable=1 max_write_same_len=4096";

impl Kind {
    const THIN: Self = Self { name: "thin", first: "0:0:1:0", second: None, attribute: "", read_only: false };
}

const KINDS: &[Kind] = &[
    Kind::THIN,
    Kind { name: "readonly", first: "0:0:1:1", attribute: LESS, read_only: true, ..Kind::THIN },
    Kind { name: "paths", first: "0:0:1:2", second: Some("0:0:2:2"), ..Kind::THIN },
    Kind { name: "removable", first: "0:0:1:3", attribute: REMOVABLE, ..Kind::THIN },
    Kind { name: "small", first: "0:0:1:4", attribute: "physical_block_size=4096", ..Kind::THIN },
];

/// Tests that run on none of these disks, and why.
const NEVER: &[(&str, &str)] = &[
    ("iSCSIcmdsn.*", "sequence numbers of iSCSI"),
    ("iSCSIdatasn.*", "sequence numbers of iSCSI"),
    ("iSCSIResiduals.*", "residual counts of iSCSI"),
    ("MultipathIO.CompareAndWriteAsync", "a second session of iSCSI"),
    ("MultipathIO.Reset", "a second session of iSCSI"),
    ("ProutPreempt.RemoveRegistration", "a second session of iSCSI"),
    ("ProutReserve.Access*", "a second session of iSCSI"),
    ("ProutReserve.Ownership*", "a second session of iSCSI"),
    ("Reserve6.2Initiators", "a second session of iSCSI"),
    ("Reserve6.ITNexusLoss", "a session of iSCSI to lose"),
    ("Reserve6.Logout", "a session of iSCSI to log out of"),
    ("Reserve6.LUNReset", "task management of iSCSI"),
    ("Reserve6.Target*", "task management of iSCSI"),
    ("Sanitize.BlockEraseReserved", "it changes a CDB on its way through iSCSI"),
    ("Sanitize.CryptoEraseReserved", "it changes a CDB on its way through iSCSI"),
    (SANITIZE_CRASHES, "it changes a CDB on its way through iSCSI, and crashes where there is none"),
    ("Sanitize.Readonly", "a second session of iSCSI"),
    ("Sanitize.Reservations", "a second session of iSCSI"),
    ("Sanitize.Reset", "task management of iSCSI"),
    ("Sanitize.CryptoErase", "no unit encrypts what it holds"),
    (
        "ReportSupportedOpcodes.OneCommand",
        "its line 126 compares 16 bytes of CDB usage data, which it does not have where a CDB has 32 (WRITE SAME (32))",
    ),
    ("CompareAndWrite.InvalidDataOutSize", "it changes a CDB on its way through iSCSI"),
    ("PreventAllow.2ITNexuses", "a second session of iSCSI"),
    ("PreventAllow.ColdReset", "task management of iSCSI"),
    ("PreventAllow.ITNexusLoss", "a session of iSCSI to lose"),
    ("PreventAllow.LUNReset", "task management of iSCSI"),
    ("PreventAllow.Logout", "a session of iSCSI to log out of"),
    ("PreventAllow.WarmReset", "task management of iSCSI"),
    ("WriteAtomic16.*", "a file cannot promise that a write of many blocks is whole after a loss of power"),
    ("WriteSame10.ZeroBlocks", "WSNZ = 1 in VPD page B0h: no blocks are not all blocks"),
    ("WriteSame16.ZeroBlocks", "WSNZ = 1 in VPD page B0h: no blocks are not all blocks"),
];

/// Tests that fail on a kind of disk, and why.  docs/deviations.md has the sections that they contradict.
const FAILS: &[(&str, &str, &str)] = &[
    ("thin", "WriteSame16.Unmap", READ_BACK),
    ("paths", "WriteSame16.Unmap", READ_BACK),
    ("small", "WriteSame16.Unmap", READ_BACK),
    ("removable", "StartStopUnit.NoLoej", "it wants a unit that it has stopped to be ready"),
    ("removable", "StartStopUnit.PwrCnd", "it wants GOOD for power conditions that are reserved"),
    ("small", "GetLBAStatus.UnmapSingle", "it wants the status of another block than it asks for"),
    ("small", "WriteSame10.InvalidDataOutSize", BUFFER),
    ("small", "WriteSame16.InvalidDataOutSize", BUFFER),
];

const READ_BACK: &str = "where WRITE SAME may write 65536 blocks, as by default, it reads so many back in one command: its \
                         own kernel refuses that, and nothing is sent";

const BUFFER: &str =
    "what is wrong with a buffer is the transport's to say, and one that is too long is not wrong";

/// Left out of its suite, for the tests behind it would not run.
const SANITIZE_CRASHES: &str = "Sanitize.OverwriteReserved";

/// Every suite, and every test as `Suite.Test`.
fn listed() -> Result<Vec<String>> {
    let tester = host_program("iscsi-test-cu")?;
    let listed = Command::new(tester).arg("--list").output().context("cannot run iscsi-test-cu")?;
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed.lines().filter_map(|line| line.trim().strip_prefix("ALL."));
    Ok(names.map(str::to_owned).collect())
}

/// Come first, on a disk that nobody has used: one zeroes blocks 0 to 255 and expects zeroes in 0 to 256, the other expects that
/// nothing is known of a copy with its identifier.
const FIRST: &[&str] = &["MultipathIO", "ReceiveCopyResults"];

/// What each process runs: a suite, or a test of the suite in which one crashes.
fn suites(listed: &[String]) -> Vec<String> {
    let crashing = |name: &str| name == "Sanitize" || name == SANITIZE_CRASHES;
    let runs = listed.iter().filter(|name| name.starts_with("Sanitize.") || !name.contains('.'));
    let mut runs: Vec<String> = runs.filter(|name| !crashing(name)).cloned().collect();
    runs.sort_by_key(|name| !FIRST.contains(&name.as_str()));
    runs
}

fn script(suites: &[String]) -> String {
    let mut script = String::from(
        "settle 6
    generic() { echo /dev/$(ls /sys/class/scsi_device/$1/device/scsi_generic); }
    run() { kind=$1; suite=$2; shift 2
        timeout SECONDS iscsi-test-cu $* -v -t ALL.$suite $disks > /share/$kind.$suite 2>&1 ||
            echo \"ended with $?\" >> /share/$kind.$suite
    }\n",
    )
    .replace("SECONDS", &SUITE_SECONDS.to_string());
    for kind in KINDS {
        let Kind { name, first, second, .. } = kind;
        let second = second.map(|address| format!("$(generic {address})")).unwrap_or_default();
        script.push_str(&format!("disks=\"$(generic {first}) {second}\"\n"));
        for suite in suites {
            script.push_str(&format!("run {name} {suite} -d -S\n"));
        }
        script.push_str(&format!("cut -d ' ' -f 1 /proc/uptime > /share/{name}.uptime\n"));
    }
    script
}

/// What became of each test, as `Suite.Test`, on one kind of disk.
fn on_kind(results: &Results, kind: &Kind, suites: &[String]) -> Result<BTreeMap<String, Verdict>> {
    let mut all = BTreeMap::new();
    for suite in suites {
        for (test, verdict) in verdicts(&results.read(&format!("{}.{suite}", kind.name))?) {
            let suite = suite.split('.').next().unwrap_or_default();
            all.insert(format!("{suite}.{test}"), verdict);
        }
    }
    Ok(all)
}

/// What failed on the disk that refuses writes, in the same words.
fn failures_on(results: &Results, kind: &Kind, suites: &[String]) -> Result<BTreeMap<String, Failure>> {
    let mut all = BTreeMap::new();
    for suite in suites {
        let printed = results.read(&format!("{}.{suite}", kind.name))?;
        let suite = suite.split('.').next().unwrap_or_default();
        all.extend(
            failures(&printed).into_iter().map(|(test, failure)| (format!("{suite}.{test}"), failure)),
        );
    }
    Ok(all)
}

fn never_runs(test: &str) -> bool {
    NEVER.iter().any(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => test.starts_with(prefix),
        None => test == *pattern,
    })
}

fn fails(kind: &str, test: &str) -> bool {
    FAILS.iter().any(|(on, failing, _)| *on == kind && *failing == test)
}

/// Whether a test fails on the one kind of disk that it is for.
fn fails_where_it_runs(test: &str) -> bool {
    FAILS.iter().any(|(_, failing, _)| *failing == test)
}

/// Sets a disk of each kind up.
fn serve(stage: &Stage) -> Result<String> {
    for Kind { name, attribute, .. } in KINDS {
        stage.create_fileio(name, BYTES)?;
        stage.shell.well(&format!(
            "/backstores/fileio/{name} set attribute emulate_tpu=1 emulate_tpws=1 {attribute}"
        ))?;
    }
    let wwn = stage.shell.create_target()?;
    stage.shell.well(&format!("/vhost/{wwn} create 2"))?;
    for Kind { name, first, second, read_only, .. } in KINDS {
        for address in [Some(first), second.as_ref()].into_iter().flatten() {
            let (tag, lun) = address.trim_start_matches("0:0:").split_once(':').context("an address")?;
            let create = format!("/vhost/{wwn}/tpg{tag}/luns create /backstores/fileio/{name} {lun}");
            stage.shell.well(&format!("{create} write_protect={read_only}"))?;
        }
    }
    Ok(wwn)
}

#[test]
fn no_test_fails_and_every_one_that_can_run_passes_on_some_kind_of_disk() -> Result<()> {
    let stage = Stage::set()?;
    let wwn = serve(&stage)?;
    let listed = listed()?;
    let suites = suites(&listed);
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let guest = Guest::plan(&script(&suites)).programs(&["iscsi-test-cu"]).options(&options);
    let results = guest.limit(LIMIT).boot(&stage.scratch)?.finish()?;

    let (mut failed, mut passed, mut excused) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for kind in KINDS {
        let name = kind.name;
        let verdicts = on_kind(&results, kind, &suites)?;
        let count = |wanted| verdicts.values().filter(|verdict| **verdict == wanted).count();
        let [well, badly, not] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
        let uptime = results.read(&format!("{name}.uptime"))?;
        println!("{name}: {well} passed, {badly} failed, {not} skipped; up {} s", uptime.trim());
        for (test, verdict) in verdicts {
            match verdict {
                Verdict::Passed => drop(passed.insert(test)),
                Verdict::Failed if fails(name, &test) => drop(excused.insert((name, test))),
                Verdict::Failed if !kind.read_only => failed.push(format!("{name}: {test}")),
                Verdict::Failed | Verdict::Skipped => {}
            }
        }
        if kind.read_only {
            failed.extend(read_only::unlike(&failures_on(&results, kind, &suites)?));
        }
    }
    let tests = listed.iter().filter(|name| name.contains('.'));
    let unexplained: Vec<_> = tests
        .filter(|test| !passed.contains(*test) && !never_runs(test) && !fails_where_it_runs(test))
        .collect();
    let mut needless: Vec<_> = passed.iter().filter(|test| never_runs(test)).map(String::as_str).collect();
    let well =
        |(kind, test, _): &&(&str, &'static str, &str)| !excused.contains(&(*kind, (*test).to_owned()));
    needless.extend(FAILS.iter().filter(well).map(|(_, test, _)| *test));
    if let Some(keep) = std::env::var_os("LUNAR_CONFORMANCE_LOGS") {
        for kind in KINDS {
            for suite in &suites {
                let file = format!("{}.{suite}", kind.name);
                std::fs::write(std::path::Path::new(&keep).join(&file), results.read(&file)?)?;
            }
        }
    }
    assert!(
        failed.is_empty() && unexplained.is_empty() && needless.is_empty(),
        "failed: {failed:#?}\npassed nowhere: {unexplained:#?}\npassed, and need no reason: {needless:#?}"
    );
    Ok(())
}
