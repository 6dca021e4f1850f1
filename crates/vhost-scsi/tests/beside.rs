// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One guest that lies and two beside it that do not: one on the same disk, one on another, all on one reactor.
//!
//! Above: the hostile tests.  Below: `support`.
//! Never here: how the first one lies.

#![allow(dead_code, reason = "each test uses its part")]

use crate::support::{Unit, map};
use initiator::load::{self, Load};
pub(crate) use initiator::lun_0;
use initiator::{Guest, Options, commands};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use target::Store;
use vhost_scsi::{Bound, Endpoint, Reactors, TargetPort};

/// Bytes of each disk.  Loads work on the first half; the second is left to the one that lies, but for its last blocks.
const DISK_BYTES: u64 = 16 << 20;
const LAST_BLOCKS: u32 = 32768 - 8;
/// How long anything may take that is promised to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Three targets on one reactor; the first two have one disk.
pub(crate) struct Scene {
    pub(crate) hostile: Endpoint,
    same: Endpoint,
    other: Endpoint,
    pub(crate) directory: tempfile::TempDir,
}

impl Scene {
    /// On ramdisks.
    pub(crate) fn new() -> Self {
        Self::on(Unit::ramdisk(DISK_BYTES))
    }

    /// The first two targets on this unit, which is of 16 MiB.
    pub(crate) fn on(unit: Unit) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let reactors = Reactors::start(1).unwrap();
        let again = Unit { store: Store { ..unit.store.clone() }, state: Arc::clone(&unit.state), ..unit };
        let serve = |name: &str, unit: Unit| {
            let port = Arc::new(TargetPort::new(format!("naa.500140500000000{}", name.len()), map(&[unit])));
            Bound::bind(&directory.path().join(name), None).unwrap().serve(port, Arc::clone(&reactors))
        };
        let hostile = serve("x", unit);
        let (same, other) = (serve("xx", again), serve("xxx", Unit::ramdisk(DISK_BYTES)));
        Self { hostile, same, other, directory }
    }

    pub(crate) fn boot(&self, options: Options) -> Guest {
        Guest::boot(self.hostile.path(), options.patience(PATIENCE)).unwrap()
    }

    /// A connection that is all the test's.
    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.hostile.path()).unwrap()
    }

    /// Does something hostile while the two guests beside run their loads; neither may notice.
    pub(crate) fn with_others<T>(&self, hostile: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let loads =
                [&self.same, &self.other].map(|endpoint| scope.spawn(|| work(endpoint.path(), &done)));
            let stop = Stop(&done);
            let outcome = hostile();
            drop(stop);
            for load in loads {
                load.join().expect("a guest beside is not disturbed");
            }
            outcome
        })
    }

    /// What everybody may expect after all of it: the next front end is served.
    pub(crate) fn is_whole(&self) {
        self.is_free();
        let mut guest = self.boot(Options::default());
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        drop(guest);
        self.is_free();
    }

    /// Waits until no front end is connected.
    pub(crate) fn is_free(&self) {
        eventually("a connection is still there", || self.hostile.port().connections() == 0);
    }
}

/// Ends the loads also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes and reads and compares until it is over; then what was there before must still be there.
fn work(path: &Path, done: &AtomicBool) {
    let mut guest = Guest::boot(path, Options::default().patience(PATIENCE)).unwrap();
    let kept = [0x3c; 8 * 512];
    assert!(guest.execute(&commands::write_10(lun_0(), LAST_BLOCKS, 8, &kept)).unwrap().is_good());
    let load = Load {
        address: lun_0(),
        queue_depth: 4,
        duration: Duration::from_millis(50),
        read_percent: 50,
        range_bytes: Some(DISK_BYTES / 4),
        verify: true,
        ..Load::default()
    };
    // A load may begin and lose the processor until its time is over: once more then.
    let mut reads = 0;
    loop {
        let over = done.load(Ordering::Relaxed);
        let report = load::run(&mut guest, &load).unwrap();
        assert!(report.errors == 0 && report.blocks_corrupt == 0, "{report}");
        reads += report.reads;
        if over && reads > 0 {
            break;
        }
    }
    let answer = guest.execute(&commands::read_10(lun_0(), LAST_BLOCKS, 8, kept.len())).unwrap();
    assert_eq!(answer.data_in, kept);
}

/// Waits for what is promised.
pub(crate) fn eventually(otherwise: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{otherwise}");
        std::thread::yield_now();
    }
}
