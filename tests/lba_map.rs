// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks that are reached otherwise than others: the map at every door (the shell, the API, LIO's tree, a
//! saveconfig.json, a file that is applied), kept over a kill, and what guests on two ways make of it.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use serde_json::{Value, json};
use stories::api;
use stories::mounted::{self, Mounted};

const WWNS: [&str; 2] = ["naa.5001405000000001", "naa.5001405000000002"];
const DISK: &str = "/backstores/fileio/disk0";
const TREE: &str = "core/fileio_0/disk0";
const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);

/// Segments of 256 blocks by turns, up to the end of a disk of 2048.
const LINE: &str = "256 2; 0 1791 1:O 2:S; 256 2047 1:S 2:O";
const FILE: &str = "256 2\n0 1791 1:O 2:S\n256 2047 1:S 2:O\n";

/// Key, code and qualifier of what a command ends with; nothing where that is GOOD.
fn sense(guest: &mut Guest, command: &Command) -> Result<Option<[u8; 3]>> {
    let answer = guest.execute(command)?;
    ensure!(answer.is_good() || answer.check_condition().is_some(), "{answer:?}");
    Ok(answer.check_condition())
}

/// All unit attentions that a guest is told of, and no more is pending.
fn told(guest: &mut Guest) -> Result<Vec<[u8; 2]>> {
    let mut told = Vec::new();
    while let Some([6, code, qualifier]) = sense(guest, &commands::test_unit_ready(UNIT))? {
        told.push([code, qualifier]);
    }
    told.sort_unstable();
    Ok(told)
}

fn read(guest: &mut Guest, first: u32, blocks: u16) -> Result<Option<[u8; 3]>> {
    sense(guest, &commands::read_10(UNIT, first, blocks, usize::from(blocks) * 512))
}

fn report_referrals(first: u8, one: u8) -> Command {
    let cdb = [0x9e, 0x13, 0, 0, 0, 0, 0, 0, 0, first, 0, 0, 0, 255, one, 0];
    Command::new(UNIT, &cdb).data_in(255)
}

fn set(mounted: &Mounted, map: &str) -> Result<(u16, Value)> {
    let change = json!({ "change": "set_lba_map", "kind": "fileio", "name": "disk0", "lba_map": map });
    api::change(&mounted.daemon.places().runtime, &change)
}

/// What each door says that the map is.
fn shown(mounted: &Mounted) -> Result<[String; 3]> {
    let typed = mounted.shell()?.well(&format!("{DISK}/alua get alua lba_map"))?;
    let typed = typed.strip_prefix("lba_map=").context("no value")?.trim_end().to_owned();
    let config = api::get(&mounted.daemon.places().runtime, "/v1/config")?;
    let config: Value = serde_json::from_str(&config)?;
    let wire = config["backstores"][0]["lba_map"].as_str().unwrap_or_default().to_owned();
    Ok([typed, wire, mounted.read(&format!("{TREE}/lba_map"))?])
}

fn everywhere(line: &str, file: &str) -> [String; 3] {
    [line, line, file].map(str::to_owned)
}

/// A disk in two targets, in a group of its own in each, with a guest on each that knows all there is to know.
fn furnished() -> Result<(Mounted, [Guest; 2])> {
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    for (wwn, (group, id)) in WWNS.into_iter().zip([("left", 1), ("right", 2)]) {
        shell.well(&format!("{DISK}/alua create {group} {id}"))?;
        shell.well(&format!("{DISK}/alua/{group} set alua alua_access_type=1"))?;
        shell.well(&format!("/vhost create {wwn}"))?;
        shell.well(&format!("/vhost/{wwn}/tpg1/luns create {DISK} 0"))?;
        shell.well(&format!("/vhost/{wwn}/tpg1/luns/lun0 set alua alua_tg_pt_gp_name={group}"))?;
    }
    let guest = |wwn| Guest::boot(mounted.daemon.socket(wwn), Options::default());
    let mut guests = [guest(WWNS[0])?, guest(WWNS[1])?];
    for guest in &mut guests {
        told(guest)?;
    }
    Ok((mounted, guests))
}

