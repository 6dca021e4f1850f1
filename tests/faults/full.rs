// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file system that is full: the guest is told so, others write on, and it goes on once there is room.

mod support;

use anyhow::Result;
use initiator::{Command, commands};
use stories::daemon::{Daemon, Places};
use stories::scratch::Scratch;
use stories::small::Small;
use stories::stage::Stage;
use support::{House, broken};

const PIECE: usize = 64 << 10;
const PIECE_BLOCKS: u16 = 128;
/// THIN PROVISIONING SOFT THRESHOLD REACHED, which is told when somebody has looked: whichever command that meets.
const SCARCE: [u8; 3] = [0x06, 0x38, 0x07];

/// The sense of a command once the guest knows that space is scarce.
fn sense(house: &mut House, command: &Command) -> Result<Option<[u8; 3]>> {
    Ok(house.ask_after(&[SCARCE], command)?.check_condition())
}

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
        match sense(&mut house, &write(written))? {
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
        assert_eq!(sense(&mut house, &write(written))?, Some([0x07, 0x27, 0x07]));
    }
    house.others_are_undisturbed()?;
    assert!(house.lines() <= lines + 2, "{}", house.stage.daemon.log());
    // What was written is there, and may be written again: it has its space.
    let read = house.ask_after(&[SCARCE], &commands::read_10(broken(), 0, PIECE_BLOCKS, PIECE))?;
    assert!(read.is_good() && read.data_in == [7; PIECE], "{:?}", read.check_condition());
    assert_eq!(sense(&mut house, &write(0))?, None);

    small.take(0)?;
    for piece in written..written + 16 {
        assert_eq!(sense(&mut house, &write(piece))?, None, "piece {piece}");
    }
    house.ends_well()
}

#[test]
fn where_the_configuration_is_kept_is_full_nothing_is_half_written_and_it_goes_on_when_there_is_room()
-> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting takes root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let small = Small::mount(&scratch.directory("state")?, 16)?;
    let mut daemon = Daemon::start_at(Places::in_scratch(&scratch))?;
    let shell = daemon.shell()?;
    for number in 0..40 {
        shell.well(&format!("/backstores/ramdisk create r{number} 1M"))?;
    }
    shell.well("saveconfig")?;
    shell.well("/backstores/ramdisk create more 1M")?;
    let saved = std::fs::read_to_string(small.join("saveconfig.json"))?;

    small.take(16)?;
    let refused = shell.run(&["saveconfig"])?;
    assert_eq!((refused.status, refused.stderr.lines().count()), (1, 1), "{}", refused.stderr);
    assert!(refused.stderr.contains("No space left on device"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(small.join("saveconfig.json"))?, saved);
    assert!(!small.join("saveconfig.json.temp").exists());
    let backups = small.join("backup");
    let halves = if backups.exists() { std::fs::read_dir(&backups)?.count() } else { 0 };
    assert_eq!(halves, 0, "half a backup is none");

    // What is answered is so after a death, whether it was refused or not.
    let mut there = shell.well("/backstores/ramdisk ls")?;
    let mut refused = 0;
    for number in 0.. {
        let made = shell.run(&[&format!("/backstores/ramdisk create x{number} 1M")])?;
        if made.status != 0 {
            let why = "No space left on device\nhint: nothing was changed; see to the file system of the state directory\n";
            assert!(made.stderr.ends_with(why), "{}", made.stderr);
            refused += 1;
        }
        let is = shell.well("/backstores/ramdisk ls")?;
        assert_eq!(is == there, made.status != 0);
        there = is;
        // The database has some room in itself.
        if refused == 3 {
            break;
        }
        assert!(number < 2000, "a full file system takes everything");
    }
    daemon.kill()?;
    daemon.restart()?;
    assert_eq!(shell.well("/backstores/ramdisk ls")?, there);
    small.take(0)?;
    shell.well("/backstores/ramdisk create last 1M")?;
    there = shell.well("/backstores/ramdisk ls")?;
    daemon.kill()?;
    daemon.restart()?;
    assert_eq!(shell.well("/backstores/ramdisk ls")?, there);
    shell.well("saveconfig")?;
    Ok(())
}
