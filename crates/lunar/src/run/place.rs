// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On which processors the command of `lunar run` may be.
//!
//! Above: `run`.  Below: `sched_setaffinity(2)`, /proc/loadavg.
//! Never here: where `lunard` answers; it follows whoever is on one processor alone.
//!
//! The command asks `lunard` and sleeps until it is answered, thousands of times.  On a machine at rest each of those
//! switches wakes a processor that has gone to sleep; on one processor none has.  Where all have other work, none
//! sleeps, and two processors are more than one.

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

/// What the kernel says of the work that there is.
const LOAD: &str = "/proc/loadavg";

/// Whether the machine had a processor to spare whenever it was looked at.
#[derive(Debug, Default)]
pub(super) struct Place {
    spare: bool,
}

impl Place {
    /// Looks whether there is a processor to spare.  Once is enough: this process is not alone for a moment here and
    /// there.
    pub(super) fn look(&mut self) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let is_full = std::fs::read_to_string(LOAD).is_ok_and(|load| is_full(&load, processors));
        self.spare |= !is_full;
    }

    /// Keeps this process, and the command that it becomes, where it is now, unless there was never a processor to
    /// spare.
    pub(super) fn stay(&self) {
        let processor = sched_getcpu();
        if self.spare && processor < CpuSet::MAX_CPU {
            let mut here = CpuSet::new();
            here.set(processor);
            // Where that is forbidden, it is slower.
            let _ = sched_setaffinity(None, &here);
        }
    }
}

/// Whether all processors have work beside this process, by the text of `/proc/loadavg`.
fn is_full(load: &str, processors: usize) -> bool {
    let running = load.split_whitespace().nth(3).and_then(|counts| counts.split('/').next());
    running.and_then(|count| count.parse::<usize>().ok()).is_some_and(|count| count > processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_full_when_each_processor_has_other_work() {
        // This process is one of those that run.
        assert!(is_full("12.31 13.50 13.53 3/412 5123\n", 2));
        assert!(!is_full("12.31 13.50 13.53 2/412 5123\n", 2));
        assert!(!is_full("0.00 0.01 0.05 1/180 77\n", 1));
        assert!(!is_full("", 2));
        assert!(!is_full("0.00 0.01 0.05 x/180 77\n", 2));
    }
}
