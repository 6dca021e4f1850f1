// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is killed, or stopped, under a guest's busy disk is an ordinary event.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

/// How long the daemon serves between two ends: long enough for the guest to be busy again.
const SERVES: Duration = Duration::from_millis(1500);
/// How long it is away.
const AWAY: Duration = Duration::from_millis(300);
const ENDS: usize = 6;

const SCRIPT: &str = "settle 1
    echo go > /share/go
    fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
        --bsrange=4k-64k --size=64m --io_size=192m --verify=crc32c --verify_fatal=1 --do_verify=1 \
        --group_reporting --randseed=1 > /share/fio
    echo fio $?
    dmesg | grep -i -E 'I/O error|sda.*(abort|reset)' || echo no complaint";

#[test]
fn a_guest_with_a_busy_disk_does_not_notice_that_its_daemon_is_killed() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
    let plan = Guest::plan(SCRIPT).programs(&["fio"]).cpus(2).options(&options);
    let mut guest = plan.limit(Duration::from_secs(280)).boot(&stage.scratch)?;
    guest.wait_for("go")?;
    for end in 0..ENDS {
        // The lengths of these sleeps are the fault that is tried, and not a hope.
        std::thread::sleep(SERVES);
        if end % 2 == 0 {
            stage.daemon.kill()?;
        } else {
            stage.daemon.terminate()?;
        }
        std::thread::sleep(AWAY);
        stage.daemon.restart()?;
    }
    let results = guest.finish()?;
    let fio = results.read("fio")?;
    assert_eq!(results.out, "fio 0\nno complaint\n", "{fio}\n{}", stage.daemon.log());
    assert!(fio.contains(" err= 0: "), "{fio}");
    Ok(())
}
