// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest moves from one QEMU to another under a busy disk, and does not notice.
//!
//! Both are on this host and use the same daemon and target.  Some migrations are cancelled on the way, some when the
//! guest stands still already.  After each that was carried through, the guest's memory is compared page by page: all
//! of it, because what QEMU keeps for itself is in none of it.
//!
//! `LUNAR_MIGRATIONS` says how many are to be carried through; 2 unless it is set.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use stories::migrant::{Host, Plan, Progress};
use stories::stage::Stage;

/// How long one step may take.
const STEP: Duration = Duration::from_secs(180);
/// How fast a migration is that is to be cancelled, in bytes a second: slow enough to be caught under way.
const SLOW: u64 = 16 << 20;
const FAST: u64 = 1 << 30;

/// Two disks: fio verifies what it writes to one without the page cache, and files go to the other and come back through
/// it.  A line typed on the console ends both.
const SCRIPT: &str = "settle 2
    stty -F /dev/ttyS0 -echo
    mkfs.ext4 -q /dev/sdb
    mount /dev/sdb /mnt
    head -c 8000000 /dev/urandom > /tmp/data
    ( while [ ! -e /tmp/stop ]; do
          cp /tmp/data /mnt/copy; sync; echo 3 > /proc/sys/vm/drop_caches
          cmp /tmp/data /mnt/copy || echo differs >> /tmp/files
      done; echo whole >> /tmp/files ) &
    ( read line < /dev/ttyS0; echo stop > /tmp/stop ) &
    turn=0
    while [ ! -e /tmp/stop ]; do
        turn=$((turn + 1))
        fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
            --bsrange=4k-64k --size=64m --io_size=24m --verify=crc32c --verify_fatal=1 --do_verify=1 \
            --group_reporting --randseed=$turn > /tmp/fio || { cat /tmp/fio; exit 1; }
        grep -q ' err= 0: ' /tmp/fio || { cat /tmp/fio; exit 1; }
        echo turn $turn > /dev/ttyS0
    done
    wait
    cat /tmp/files
    dmesg | grep -E 'I/O error|EXT4-fs error|sd[ab].*([Aa]bort|[Rr]eset)|BUG:|rcu.*stall|lockup' || echo no complaint";

#[test]
fn a_guest_moves_under_a_busy_disk_and_all_of_its_memory_arrives() -> Result<()> {
    let migrations = match std::env::var("LUNAR_MIGRATIONS") {
        Ok(count) => count.parse().context("LUNAR_MIGRATIONS is no number")?,
        Err(_) => 2,
    };
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    stage.create_fileio("disk1", 64 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    stage.map(&wwn, 1, 1, "fileio/disk1")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Plan::new(&stage.scratch, SCRIPT, &["fio", "mkfs.ext4"], &options)?;

    let mut host = plan.boot("host0")?;
    host.wait_for_another("turn", STEP)?;
    let mut downtimes = Vec::new();
    for number in 1..=migrations {
        if number % 2 == 1 {
            let at_the_end = number % 4 == 3 || migrations == 2;
            cancel_one(&plan, &mut host, &format!("cancelled{number}"), false)?;
            if at_the_end {
                cancel_one(&plan, &mut host, &format!("stopped{number}"), true)?;
            }
        }
        let (there, progress) = move_on(&plan, host, &format!("host{number}"))?;
        host = there;
        println!("migration {number}: {progress:?}");
        downtimes.extend(progress.downtime_ms);
        host.wait_for_another("turn", STEP)?;
    }
    host.type_line("stop")?;
    host.wait_for_end(STEP)?;
    let console = host.console();
    ensure!(console.contains("whole\nno complaint\nstatus 0\n"), "{console}");
    downtimes.sort_unstable();
    ensure!(downtimes.len() == migrations, "{} downtimes", downtimes.len());
    println!(
        "{migrations} migrations; downtime in ms: min {}, p50 {}, max {}",
        downtimes[0],
        downtimes[downtimes.len() / 2],
        downtimes[downtimes.len() - 1]
    );
    let log = stage.daemon.log();
    ensure!(!log.contains("refused") && !log.contains("was not started"), "{log}");
    Ok(())
}

/// Begins a migration and calls it off, under way or when the guest stands still.  The guest goes on where it is.
fn cancel_one(plan: &Plan<'_>, host: &mut Host, name: &str, at_the_end: bool) -> Result<()> {
    let there = plan.expect(name)?;
    host.limit_bandwidth(if at_the_end { FAST } else { SLOW })?;
    host.pause_before_switchover(at_the_end)?;
    host.move_to(&there)?;
    if at_the_end {
        host.wait_for_status("pre-switchover", STEP)?;
    } else {
        stories::deadline::Deadline::after(STEP).until("a migration under way", || {
            let progress = host.progress()?;
            Ok((progress.status == "active" && progress.sent_bytes > SLOW / 2).then_some(()))
        })?;
    }
    host.cancel()?;
    host.wait_for_status("cancelled", STEP)?;
    there.end()?;
    host.wait_for_run_state("running", STEP)?;
    host.wait_for_another("turn", STEP)
}

/// Moves the guest, and looks whether it is the same.
fn move_on(plan: &Plan<'_>, mut host: Host, name: &str) -> Result<(Host, Progress)> {
    let mut there = plan.expect(name)?;
    host.limit_bandwidth(FAST)?;
    host.pause_before_switchover(false)?;
    host.move_to(&there)?;
    let progress = host.wait_for_status("completed", STEP)?;
    there.wait_for_run_state("paused", STEP)?;
    let pages = host.same_memory(&there).with_context(|| format!("{name}: {progress:?}"))?;
    ensure!(pages == 131_072, "{pages} pages of 512 MiB");
    host.end()?;
    there.go_on()?;
    Ok((there, progress))
}
