// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A front end and a guest that do everything wrong, again and again, and cannot fill the log.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: another test; the lines of the whole process are counted.

mod beside;
mod support;

use beside::{Scene, lun_0};
use initiator::hostile::Malformed;
use initiator::{Options, commands};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::{Event, Metadata, span};

/// Lines that one target may have written at once, and a few that come while the test runs.
const LINES_MAX: usize = 3 * 20 + 30;

static LINES: AtomicUsize = AtomicUsize::new(0);

/// Counts what the log of a daemon would have.
struct Counter;

impl tracing::Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }
    fn event(&self, _: &Event<'_>) {
        LINES.fetch_add(1, Ordering::Relaxed);
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn guests_and_front_ends_cannot_fill_the_log() {
    tracing::subscriber::set_global_default(Counter).unwrap();
    let scene = Scene::new();
    // Connections that come, say something wrong and go.
    for request in 0..300_u16 {
        let mut socket = scene.connect();
        let mut message = u32::from(request % 60).to_le_bytes().to_vec();
        message.extend([1, 0, 0, 0, 1, 0, 0, 0, 0xff]);
        let _ = socket.write_all(&message);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read(&mut [0; 64]);
    }
    scene.is_free();
    // A guest that breaks its ring, and is started again each time.
    let mut guest = scene.boot(Options::default());
    for round in 0..100 {
        let held = Malformed::ALL[round % Malformed::ALL.len()].send(&mut guest, 2, lun_0()).unwrap();
        guest.reset().unwrap();
        guest.forget_all();
        drop(held);
        guest.start().unwrap();
    }
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    let lines = LINES.load(Ordering::Relaxed);
    println!("{lines} lines");
    assert!(lines > 0, "nothing was counted");
    assert!(lines <= LINES_MAX, "{lines} lines");
}
