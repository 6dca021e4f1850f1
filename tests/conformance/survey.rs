// SPDX-License-Identifier: Apache-2.0 OR MIT
//! sg3_utils' view of six units, beside what it printed of the same units of LIO on Linux 6.1.
//!
//! The recordings are in `survey/`, and beside each the lines that differ, `-` LIO's and `+` Lunar's.  They are what they
//! were, to the byte; and each command that has some is in [`EXPLAINED`], with the rows of docs/deviations.md that say why.
//! `LUNAR_SURVEY_WRITES=1` writes the differences down anew, for a reader to judge.

use anyhow::{Result, ensure};
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::programs::workspace;
use stories::stage::Stage;

mod explained;

use explained::EXPLAINED;

/// Writes the differences down instead of comparing them.
const WRITES: &str = "LUNAR_SURVEY_WRITES";
const LIMIT: Duration = Duration::from_secs(300);

/// Each unit: its LUN is its place.
const UNITS: &[(&str, &str)] = &[
    ("fileio-configfs-default", include_str!("survey/fileio-configfs-default.txt")),
    ("fileio-writeback", include_str!("survey/fileio-writeback.txt")),
    ("fileio-writeback-tpu-tpws", include_str!("survey/fileio-writeback-tpu-tpws.txt")),
    ("ramdisk", include_str!("survey/ramdisk.txt")),
    ("iblock", include_str!("survey/iblock.txt")),
    ("fileio-4k", include_str!("survey/fileio-4k.txt")),
];

/// A command and what it printed.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("$ ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).map(|(c, p)| (c, p.trim_end())).collect()
}

fn script() -> String {
    let mut script = String::from("settle 6\n");
    for (lun, (name, recorded)) in UNITS.iter().enumerate() {
        script.push_str(&format!(
            "    disk=/dev/$(ls /sys/class/scsi_device/0:0:1:{lun}/device/scsi_generic)
    for try in 1 2 3 4; do sg_turs $disk > /dev/null 2>&1 || true; done\n"
        ));
        for (command, _) in blocks(recorded) {
            script.push_str(&format!(
                "    echo '$ {command}'; status=0; {} 2>&1 || status=$?
    [ $status = 0 ] || echo \"[exit $status]\"; echo\n",
                command.replace("DISK", "$disk")
            ));
        }
        script.push_str(&format!("    cp /share/out /share/{name}; : > /share/out\n"));
    }
    script
}

fn programs() -> Vec<&'static str> {
    let commands = blocks(UNITS[0].1).into_iter().filter_map(|(command, _)| command.split(' ').next());
    commands.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Sets the six units up as they were when LIO was asked.
fn serve(stage: &Stage, device: &LoopDevice) -> Result<String> {
    let shell = &stage.shell;
    let serial = |number: u32| format!("3f9e2c5a-7d41-4f0e-9b7a-00000000000{number}");
    for (number, name, write_back) in
        [(0, "default", "false"), (1, "writeback", "true"), (2, "thin", "true"), (5, "large", "true")]
    {
        let file = stage.scratch.join(name);
        let serial = serial(number);
        shell.well(&format!(
            "/backstores/fileio create {name} {} 64M write_back={write_back} wwn={serial}",
            file.display()
        ))?;
    }
    shell.well(&format!("/backstores/ramdisk create memory 16M wwn={}", serial(3)))?;
    shell.well(&format!("/backstores/block create device {} wwn={}", device.path().display(), serial(4)))?;
    for name in ["fileio/default", "fileio/writeback", "fileio/large", "fileio/thin", "ramdisk/memory"] {
        let on = if name == "fileio/thin" { 1 } else { 0 };
        shell.well(&format!("/backstores/{name} set attribute emulate_tpu={on} emulate_tpws={on}"))?;
    }
    shell.well("/backstores/fileio/large set attribute block_size=4096")?;
    for name in [
        "fileio/default",
        "fileio/writeback",
        "fileio/thin",
        "ramdisk/memory",
        "block/device",
        "fileio/large",
    ] {
        shell.well(&format!("/backstores/{name} set attribute emulate_model_alias=0"))?;
    }
    let wwn = "naa.5001405000000001";
    shell.well(&format!("/vhost create {wwn}"))?;
    let mapped = [
        "fileio/default",
        "fileio/writeback",
        "fileio/thin",
        "ramdisk/memory",
        "block/device",
        "fileio/large",
    ];
    for (lun, name) in (0..).zip(mapped) {
        stage.map(wwn, 1, lun, name)?;
    }
    Ok(wwn.to_owned())
}

