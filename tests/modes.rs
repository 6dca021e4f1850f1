// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a mode page and an attribute both say: what a guest saves shows at the administrator's doors, what the
//! administrator sets shows in the guest's pages, and the later counts, over a kill as well.

use anyhow::{Result, ensure};
use initiator::{Answer, Command, Guest, LunAddress, Options, commands};
use stories::api;
use stories::mounted::{self, Mounted};

const WWN: &str = "naa.500140568720f76f";
const ATTRIB: &str = "core/fileio_0/disk0/attrib";
const UNIT: LunAddress = LunAddress([1, 1, 0, 0, 0, 0, 0, 0]);

const CACHING: [u8; 20] = [0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 30];

/// The first answer that is none of the attentions in front of it, and those.
fn execute(guest: &mut Guest, command: &Command) -> Result<(Answer, Vec<[u8; 3]>)> {
    let mut told = Vec::new();
    for _ in 0..8 {
        let answer = guest.execute(command)?;
        match answer.check_condition() {
            Some(sense) if sense[0] == 6 => told.push(sense),
            _ => return Ok((answer, told)),
        }
    }
    anyhow::bail!("a unit has nothing but unit attentions")
}

/// MODE SELECT (6) with PF and SP.
fn save(guest: &mut Guest, page: &[u8]) -> Result<()> {
    let list = [&[0, 0, 0, 0], page].concat();
    let cdb = [0x15, 0x11, 0, 0, u8::try_from(list.len())?, 0];
    let (answer, _) = execute(guest, &Command { data_out: list, ..Command::new(UNIT, &cdb) })?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(())
}

/// WCE, UA_INTLCK_CTRL and TAS, as bytes of the pages in force and of those that are saved.
fn pages(guest: &mut Guest) -> Result<[[u8; 3]; 2]> {
    let mut all = [[0; 3]; 2];
    for (control, bytes) in [0x00, 0xc0].into_iter().zip(&mut all) {
        let mut page = |code: u8| -> Result<Vec<u8>> {
            let cdb = [0x1a, 0x08, control | code, 0, 0xfc, 0];
            let (answer, _) = execute(guest, &Command { data_in_bytes: 0xfc, ..Command::new(UNIT, &cdb) })?;
            ensure!(answer.is_good(), "{answer:?}");
            Ok(answer.data_in[4..].to_vec())
        };
        let (caching, control) = (page(0x08)?, page(0x0a)?);
        *bytes = [caching[2] & 0x04, control[4] & 0x30, control[5] & 0x40];
    }
    Ok(all)
}

/// The attributes of the three at the shell, the API and the tree.
fn doors(mounted: &Mounted) -> Result<[String; 3]> {
    let names = ["emulate_write_cache", "emulate_ua_intlck_ctrl", "emulate_tas"];
    let line = format!("/backstores/fileio/disk0 get attribute {}", names.join(" "));
    let typed = mounted.shell()?.well(&line)?;
    let value = |line: &str| line.split_once('=').map(|(_, value)| value.trim().to_owned());
    let shell = typed.lines().filter_map(value).collect::<Vec<_>>().join(" ");
    let config: serde_json::Value =
        serde_json::from_str(&api::get(&mounted.daemon.places().runtime, "/v1/config")?)?;
    let attributes = &config["backstores"][0]["attributes"];
    let api = names.map(|name| attributes[name].as_str().unwrap_or_default().to_owned()).join(" ");
    let mut files = Vec::new();
    for name in names {
        files.push(mounted.read(&format!("{ATTRIB}/{name}"))?.trim_end().to_owned());
    }
    Ok([shell, api, files.join(" ")])
}

fn furnished() -> Result<(Mounted, Guest)> {
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 0"))?;
    let guest = Guest::boot(mounted.daemon.socket(WWN), Options::default())?;
    Ok((mounted, guest))
}

