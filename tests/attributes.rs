// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every attribute of a backstore, row by row, at every door: its default for each kind, the values that it takes and
//! refuses, with which errno, whether it may change while a LUN shows the backstore, and what a guest sees of it.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use serde_json::{Value, json};
use stories::api;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::small::Small;
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const UNIT: LunAddress = LunAddress([1, 1, 0, 0, 0, 0, 0, 0]);
const DISK: &str = "core/fileio_0/disk0";

/// The file of an attribute: with LIO's, or beside them where LIO of this kernel has none of that name.
fn file(mounted: &Mounted, device: &str, name: &str) -> String {
    let own = matches!(name, "emulate_removable" | "physical_block_size");
    let is_beside = own || name == "emulate_rsoc" && !mounted::kernel_has_rsoc();
    let (here, elsewhere) = (format!("{device}/{name}"), format!("{device}/attrib/{name}"));
    let (here, elsewhere) = if is_beside { (here, elsewhere) } else { (elsewhere, here) };
    assert!(!mounted.top(&elsewhere).exists(), "{elsewhere}");
    here
}

const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;

/// Whether it may change while a LUN shows the backstore.
#[derive(Clone, Copy, PartialEq, Eq)]
enum While {
    Exported,
    NotExported,
}
use While::{Exported, NotExported};

/// Name; defaults of block, fileio and ramdisk; what is written and reads back, the first of it other than the default of
/// fileio where there is such a value; what is refused, with LIO's errno.
type Row = (
    &'static str,
    [&'static str; 3],
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, i32)],
    While,
);

const ON: &[(&str, &str)] = &[("0", "0"), ("1", "1"), ("n", "0"), ("yes", "1"), ("off", "0")];
const OFF: &[(&str, &str)] = &[("1", "1"), ("0", "0"), ("y", "1"), ("no", "0"), ("on", "1")];
const IGNORED: &[(&str, &str)] = &[("0", "1"), ("1", "1")];
const SWITCH: &[(&str, i32)] = &[("2", EINVAL), ("-1", EINVAL), ("maybe", EINVAL)];
const FACT: &[(&str, i32)] = &[("1", EACCES)];
const WORD: &[(&str, &str)] = &[("8", "8"), ("0x10", "16"), ("4294967295", "4294967295"), ("0", "0")];
const NO_WORD: &[(&str, i32)] = &[("4294967296", EINVAL), ("-1", EINVAL), ("8k", EINVAL)];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("alua_support", ["1"; 3], &[("1", "1")], &[("0", ENOSYS), ("2", EINVAL)], Exported),
    ("block_size", ["512"; 3], &[("4096", "4096"), ("1024", "1024"), ("0x800", "2048"), ("512", "512")],
        &[("0", EINVAL), ("513", EINVAL), ("8192", EINVAL)], NotExported),
    ("emulate_3pc", ["1"; 3], ON, SWITCH, Exported),
    ("emulate_caw", ["1"; 3], ON, SWITCH, Exported),
    ("emulate_dpo", ["1"; 3], IGNORED, SWITCH, Exported),
    ("emulate_fua_read", ["1"; 3], IGNORED, SWITCH, Exported),
    ("emulate_fua_write", ["1"; 3], ON, SWITCH, Exported),
    ("emulate_model_alias", ["1"; 3], ON, SWITCH, NotExported),
    ("emulate_pr", ["1"; 3], ON, SWITCH, NotExported),
    ("emulate_removable", ["0"; 3], OFF, SWITCH, NotExported),
    ("emulate_rest_reord", ["0"; 3], &[("0", "0")], &[("1", ENOSYS), ("2", EINVAL)], Exported),
    ("emulate_rsoc", ["1"; 3], ON, SWITCH, Exported),
    ("emulate_tas", ["1"; 3], ON, SWITCH, NotExported),
    ("emulate_tpu", ["0", "1", "1"], ON, SWITCH, Exported),
    ("emulate_tpws", ["0", "1", "1"], ON, SWITCH, Exported),
    ("emulate_ua_intlck_ctrl", ["0"; 3], &[("1", "1"), ("2", "2"), ("0x0", "0")], &[("3", EINVAL)], NotExported),
    ("emulate_write_cache", ["0", "1", "0"], ON, SWITCH, Exported),
    ("enforce_pr_isids", ["1"; 3], IGNORED, SWITCH, Exported),
    ("force_pr_aptpl", ["0"; 3], OFF, SWITCH, NotExported),
    ("hw_block_size", ["512"; 3], &[], FACT, Exported),
    ("hw_max_sectors", ["16384"; 3], &[], FACT, Exported),
    ("hw_queue_depth", ["128"; 3], &[], FACT, Exported),
    ("is_nonrot", ["", "0", "1"], OFF, SWITCH, Exported),
    ("max_unmap_block_desc_count", ["0"; 3], &[("1", "1"), ("4095", "4095"), ("0", "0")], &[("4096", EINVAL)], Exported),
    ("max_unmap_lba_count", ["0"; 3], WORD, NO_WORD, Exported),
    ("max_write_same_len", ["0"; 3], WORD, NO_WORD, Exported),
    ("optimal_sectors", ["16384"; 3], &[("8", "8"), ("1", "1"), ("16384", "16384")],
        &[("0", EINVAL), ("16385", EINVAL)], NotExported),
    ("pgr_support", ["1"; 3], &[("1", "1")], &[("0", ENOSYS), ("2", EINVAL)], Exported),
    ("physical_block_size", ["", "512", "512"], &[("4096", "4096"), ("65536", "65536"), ("0x400", "1024"), ("512", "512")],
        &[("0", EINVAL), ("513", EINVAL), ("131072", EINVAL)], NotExported),
    ("pi_prot_format", ["0"; 3], &[("0", "0")], &[("1", ENOSYS), ("2", EINVAL)], Exported),
    ("pi_prot_type", ["0"; 3], &[("0", "0")], &[("1", ENOSYS), ("2", ENOSYS), ("3", ENOSYS), ("4", EINVAL)], Exported),
    ("pi_prot_verify", ["0"; 3], &[("0", "0")], &[("1", ENOSYS), ("2", EINVAL)], Exported),
    ("queue_depth", ["128"; 3], &[("1", "1"), ("128", "128")], &[("0", EINVAL), ("129", EINVAL)], NotExported),
    ("unmap_granularity", ["0"; 3], WORD, NO_WORD, Exported),
    ("unmap_granularity_alignment", ["0"; 3], &[("8", "8"), ("2147483647", "2147483647"), ("0", "0")],
        &[("2147483648", EINVAL)], Exported),
    ("unmap_zeroes_data", ["1"; 3], ON, SWITCH, NotExported),
];

