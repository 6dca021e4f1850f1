// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bounded load for benches and torture tests: so many commands in flight for so long, measured and checked.
//!
//! Above: benches, tests of faults.  Below: `guest`, one thread a request queue (`load/runner.rs`).
//! Never here: what is fast enough.

mod runner;
mod stamp;

use crate::error::Error;
use crate::guest::Guest;
use crate::request::{Answer, LunAddress};
use crate::ring::Wait;
use hdrhistogram::Histogram;
use runner::{Runner, Share};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Latencies are kept to three digits up to a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;

/// The shortest blocks a stamp is written into; no disk has shorter ones.
const BLOCK_BYTES_MIN: u32 = 512;

/// Commands a checked load keeps the last generation of, per queue; its range is cut to this.
const CHECKED_UNITS_MAX: u64 = 1 << 22;

/// Where the commands of a load go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anywhere in the range.
    Random,
    /// From the start of the range to its end, again and again.
    Sequential,
}

/// One load, as data.  The default is fio's `randread`, 4 KiB, depth 32, for a second.
#[derive(Clone, Debug)]
pub struct Load {
    /// The unit.
    pub address: LunAddress,
    /// Commands in flight on each queue.
    pub queue_depth: u16,
    /// How long new commands are started.
    pub duration: Duration,
    /// Ends that earlier, as soon as it is true.
    pub stop: Option<Arc<AtomicBool>>,
    /// Where they go.
    pub access: Access,
    /// How many of a hundred are reads; the others are writes.
    pub read_percent: u8,
    /// Length of each in bytes: whole blocks.
    pub io_bytes: u32,
    /// The range they stay in, in bytes from the start of the unit; `None` is all of it.
    pub range_bytes: Option<u64>,
    /// Whether writes are stamped and reads compared with what was written last.
    pub verify: bool,
    /// How the driver waits.
    pub wait: Wait,
    /// What makes one run like another.
    pub seed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            address: LunAddress::unit(0, 0),
            queue_depth: 32,
            duration: Duration::from_secs(1),
            stop: None,
            access: Access::Random,
            read_percent: 100,
            io_bytes: 4096,
            range_bytes: None,
            verify: false,
            wait: Wait::Sleep,
            seed: 1,
        }
    }
}

/// Blocks that did not hold what was written to them last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The block.
    pub lba: u64,
    /// The generation that was written to it last.
    pub expected_generation: u32,
    /// What it says of itself: block and generation, or that it is no block of this load.
    pub found: Option<(u64, u32)>,
}

/// What a load has seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Reads that ended well.
    pub reads: u64,
    /// Writes that ended well.
    pub writes: u64,
    /// Commands that did not.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<Answer>,
    /// Blocks compared.
    pub blocks_verified: u64,
    /// Blocks that differed.
    pub blocks_corrupt: u64,
    /// The first of them.
    pub first_corruption: Option<Corruption>,
    /// From the first command to the last answer.
    pub elapsed: Duration,
    /// Bytes moved.
    pub bytes: u64,
    /// Kicks the device wanted.
    pub kicks: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Times from offer to return, in nanoseconds.
    pub latency_ns: Histogram<u64>,
}

impl Report {
    fn empty() -> Self {
        let latency_ns =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS).expect("constant bounds");
        Self {
            reads: 0,
            writes: 0,
            errors: 0,
            first_error: None,
            blocks_verified: 0,
            blocks_corrupt: 0,
            first_corruption: None,
            elapsed: Duration::ZERO,
            bytes: 0,
            kicks: 0,
            interrupts: 0,
            latency_ns,
        }
    }

    /// Returns commands that ended well, per second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a count of commands is far below 2^52")]
    pub fn iops(&self) -> f64 {
        (self.reads + self.writes) as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Returns the latency that `percent` of the commands did not exceed.
    #[must_use]
    pub fn latency(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latency_ns.value_at_percentile(percent))
    }

    fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.errors += other.errors;
        self.blocks_verified += other.blocks_verified;
        self.blocks_corrupt += other.blocks_corrupt;
        self.bytes += other.bytes;
        self.kicks += other.kicks;
        self.interrupts += other.interrupts;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.first_error = self.first_error.take().or(other.first_error);
        self.first_corruption = self.first_corruption.take().or(other.first_corruption);
        self.latency_ns.add(&other.latency_ns).expect("both have the same bounds");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.latency(50.0), self.latency(99.0));
        write!(f, "{:.0} IOPS, p50 {p50:.1?}, p99 {p99:.1?}", self.iops())?;
        write!(f, ", {} reads, {} writes, {} errors", self.reads, self.writes, self.errors)?;
        write!(f, ", {} blocks verified, {} corrupt", self.blocks_verified, self.blocks_corrupt)
    }
}

