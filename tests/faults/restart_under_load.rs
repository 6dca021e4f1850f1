// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is stopped and started again under a guest's busy disk: nothing is lost, and the pause is short.
//!
//! `LUNAR_RESTARTS` sets how often (4 unless set); `LUNAR_RECONNECT_MS` has QEMU try to reconnect at another
//! interval than the one that `lunar qemu` prints.  The pauses are printed.

use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::stage::Stage;

/// How often in the short version.
const RESTARTS: usize = 4;
/// How long the daemon serves between two restarts: long enough for the guest to be busy again.
const SERVES: Duration = Duration::from_millis(1500);
/// How much of that is watched without a restart, to know what a pause is not.
const QUIET: Duration = Duration::from_millis(3000);
/// How far the guest's clock, which is read once over a shared file, may be from ours.
const CLOCK_ERROR_MS: u64 = 200;
/// How long a guest may wait for its disk: far less than what its driver does (30 s).
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One job writes and verifies, one reads a block after the other and writes down how long each took.
const SCRIPT: &str = "settle 1
    fio --name=pace --filename=/dev/sda --readonly --direct=1 --ioengine=psync --rw=randread --bs=4k --size=64m \
        --thinktime=2000 --thinktime_blocks=1 --time_based --runtime=3000 --randseed=2 --write_lat_log=/tmp/pace \
        --log_unix_epoch=1 > /share/pace.out &
    pace=$!
    until_true '[ -s /share/pace.out ] || kill -0 $pace' 20
    date +%s.%N > /share/now
    echo go > /share/go
    passes=0
    until [ -e /share/enough ]; do
        fio --name=verify --filename=/dev/sda --offset=64m --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
            --bsrange=4k-64k --size=16m --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting > /share/fio
        grep -q ' err= 0: ' /share/fio
        passes=$((passes + 1))
        echo $passes > /share/passes
    done
    kill -INT $pace
    wait $pace || true
    cp /tmp/pace_lat.1.log /share/latencies
    dmesg | grep -i -E 'I/O error|sda.*(abort|reset)' || echo no complaint";

/// One restart, as the host saw it.
struct Restart {
    /// When it was told to end, in milliseconds of our clock.
    at_ms: u64,
    /// From SIGTERM to the exit.
    ends: Duration,
    /// From the start of the next to its answering.
    answers: Duration,
    /// From the start of the next to the return of the front end.
    returns: Duration,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

fn number<T: std::str::FromStr>(variable: &str, unless: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(unless)
}

fn connections(stage: &Stage) -> usize {
    stage.daemon.log().matches("a front end connected").count()
}

fn restart(stage: &mut Stage) -> Result<Restart> {
    let before = connections(stage);
    let (at_ms, begun) = (now_ms(), Instant::now());
    let status = stage.daemon.terminate()?;
    let ends = begun.elapsed();
    ensure!(status.code() == Some(0), "{status}");
    let begun = Instant::now();
    stage.daemon.restart()?;
    let answers = begun.elapsed();
    Deadline::after(PAUSE_MAX)
        .until("the front end to return", || Ok((connections(stage) > before).then_some(())))?;
    Ok(Restart { at_ms, ends, answers, returns: begun.elapsed() })
}

/// Reads of the guest: when each ended, in milliseconds of our clock, and how long it took.
fn reads(log: &str, clock_ahead_ms: i64) -> Result<Vec<(u64, Duration)>> {
    let read = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let at_ms: u64 = fields.next()?.parse().ok()?;
        let nanoseconds: u64 = fields.next()?.parse().ok()?;
        Some((at_ms.checked_add_signed(-clock_ahead_ms)?, Duration::from_nanos(nanoseconds)))
    };
    log.lines().map(|line| read(line).with_context(|| format!("not a line of fio's log: {line}"))).collect()
}

/// The longest read that ended in a span of time.
fn longest(reads: &[(u64, Duration)], from_ms: u64, to_ms: u64) -> Option<Duration> {
    reads.iter().filter(|(at, _)| (from_ms..to_ms).contains(at)).map(|(_, took)| *took).max()
}

fn line(what: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (middle, last) = (times.get(times.len() / 2), times.last());
    format!(
        "{what}: p50 {:.1?}, max {:.1?}",
        middle.copied().unwrap_or_default(),
        last.copied().unwrap_or_default()
    )
}

#[test]
fn a_restart_under_load_is_a_short_pause_and_nothing_else() -> Result<()> {
    let count = number("LUNAR_RESTARTS", RESTARTS);
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    if let Ok(interval) = std::env::var("LUNAR_RECONNECT_MS") {
        for option in options.iter_mut().filter(|option| option.contains(",reconnect")) {
            let (start, _) = option.split_once(",reconnect").context("it is there")?;
            *option = format!("{start},reconnect-ms={interval}");
        }
    }
    let limit = Duration::from_secs(150) + 8 * u32::try_from(count)? * SERVES;
    let plan = Guest::plan(SCRIPT).programs(&["fio"]).cpus(2).options(&options).limit(limit);
    let mut guest = plan.boot(&stage.scratch)?;
    let clock = guest.wait_for("now")?;
    let host_ms = now_ms();
    guest.wait_for("passes")?;
    // The lengths of these sleeps are what is tried, and not a hope.
    let quiet_ms = now_ms();
    std::thread::sleep(QUIET);
    let mut restarts = Vec::new();
    for _ in 0..count {
        restarts.push(restart(&mut stage)?);
        std::thread::sleep(SERVES);
    }
    let end_ms = now_ms();
    guest.tell("enough", "enough\n")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "no complaint\n", "{}", stage.daemon.log());
    assert!(!stage.daemon.log().contains("left for the next lunard"), "{}", stage.daemon.log());

    let (seconds, fraction) = clock.trim().split_once('.').context("the guest's clock")?;
    let guest_ms = seconds.parse::<i64>()? * 1000 + fraction.get(..3).unwrap_or("0").parse::<i64>()?;
    let reads = reads(&results.read("latencies")?, guest_ms - i64::try_from(host_ms)?)?;
    let mut pauses = Vec::new();
    for (index, restart) in restarts.iter().enumerate() {
        let to_ms = restarts.get(index + 1).map_or(end_ms, |next| next.at_ms);
        let pause = longest(&reads, restart.at_ms.saturating_sub(CLOCK_ERROR_MS), to_ms - CLOCK_ERROR_MS);
        pauses.push(pause.with_context(|| format!("the guest read nothing after restart {index}"))?);
    }
    let quiet =
        longest(&reads, quiet_ms, restarts.first().map_or(end_ms, |first| first.at_ms - CLOCK_ERROR_MS));
    let all = |part: fn(&Restart) -> Duration| restarts.iter().map(part).collect();
    let mut told = format!("{count} restarts, {} reads\n", reads.len());
    writeln!(told, "{}", line("the guest's pause", pauses.clone()))?;
    writeln!(told, "its longest read without a restart: {:.1?}", quiet.unwrap_or_default())?;
    writeln!(told, "{}", line("SIGTERM to exit", all(|restart| restart.ends)))?;
    writeln!(told, "{}", line("start to the API's answer", all(|restart| restart.answers)))?;
    writeln!(told, "{}", line("start to the front end's return", all(|restart| restart.returns)))?;
    println!("{told}");
    assert!(pauses.iter().all(|pause| *pause < PAUSE_MAX), "{told}");
    Ok(())
}