fn write(mounted: &Mounted, name: &str, text: &str) -> Option<i32> {
    mounted.write(&file(mounted, DISK, name), text).err().and_then(|error| error.raw_os_error())
}

fn read(mounted: &Mounted, name: &str) -> Result<String> {
    Ok(mounted.read(&file(mounted, DISK, name))?.trim_end().to_owned())
}

fn ask(mounted: &Mounted, name: &str, value: &str) -> Result<(u16, Value)> {
    let change = json!({
        "change": "set_attribute", "kind": "fileio", "name": "disk0", "attribute": name, "value": value,
    });
    api::change(&mounted.daemon.places().runtime, &change)
}

#[test]
fn every_attribute_has_its_default_for_every_kind() -> Result<()> {
    if let Some(why) =
        mounted::missing().or_else(|| (!loop_device::available()).then_some("there are no loop devices"))
    {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("block", 8 << 20)?, &[])?;
    shell.well(&format!("/backstores/block create disk0 {}", disk.path().display()))?;
    shell.well("/backstores/ramdisk create disk0 1M")?;
    let homes = ["iblock", "fileio", "rd_mcp"].map(|plugin| {
        let mut all = (0..9).map(|number| format!("core/{plugin}_{number}/disk0"));
        all.find(|home| mounted.top(home).is_dir()).unwrap_or_default()
    });
    for (name, defaults, ..) in ROWS {
        for (home, default) in homes.iter().zip(defaults).filter(|(_, default)| !default.is_empty()) {
            assert_eq!(mounted.read(&file(&mounted, home, name))?.trim_end(), *default, "{home}/{name}");
        }
    }
    // None is left out.
    let known = |name: &str| ROWS.iter().any(|row| row.0 == name) || name == "hw_pi_prot_type";
    for entry in std::fs::read_dir(mounted.top(&homes[1]).join("attrib"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        assert!(known(&name), "{name} is in no row");
    }
    // A device's cache is its own.
    let written = mounted.write(&format!("{}/attrib/emulate_write_cache", homes[0]), "1");
    assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(EINVAL));
    Ok(())
}