#[test]
fn the_survey_differs_from_lios_only_where_the_deviations_say_why() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: the block device among the units is a loop device, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let device = LoopDevice::attach(&stage.scratch.sparse_file("device-file", 64 << 20)?, &[])?;
    let wwn = serve(&stage, &device)?;
    let options = stage.shell.qemu(&wwn, &["--memory", "256M"])?;
    let guest = Guest::plan(&script()).programs(&programs()).options(&options);
    let results = guest.limit(LIMIT).boot(&stage.scratch)?.finish()?;

    let mut unexplained = BTreeSet::new();
    for (name, recorded) in UNITS {
        let printed = without_what_varies(&results.read(name)?);
        let (lio, lunar) = (blocks(recorded), blocks(&printed));
        ensure!(lio.len() == lunar.len(), "{name}: {} commands were run of {}", lunar.len(), lio.len());
        let mut differences = String::new();
        for ((command, lio), (_, lunar)) in lio.into_iter().zip(lunar) {
            let lines = difference(lio, lunar);
            if !lines.is_empty() {
                differences.push_str(&format!("$ {command}\n{lines}\n"));
                if !EXPLAINED.iter().any(|(explained, _)| *explained == command) {
                    unexplained.insert(command);
                }
            }
        }
        let kept = workspace().join(format!("tests/conformance/survey/{name}.differences"));
        if std::env::var_os(WRITES).is_some() {
            std::fs::write(&kept, &differences)?;
        }
        let wanted = std::fs::read_to_string(&kept)?;
        ensure!(
            differences == wanted,
            "{name} differs in other ways:\n{}",
            difference(&wanted, &differences)
        );
    }
    ensure!(unexplained.is_empty(), "nothing explains the differences of {unexplained:#?}");
    Ok(())
}

#[test]
fn every_explanation_is_a_row_of_the_deviations() {
    let rows = include_str!("../../docs/deviations.md");
    for (command, tests) in EXPLAINED {
        for test in *tests {
            assert!(
                rows.contains(&format!("`{test}`")),
                "{command}: docs/deviations.md has no row with {test}"
            );
        }
    }
}

/// The lines that differ, `-` of the first and `+` of the second.
fn difference(lio: &str, lunar: &str) -> String {
    let mut lines = String::new();
    for change in TextDiff::from_lines(lio, lunar).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        lines.push_str(&format!("{sign}{}\n", change.value().trim_end()));
    }
    lines
}

/// Counts of what the guest's kernel read, and of what the host's file system has left.
const VARYING_COUNTS: &[&str] =
    &["Total bytes processed = ", "Available LBA mapping threshold resource count: "];

/// Without what varies: the name that a disk's generic device has in the guest, and counts.
fn without_what_varies(printed: &str) -> String {
    let mut text = printed.replace('\r', "");
    for number in 0..10 {
        text = text.replace(&format!("/dev/sg{number}"), "DISK");
    }
    let (mut kept, mut statistics) = (String::new(), false);
    for line in text.lines() {
        statistics =
            line.starts_with("Unable to decode page = 0x19") || (statistics && line.starts_with(' '));
        if statistics && line.starts_with(' ') {
            continue;
        }
        let counts = VARYING_COUNTS.iter().any(|what| line.trim_start().starts_with(what));
        kept.push_str(if counts { line.trim_end_matches(|c: char| c.is_ascii_digit()) } else { line });
        kept.push('\n');
    }
    kept
}
