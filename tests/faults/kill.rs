// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is killed, or stopped, under a guest's busy disk is an ordinary event.
//!
//! `LUNAR_GUEST_KILLS` says how often it is killed; the long run has 200, in a few runs.  A reader in the guest
//! that reads every 10 ms tells how long each pause was for the guest.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::stage::Stage;

/// How often the daemon is killed unless told otherwise.
const KILLS: usize = 10;
/// After so many kills it is also told to end.
const KILLS_A_STOP: usize = 5;
/// How long the daemon serves between two ends: long enough for the guest to be busy again.
const SERVES: Duration = Duration::from_millis(1500);
/// How long it is away.
const AWAY: Duration = Duration::from_millis(300);
/// A read that takes longer has met an end: half of what the daemon is away at least.
const PAUSE: Duration = Duration::from_millis(150);
/// Linux gives a command 30 seconds before it begins to ask what became of it.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What a kill may take of the guest's time, and what the rest of the story may.
const LIMIT_A_KILL: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(240);

const SCRIPT: &str = "settle 1
    fio --name=tick --filename=/dev/sda --direct=1 --ioengine=psync --rw=randread --bs=4k --offset=96m \
        --size=16m --thinktime=10ms --time_based --runtime=3600 --write_lat_log=/tick > /tick.out &
    tick=$!
    echo go > /share/go
    passes=0
    while [ ! -e /share/stop ]; do
        fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
            --bsrange=4k-64k --size=64m --io_size=64m --verify=crc32c --verify_fatal=1 --do_verify=1 \
            --group_reporting --randseed=$passes > /share/fio || echo fio failed
        grep -q ' err= 0: ' /share/fio || echo fio saw an error
        passes=$((passes + 1))
    done
    kill -INT $tick
    wait $tick || true
    grep -q ' err= 0: ' /tick.out || echo the reader saw an error
    cat /tick_lat.1.log > /share/latencies
    echo $passes > /share/passes
    dmesg | grep -i -E 'I/O error|sda.*(abort|reset)' || echo no complaint";

#[test]
fn a_guest_with_a_busy_disk_does_not_notice_that_its_daemon_is_killed() -> Result<()> {
    let kills = std::env::var("LUNAR_GUEST_KILLS").ok().map_or(Ok(KILLS), |kills| kills.parse())?;
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(SCRIPT).programs(&["fio"]).cpus(2).options(&options);
    let limit = LIMIT + LIMIT_A_KILL * u32::try_from(kills)?;
    let mut guest = plan.limit(limit).boot(&stage.scratch)?;
    guest.wait_for("go")?;
    let mut stops = 0;
    for kill in 1..=kills {
        // The lengths of these sleeps are the fault that is tried, and not a hope.
        std::thread::sleep(SERVES);
        stage.daemon.kill()?;
        std::thread::sleep(AWAY);
        returns(&mut stage)?;
        if kill % KILLS_A_STOP == 0 {
            std::thread::sleep(SERVES);
            stage.daemon.terminate()?;
            std::thread::sleep(AWAY);
            returns(&mut stage)?;
            stops += 1;
        }
    }
    guest.tell("stop", "now\n")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "no complaint\n", "{}", stage.daemon.log());
    let passes = results.read("passes")?;
    let mut pauses = pauses(&results.read("latencies")?)?;
    pauses.sort_unstable();
    let longest = pauses.last().context("no pause")?;
    let median = pauses.get(pauses.len() / 2).context("no pause")?;
    println!(
        "{kills} kills and {stops} stops: {} pauses, the longest {} ms, the median {} ms; {} passes of fio",
        pauses.len(),
        longest.as_millis(),
        median.as_millis(),
        passes.trim_end()
    );
    assert!(pauses.len() >= kills, "{} pauses", pauses.len());
    assert!(*longest < PAUSE_MAX, "{longest:?}");
    Ok(())
}

/// Starts the daemon again and waits until its front end is back: two ends without that between them are one pause.
fn returns(stage: &mut Stage) -> Result<()> {
    let connections = |stage: &Stage| stage.daemon.log().matches("a front end connected").count();
    let before = connections(stage);
    stage.daemon.restart()?;
    let deadline = Deadline::after(PAUSE_MAX);
    deadline.until("the front end to return", || Ok((connections(stage) > before).then_some(())))
}

/// The reads that an end of the daemon made wait, from fio's log: `time, nanoseconds, …` a line.
fn pauses(log: &str) -> Result<Vec<Duration>> {
    let mut pauses = Vec::new();
    for line in log.lines() {
        let latency = line.split(',').nth(1).context("a line without a latency")?;
        let latency = Duration::from_nanos(latency.trim().parse()?);
        if latency >= PAUSE {
            pauses.push(latency);
        }
    }
    ensure!(log.lines().count() > 100, "the reader read nothing");
    Ok(pauses)
}
