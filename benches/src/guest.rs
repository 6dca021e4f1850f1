// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Linux guest in QEMU: how long until it has its disk, and what the daemon takes meanwhile.
//!
//! Above: `main`.  Below: `stories`.

use crate::sample::median_of;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use stories::accel::Accel;
use stories::deadline::Deadline;
use stories::guest::{Guest, share_of};
use stories::stage::Stage;

/// The guest says when the kernel has attached the disk, rests until it is told, reads and writes at depth 64 on
/// four queues, and powers off.
const SCRIPT: &str = "until_true \"dmesg | grep -q 'Attached SCSI disk'\"
    dmesg | grep 'Attached SCSI disk' | sed 's/^\\[ *\\([0-9.]*\\)\\].*/\\1/' > /share/attached
    until_true '[ -e /share/busy ]'
    if [ \"$(cat /share/busy)\" = yes ]; then
        fio --name=busy --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=64 --rw=randrw \
            --bsrange=4k-256k --numjobs=4 --time_based --runtime=10 --size=100% > /dev/null
    fi
    echo done > /share/done";

const DISK_BYTES: u64 = 256 << 20;

/// How long one guest may take besides the time it is watched at rest.
const LIMIT: Duration = Duration::from_secs(180);

/// What one boot told.
struct Boot {
    /// From the start of QEMU, in seconds.
    to_disk_s: f64,
    /// From the start of the guest's kernel, in seconds, as that says.
    kernel_to_disk_s: f64,
}

/// Boots some guests and prints the figures; the last one is watched at rest and at work.
pub(crate) fn measure(idle: Duration, boots: u32) -> Result<()> {
    let accel = Accel::detect()?;
    let mut stage = Stage::set()?;
    stage.daemon = stage.daemon.quiet();
    stage.create_fileio("disk0", DISK_BYTES)?;
    let wwn = stage.serve("fileio/disk0")?;
    let empty_bytes = stage.daemon.process().rss_anon_bytes()?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;

    let mut all = Vec::new();
    for number in 1..=boots.max(1) {
        let name = format!("guest{number}");
        let plan = Guest::plan(SCRIPT).name(&name).programs(&["fio"]).cpus(4).options(&options).accel(accel);
        let mut guest = plan.limit(LIMIT + idle).quiet().boot(&stage.scratch)?;
        let start = Instant::now();
        let told = guest.wait_for("attached")?;
        let to_disk_s = start.elapsed().as_secs_f64();
        let kernel_to_disk_s = told.trim().parse().with_context(|| format!("not a time: {told}"))?;
        all.push(Boot { to_disk_s, kernel_to_disk_s });
        let last = number == boots.max(1);
        if last {
            watch(&mut stage, &mut guest, &name, idle, empty_bytes)?;
        } else {
            guest.tell("busy", "no\n")?;
        }
        guest.finish()?;
    }
    let median = |of: fn(&Boot) -> f64| median_of(all.iter().map(of).collect()).unwrap_or_default();
    println!(
        "boot to disk: {:.2} s from the start of QEMU ({}), of them {:.2} s in the guest's kernel; median of {} boots",
        median(|boot| boot.to_disk_s),
        accel.name(),
        median(|boot| boot.kernel_to_disk_s),
        all.len()
    );
    Ok(())
}

/// Watches the daemon while the guest rests and while it works.
fn watch(stage: &mut Stage, guest: &mut Guest, name: &str, idle: Duration, empty_bytes: u64) -> Result<()> {
    let process = stage.daemon.process();
    let before = process.cpu_ticks()?;
    // The length of this sleep is what is measured, and not a hope.
    std::thread::sleep(idle);
    let ticks = process.cpu_ticks()? - before;
    let idle_bytes = process.rss_anon_bytes()?;
    guest.tell("busy", "yes\n")?;
    let done = share_of(&stage.scratch, name, "done");
    let mut busy_bytes = 0;
    Deadline::after(LIMIT).until("the guest's work", || {
        busy_bytes = busy_bytes.max(stage.daemon.process().rss_anon_bytes()?);
        Ok(done.exists().then_some(()))
    })?;
    println!(
        "RssAnon: {} KiB without a guest, {} KiB with one at rest, {} KiB at most with fio at depth 64 on 4 queues",
        empty_bytes / 1024,
        idle_bytes / 1024,
        busy_bytes / 1024
    );
    println!("daemon with a guest at rest: {ticks} ticks of 10 ms in {} s", idle.as_secs());
    Ok(())
}
