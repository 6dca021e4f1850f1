// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file that is cut while a guest uses it: what is left is served, what is not is an error, and nobody dies.

mod support;

use anyhow::Result;
use initiator::commands;
use std::fs::File;
use stories::stage::Stage;
use support::{House, broken};

const BYTES: u64 = 1 << 20;

#[test]
fn a_file_that_is_cut_fails_where_it_ends_and_is_whole_again_when_it_grows_back() -> Result<()> {
    let stage = Stage::set()?;
    let path = stage.create_fileio("broken", BYTES)?;
    let mut house = House::around(stage, "fileio/broken")?;
    let read = |lba| commands::read_10(broken(), lba, 8, 4096);
    for lba in [0, 1024] {
        assert!(house.ask(&commands::write_10(broken(), lba, 8, &[9; 4096]))?.is_good());
    }
    let file = File::options().write(true).open(&path)?;
    file.set_len(64 << 10)?;
    house.wait_for_line("fileio/broken was cut to 65536 bytes")?;
    let lines = house.lines();
    for _ in 0..100 {
        assert_eq!(house.sense(&read(1024))?, Some([0x03, 0x11, 0x00]), "UNRECOVERED READ ERROR");
        assert_eq!(house.ask(&read(0))?.data_in, [9; 4096]);
    }
    // Across the end, too.
    assert_eq!(house.sense(&read(124))?, Some([0x03, 0x11, 0x00]));
    house.others_are_undisturbed()?;
    assert!(house.lines() <= lines + 1, "{}", house.stage.daemon.log());

    file.set_len(BYTES)?;
    assert_eq!(house.comes_back(&read(1024))?.data_in, [0; 4096]);
    assert!(house.ask(&commands::write_10(broken(), 1024, 8, &[9; 4096]))?.is_good());
    assert_eq!(house.ask(&read(1024))?.data_in, [9; 4096]);
    house.ends_well()
}