/// Both groups as the map has it.
fn depend(mounted: &Mounted) -> Result<()> {
    for group in ["left", "right"] {
        mounted.shell()?.well(&format!("{DISK}/alua/{group} set alua alua_access_state=4"))?;
    }
    Ok(())
}

/// Each guest reaches the segments that are its own.
fn check_segments([left, right]: &mut [Guest; 2]) -> Result<()> {
    const STANDBY: Option<[u8; 3]> = Some([0x02, 0x04, 0x0b]);
    for (first, blocks, expected) in [
        (0, 256, [None, STANDBY]),
        (256, 256, [STANDBY, None]),
        (1536, 256, [None, STANDBY]),
        (1792, 256, [STANDBY, None]),
        (255, 2, [STANDBY, STANDBY]),
        (0, 0, [None, None]),
        (2047, 2, [Some([0x05, 0x21, 0x00]), Some([0x05, 0x21, 0x00])]),
    ] {
        let is = [read(left, first, blocks)?, read(right, first, blocks)?];
        assert_eq!(is, expected, "{blocks} blocks from {first} on");
    }
    let write = |first| commands::write_10(UNIT, first, 1, &[0x5a; 512]);
    assert_eq!([sense(left, &write(0))?, sense(right, &write(0))?], [None, STANDBY]);
    // UNMAP of one block, in whose list it is.
    let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
    list.extend([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let unmap = Command::new(UNIT, &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(list);
    assert_eq!([sense(left, &unmap)?, sense(right, &unmap)?], [STANDBY, None]);
    let flush = commands::synchronize_cache_10(UNIT, 0, 0);
    assert_eq!([sense(left, &flush)?, sense(right, &flush)?], [None, None]);
    Ok(())
}

#[test]
fn a_map_is_set_at_every_door_shown_at_every_door_kept_and_what_guests_go_by() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mut mounted, mut guests) = furnished()?;
    let shell = mounted.shell()?;
    assert_eq!(shown(&mounted)?, everywhere("", ""));
    let typed = shell.run(&[&format!("{DISK}/alua"), "set", "alua", &format!("lba_map={LINE}")])?;
    assert_eq!(typed.stdout, format!("Parameter lba_map is now '{LINE}'.\n"), "{}", typed.stderr);
    assert_eq!(shown(&mounted)?, everywhere(LINE, FILE));
    mounted.write(&format!("{TREE}/lba_map"), "8 0\n0 7 1:O\n")?;
    assert_eq!(shown(&mounted)?, everywhere("8 0; 0 7 1:O", "8 0\n0 7 1:O\n"));
    let (status, done) = set(&mounted, FILE)?;
    assert_eq!((status, &done["results"][0]["value"]), (200, &json!(LINE)));
    assert_eq!(shown(&mounted)?, everywhere(LINE, FILE));
    depend(&mounted)?;
    for guest in &mut guests {
        told(guest)?;
    }
    check_segments(&mut guests)?;

    mounted.daemon.kill()?;
    mounted.daemon.restart()?;
    for guest in &mut guests {
        guest.reconnect()?;
        told(guest)?;
    }
    assert_eq!(shown(&mounted)?, everywhere(LINE, FILE));
    check_segments(&mut guests)?;
    drop(guests);

    let [json, toml] = ["saved.json", "saved.toml"].map(|name| mounted.scratch.join(name));
    for file in [&json, &toml] {
        shell.well(&format!("saveconfig {}", file.display()))?;
    }
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
    assert_eq!(saved["x_lunar"]["storage_objects"]["fileio/disk0"]["lba_map"], json!(LINE));
    assert!(std::fs::read_to_string(&toml)?.contains(&format!("lba_map = \"{LINE}\"\n")));
    for restore in [format!("restoreconfig {}", json.display()), format!("apply {}", toml.display())] {
        shell.well_once_guests_have_left("clearconfig confirm=True")?;
        shell.well(&restore)?;
        assert_eq!(shown(&mounted)?[0], LINE, "{restore}");
        let state = shell.well(&format!("{DISK}/alua/left get alua alua_access_state"))?;
        assert_eq!(state.trim(), "alua_access_state=4");
    }
    Ok(())
}

#[test]
fn guests_are_told_of_a_map_and_ask_for_it() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, mut guests) = furnished()?;
    let page = |guest: &mut Guest, page| -> Result<Vec<u8>> {
        Ok(guest.execute(&commands::inquiry_page(UNIT, page, 64))?.data_in)
    };
    let [guest, _] = &mut guests;
    assert_eq!(sense(guest, &report_referrals(0, 0))?, Some([0x05, 0x24, 0x00]));
    assert_eq!(page(guest, 0x86)?[8], 0x00);
    assert_eq!(page(guest, 0xb3)?[4..], [0; 12]);

    // It comes, and only INQUIRY says something else.
    set(&mounted, LINE)?;
    assert_eq!(told(guest)?, [[0x3f, 0x03]]);
    assert_eq!(page(guest, 0x86)?[8], 0x10);
    assert_eq!(page(guest, 0xb3)?[4..], [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2]);
    let first = [
        0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0xff, 0, 0, 0, 1, /* standby */ 2, 0,
        0, 2,
    ];
    let second = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 2, 0, 0, 1, 0, 0, 0, 2];
    let referrals = guest.execute(&report_referrals(0, 0))?.data_in;
    assert_eq!(referrals, [&[0, 0, 0, 56][..], &first, &second].concat());
    assert_eq!(guest.execute(&report_referrals(9, 1))?.data_in, [&[0, 0, 0, 28][..], &first].concat());

    // The state is another, and says so.
    depend(&mounted)?;
    assert_eq!(told(guest)?, [[0x2a, 0x06]]);
    let groups = Command::new(UNIT, &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]).data_in(255);
    let groups = guest.execute(&groups)?.data_in;
    assert_eq!(groups[4..8], [/* LBA dependent */ 4, /* all but none */ 0xdf, 0, 1]);

    // Other blocks, of the same segments; then other segments.
    set(&mounted, "256 2; 0 1791 1:U 2:O")?;
    assert_eq!(told(guest)?, [[0x2a, 0x06]]);
    assert_eq!(read(guest, 0, 1)?, Some([0x02, 0x04, 0x0c]));
    assert_eq!(read(guest, 256, 1)?, Some([0x02, 0x04, 0x0c]), "a block of no line");
    set(&mounted, "256 0; 0 1791 1:A 2:O")?;
    assert_eq!(told(guest)?, [[0x2a, 0x06], [0x3f, 0x03]]);
    assert_eq!(read(guest, 0, 1)?, None);
    // The same again is nobody's change.
    set(&mounted, "256 0\n0 1791 1:A 2:O")?;
    assert_eq!(told(guest)?, Vec::<[u8; 2]>::new());
    Ok(())
}

