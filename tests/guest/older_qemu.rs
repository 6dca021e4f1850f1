// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest of QEMU 7.2, whose vhost-user-scsi cannot reconnect yet: its disk is there, it reboots, and it does not
//! get its disk back when the daemon was killed.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::older_qemu::OlderQemu;
use stories::stage::Stage;

/// Finds its disk, boots three times, and writes and verifies at random each time.
const SCRIPT: &str = "settle 1
    boot=$(dd if=/dev/sda bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0')
    boot=$((boot + 1))
    echo $boot >> /share/boots
    echo $boot | dd of=/dev/sda bs=512 count=1 conv=sync oflag=direct 2>/dev/null
    fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
        --bsrange=4k-64k --offset=1m --size=16m --verify=crc32c --verify_fatal=1 --do_verify=1 \
        --group_reporting --randseed=$boot > /share/fio$boot
    if [ $boot -le 2 ]; then reboot -f; sleep 60; fi
    ls /sys/block/sda/mq | wc -l
    dmesg | grep -i -E 'I/O error|sda.*(abort|reset)' || echo no complaint";

/// Reads until it reads no more, and says so.  The sleep is the measurement: a read takes a millisecond.
const READS: &str = "settle 1
    ( while :; do dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; echo >> /tmp/reads; done ) &
    until_true '[ -e /tmp/reads ]'
    echo go > /share/go
    until_true '[ -e /share/restarted ]'
    before=$(wc -l < /tmp/reads)
    sleep 5
    if [ $(wc -l < /tmp/reads) = $before ]; then echo hangs > /share/disk; else echo works > /share/disk; fi
    sleep 1000";

fn older() -> Option<OlderQemu> {
    match OlderQemu::find() {
        Ok(older) => Some(older),
        Err(why) => {
            println!("skipped: {why:#}");
            None
        }
    }
}

#[test]
fn a_guest_of_qemu_7_2_finds_writes_and_verifies_its_disk_and_reboots() -> Result<()> {
    let Some(older) = older() else { return Ok(()) };
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu_of_version(&wwn, older.version, &["--memory", "512M"])?;
    assert!(!options.iter().any(|option| option.contains("reconnect")), "{options:?}");
    let plan = Guest::plan(SCRIPT).in_older_qemu(&older).programs(&["fio"]).cpus(2).options(&options);
    let results = plan.may_reset().limit(Duration::from_secs(240)).boot(&stage.scratch)?.finish()?;
    assert_eq!(results.read("boots")?, "1\n2\n3\n");
    // A queue for each processor, as QEMU chose.
    assert_eq!(results.out, "2\nno complaint\n", "{}", stage.daemon.log());
    for boot in 1..=3 {
        let fio = results.read(&format!("fio{boot}"))?;
        assert!(fio.contains(" err= 0: "), "{fio}");
    }
    assert_eq!(stage.daemon.process().ended()?, None);
    Ok(())
}

#[test]
fn a_guest_of_qemu_7_2_lives_on_without_its_disk_when_the_daemon_was_killed() -> Result<()> {
    let Some(older) = older() else { return Ok(()) };
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 16 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu_of_version(&wwn, older.version, &["--memory", "256M"])?;
    let plan = Guest::plan(READS).in_older_qemu(&older).options(&options);
    let mut guest = plan.limit(Duration::from_secs(180)).boot(&stage.scratch)?;
    guest.wait_for("go")?;
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    guest.tell("restarted", "now\n")?;
    // The machine runs on, and its disk neither answers nor fails.
    assert_eq!(guest.wait_for("disk")?, "hangs\n");
    // It has not come back, and the target is free for the machine that is started in its place.
    let connected = stage.daemon.log().matches("a front end connected").count();
    assert_eq!(connected, 1, "{}", stage.daemon.log());
    guest.kill()?;
    let again = Guest::plan("settle 1\necho served again").in_older_qemu(&older).options(&options);
    let results = again.name("again").boot(&stage.scratch)?.finish()?;
    assert_eq!(results.out, "served again\n");
    Ok(())
}