#[test]
fn every_attribute_takes_its_range_and_no_more_at_every_door() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    let listed = shell.well("/backstores/fileio/disk0 get attribute")?;
    for (name, _, good, bad, _) in ROWS {
        let before = read(&mounted, name)?;
        for (text, errno) in *bad {
            assert_eq!(write(&mounted, name, text), Some(*errno), "{name}={text}");
            let (status, problem) = ask(&mounted, name, text)?;
            assert_eq!(status, 400, "{name}={text}: {problem}");
            let message = problem["message"].as_str().context("no message")?;
            assert!(message.starts_with(&format!("attribute {name} of fileio/disk0 ")), "{message}");
            let line = format!("{name}={text}");
            let typed = shell.run(&["/backstores/fileio/disk0", "set", "attribute", &line])?;
            assert_eq!((typed.status, typed.stdout.as_str()), (1, ""), "{line}: {}", typed.stderr);
            assert!(typed.stderr.contains(name), "{}", typed.stderr);
            assert_eq!(read(&mounted, name)?, before, "{line}");
        }
        for (text, back) in *good {
            assert_eq!(write(&mounted, name, text), None, "{name}={text}");
            assert_eq!(read(&mounted, name)?, *back, "{name}={text}");
            let (status, done) = ask(&mounted, name, text)?;
            assert_eq!((status, &done["results"][0]["value"]), (200, &json!(back)), "{name}={text}: {done}");
            if listed.contains(&format!("\n{name}=")) && text.bytes().all(|byte| byte.is_ascii_digit()) {
                let said = shell.well(&format!("/backstores/fileio/disk0 set attribute {name}={text}"))?;
                assert_eq!(said, format!("Parameter {name} is now '{back}'.\n"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_attribute_changes_while_a_lun_shows_the_backstore_or_does_not() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 0"))?;
    for (name, _, good, _, changes) in ROWS {
        let before = read(&mounted, name)?;
        // What can be written is no change where it is as it was read: LIO's tools write back all of it.
        let expected = if good.is_empty() { Some(EACCES) } else { None };
        assert_eq!(write(&mounted, name, &before), expected, "{name}={before}");
        let Some((text, back)) = good.iter().find(|(_, back)| *back != before) else { continue };
        if *changes == Exported {
            assert_eq!(write(&mounted, name, text), None, "{name}={text}");
            assert_eq!(read(&mounted, name)?, *back);
            continue;
        }
        assert_eq!(write(&mounted, name, text), Some(EINVAL), "{name}={text}");
        let (status, problem) = ask(&mounted, name, text)?;
        assert_eq!((status, &problem["code"]), (409, &json!("attribute_frozen")), "{name}={text}");
        let typed =
            shell.run(&["/backstores/fileio/disk0", "set", "attribute", &format!("{name}={back}")])?;
        let line =
            format!("attribute {name} of fileio/disk0 cannot change while LUN {WWN}/tpg1/lun0 shows it\n");
        assert!(typed.stderr.starts_with(&line), "{}", typed.stderr);
        assert_eq!(read(&mounted, name)?, before);
    }
    Ok(())
}

/// What a guest reads once the unit has said what changed, or the sense of a refusal.
fn seen(guest: &mut Guest, command: &Command) -> Result<std::result::Result<Vec<u8>, [u8; 3]>> {
    for _ in 0..8 {
        let answer = guest.execute(command)?;
        match answer.check_condition() {
            Some(sense) if sense[0] == 6 => {}
            Some(sense) => return Ok(Err(sense)),
            None => {
                ensure!(answer.is_good(), "{answer:?}");
                return Ok(Ok(answer.data_in));
            }
        }
    }
    anyhow::bail!("a unit has nothing but unit attentions")
}

/// Sets, and returns what the guest finds at a place of a page or of mode page (its code from 0x100 on).
fn found(
    mounted: &Mounted,
    guest: &mut Guest,
    set: &str,
    page: u16,
    at: usize,
    bytes: usize,
) -> Result<Vec<u8>> {
    let (name, value) = set.split_once('=').context("no value")?;
    assert_eq!(write(mounted, name, value), None, "{set}");
    let command = match u8::try_from(page) {
        Ok(page) => commands::inquiry_page(UNIT, page, 252),
        Err(_) => commands::mode_sense_6(UNIT, u8::try_from(page & 0xff)?, 0, 252),
    };
    let data = seen(guest, &command)?.map_err(|sense| anyhow::anyhow!("{set}: {sense:x?}"))?;
    Ok(data.get(at..at + bytes).with_context(|| format!("{set}: the page is short"))?.to_vec())
}

#[test]
fn what_an_attribute_says_a_guest_sees_with_its_next_command() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    // What is fixed while a LUN shows the backstore.
    for set in ["emulate_model_alias=0", "optimal_sectors=8192", "block_size=1024", "unmap_zeroes_data=0"] {
        shell.well(&format!("/backstores/fileio/disk0 set attribute {set}"))?;
    }
    shell.well("/backstores/fileio/disk0 set attribute emulate_tas=0 emulate_pr=0")?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 0"))?;
    let mut guest = Guest::boot(mounted.daemon.socket(WWN), Options::default())?;
    let standard = seen(&mut guest, &commands::inquiry(UNIT, 96))?.unwrap_or_default();
    assert_eq!(standard[16..32], *b"FILEIO          ");
    assert_eq!(guest.capacity(UNIT)?, (1024, 1024));

    // Page, or mode page and 0x100; place; bytes.
    for (set, page, at, bytes) in [
        ("emulate_write_cache=1", 0x108, 14, &[0x04][..]),
        ("emulate_write_cache=0", 0x108, 14, &[0x00]),
        ("emulate_write_cache=1", 0x108, 2, &[0x10]), // DPOFUA
        ("emulate_fua_write=0", 0x108, 2, &[0x00]),
        ("emulate_rest_reord=0", 0x10a, 15, &[0x10]), // QUEUE ALGORITHM MODIFIER: unrestricted
        ("emulate_dpo=1", 0x10a, 17, &[0x00]),        // TAS, of emulate_tas=0
        ("is_nonrot=1", 0xb1, 4, &[0, 1]),
        ("is_nonrot=0", 0xb1, 4, &[0, 0]),
        ("emulate_caw=0", 0xb0, 5, &[0]),
        ("emulate_3pc=1", 0xb0, 12, &[0, 0, 0x20, 0]), // OPTIMAL TRANSFER LENGTH, of optimal_sectors=8192
        ("max_unmap_lba_count=4096", 0xb0, 20, &[0, 0, 0x10, 0]),
        ("max_unmap_block_desc_count=7", 0xb0, 24, &[0, 0, 0, 7]),
        ("unmap_granularity=16", 0xb0, 28, &[0, 0, 0, 16]),
        ("unmap_granularity_alignment=3", 0xb0, 32, &[0x80, 0, 0, 3]), // UGAVALID
        ("max_write_same_len=2048", 0xb0, 36, &[0, 0, 0, 0, 0, 0, 8, 0]),
        ("emulate_tpu=1", 0xb2, 5, &[0xe0]), // LBPU, LBPWS, LBPWS10; LBPRZ not, of unmap_zeroes_data=0
        ("emulate_tpws=0", 0xb2, 5, &[0x80]),
        ("emulate_tpu=0", 0xb2, 5, &[0x00]),
    ] {
        assert_eq!(found(&mounted, &mut guest, set, page, at, bytes.len())?, bytes, "{set}");
    }

    // Commands that are there no more: INVALID COMMAND OPERATION CODE, and of a service action that has others beside it.
    let gone: [&[u8]; 4] = [&[0x5e; 10], &[0x5f; 10], &[0x16; 6], &[0x89; 16]];
    for cdb in gone {
        let mut cdb = cdb.to_vec();
        cdb[1..].fill(0);
        let refused = seen(&mut guest, &Command { data_in_bytes: 0, ..Command::new(UNIT, &cdb) })?;
        assert_eq!(refused, Err([0x05, 0x20, 0x00]), "{cdb:x?}");
    }
    assert_eq!(write(&mounted, "emulate_3pc", "0"), None);
    let copy = seen(&mut guest, &Command::new(UNIT, &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))?;
    assert_eq!(copy, Err([0x05, 0x20, 0x00]));
    let standard = seen(&mut guest, &commands::inquiry(UNIT, 96))?.unwrap_or_default();
    assert_eq!(standard[5] & 0x08, 0, "3PC");
    // Of A3h other service actions are left: INVALID FIELD IN CDB.
    let codes = commands::report_supported_operation_codes(UNIT, 512);
    assert!(seen(&mut guest, &codes)?.is_ok());
    assert_eq!(write(&mounted, "emulate_rsoc", "0"), None);
    assert_eq!(seen(&mut guest, &codes)?, Err([0x05, 0x24, 0x00]));
    Ok(())
}

/// What guests are told of space that the medium has to give back.
const OF_SPACE: [&str; 3] = ["emulate_tpu", "emulate_tpws", "unmap_zeroes_data"];

#[test]
fn what_a_medium_cannot_do_with_space_reads_0_and_is_refused_at_every_door() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let solid = Small::without_holes(&mounted.scratch.directory("solid")?)?;
    let shell = mounted.shell()?;
    shell.well(&format!("/backstores/fileio create disk0 {} 1M", solid.join("disk0").display()))?;
    for name in OF_SPACE {
        assert_eq!(read(&mounted, name)?, "0", "{name}");
        // What was read may be written back.
        assert_eq!(write(&mounted, name, "0"), None, "{name}");
        assert_eq!(write(&mounted, name, "1"), Some(ENOSYS), "{name}");
        let (status, problem) = ask(&mounted, name, "1")?;
        let message = problem["message"].as_str().context("no message")?;
        let start = format!("attribute {name} of fileio/disk0 cannot be 1: ");
        assert!(status == 422 && message.starts_with(&start), "{status}: {message}");
        let typed = shell.run(&["/backstores/fileio/disk0", "set", "attribute", &format!("{name}=1")])?;
        assert!(typed.status == 1 && typed.stderr.starts_with(&start), "{}", typed.stderr);
        assert_eq!(read(&mounted, name)?, "0", "{name}");
    }

    // A file in which somebody has said so; what a tool has written is a default here, and is told of.
    let saved = mounted.scratch.join("saved.json");
    shell.well(&format!("saveconfig {}", saved.display()))?;
    let text = std::fs::read_to_string(&saved)?;
    assert!(text.contains("\"emulate_tpu\": 0"), "{text}");
    std::fs::write(&saved, text.replace("\"emulate_tpu\": 0", "\"emulate_tpu\": 1"))?;
    shell.well("clearconfig confirm=true")?;
    let restored = shell.well(&format!("restoreconfig {}", saved.display()))?;
    assert!(restored.contains("the medium of fileio/disk0 cannot do emulate_tpu"), "{restored}");
    assert!(shell.well("/backstores/fileio/disk0 get attribute emulate_tpu")?.contains("emulate_tpu=0"));

    let wanted = mounted.scratch.join("wanted.toml");
    let path = solid.join("disk0");
    let toml = |attributes: &str| {
        let text =
            format!("[fileio.disk0]\npath = \"{}\"\nattributes = {{ {attributes} }}\n", path.display());
        std::fs::write(&wanted, text)
    };
    // Who says nothing of it asks for nothing.
    toml("emulate_caw = 1")?;
    let apply = format!("apply -f {}", wanted.display());
    shell.well(&apply)?;
    shell.well(&apply)?;

    // A device, of which neither is a default.
    if loop_device::available() {
        let image = solid.join("device");
        std::fs::write(&image, vec![0; 1 << 20])?;
        let disk = LoopDevice::attach(&image, &[])?;
        shell.well("clearconfig confirm=true")?;
        shell.well(&format!("/backstores/block create disk0 {}", disk.path().display()))?;
        shell.well(&format!("saveconfig {}", saved.display()))?;
        let text = std::fs::read_to_string(&saved)?;
        std::fs::write(&saved, text.replace("\"emulate_tpws\": 0", "\"emulate_tpws\": 1"))?;
        let path = disk.path().display();
        std::fs::write(
            &wanted,
            format!("[block.disk0]\npath = \"{path}\"\nattributes = {{ emulate_tpu = 1 }}\n"),
        )?;
        let refused = |line: &str, name: &str| -> Result<()> {
            let answer = shell.run(&line.split(' ').collect::<Vec<_>>())?;
            let wrong = format!("attribute {name} of block/disk0 cannot be 1: ");
            assert!(answer.status == 1 && answer.stderr.contains(&wrong), "{line}: {answer:?}");
            Ok(())
        };
        refused(&apply, "emulate_tpu")?;
        shell.well("clearconfig confirm=true")?;
        refused(&apply, "emulate_tpu")?;
        refused(&format!("restoreconfig {}", saved.display()), "emulate_tpws")?;
        assert!(!shell.well("ls /backstores/block")?.contains("disk0"), "nothing was made");
    }
    mounted.quiet();
    Ok(())
}

#[test]
fn what_a_medium_can_no_longer_do_with_space_reads_0_after_a_restart() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a file system takes root");
        return Ok(());
    }
    let mut stage = Stage::set()?;
    let place = stage.scratch.directory("place")?;
    let image = place.join("disk0");
    stage.shell.well(&format!("/backstores/fileio create disk0 {} 1M", image.display()))?;
    let value = |stage: &Stage, name: &str| -> Result<String> {
        stage.shell.well(&format!("/backstores/fileio/disk0 get attribute {name}"))
    };
    for name in OF_SPACE {
        assert!(value(&stage, name)?.contains(&format!("{name}=1")), "{name}");
    }
    stage.daemon.kill()?;
    let solid = Small::without_holes(&place)?;
    std::fs::write(solid.join("disk0"), vec![0; 1 << 20])?;
    stage.daemon.restart()?;
    for name in OF_SPACE {
        assert!(value(&stage, name)?.contains(&format!("{name}=0")), "{name}");
    }
    stage.shell.well("/backstores/fileio/disk0 set attribute emulate_caw=0")?;
    Ok(())
}

