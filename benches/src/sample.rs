// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One measurement, and the median of several.
//!
//! Above: `speed`, `inflight`.  Below: `initiator`'s load, and the kernel's account of a process.

use anyhow::{Result, bail};
use initiator::load::{self, Load, Report};
use initiator::{Guest, LunAddress};
use std::time::Duration;
use stories::process::Process;

/// Microseconds of one clock tick of the kernel's accounts (USER_HZ, 100 on every architecture we run on).
pub(crate) const TICK_US: u64 = 10_000;

/// What one measurement gave, or the median of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Commands a second.
    pub(crate) iops: f64,
    /// Half of the commands took no longer, in microseconds.
    pub(crate) p50_us: f64,
    /// 99 of a hundred took no longer, in microseconds.
    pub(crate) p99_us: f64,
    /// Processor time of the serving process a command, user and system, in microseconds.
    pub(crate) cpu_us: f64,
}

/// Runs a load against a server and takes the account of its process.  A command that fails is an error.
pub(crate) fn take(guest: &mut Guest, server: &Process, load: &Load) -> Result<Sample> {
    let before = server.cpu_ticks()?;
    let report = load::run(guest, load)?;
    let ticks = server.cpu_ticks()? - before;
    if let Some(answer) = &report.first_error {
        bail!("{} commands failed, the first with {answer:?}", report.errors);
    }
    Ok(sample_of(&report, ticks))
}

/// Writes the first `bytes` bytes of a unit, so that no read meets a hole.
pub(crate) fn fill(guest: &mut Guest, address: LunAddress, bytes: u64) -> Result<()> {
    let load = Load {
        address,
        queue_depth: 1,
        duration: Duration::from_secs(1),
        access: load::Access::Sequential,
        read_percent: 0,
        io_bytes: 1 << 20,
        range_bytes: Some(bytes),
        ..Load::default()
    };
    // One run may be too short on a slow machine, and the next begins at the start again.
    for seconds in [1, 4, 16, 64] {
        let report = load::run(guest, &Load { duration: Duration::from_secs(seconds), ..load.clone() })?;
        if let Some(answer) = &report.first_error {
            bail!("cannot fill a disk: {answer:?}");
        }
        if report.bytes >= bytes {
            return Ok(());
        }
    }
    bail!("this machine takes more than a minute to write {bytes} bytes of memory");
}

#[allow(clippy::cast_precision_loss, reason = "counts and nanoseconds of one run are far below 2^52")]
fn sample_of(report: &Report, ticks: u64) -> Sample {
    let commands = (report.reads + report.writes).max(1);
    Sample {
        iops: report.iops(),
        p50_us: report.latency(50.0).as_secs_f64() * 1e6,
        p99_us: report.latency(99.0).as_secs_f64() * 1e6,
        cpu_us: (ticks * TICK_US) as f64 / commands as f64,
    }
}

/// The median of each figure by itself; `None` of nothing.
pub(crate) fn median(samples: &[Sample]) -> Option<Sample> {
    let of = |figure: fn(&Sample) -> f64| median_of(samples.iter().map(figure).collect());
    Some(Sample {
        iops: of(|sample| sample.iops)?,
        p50_us: of(|sample| sample.p50_us)?,
        p99_us: of(|sample| sample.p99_us)?,
        cpu_us: of(|sample| sample.cpu_us)?,
    })
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median_of(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let above = values.get(values.len() / 2)?;
    let below = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_of_what_there_is() {
        assert_eq!(median_of(vec![3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median_of(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median_of(Vec::new()), None);
    }

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let sample = |iops, cpu_us| Sample { iops, p50_us: 1.0, p99_us: 2.0, cpu_us };
        let median = median(&[sample(1.0, 9.0), sample(2.0, 8.0), sample(3.0, 7.0)]);
        assert_eq!(median, Some(Sample { iops: 2.0, p50_us: 1.0, p99_us: 2.0, cpu_us: 8.0 }));
    }
}
