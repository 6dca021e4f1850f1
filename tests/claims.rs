// SPDX-License-Identifier: Apache-2.0 OR MIT
//! docs/standards.md says what guests are told in INQUIRY, its pages and READ CAPACITY (16): byte for byte that of disks as
//! they are when they are made.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options};
use stories::stage::Stage;

const PAGE: &str = include_str!("../docs/standards.md");

const INQUIRY: &[u8] = &[0x12, 0, 0, 0, 96, 0];
const EXTENDED: &[u8] = &[0x12, 1, 0x86, 0, 64, 0];
const CHARACTERISTICS: &[u8] = &[0x12, 1, 0xb1, 0, 64, 0];
const PROVISIONING: &[u8] = &[0x12, 1, 0xb2, 0, 64, 0];
const CAPACITY: &[u8] = &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
const CACHING: &[u8] = &[0x1a, 8, 0x08, 0, 0xfc, 0];

/// The disks, by LUN: a file; a file without a write cache that gives no space back, whose medium can be taken out, and
/// which nobody may reserve or copy; memory.
const FILE: u8 = 0;
const PLAIN: u8 = 1;
const MEMORY: u8 = 2;

/// What is asked of which disk, from which byte of the answer on, and how the page writes what follows.
const CLAIMS: &[(u8, &[u8], usize, &str)] = &[
    (FILE, INQUIRY, 0, "00 00 06 02 5b b8 00 02"),
    (PLAIN, INQUIRY, 0, "00 80 06 02 5b b0 00 02"),
    (MEMORY, INQUIRY, 0, "00 00 06 02 5b b8 00 02"),
    (FILE, INQUIRY, 58, "00 a0 0c 60 04 60 04 c0"),
    (FILE, EXTENDED, 0, "00 86 00 3c 00 01 01 00 00"),
    (PLAIN, EXTENDED, 0, "00 86 00 3c 00 01 00 00 00"),
    (FILE, CHARACTERISTICS, 0, "00 b1 00 3c 00 00 00 40"),
    (MEMORY, CHARACTERISTICS, 0, "00 b1 00 3c 00 01 00 40"),
    (PLAIN, CHARACTERISTICS, 0, "00 b1 00 3c 00 00 00 00"),
    (FILE, PROVISIONING, 0, "00 b2 00 04 0b e4 02 00"),
    (PLAIN, PROVISIONING, 0, "00 b2 00 04 00 00 00 00"),
    (FILE, CAPACITY, 12, "00 00 c0 00"),
    (PLAIN, CAPACITY, 12, "00 00 00 00"),
    (FILE, CACHING, 2, "10 00"),
    (PLAIN, CACHING, 2, "00 00"),
];

/// The answer, once the unit has told its attentions.
fn ask(guest: &mut Guest, lun: u8, cdb: &[u8]) -> Result<Vec<u8>> {
    let command = Command::new(LunAddress::unit(1, lun.into()), cdb).data_in(252);
    for _ in 0..4 {
        let answer = guest.execute(&command)?;
        if answer.is_good() {
            return Ok(answer.data_in);
        }
    }
    anyhow::bail!("{cdb:02x?} is not answered")
}

#[test]
fn the_page_of_standards_says_what_guests_are_told_byte_for_byte() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    let file = stage.scratch.join("disk1");
    let shell = &stage.shell;
    shell.well(&format!("/backstores/fileio create disk1 {} 64M write_back=false", file.display()))?;
    shell.well(
        "/backstores/fileio/disk1 set attribute emulate_tpu=0 emulate_tpws=0 emulate_3pc=0 emulate_removable=1",
    )?;
    shell.well("/backstores/ramdisk create r0 64M")?;
    let wwn = stage.serve("fileio/disk0")?;
    stage.map(&wwn, 1, 1, "fileio/disk1")?;
    stage.map(&wwn, 1, 2, "ramdisk/r0")?;
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;

    let (_, claims) = PAGE.split_once("## What is claimed to guests").context("the page has claims")?;
    for (lun, cdb, first, written) in CLAIMS {
        let answer = ask(&mut guest, *lun, cdb)?;
        let bytes: Vec<String> = answer.iter().skip(*first).map(|byte| format!("{byte:02x}")).collect();
        let told = bytes.join(" ");
        ensure!(told.starts_with(written), "LUN {lun} answers {cdb:02x?} from byte {first} on with {told}");
        ensure!(claims.contains(&format!("`{written}`")), "the page has no `{written}`: {told}");
    }
    Ok(())
}