#[test]
fn what_a_guest_saves_shows_at_every_door_and_what_is_set_later_takes_it_back() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mut mounted, mut guest) = furnished()?;
    let shell = mounted.shell()?;
    assert_eq!(doors(&mounted)?, ["1 0 1"; 3]);
    assert_eq!(pages(&mut guest)?, [[0x04, 0x00, 0x40]; 2]);

    let (mut caching, mut control) = (CACHING, CONTROL);
    (caching[2], control[4], control[5]) = (0x00, 0x20, 0x00);
    save(&mut guest, &caching)?;
    save(&mut guest, &control)?;
    assert_eq!(doors(&mounted)?, ["0 1 0"; 3]);
    assert_eq!(pages(&mut guest)?, [[0x00, 0x20, 0x00]; 2]);

    mounted.daemon.kill()?;
    mounted.daemon.restart()?;
    guest.reconnect()?;
    assert_eq!(doors(&mounted)?, ["0 1 0"; 3]);
    assert_eq!(pages(&mut guest)?, [[0x00, 0x20, 0x00]; 2]);

    // What is written back as it was read is no change, exported or not; another value is refused where guests rely on it.
    shell.well("/backstores/fileio/disk0 set attribute emulate_tas=0 emulate_ua_intlck_ctrl=1")?;
    mounted.write(&format!("{ATTRIB}/emulate_tas"), "0")?;
    let refused = shell.run(&["/backstores/fileio/disk0", "set", "attribute", "emulate_tas=1"])?;
    let line =
        format!("attribute emulate_tas of fileio/disk0 cannot change while LUN {WWN}/tpg1/lun0 shows it\n");
    assert!(refused.stderr.starts_with(&line), "{refused:?}");
    assert_eq!(doors(&mounted)?, ["0 1 0"; 3]);

    // The cache goes back on as the administrator has it, and the guest is told: MODE PARAMETERS CHANGED.
    shell.well("/backstores/fileio/disk0 set attribute emulate_write_cache=1")?;
    assert_eq!(doors(&mounted)?, ["1 1 0"; 3]);
    // UA_INTLCK_CTRL 10b keeps the attention until REQUEST SENSE asks for it.
    let (answer, _) = execute(&mut guest, &commands::request_sense(UNIT, 18))?;
    assert_eq!([answer.data_in[2] & 0x0f, answer.data_in[12], answer.data_in[13]], [0x06, 0x2a, 0x01]);
    assert_eq!(pages(&mut guest)?, [[0x04, 0x20, 0x00]; 2]);

    // The guest may have it off again.
    save(&mut guest, &caching)?;
    assert_eq!(doors(&mounted)?, ["0 1 0"; 3]);
    drop(guest);
    shell.well_once_guests_have_left(&format!("/vhost delete {WWN}"))?;
    mounted.write(&format!("{ATTRIB}/emulate_tas"), "1\n")?;
    mounted.write(&format!("{ATTRIB}/emulate_ua_intlck_ctrl"), "0\n")?;
    assert_eq!(doors(&mounted)?, ["0 0 1"; 3]);
    mounted.daemon.kill()?;
    mounted.daemon.restart()?;
    assert_eq!(doors(&mounted)?, ["0 0 1"; 3]);
    Ok(())
}

#[test]
fn what_a_guest_has_not_saved_is_no_affair_of_the_doors() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, mut guest) = furnished()?;
    let mut off = CACHING;
    off[2] = 0;
    let list = [&[0, 0, 0, 0], &off[..]].concat();
    let select = Command { data_out: list, ..Command::new(UNIT, &[0x15, 0x10, 0, 0, 24, 0]) };
    let (answer, _) = execute(&mut guest, &select)?;
    ensure!(answer.is_good(), "{answer:?}");
    assert_eq!(pages(&mut guest)?, [[0x00, 0x00, 0x40], [0x04, 0x00, 0x40]]);
    assert_eq!(doors(&mounted)?, ["1 0 1"; 3]);
    Ok(())
}

#[test]
fn a_guest_that_saves_what_the_administrator_set_hears_nothing_of_it_and_fills_no_log() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, mut guest) = furnished()?;
    let (on, mut off) = (CONTROL, CONTROL);
    off[5] = 0x00;
    for _ in 0..3 {
        for (page, tas) in [(off, "1 0 0"), (on, "1 0 1")] {
            save(&mut guest, &page)?;
            let (answer, told) = execute(&mut guest, &commands::test_unit_ready(UNIT))?;
            ensure!(answer.is_good(), "{answer:?}");
            assert_eq!(told, [[0_u8; 3]; 0]);
            assert_eq!(doors(&mounted)?, [tas; 3]);
            assert_eq!(pages(&mut guest)?, [[0x04, 0x00, page[5]]; 2]);
        }
    }
    let log = mounted.daemon.log();
    ensure!(log.contains("map fileio/disk0 to LUN"), "{log}");
    ensure!(!log.contains("as a guest saved it"), "{log}");
    Ok(())
}
