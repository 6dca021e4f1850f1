// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a reactor costs that has nothing to do.  Alone in its process, because it looks at all reactors there.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: a second test.

mod support;

use initiator::Options;
use initiator::notifier::Notifier;
use std::time::Duration;
use support::{Rig, Unit};

const MIB: u64 = 1 << 20;

fn switches() -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        if status.lines().next().is_some_and(|name| name.contains("reactor-")) {
            sum += status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .map_or(0, |count| count.trim().parse().unwrap());
        }
    }
    sum
}

#[test]
fn a_second_kick_descriptor_leaves_an_idle_ring_idle() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let kick = Notifier::new().unwrap();
    guest.connection().unwrap().set_ring_kick(2, Some(&kick)).unwrap();
    guest.connection().unwrap().features().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let before = switches();
    std::thread::sleep(Duration::from_millis(500));
    let woken = switches() - before;
    assert!(woken < 50, "an idle reactor woke {woken} times in half a second");
}