#[test]
fn what_is_no_map_or_cannot_go_is_refused_at_every_door_and_changes_nothing() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, guests) = furnished()?;
    drop(guests);
    let shell = mounted.shell()?;
    let wanted = mounted.scratch.join("wanted.toml");
    let path = mounted.scratch.join("disk0").display().to_string();
    let check = |map: &str, status: u16, code: &str, errno: i32, says: &str| -> Result<()> {
        let before = shown(&mounted)?;
        let (is, problem) = set(&mounted, map)?;
        assert_eq!((is, &problem["code"]), (status, &json!(code)), "{map}");
        assert_eq!(problem["message"], json!(says), "{map}");
        ensure!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
        let typed = shell.run(&[&format!("{DISK}/alua"), "set", "alua", &format!("lba_map={map}")])?;
        assert_eq!((typed.status, typed.stdout.as_str()), (1, ""), "{map}");
        assert_eq!(typed.stderr.lines().next(), Some(says), "{map}");
        let written = mounted.write(&format!("{TREE}/lba_map"), &format!("{}\n", map.replace("; ", "\n")));
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(errno), "{map}");
        let text = format!("[fileio.disk0]\npath = \"{path}\"\nlba_map = \"{map}\"\n");
        std::fs::write(&wanted, text)?;
        let applied = shell.run(&["apply", &wanted.display().to_string()])?;
        ensure!(applied.status == 1 && applied.stderr.contains(says), "{map}: {}", applied.stderr);
        assert_eq!(shown(&mounted)?, before, "{map}");
        Ok(())
    };
    for (map, says) in [
        (
            "x",
            "line 1 of lba_map of fileio/disk0 cannot be: it is not the blocks of a segment and a multiplier",
        ),
        ("256 2", "line 1 of lba_map of fileio/disk0 cannot be: there is no line of blocks after it"),
        ("0 0; 9 8 1:O", "line 2 of lba_map of fileio/disk0 cannot be: its first block is behind its last"),
        (
            "0 0; 0 7 1:O; 7 8 1:O",
            "line 3 of lba_map of fileio/disk0 cannot be: it has blocks of a line before it",
        ),
    ] {
        check(map, 400, "lba_map_invalid", 22, says)?;
    }
    // A state needs its map, at every door.
    let state = shell.run(&[&format!("{DISK}/alua/left"), "set", "alua", "alua_access_state=4"])?;
    assert_eq!(state.stderr.lines().next(), Some("ALUA group left of fileio/disk0 does not support state 4"));
    let group = "[fileio.disk0.alua.left]\ntg_pt_gp_id = 1\n[fileio.disk0.alua.right]\ntg_pt_gp_id = 2\n";
    let text = format!("[fileio.disk0]\npath = \"{path}\"\n{group}alua_access_state = 4\n");
    std::fs::write(&wanted, text)?;
    let applied = shell.run(&["apply", &wanted.display().to_string()])?;
    let needs = "ALUA group right of fileio/disk0 is LBA dependent (4), and no lba_map says how";
    ensure!(applied.status == 1 && applied.stderr.contains(needs), "{}", applied.stderr);
    // And keeps it.
    set(&mounted, LINE)?;
    depend(&mounted)?;
    let keeps = "ALUA group left of fileio/disk0 is LBA dependent (4), and no lba_map says how";
    check("", 409, "lba_map_needed", 16, keeps)?;
    Ok(())
}

#[test]
fn a_file_that_is_applied_sets_a_map_leaves_it_and_takes_it_back() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, guests) = furnished()?;
    let shell = mounted.shell()?;
    let wanted = mounted.scratch.join("wanted.toml");
    let path = mounted.scratch.join("disk0").display().to_string();
    let apply = |map: &str| -> Result<String> {
        std::fs::write(&wanted, format!("[fileio.disk0]\npath = \"{path}\"\n{map}"))?;
        let difference = shell.run(&["diff", &wanted.display().to_string()])?.stdout;
        shell.well(&format!("apply {}", wanted.display()))?;
        Ok(difference)
    };
    let difference = apply(&format!("lba_map = \"\"\"\n{FILE}\"\"\"\n"))?;
    ensure!(difference.contains("lba_map") && difference.contains(LINE), "{difference}");
    assert_eq!(shown(&mounted)?, everywhere(LINE, FILE));
    apply("")?;
    assert_eq!(shown(&mounted)?, everywhere(LINE, FILE));
    apply("lba_map = \"\"\n")?;
    assert_eq!(shown(&mounted)?, everywhere("", ""));
    drop(guests);
    Ok(())
}