#[test]
fn what_a_medium_cannot_do_reads_0_at_every_door_when_it_appears_after_the_start() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let at = mounted.scratch.directory("solid")?;
    let solid = Small::without_holes(&at)?;
    let file = solid.join("disk0");
    let shell = mounted.shell()?;
    shell.well(&format!("/backstores/fileio create disk0 {} 1M", file.display()))?;
    mounted.daemon.terminate()?;
    drop(solid);
    mounted.daemon.restart()?;
    assert!(shell.well("ls /backstores/fileio")?.to_lowercase().contains("missing"));
    let _solid = Small::without_holes(&at)?;
    std::fs::File::create(&file)?.set_len(1 << 20)?;
    Deadline::seconds(30).until("the medium to appear", || {
        Ok((!shell.well("ls /backstores/fileio")?.to_lowercase().contains("missing")).then_some(()))
    })?;
    let runtime = mounted.daemon.places().runtime.clone();
    let saved = mounted.scratch.join("saved.json");
    for name in OF_SPACE {
        let zero = format!("{name}=0");
        Deadline::seconds(30).until(&zero, || {
            let told = shell.well(&format!("/backstores/fileio/disk0 get attribute {name}"))?;
            Ok(told.starts_with(&zero).then_some(()))
        })?;
        assert_eq!(read(&mounted, name)?, "0", "{name}");
        let all: Value = serde_json::from_str(&api::get(&runtime, "/v1/config")?)?;
        assert_eq!(all["backstores"][0]["attributes"][name], json!("0"), "{all}");
        shell.well(&format!("saveconfig {}", saved.display()))?;
        assert!(std::fs::read_to_string(&saved)?.contains(&format!("\"{name}\": 0")), "{name}");
    }
    Ok(())
}
