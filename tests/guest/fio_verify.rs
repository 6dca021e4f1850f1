// SPDX-License-Identifier: Apache-2.0 OR MIT
//! fio writes at random and verifies what it wrote, over four queues and 64 deep on each.

use anyhow::Result;
use std::time::Duration;
use stories::guest::Guest;
use stories::stage::Stage;

// A job for each processor, hence for each queue, in a part of the disk of its own.
const SCRIPT: &str = "settle 1
    ls /sys/block/sda/mq | wc -l
    fio --name=verify --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=64 --rw=randwrite \
        --bsrange=4k-256k --size=24m --offset_increment=24m --numjobs=4 --cpus_allowed=0-3 \
        --cpus_allowed_policy=split --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting \
        --randseed=1 > /share/fio
    echo verified";

#[test]
fn fio_verifies_four_queues_at_depth_64() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 128 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "1G"])?;
    let guest = Guest::plan(SCRIPT).programs(&["fio"]).cpus(4).options(&options);
    let results = guest.limit(Duration::from_secs(240)).boot(&stage.scratch)?.finish()?;
    assert_eq!(results.out, "4\nverified\n");
    let fio = results.read("fio")?;
    assert!(fio.contains(" err= 0: "), "{fio}");
    println!("{fio}");
    Ok(())
}
