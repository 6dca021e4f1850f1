// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine boots from a LUN.
//!
//! SeaBIOS polls, uses one queue, and asks all 256 targets for their LUNs before it reads the first block.

use anyhow::Result;
use stories::firmware::{Firmware, Then, write_loader};
use stories::stage::Stage;

#[test]
fn seabios_boots_a_loader_from_lun_0() -> Result<()> {
    let stage = Stage::set()?;
    let file = stage.create_fileio("boot", 1 << 20)?;
    write_loader(&file, "A loader from a disk of Lunar.\n")?;
    let wwn = stage.serve("fileio/boot")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    let machine = Firmware::boot(&stage.scratch, "seabios", &options, Then::Ends)?;
    assert_eq!(machine.finish()?, "A loader from a disk of Lunar.\n");
    Ok(())
}