/// Runs a load over all request queues of `guest`, one thread each.
///
/// # Errors
/// [`Error::Invalid`] for a load that does not fit the unit or the rings, [`Error::NotAnswered`] and the other
/// accusations.  Commands that fail and blocks that differ are counted in the report instead.
pub fn run(guest: &mut Guest, load: &Load) -> Result<Report, Error> {
    let (blocks, block_bytes) = guest.capacity(load.address)?;
    let shares = shares(load, blocks, block_bytes, guest.request_queues().len() as u64)?;
    let memory = guest.memory().clone();
    let mut runners = Vec::new();
    for (queue, share) in guest.request_queues().iter_mut().zip(shares) {
        runners.push(Runner::prepare(queue, &memory, load, share)?);
    }
    let start = Instant::now();
    let reports = std::thread::scope(|scope| {
        let threads: Vec<_> =
            runners.into_iter().map(|runner| scope.spawn(move || runner.run(start))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut whole = Report::empty();
    for report in reports {
        whole.add(report.map_err(|error| guest.explain(error))?);
    }
    Ok(whole)
}

/// Splits the range into one share a queue, so that no two queues ever write the same block.
fn shares(load: &Load, blocks: u64, block_bytes: u32, queues: u64) -> Result<Vec<Share>, Error> {
    if block_bytes < BLOCK_BYTES_MIN {
        return Err(Error::Invalid { detail: "the unit has blocks of less than 512 bytes" });
    }
    if load.io_bytes == 0 || !load.io_bytes.is_multiple_of(block_bytes) {
        return Err(Error::Invalid { detail: "the commands of a load are whole blocks" });
    }
    let unit_blocks = load.io_bytes / block_bytes;
    let range_blocks = load.range_bytes.map_or(blocks, |bytes| (bytes / u64::from(block_bytes)).min(blocks));
    let mut units = range_blocks / u64::from(unit_blocks) / queues.max(1);
    if load.verify {
        units = units.min(CHECKED_UNITS_MAX);
    }
    if units < u64::from(load.queue_depth) {
        return Err(Error::Invalid { detail: "the range is too small for the queue depth" });
    }
    if u16::try_from(unit_blocks).is_err() {
        return Err(Error::Invalid { detail: "a command of a load has at most 65535 blocks" });
    }
    let share = |queue: u64| Share { first_unit: queue * units, units, unit_blocks, block_bytes, queue };
    Ok((0..queues).map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_share_the_range_without_overlap() {
        let load = Load { range_bytes: Some(1 << 20), queue_depth: 4, ..Load::default() };
        let shares = shares(&load, 1 << 20, 512, 3).expect("it fits");
        let units: Vec<_> =
            shares.iter().map(|share| (share.first_unit, share.units, share.unit_blocks)).collect();
        assert_eq!(units, [(0, 85, 8), (85, 85, 8), (170, 85, 8)]);
    }

    #[test]
    fn a_load_that_does_not_fit_is_refused() {
        let odd = Load { io_bytes: 513, ..Load::default() };
        assert!(matches!(shares(&odd, 1000, 512, 1), Err(Error::Invalid { .. })));
        let deep = Load { queue_depth: 126, ..Load::default() };
        assert!(matches!(shares(&deep, 1000, 512, 1), Err(Error::Invalid { .. })));
    }
}
