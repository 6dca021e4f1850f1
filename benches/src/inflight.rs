// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the record of commands in flight costs: the same ramdisk with it and without it, by turns.
//!
//! Above: `main`.  Below: `server`, `sample`.

use crate::sample::{Sample, median};
use crate::server::{self, Lunar};
use crate::{Turns, sample};
use anyhow::{Context, Result};
use initiator::dialect::protocol;
use initiator::load::Load;
use initiator::{Options, Wait};
use std::path::Path;

const DISK_BYTES: u64 = 64 << 20;

/// Measures 4k random reads at depth 32 of a driver that polls: there the record weighs most.
pub(crate) fn measure(turns: Turns) -> Result<()> {
    let mut lunar = Lunar::start()?;
    let socket = lunar.ramdisk("memory", DISK_BYTES)?;
    let with_record = server::linux();
    let without_record = server::linux().without_protocol_features(protocol::INFLIGHT_SHMFD);
    let mut filler = server::boot(&socket, &with_record)?;
    sample::fill(&mut filler, Lunar::address(), DISK_BYTES)?;
    drop(filler);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..turns.rounds {
        with.push(turn(&mut lunar, &socket, &with_record, turns)?);
        without.push(turn(&mut lunar, &socket, &without_record, turns)?);
    }
    let (with, without) = (median(&with).context("no turn")?, median(&without).context("no turn")?);
    println!("| record of commands in flight | kIOPS | CPU µs a command |\n|---|--:|--:|");
    for (name, median) in [("kept", with), ("none", without)] {
        println!("| {name} | {:.1} | {:.3} |", median.iops / 1e3, median.cpu_us);
    }
    println!(
        "\ncost: {:.1} % of the commands a second, {:.1} % of the processor time; medians of {} turns of {} s",
        (1.0 - with.iops / without.iops) * 100.0,
        (with.cpu_us / without.cpu_us - 1.0) * 100.0,
        turns.rounds,
        turns.seconds
    );
    Ok(())
}

fn turn(lunar: &mut Lunar, socket: &Path, options: &Options, turns: Turns) -> Result<Sample> {
    let mut guest = server::boot(socket, options)?;
    let wants_record = options.protocol_features & protocol::INFLIGHT_SHMFD != 0;
    anyhow::ensure!(guest.inflight().is_some() == wants_record, "the record is not as it was asked for");
    let load = Load {
        address: Lunar::address(),
        duration: turns.duration(),
        wait: Wait::Poll,
        range_bytes: Some(DISK_BYTES),
        ..Load::default()
    };
    let sample = sample::take(&mut guest, lunar.process(), &load)?;
    guest.stop()?;
    Ok(sample)
}
