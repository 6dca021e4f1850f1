// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libiscsi's conformance suite, run by a Linux guest over the generic devices of its disks.
//!
//! One guest has a disk of each kind.  Every suite runs on every kind in a process of its own, so that a crash costs one
//! suite.  No test may fail, and each must pass on at least one kind, but for those that [`NEVER`] explains.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use stories::guest::{Guest, Results};
use stories::programs::host_program;
use stories::stage::Stage;

mod verdicts;

use verdicts::{Verdict, verdicts};

/// What a guest may take for all suites on all kinds, emulated.
const LIMIT: Duration = Duration::from_secs(900);
/// What one suite may take, in the guest's seconds; one that hangs is a failure.
const SUITE_SECONDS: u32 = 120;

/// A kind of disk: its name, its LUN, and that of its second path where it has one.
struct Kind {
    name: &'static str,
    first: &'static str,
    second: Option<&'static str>,
}

const KINDS: &[Kind] = &[
    Kind { name: "thin", first: "0:0:1:0", second: None },
    Kind { name: "physical", first: "0:0:1:1", second: None },
    Kind { name: "readonly", first: "0:0:1:2", second: None },
    Kind { name: "removable", first: "0:0:1:3", second: None },
    Kind { name: "paths", first: "0:0:1:4", second: Some("0:0:2:4") },
];

/// Tests that cannot run over a generic device, whatever is behind it: what they want of their transport.
const NEVER: &[(&str, &str)] = &[
    ("iSCSIcmdsn.*", "sequence numbers of iSCSI"),
    ("iSCSIdatasn.*", "sequence numbers of iSCSI"),
    ("iSCSIResiduals.*", "residual counts of iSCSI"),
    ("iSCSITMF.*", "asynchronous task management of iSCSI"),
];

fn suites() -> Result<Vec<String>> {
    let tester = host_program("iscsi-test-cu")?;
    let listed = Command::new(tester).arg("--list").output().context("cannot run iscsi-test-cu")?;
    let listed = String::from_utf8(listed.stdout)?;
    let names = listed.lines().filter_map(|line| line.trim().strip_prefix("ALL."));
    Ok(names.filter(|name| !name.contains('.')).map(str::to_owned).collect())
}

fn script(suites: &[String]) -> String {
    let mut script = String::from(
        "settle 6
    generic() { echo /dev/$(ls /sys/class/scsi_device/$1/device/scsi_generic); }\n",
    );
    for Kind { name, first, second } in KINDS {
        let second = second.map(|address| format!("$(generic {address})")).unwrap_or_default();
        script.push_str(&format!(
            "disks=\"$(generic {first}) {second}\"
    for suite in {}; do
        timeout {SUITE_SECONDS} iscsi-test-cu -d -S -v -t ALL.$suite $disks > /share/{name}.$suite 2>&1 ||
            echo \"ended with $?\" >> /share/{name}.$suite
    done\n",
            suites.join(" ")
        ));
    }
    script
}

/// What became of each test, as `Suite.Test`, on one kind of disk.
fn on_kind(results: &Results, kind: &str, suites: &[String]) -> Result<BTreeMap<String, Verdict>> {
    let mut all = BTreeMap::new();
    for suite in suites {
        for (test, verdict) in verdicts(&results.read(&format!("{kind}.{suite}"))?) {
            all.insert(format!("{suite}.{test}"), verdict);
        }
    }
    Ok(all)
}

fn never_runs(test: &str) -> bool {
    NEVER.iter().any(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => test.starts_with(prefix),
        None => test == *pattern,
    })
}

#[test]
fn no_test_fails_and_every_one_that_can_run_passes_on_some_kind_of_disk() -> Result<()> {
    let stage = Stage::set()?;
    let bytes = 64 << 20;
    for name in ["thin", "physical", "readonly", "removable", "paths"] {
        stage.create_fileio(name, bytes)?;
    }
    let wwn = stage.serve("fileio/thin")?;
    stage.shell.well(&format!("/vhost/{wwn} create 2"))?;
    for (lun, name) in (1..).zip(["physical", "readonly", "removable", "paths"]) {
        stage.map(&wwn, 1, lun, &format!("fileio/{name}"))?;
    }
    stage.map(&wwn, 2, 4, "fileio/paths")?;
    let suites = suites()?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let guest = Guest::plan(&script(&suites)).programs(&["iscsi-test-cu"]).options(&options);
    let results = guest.limit(LIMIT).boot(&stage.scratch)?.finish()?;

    let (mut failed, mut passed, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for Kind { name, .. } in KINDS {
        let verdicts = on_kind(&results, name, &suites)?;
        let count = |wanted| verdicts.values().filter(|verdict| **verdict == wanted).count();
        let [well, badly, not] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
        println!("{name}: {well} passed, {badly} failed, {not} skipped");
        for (test, verdict) in verdicts {
            match verdict {
                Verdict::Passed => drop(passed.insert(test.clone())),
                Verdict::Failed => failed.push(format!("{name}: {test}")),
                Verdict::Skipped => {}
            }
            seen.insert(test);
        }
    }
    let unexplained: Vec<_> =
        seen.iter().filter(|test| !passed.contains(*test) && !never_runs(test)).collect();
    if let Some(keep) = std::env::var_os("LUNAR_CONFORMANCE_LOGS") {
        for kind in KINDS {
            for suite in &suites {
                let file = format!("{}.{suite}", kind.name);
                std::fs::write(std::path::Path::new(&keep).join(&file), results.read(&file)?)?;
            }
        }
    }
    assert!(
        failed.is_empty() && unexplained.is_empty(),
        "failed: {failed:#?}\npassed nowhere: {unexplained:#?}"
    );
    Ok(())
}
