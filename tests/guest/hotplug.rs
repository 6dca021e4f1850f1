// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory and the adapter itself are plugged in and out, and the machine is paused, under a busy disk.

use anyhow::Result;
use serde_json::json;
use std::time::Duration;
use stories::guest::Guest;
use stories::qmp::Qmp;
use stories::stage::Stage;

const MONITOR: &str = "qmp";

/// What every script here begins with: memory that is added is used at once, for what can be moved away again.
const FIO: &str = "fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
    --bsrange=4k-128k --size=48m --verify=crc32c --verify_fatal=1 --do_verify=1 --time_based --randseed=1";

fn boots(stage: &Stage, wwn: &str, script: &str) -> Result<Guest> {
    let mut options = stage.shell.qemu(wwn, &["--memory", "512M"])?;
    options.extend(["-m".to_owned(), "size=512M,slots=2,maxmem=2G".to_owned()]);
    options.extend(Qmp::options(&stage.scratch.join(MONITOR)));
    let plan = Guest::plan(script).programs(&["fio"]).cpus(2).options(&options);
    plan.limit(Duration::from_secs(240)).boot(&stage.scratch)
}

#[test]
fn memory_comes_and_goes_under_a_busy_disk() -> Result<()> {
    let script = format!(
        "settle 1
        echo online_movable > /sys/devices/system/memory/auto_online_blocks
        total() {{ sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; }}
        before=$(total)
        ( while [ ! -e /share/enough ]; do {FIO} --runtime=4 || exit 1; done; echo sound ) > /share/fio 2>&1 &
        echo go > /share/go
        until_true '[ $(total) -gt $((before + 200000)) ]'
        # Files in memory take the new memory, and the disk is read into it.
        mount -t tmpfs -o size=500m none /mnt
        dd if=/dev/sda of=/mnt/copy bs=1M count=128 iflag=direct 2> /dev/null
        dd if=/mnt/copy of=/mnt/other bs=1M 2> /dev/null
        cmp /mnt/copy /mnt/other && echo alike
        umount /mnt
        echo used > /share/used
        until_true '[ -e /share/gone ]'
        until_true '[ $(total) -le $((before + 1000)) ]'
        sleep 5
        touch /share/enough
        wait
        tail -1 /share/fio
        dmesg | grep -i -E 'I/O error|sda.*(abort|reset)' || echo no complaint"
    );
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boots(&stage, &wwn, &script)?;
    let mut qemu = Qmp::connect(&stage.scratch.join(MONITOR))?;
    guest.wait_for("go")?;
    let more = json!({ "qom-type": "memory-backend-memfd", "id": "more", "size": 256 << 20, "share": true });
    qemu.run("object-add", more)?;
    qemu.run("device_add", json!({ "driver": "pc-dimm", "id": "dimm", "memdev": "more" }))?;
    guest.wait_for("used")?;
    qemu.run("device_del", json!({ "id": "dimm" }))?;
    qemu.wait_for("DEVICE_DELETED")?;
    qemu.run("object-del", json!({ "id": "more" }))?;
    guest.tell("gone", "gone\n")?;
    assert_eq!(guest.finish()?.out, "alike\nsound\nno complaint\n");
    assert!(!stage.daemon.log().contains("WARN"), "{}", stage.daemon.log());
    Ok(())
}

#[test]
fn an_adapter_comes_and_goes_and_a_machine_pauses_under_a_busy_disk() -> Result<()> {
    let script = format!(
        "settle 1
        {FIO} --runtime=5 > /share/fio 2>&1 &
        echo go > /share/go
        wait $! && echo paused and sound
        # Now it goes in the middle of reads, which may fail; what comes after must not.
        dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2> /dev/null &
        echo unplug > /share/unplug
        until_true '[ -e /share/gone ]'
        until_true '[ ! -e /dev/sda ]'
        echo plug > /share/plug
        until_true '[ -b /dev/sda ]'
        {FIO} --runtime=3 > /share/fio2 2>&1 && echo sound again"
    );
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let mut guest = boots(&stage, &wwn, &script)?;
    let mut qemu = Qmp::connect(&stage.scratch.join(MONITOR))?;
    guest.wait_for("go")?;
    for _ in 0..4 {
        // The length of the pause is what is tried.
        std::thread::sleep(Duration::from_millis(500));
        qemu.run("stop", json!({}))?;
        std::thread::sleep(Duration::from_millis(300));
        qemu.run("cont", json!({}))?;
    }
    guest.wait_for("unplug")?;
    let (device, chardev) = (format!("scsi-{wwn}"), format!("lunar-{wwn}"));
    qemu.run("device_del", json!({ "id": device }))?;
    qemu.wait_for("DEVICE_DELETED")?;
    guest.tell("gone", "gone\n")?;
    guest.wait_for("plug")?;
    qemu.run("device_add", json!({ "driver": "vhost-user-scsi-pci", "id": device, "chardev": chardev }))?;
    assert_eq!(guest.finish()?.out, "paused and sound\nsound again\n");
    // QEMU keeps the connection of an adapter that is gone for the next one on the same chardev.
    let log = stage.daemon.log();
    assert!(!log.contains("WARN") && log.matches("a front end connected").count() == 1, "{log}");
    Ok(())
}
