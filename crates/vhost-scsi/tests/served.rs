// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process of its own that serves one file on one socket, for tests that kill it.
//!
//! Above: `kills`, `fence`, which start themselves once more to be it.  Below: `support`, `virtqueue`'s crash points.
//! Never here: what a test claims.

#![allow(dead_code, reason = "each test uses its part")]

use crate::support::{Unit, map};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vhost_scsi::{Bound, Reactors, TargetPort};
use virtqueue::crash::{POINTS, arm};

/// What the process is told: socket, file, and what follows, by spaces.
const ORDER: &str = "LUNAR_SERVE";
/// The LUNs' size.
pub(crate) const BYTES: u64 = 1 << 20;

/// What to serve, and where to die.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) socket: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) write_back: bool,
    /// A place in [`POINTS`], and at which passage; passage 0 is never.
    pub(crate) point: usize,
    pub(crate) passage: u64,
}

impl Order {
    pub(crate) fn new(socket: &Path, file: &Path) -> Self {
        Self { socket: socket.into(), file: file.into(), write_back: true, point: 0, passage: 0 }
    }

    /// Starts the process: this test program once more, with its test `served` alone.
    pub(crate) fn serve(&self) -> Served {
        let Self { socket, file, write_back, point, passage } = self;
        let order = format!("{} {} {write_back} {point} {passage}", socket.display(), file.display());
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "served", "--ignored", "--nocapture"]).env(ORDER, order);
        process.stdin(Stdio::piped()).stdout(Stdio::null());
        Served { child: process.spawn().unwrap() }
    }
}

/// The process; it ends with this value.
pub(crate) struct Served {
    child: Child,
}

impl Served {
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it ends within a while.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < patience {
            if self.has_ended() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// SIGKILL.  Does not wait: the kernel lets a process go only when its I/O is done.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the test `served` does: serves until its standard input ends, which it does with whoever started it.
pub(crate) fn serve_if_told() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let [socket, file, write_back, point, passage] = words[..] else { panic!("{order}") };
    let unit = Unit::file(Path::new(file), BYTES, write_back == "true");
    arm(POINTS[point.parse::<usize>().unwrap()], passage.parse().unwrap());
    let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), map(&[unit])));
    let endpoint = Bound::bind(Path::new(socket), None).unwrap().serve(port, Reactors::start(2).unwrap());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(endpoint);
    std::process::exit(0);
}
