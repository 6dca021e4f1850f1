// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options of a target reach its guest, by way of `lunar qemu`, and stay as they are while it runs.

use anyhow::Result;
use stories::guest::Guest;
use stories::stage::Stage;

const SCRIPT: &str = "settle 1
    ls /sys/block/sda/mq | wc -l
    cat /sys/block/sda/device/queue_depth /sys/block/sda/queue/max_hw_sectors_kb
    cat /sys/class/scsi_host/host0/can_queue
    dd if=/dev/zero of=/dev/sda bs=1M count=8 oflag=direct 2>/dev/null
    echo ready > /share/ready
    until_true '[ -e /share/end ]'";

#[test]
fn options_of_a_target_reach_its_guest_and_do_not_change_under_it() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let set = "set option num_queues=2 virtqueue_size=256 cmd_per_lun=64 max_sectors=1024";
    stage.shell.well(&format!("/vhost/{wwn} {set}"))?;
    let options = stage.shell.qemu(&wwn, &["--memory", "256M"])?;
    let properties = ",num_queues=2,virtqueue_size=256,max_sectors=1024,cmd_per_lun=64";
    assert!(options.iter().any(|option| option.contains(properties)), "{options:?}");
    let mut guest = Guest::plan(SCRIPT).cpus(4).options(&options).boot(&stage.scratch)?;
    guest.wait_for("ready")?;
    let refused = stage.shell.run(&[&format!("/vhost/{wwn}"), "set", "option", "num_queues=4"])?;
    assert_eq!(
        (refused.status, refused.stderr.as_str()),
        (
            1,
            &*format!(
                "the options of target {wwn} cannot change while a front end is connected\n\
                 hint: shut the guest down or unplug the device first; one that has left is waited for until its disks \
                 have answered what it began\n"
            )
        )
    );
    guest.tell("end", "now\n")?;
    assert_eq!(guest.finish()?.out, "2\n64\n512\n256\n");
    stage.shell.well_once_guests_have_left(&format!("/vhost/{wwn} set option num_queues=4"))?;
    assert_eq!(stage.shell.well(&format!("/vhost/{wwn} get option num_queues"))?, "num_queues=4 \n");
    Ok(())
}
