// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system that is full: the guest is told so, others write on, and it goes on once there is room.

mod support;

use anyhow::Result;
use initiator::commands;
use stories::small::Small;
use stories::stage::Stage;
use support::{House, broken};

const PIECE: usize = 64 << 10;
const PIECE_BLOCKS: u16 = 128;

#[test]
fn a_full_file_system_is_told_as_such_disturbs_nobody_and_goes_on_when_there_is_room() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a file system takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let small = Small::mount(&stage.scratch.directory("small")?, 4)?;
    small.take(2)?;
    // Thin: 8 MiB are promised, where 2 are left.
    let file = small.join("disk");
    stage.shell.well(&format!("/backstores/fileio create broken {} 8M", file.display()))?;
    let mut house = House::around(stage, "fileio/broken")?;
    let write = |piece: u32| commands::write_10(broken(), piece * 128, PIECE_BLOCKS, &[7; PIECE]);
    let mut written = 0;
    let refused = loop {
        match house.sense(&write(written))? {
            None => written += 1,
            Some(sense) => break sense,
        }
        assert!(written < 128, "8 MiB were written where there are 2");
    };
    // SPACE ALLOCATION FAILED WRITE PROTECT.
    assert_eq!(refused, [0x07, 0x27, 0x07]);
    assert!(written >= 16, "{written} pieces of 64 KiB");

    let lines = house.lines();
    for _ in 0..200 {
        assert_eq!(house.sense(&write(written))?, Some([0x07, 0x27, 0x07]));
    }
    house.others_are_undisturbed()?;
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());
    // What was written is there, and may be written again: it has its space.
    let read = house.ask(&commands::read_10(broken(), 0, PIECE_BLOCKS, PIECE))?;
    assert!(read.is_good() && read.data_in == [7; PIECE], "{:?}", read.check_condition());
    assert!(house.ask(&write(0))?.is_good());

    small.take(0)?;
    for piece in written..written + 16 {
        assert_eq!(house.sense(&write(piece))?, None, "piece {piece}");
    }
    house.ends_well()
}
