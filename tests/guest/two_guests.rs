// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two guests at once, each with the disk that is its own.

use anyhow::Result;
use std::os::unix::fs::FileExt;
use stories::guest::Guest;
use stories::stage::Stage;

// Both write the same blocks at the same time, and read them back when both have written.
const SCRIPT: &str = "settle 1
    cat /sys/block/sda/device/model
    name=$(cat /share/name)
    yes \"$name\" | head -c 4194304 > /mine
    dd if=/mine of=/dev/sda bs=64k oflag=direct 2>/dev/null
    echo written > /share/written
    until_true '[ -e /share/both ]'
    dd if=/dev/sda bs=64k count=64 iflag=direct 2>/dev/null | cmp - /mine
    echo verified";

#[test]
fn two_guests_write_and_verify_at_once() -> Result<()> {
    let stage = Stage::set()?;
    let mut guests = Vec::new();
    for name in ["alice", "bob"] {
        let file = stage.create_fileio(name, 16 << 20)?;
        let wwn = stage.serve(&format!("fileio/{name}"))?;
        let options = stage.shell.qemu(&wwn, &["--memory", "256M"])?;
        let guest = Guest::plan(SCRIPT).name(name).options(&options).boot(&stage.scratch)?;
        guest.tell("name", name)?;
        guests.push((name, file, guest));
    }
    for (_, _, guest) in &mut guests {
        guest.wait_for("written")?;
    }
    for (_, _, guest) in &guests {
        guest.tell("both", "")?;
    }
    for (name, file, guest) in guests {
        assert_eq!(guest.finish()?.out, format!("{name:<16}\nverified\n"));
        let mut begun = vec![0; name.len() + 1];
        std::fs::File::open(file)?.read_exact_at(&mut begun, 0)?;
        assert_eq!(begun, format!("{name}\n").as_bytes());
    }
    Ok(())
}
