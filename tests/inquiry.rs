// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a disk says of itself in answer to INQUIRY becomes another thing under a guest that has asked: the guest is told,
//! once, and by nothing that leaves the answer as it was.

use anyhow::{Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use serde_json::json;
use stories::api;
use stories::stage::Stage;

const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);
const DISK: &str = "/backstores/fileio/disk0";

const INQUIRY_DATA: [u8; 2] = [0x3f, 0x03];
const MODE_PARAMETERS: [u8; 2] = [0x2a, 0x01];

/// All unit attentions that a guest is told of, and no more is pending.
fn told(guest: &mut Guest) -> Result<Vec<[u8; 2]>> {
    let mut told = Vec::new();
    while let Some(sense) = guest.execute(&commands::test_unit_ready(UNIT))?.check_condition() {
        ensure!(sense[0] == 6, "{sense:02x?}");
        told.push([sense[1], sense[2]]);
    }
    told.sort_unstable();
    Ok(told)
}

/// A byte of the answer to INQUIRY, or to that for a page.
fn byte(guest: &mut Guest, page: Option<u8>, at: usize) -> Result<u8> {
    let command: Command = match page {
        Some(page) => commands::inquiry_page(UNIT, page, 252),
        None => commands::inquiry(UNIT, 96),
    };
    let answer = guest.execute(&command)?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(answer.data_in[at])
}

fn guest(stage: &Stage, wwn: &str) -> Result<Guest> {
    let mut guest = Guest::boot(stage.daemon.socket(wwn), Options::default())?;
    told(&mut guest)?;
    Ok(guest)
}

#[test]
fn a_guest_is_told_that_its_disk_has_another_way_and_that_it_has_none_any_more_and_of_no_third() -> Result<()>
{
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let mut first = guest(&stage, &stage.serve("fileio/disk0")?)?;
    let multip = |guest: &mut Guest| Ok::<u8, anyhow::Error>(byte(guest, None, 6)? & 0x10);
    assert_eq!(multip(&mut first)?, 0);

    let second = stage.serve("fileio/disk0")?;
    assert_eq!((told(&mut first)?, multip(&mut first)?), (vec![INQUIRY_DATA], 0x10));
    let mut other = guest(&stage, &second)?;
    assert_eq!(multip(&mut other)?, 0x10);
    drop(other);
    let third = stage.serve("fileio/disk0")?;
    assert_eq!((told(&mut first)?, multip(&mut first)?), (vec![], 0x10));
    stage.shell.well(&format!("/vhost delete {third}"))?;
    assert_eq!((told(&mut first)?, multip(&mut first)?), (vec![], 0x10));
    stage.shell.well(&format!("/vhost/{second}/tpg1/luns delete 0"))?;
    assert_eq!((told(&mut first)?, multip(&mut first)?), (vec![INQUIRY_DATA], 0));
    Ok(())
}

#[test]
fn a_guest_is_told_of_another_group_of_units_and_of_a_cache() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let mut guest = guest(&stage, &stage.serve("fileio/disk0")?)?;
    let change = |change: serde_json::Value| -> Result<()> {
        let (status, answer) = api::change(&stage.daemon.places().runtime, &change)?;
        ensure!(status == 200, "{answer}");
        Ok(())
    };
    change(json!({ "change": "create_lu_group", "group": "pair", "group_id": 9 }))?;
    assert_eq!(told(&mut guest)?, Vec::<[u8; 2]>::new());
    change(json!({ "change": "set_lu_group", "kind": "fileio", "name": "disk0", "group": "pair" }))?;
    assert_eq!(told(&mut guest)?, [INQUIRY_DATA]);
    let page = guest.execute(&commands::inquiry_page(UNIT, 0x83, 252))?.data_in;
    ensure!(page.windows(8).any(|is| is == [0x01, 0x06, 0, 4, 0, 0, 0, 9]), "{page:02x?}");

    let v_sup = |guest: &mut Guest| Ok::<u8, anyhow::Error>(byte(guest, Some(0x86), 6)? & 1);
    for (value, bit) in [("0", 0), ("1", 1)] {
        stage.shell.well(&format!("{DISK} set attribute emulate_write_cache={value}"))?;
        assert_eq!(told(&mut guest)?, [MODE_PARAMETERS, INQUIRY_DATA], "{value}");
        assert_eq!(v_sup(&mut guest)?, bit);
    }
    // A guest that does without its cache for now has one all the same: Caching mode page, WCE = 0.
    let mut list = vec![0; 4];
    list.extend([0x08, 0x12]);
    list.resize(24, 0);
    list[4 + 12] = 0x20;
    let select = Command::new(UNIT, &[0x15, 0x10, 0, 0, 24, 0]).data_out(list);
    let selected = guest.execute(&select)?;
    ensure!(selected.is_good(), "{selected:?}");
    assert_eq!((told(&mut guest)?, v_sup(&mut guest)?), (vec![], 1));

    Ok(())
}
