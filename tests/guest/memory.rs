// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a daemon with forty LUNs and a busy guest takes, and what it takes when the guest rests.

use anyhow::Result;
use std::time::Duration;
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::stage::Stage;

/// All the anonymous memory a daemon may have, in bytes.
const RSS_ANON_BYTES_MAX: u64 = 64 << 20;

/// How long the daemon is watched while the guest rests.
const TIME: Duration = Duration::from_secs(10);

/// How often a thread of it may wake up in that time: no more than that of a daemon without a guest.
const WAKES_MAX: u64 = 30;

/// The clock ticks, of 10 ms, that it may use in that time: half a percent, for machines whose memory is cold.
const TICKS_MAX: u64 = 5;

const SCRIPT: &str = "settle 40
    echo ready > /share/ready
    disks=$(ls -d /sys/block/sd* | sed 's|/sys/block|/dev|' | tr '\\n' ':')
    fio --name=busy --filename=${disks%:} --direct=1 --ioengine=libaio --iodepth=64 --rw=randrw \
        --bsrange=4k-1m --size=40m --io_size=48m --numjobs=4 --randseed=1 > /share/fio
    echo done > /share/done
    until_true '[ -e /share/watched ]'
    echo over";

#[test]
fn a_daemon_with_forty_luns_stays_small_and_rests_with_its_guest() -> Result<()> {
    let mut stage = Stage::set()?;
    let wwn = stage.shell.create_target()?;
    for lun in 0..40 {
        stage.create_fileio(&format!("disk{lun}"), 1 << 20)?;
        stage.map(&wwn, 1, lun, &format!("fileio/disk{lun}"))?;
    }
    let before = stage.daemon.process().rss_anon_bytes()?;

    let options = stage.shell.qemu(&wwn, &["--memory", "1G"])?;
    let plan = Guest::plan(SCRIPT).programs(&["fio"]).cpus(4).options(&options);
    let mut guest = plan.limit(Duration::from_secs(240)).boot(&stage.scratch)?;
    guest.wait_for("ready")?;
    let done = stories::guest::share_of(&stage.scratch, "guest", "done");
    let mut busy = 0;
    Deadline::seconds(200).until("fio", || {
        busy = busy.max(stage.daemon.process().rss_anon_bytes()?);
        Ok(done.exists().then_some(()))
    })?;
    guest.wait_for("done")?;

    let did = stage.daemon.process().watch_at_rest(TIME, TICKS_MAX)?;
    let rested = stage.daemon.process().rss_anon_bytes()?;
    guest.tell("watched", "")?;
    assert_eq!(guest.finish()?.out, "over\n");
    println!("RssAnon before {before}, busy {busy}, at rest {rested} bytes; {did:?}");
    assert!(busy <= RSS_ANON_BYTES_MAX, "{busy} bytes of anonymous memory");
    assert!(did.wakes <= WAKES_MAX && did.ticks <= TICKS_MAX, "{did:?} in {TIME:?} while the guest rests");
    Ok(())
}
