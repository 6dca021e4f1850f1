// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A disk that fails its reads and writes, and a file system that becomes read-only under load: each has its own sense,
//! and is over when the disk says so.

mod support;

use anyhow::Result;
use initiator::commands;
use support::{House, broken};

const BYTES: usize = 1 << 20;
const EIO: i32 = 5;
const EROFS: i32 = 30;

/// What every block was before and is afterwards.
fn is_readable(house: &mut House, lba: u32) -> Result<()> {
    let read = house.ask(&commands::read_10(broken(), lba, 8, 4096))?;
    assert!(read.is_good() && read.data_in == [3; 4096], "{:?}", read.check_condition());
    Ok(())
}

#[test]
fn a_disk_that_fails_says_which_way_and_is_well_again_when_it_is() -> Result<()> {
    let Some((mut house, disk)) = House::on_a_slow_disk(BYTES)? else { return Ok(()) };
    assert!(house.ask(&commands::write_10(broken(), 0, 8, &[3; 4096]))?.is_good());
    let lines = house.lines();
    disk.fail_reads(Some(EIO));
    disk.fail_writes(Some(EIO));
    for round in 0..100 {
        // Each reads what nobody has read before, which is in no cache.
        let read = house.sense(&commands::read_10(broken(), 256 + 8 * round, 8, 4096))?;
        assert_eq!(read, Some([0x03, 0x11, 0x00]), "UNRECOVERED READ ERROR");
        let write = house.sense(&commands::write_10(broken(), 1024 + 8 * round, 8, &[4; 4096]))?;
        assert_eq!(write, Some([0x03, 0x0c, 0x00]), "WRITE ERROR");
    }
    house.others_are_undisturbed()?;
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());
    disk.fail_reads(None);
    disk.fail_writes(None);
    assert!(house.ask(&commands::read_10(broken(), 256, 8, 4096))?.is_good());
    assert!(house.ask(&commands::write_10(broken(), 1024, 8, &[3; 4096]))?.is_good());
    is_readable(&mut house, 0)?;
    is_readable(&mut house, 1024)?;
    house.ends_well()
}

#[test]
fn a_file_system_that_becomes_read_only_under_load_is_write_protected_until_it_is_not() -> Result<()> {
    let Some((mut house, disk)) = House::on_a_slow_disk(BYTES)? else { return Ok(()) };
    let write = |lba| commands::write_10(broken(), lba, 8, &[3; 4096]);
    let lines = house.lines();
    let queue = house.guest.request_queue(0)?;
    // Under load: some of these come before it, and some after.
    let load: Vec<_> = (0..32).map(|piece| queue.start(&write(piece * 8))).collect::<Result<_, _>>()?;
    disk.fail_writes(Some(EROFS));
    for token in load {
        let sense = house.guest.request_queue(0)?.wait_for(token)?.check_condition();
        assert!(matches!(sense, None | Some([0x07, 0x27, 0x00])), "{sense:x?}");
    }
    for _ in 0..100 {
        assert_eq!(house.sense(&write(512))?, Some([0x07, 0x27, 0x00]), "WRITE PROTECTED");
    }
    house.others_are_undisturbed()?;
    // It is read as before.
    assert!(house.ask(&commands::read_10(broken(), 1024, 8, 4096))?.is_good());
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());
    disk.fail_writes(None);
    assert_eq!(house.sense(&write(512))?, None);
    is_readable(&mut house, 512)?;
    house.ends_well()
}
