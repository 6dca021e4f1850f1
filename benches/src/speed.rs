// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lunar, a peer and the floor by turns, on disks of memory and of a cached file.
//!
//! Above: `main`.  Below: `server`, `sample`, `fio`.
//! Never here: a verdict.

use crate::sample::{Sample, median};
use crate::server::{self, Disks, Lunar, Peer};
use crate::{Turns, fio, machine, sample};
use anyhow::{Context, Result};
use initiator::load::{Access, Load};
use initiator::{Guest, Wait};
use std::path::Path;
use stories::scratch::Scratch;

/// The size of each disk.
const DISK_BYTES: u64 = 256 << 20;

/// One kind of load.
struct Case {
    name: &'static str,
    access: Access,
    read_percent: u8,
    io_bytes: u32,
    queue_depth: u16,
    wait: Wait,
}

const CASES: &[Case] = &[
    Case { name: "4k randread QD32", ..RANDREAD },
    Case { name: "4k randread QD32, driver polls", wait: Wait::Poll, ..RANDREAD },
    Case { name: "4k randread QD1", queue_depth: 1, ..RANDREAD },
    Case { name: "4k randread QD1, driver polls", queue_depth: 1, wait: Wait::Poll, ..RANDREAD },
    Case { name: "4k randwrite QD32", read_percent: 0, ..RANDREAD },
    Case {
        name: "128k read QD8",
        access: Access::Sequential,
        io_bytes: 128 << 10,
        queue_depth: 8,
        ..RANDREAD
    },
];

const RANDREAD: Case = Case {
    name: "",
    access: Access::Random,
    read_percent: 100,
    io_bytes: 4096,
    queue_depth: 32,
    wait: Wait::Sleep,
};

/// Samples of one load on one disk, by who served it.
#[derive(Default)]
struct Row {
    lunar: Vec<Sample>,
    peer: Vec<Sample>,
    floor: Vec<Sample>,
}

/// One kind of disk, as each server has it.
struct Disk<'a> {
    name: &'static str,
    lunar: Guest,
    peer: Option<(Peer, Guest)>,
    floor: Option<&'a Path>,
}

/// Measures everything and prints a table.
pub(crate) fn measure(peer: Option<&Path>, turns: Turns, only: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let disks = Disks::make(&scratch, DISK_BYTES)?;
    let mut lunar = Lunar::start()?;
    let mut kinds = [
        ramdisk(&lunar, peer, &scratch, &disks).context("a disk of memory")?,
        cached_file(&lunar, peer, &scratch, &disks).context("a disk of a cached file")?,
    ];
    say_what_is_skipped(peer.is_some());
    println!("{HEAD}");
    for case in CASES.iter().filter(|case| case.name.contains(only)) {
        for disk in &mut kinds {
            let row = by_turns(case, disk, &mut lunar, &disks, turns);
            let row = row.with_context(|| format!("{} on {}", case.name, disk.name))?;
            println!("{}", row.text(case.name, disk.name));
        }
    }
    println!(
        "\nmedians of {} turns of {} s; load at the end {}",
        turns.rounds,
        turns.seconds,
        machine::load()
    );
    Ok(())
}

fn say_what_is_skipped(has_peer: bool) {
    if !has_peer {
        println!("skipped: the peer, since no program is given");
    }
    if !fio::is_there() {
        println!("skipped: the floor, since fio is not installed");
    }
}

fn ramdisk<'a>(lunar: &Lunar, peer: Option<&Path>, scratch: &Scratch, disks: &Disks) -> Result<Disk<'a>> {
    let mut guest = server::boot(&lunar.ramdisk("memory", disks.bytes)?, &server::linux())?;
    sample::fill(&mut guest, Lunar::address(), disks.bytes)?;
    let peer = peer.map(|program| boot_peer(program, scratch, "memory", &disks.tmpfs)).transpose()?;
    Ok(Disk { name: "ramdisk", lunar: guest, peer, floor: None })
}

fn cached_file<'a>(
    lunar: &Lunar,
    peer: Option<&Path>,
    scratch: &Scratch,
    disks: &'a Disks,
) -> Result<Disk<'a>> {
    let guest = server::boot(&lunar.file("cached", &disks.cached, disks.bytes)?, &server::linux())?;
    let peer = peer.map(|program| boot_peer(program, scratch, "cached", &disks.cached)).transpose()?;
    let floor = fio::is_there().then_some(disks.cached.as_path());
    Ok(Disk { name: "cached file", lunar: guest, peer, floor })
}

