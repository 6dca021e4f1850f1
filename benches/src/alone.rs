// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What COMPARE AND WRITE costs beside WRITE, and what it costs those who write other blocks meanwhile.
//!
//! Above: `main`.  Below: `server`, `sample`.
//! Never here: two comparisons of one block at once; what they cost each other is the guest's affair.

use crate::sample::{Sample, median, median_of};
use crate::server::{self, Lunar};
use crate::{Turns, machine, sample};
use anyhow::{Context, Result, ensure};
use initiator::load::Load;
use initiator::{Command, Guest, commands};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DISK_BYTES: u64 = 64 << 20;
/// What the load writes: all but the end, where the comparisons are.
const LOAD_BYTES: u64 = DISK_BYTES - (1 << 20);
/// The block that is compared, of 512 bytes.
const COMPARED: u32 = 131_000;

/// What a command sent by itself costs.
struct Single {
    micros: f64,
    cpu_micros: f64,
}

/// Measures one command at a time of each kind, and random writes with and without comparisons beside them.
pub(crate) fn measure(turns: Turns) -> Result<()> {
    let mut lunar = Lunar::start()?;
    let first = lunar.ramdisk("memory", DISK_BYTES)?;
    let second = lunar.serve("ramdisk/memory")?;
    let mut guest = server::boot(&first, &server::linux())?;
    sample::fill(&mut guest, Lunar::address(), DISK_BYTES)?;
    let zeroes = commands::write_10(Lunar::address(), COMPARED, 1, &[0; 512]);
    ensure!(guest.execute(&zeroes)?.is_good(), "a block cannot be zeroed");
    let [high, middle, low, last] = COMPARED.to_be_bytes();
    let cdb = [0x89, 0, 0, 0, 0, 0, high, middle, low, last, 0, 0, 0, 1, 0, 0];
    let comparison = Command::new(Lunar::address(), &cdb).data_out(vec![0; 1024]);
    let (mut writes, mut comparisons) = (Vec::new(), Vec::new());
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..turns.rounds {
        writes.push(one_by_one(&mut guest, &mut lunar, &zeroes, turns.duration())?);
        comparisons.push(one_by_one(&mut guest, &mut lunar, &comparison, turns.duration())?);
        quiet.push(load(&mut guest, &mut lunar, turns)?);
        beside.push(load_beside(&mut guest, &mut lunar, &second, &comparison, turns)?);
    }
    print_singles(&writes, &comparisons)?;
    print_loads(&quiet, &beside)?;
    println!(
        "\nmedians of {} turns of {} s; load at the end {}",
        turns.rounds,
        turns.seconds,
        machine::load()
    );
    Ok(())
}

/// Sends one command after the other for so long.
#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
fn one_by_one(guest: &mut Guest, lunar: &mut Lunar, command: &Command, time: Duration) -> Result<Single> {
    let before = lunar.process().cpu_ticks()?;
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let answer = guest.execute(command)?;
        ensure!(answer.is_good(), "a command failed: {answer:?}");
        count += 1;
    }
    let took = start.elapsed().as_secs_f64();
    let ticks = lunar.process().cpu_ticks()? - before;
    let count = count.max(1) as f64;
    Ok(Single { micros: took * 1e6 / count, cpu_micros: (ticks * sample::TICK_US) as f64 / count })
}

fn load(guest: &mut Guest, lunar: &mut Lunar, turns: Turns) -> Result<Sample> {
    let load = Load {
        address: Lunar::address(),
        read_percent: 0,
        duration: turns.duration(),
        range_bytes: Some(LOAD_BYTES),
        ..Load::default()
    };
    sample::take(guest, lunar.process(), &load)
}

/// The same while another guest compares, one block after the other.
fn load_beside(
    guest: &mut Guest,
    lunar: &mut Lunar,
    second: &Path,
    comparison: &Command,
    turns: Turns,
) -> Result<Sample> {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compares = scope.spawn(|| -> Result<()> {
            let mut other = server::boot(second, &server::linux())?;
            while !ends.load(Ordering::Relaxed) {
                ensure!(other.execute(comparison)?.is_good(), "a comparison failed");
            }
            other.stop()?;
            Ok(())
        });
        let sample = load(guest, lunar, turns);
        ends.store(true, Ordering::Relaxed);
        compares.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sample
    })
}

fn print_singles(writes: &[Single], comparisons: &[Single]) -> Result<()> {
    let of = |all: &[Single], figure: fn(&Single) -> f64| {
        median_of(all.iter().map(figure).collect()).context("no turn")
    };
    println!("| one block of a ramdisk, one command at a time | µs | CPU µs a command |\n|---|--:|--:|");
    let mut rows = Vec::new();
    for (name, all) in [("WRITE (10)", writes), ("COMPARE AND WRITE", comparisons)] {
        let row = (of(all, |single| single.micros)?, of(all, |single| single.cpu_micros)?);
        println!("| {name} | {:.1} | {:.2} |", row.0, row.1);
        rows.push(row);
    }
    if let [write, comparison] = rows[..] {
        println!("| ratio | {:.2} | {:.2} |\n", comparison.0 / write.0, comparison.1 / write.1);
    }
    Ok(())
}

fn print_loads(quiet: &[Sample], beside: &[Sample]) -> Result<()> {
    let (quiet, beside) = (median(quiet).context("no turn")?, median(beside).context("no turn")?);
    println!("| 4k randwrite QD32 | kIOPS | p50 µs | p99 µs |\n|---|--:|--:|--:|");
    for (name, sample) in [("alone", quiet), ("while another guest compares", beside)] {
        println!("| {name} | {:.1} | {:.1} | {:.1} |", sample.iops / 1e3, sample.p50_us, sample.p99_us);
    }
    let ratio = |figure: fn(&Sample) -> f64| figure(&beside) / figure(&quiet);
    println!(
        "| ratio | {:.2} | {:.2} | {:.2} |",
        ratio(|sample| sample.iops),
        ratio(|sample| sample.p50_us),
        ratio(|sample| sample.p99_us)
    );
    Ok(())
}
