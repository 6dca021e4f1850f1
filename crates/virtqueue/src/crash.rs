// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Points at which a test lets its process die, as if it had been killed between two instructions.
//!
//! Above: `ring`, `inflight`, and the queues of a fabric, which pass by.
//! Below: nothing.
//! Never here: anything in a product: without the feature `crash-points` a point is no code at all.

/// Where a process can be made to die, in the order in which a command passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// A region is being made new: its version is gone, and some heads are cleared.
    Clearing,
    /// A batch that was cut off is being finished: some of its heads are cleared.
    Repairing,
    /// It is finished, and the index says so.
    Repaired,
    /// A head of a dead process is on its way out of the ring again.
    PoppedAgain,
    /// A head is known, and the region does not know it.
    Seen,
    /// The region has its counter, and not that it is in flight.
    Counted,
    /// The region has it in flight.
    Taken,
    /// A batch is out of the ring.
    Popped,
    /// The I/O of a command is about to begin.
    Submitting,
    /// It has begun.
    Submitted,
    /// It has ended.
    Completed,
    /// The guest's memory has the answer, and the ring does not.
    Answered,
    /// The used element has its head, and not its length.
    HalfUsed,
    /// The used element is whole, and the region does not list it.
    Used,
    /// The region has what follows the head in the list, and not the head.
    HalfLinked,
    /// The region lists the head.
    Linked,
    /// A batch is about to be shown.
    Showing,
    /// The driver sees the batch, and the region has all of it in flight.
    Shown,
    /// The region has part of the batch in flight.
    Committing,
    /// The region has none of it in flight, and its index is the old one.
    Cleared,
    /// The region's index is the new one.
    Committed,
    /// The driver has not been notified.
    Silent,
}

/// All of them.
#[cfg(feature = "crash-points")]
pub const POINTS: [Point; 22] = [
    Point::Clearing,
    Point::Repairing,
    Point::Repaired,
    Point::PoppedAgain,
    Point::Seen,
    Point::Counted,
    Point::Taken,
    Point::Popped,
    Point::Submitting,
    Point::Submitted,
    Point::Completed,
    Point::Answered,
    Point::HalfUsed,
    Point::Used,
    Point::HalfLinked,
    Point::Linked,
    Point::Showing,
    Point::Shown,
    Point::Committing,
    Point::Cleared,
    Point::Committed,
    Point::Silent,
];

/// Passes a point.
#[inline(always)]
#[cfg(not(feature = "crash-points"))]
pub fn pass(_: Point) {}

#[cfg(feature = "crash-points")]
pub use armed::{arm, pass};

#[cfg(feature = "crash-points")]
mod armed {
    use super::Point;
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    const NOWHERE: u8 = u8::MAX;
    static WHERE: AtomicU8 = AtomicU8::new(NOWHERE);
    static LEFT: AtomicU64 = AtomicU64::new(0);

    /// Lets this process die when it passes `point` for the `passages`th time, counted from 1.
    pub fn arm(point: Point, passages: u64) {
        LEFT.store(passages, Ordering::Relaxed);
        WHERE.store(point as u8, Ordering::Release);
    }

    /// Passes a point.
    pub fn pass(point: Point) {
        if WHERE.load(Ordering::Acquire) == point as u8 && LEFT.fetch_sub(1, Ordering::AcqRel) == 1 {
            die();
        }
    }

    /// SIGKILL, which nothing can be done about; this thread does not get beyond it.
    fn die() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
