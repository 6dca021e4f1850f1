// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system that is full: the guest is told so, others write on, and it goes on once there is room.

mod support;

use anyhow::{Context, Result};
use initiator::commands;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stories::process::{command, run_well};
use stories::stage::Stage;
use support::{House, broken};

const LIMIT: Duration = Duration::from_secs(20);
const PIECE: usize = 64 << 10;
const PIECE_BLOCKS: u16 = 128;

/// A small file system of its own.
struct Small(PathBuf);

impl Small {
    fn mount(folder: PathBuf, bytes: u64) -> Result<Self> {
        let size = format!("size={bytes}");
        run_well(command("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder), LIMIT)?;
        Ok(Self(folder))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = run_well(command("umount").arg("--lazy").arg(&self.0), LIMIT);
    }
}

fn fill(file: &Path, bytes: usize) -> Result<()> {
    std::fs::write(file, vec![1; bytes]).with_context(|| format!("cannot write {}", file.display()))
}

#[test]
fn a_full_file_system_is_told_as_such_disturbs_nobody_and_goes_on_when_there_is_room() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a file system takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let small = Small::mount(stage.scratch.directory("small")?, 4 << 20)?;
    fill(&small.join("other"), 2 << 20)?;
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

    std::fs::remove_file(small.join("other"))?;
    for piece in written..written + 16 {
        assert_eq!(house.sense(&write(piece))?, None, "piece {piece}");
    }
    house.ends_well()
}