fn boot_peer(program: &Path, scratch: &Scratch, name: &str, disk: &Path) -> Result<(Peer, Guest)> {
    let peer = Peer::start(program, scratch, name, disk)?;
    let guest = server::boot(peer.socket(), &server::linux())?;
    Ok((peer, guest))
}

fn by_turns(case: &Case, disk: &mut Disk<'_>, lunar: &mut Lunar, disks: &Disks, turns: Turns) -> Result<Row> {
    let load = Load {
        queue_depth: case.queue_depth,
        duration: turns.duration(),
        access: case.access,
        read_percent: case.read_percent,
        io_bytes: case.io_bytes,
        wait: case.wait,
        range_bytes: Some(disks.bytes),
        ..Load::default()
    };
    let mut row = Row::default();
    for turn in 0..turns.rounds {
        let load = Load { seed: u64::from(turn) + 1, ..load.clone() };
        let own = Load { address: Lunar::address(), ..load.clone() };
        row.lunar.push(sample::take(&mut disk.lunar, lunar.process(), &own)?);
        disks.settle()?;
        if let Some((peer, guest)) = &mut disk.peer {
            let own = Load { address: Peer::address(), ..load.clone() };
            row.peer.push(sample::take(guest, peer.process(), &own).context("the peer")?);
            disks.settle()?;
        }
        if let Some(file) = disk.floor
            && case.wait == Wait::Sleep
        {
            row.floor.push(fio::take(file, &load)?);
            disks.settle()?;
        }
    }
    Ok(row)
}

/// IOPS are in thousands, times in microseconds; CPU is that of the server a command.
const HEAD: &str = "\
| disk | load | kIOPS Lunar | peer | fio | Lunar/peer | p50 µs Lunar | peer | p99 µs Lunar | peer | CPU µs Lunar | peer | fio | Lunar/peer |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

impl Row {
    fn text(&self, case: &str, disk: &str) -> String {
        let (lunar, peer, floor) = (median(&self.lunar), median(&self.peer), median(&self.floor));
        let number = |of: Option<Sample>, figure: fn(Sample) -> f64, digits: usize| {
            of.map_or_else(|| "–".to_owned(), |sample| format!("{:.digits$}", figure(sample)))
        };
        let ratio = |figure: fn(Sample) -> f64| match (lunar, peer) {
            (Some(lunar), Some(peer)) if figure(peer) > 0.0 => {
                format!("{:.2}", figure(lunar) / figure(peer))
            }
            _ => "–".to_owned(),
        };
        let kilo: fn(Sample) -> f64 = |sample| sample.iops / 1e3;
        let cells = [
            disk.to_owned(),
            case.to_owned(),
            number(lunar, kilo, 1),
            number(peer, kilo, 1),
            number(floor, kilo, 1),
            ratio(|sample| sample.iops),
            number(lunar, |sample| sample.p50_us, 1),
            number(peer, |sample| sample.p50_us, 1),
            number(lunar, |sample| sample.p99_us, 1),
            number(peer, |sample| sample.p99_us, 1),
            number(lunar, |sample| sample.cpu_us, 2),
            number(peer, |sample| sample.cpu_us, 2),
            number(floor, |sample| sample.cpu_us, 2),
            ratio(|sample| sample.cpu_us),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(iops: f64, cpu_us: f64) -> Sample {
        Sample { iops, p50_us: 10.04, p99_us: 20.0, cpu_us }
    }

    #[test]
    fn a_row_has_medians_and_their_ratios() {
        let row = Row {
            lunar: vec![sample(300_000.0, 1.0)],
            peer: vec![sample(100_000.0, 8.0)],
            floor: vec![sample(450_000.0, 0.5)],
        };
        assert_eq!(
            row.text("4k", "ramdisk"),
            "| ramdisk | 4k | 300.0 | 100.0 | 450.0 | 3.00 | 10.0 | 10.0 | 20.0 | 20.0 | 1.00 | 8.00 | 0.50 | 0.12 |"
        );
    }

    #[test]
    fn what_was_skipped_is_a_dash() {
        let row = Row { lunar: vec![sample(300_000.0, 1.0)], ..Row::default() };
        assert_eq!(
            row.text("4k", "ramdisk"),
            "| ramdisk | 4k | 300.0 | – | – | – | 10.0 | – | 20.0 | – | 1.00 | – | – | – |"
        );
    }
}
