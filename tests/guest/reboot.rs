// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest reboots ten times, and its disk is there each time, with what the boot before wrote.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

const SCRIPT: &str = "settle 1
    boot=$(dd if=/dev/sda bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0')
    boot=$((boot + 1))
    echo $boot >> /share/boots
    echo $boot | dd of=/dev/sda bs=512 count=1 conv=sync oflag=direct 2>/dev/null
    # No farewell to the disk: what it was doing is cut short, as by a reset button.
    dd if=/dev/sda of=/dev/null bs=64k count=512 iflag=direct 2>/dev/null &
    if [ $boot -le 10 ]; then reboot -f; sleep 60; fi
    wait
    echo booted $boot times";

#[test]
fn a_guest_reboots_ten_times_without_a_restart_of_the_daemon() -> Result<()> {
    let mut stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "256M"])?;
    let guest = Guest::plan(SCRIPT).options(&options).may_reset().limit(Duration::from_secs(240));
    let results = guest.boot(&stage.scratch)?.finish()?;
    assert_eq!(results.read("boots")?, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n");
    assert_eq!(results.out, "booted 11 times\n");
    assert_eq!(stage.daemon.process().ended()?, None);
    Ok(())
}
