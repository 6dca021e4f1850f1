// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's own targetcli on Lunar's tree, and `lunar` beside it, with few LUNs and with many.
//!
//! Above: `main`.  Below: `stories`; targetcli of Debian and of PyPI, where they are.
//!
//! Each command is run as an administrator runs it: a process a command, by `lunar run`.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use stories::mounted::{self, Mounted, Save};
use stories::process::run;

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// A command that took longer than this is not run again.
const LONG: Duration = Duration::from_secs(20);

/// Prints a table: a row a command, a column a number of LUNs.
pub(crate) fn measure(counts: &[u32], rounds: u32) -> Result<()> {
    if let Some(why) = mounted::missing() {
        println!("skipped: {why}");
        return Ok(());
    }
    let mut table: Vec<(String, Vec<Duration>)> = Vec::new();
    let mut beside = Vec::new();
    for &count in counts {
        let mut mounted = Mounted::start()?;
        mounted.quiet();
        mounted.show_ramdisks(count)?;
        for (index, (name, mut command)) in commands(&mounted)?.into_iter().enumerate() {
            let took = best(&mut command, rounds)?;
            if table.len() == index {
                table.push((name, Vec::new()));
            }
            if let Some((_, row)) = table.get_mut(index) {
                row.push(took);
            }
        }
        if mounted::missing_tool().is_none() {
            let file = mounted.scratch.join("by_turns.json");
            beside.push((count, mounted.save_by_turns(&file, rounds.max(1), LIMIT)?));
        }
    }
    let header: String = counts.iter().map(|count| format!("{:>14}", format!("{count} LUNs"))).collect();
    println!("{:<34}{header}", "best of some runs, in seconds");
    for (name, row) in &table {
        let cells: String = row.iter().map(|took| format!("{:>14.3}", took.as_secs_f64())).collect();
        println!("{name:<34}{cells}");
    }
    print_beside(&beside);
    Ok(())
}

/// Prints what a copy of the tree in memory takes in the place of `lunard`, by turns, and where the time goes.
fn print_beside(beside: &[(u32, Vec<Save>)]) {
    for (count, saves) in beside {
        let best = |of: fn(&Save) -> Duration| saves.iter().map(of).min().unwrap_or_default().as_secs_f64();
        let (took, memory) = (best(|save| save.took), best(|save| save.beside));
        println!(
            "targetcli saveconfig, {count} LUNs: {took:.3} s; on a copy in memory {memory:.3} s; ratio {:.2}; processor time \
             of targetcli {:.2} s, of lunard {:.2} s",
            took / memory,
            best(|save| save.of_tool),
            best(|save| save.of_daemon)
        );
    }
}

fn commands(mounted: &Mounted) -> Result<Vec<(String, Command)>> {
    let file = mounted.scratch.join("saved.json");
    let shell = mounted.shell()?;
    let mut all = Vec::new();
    let mut tools = Vec::new();
    if mounted::missing_tool().is_none() {
        tools.push(("targetcli 2.1".to_owned(), Path::new("targetcli").to_owned()));
    }
    if let Some(folder) = mounted::newer_targetcli()? {
        tools.push((format!("targetcli {}", mounted::NEWER), folder.join("targetcli")));
    }
    for (name, program) in &tools {
        let mut ls = mounted.lunar_run()?;
        ls.arg(program).arg("ls");
        all.push((format!("{name} ls"), ls));
        let mut save = mounted.lunar_run()?;
        save.arg(program).arg("saveconfig").arg(&file);
        all.push((format!("{name} saveconfig"), save));
    }
    let mut ls = shell.command();
    ls.arg("ls");
    all.push(("lunar ls".to_owned(), ls));
    let mut save = shell.command();
    save.arg("saveconfig").arg(&file);
    all.push(("lunar saveconfig".to_owned(), save));
    Ok(all)
}

fn best(command: &mut Command, rounds: u32) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let said = run(command, LIMIT)?;
        let took = start.elapsed();
        ensure!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
        best = best.min(took);
        if took > LONG {
            break;
        }
    }
    Ok(best)
}
