// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two ways of the host to one disk, given to Lunar as two backstores with one unit serial number: one disk to its guests,
//! whichever of the two they reach it by.
//!
//! The ways are two loop devices over one file.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use stories::loop_device::{self, LoopDevice};
use stories::stage::Stage;

const SERIAL: &str = "1f2e3d4c-5b6a-7980-8190-a0b0c0d0e0f0";
const BLOCK: usize = 512;
const CONFLICT: u8 = 0x18;
const MISCOMPARE: [u8; 3] = [0x0e, 0x1d, 0];

fn lun(number: u16) -> LunAddress {
    LunAddress::unit(1, number)
}

/// A disk, its two ways, and a guest each on two targets: the first has both ways as LUNs 0 and 1, the second has the
/// second way.  All attentions are told.
struct Paths {
    stage: Stage,
    ways: [LoopDevice; 2],
    first: Guest,
    second: Guest,
}

fn paths() -> Result<Option<Paths>> {
    if !loop_device::available() {
        println!("skipped: two ways to one file are loop devices, which takes root");
        return Ok(None);
    }
    let stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 16 << 20)?;
    let ways = [LoopDevice::attach(&file, &[])?, LoopDevice::attach(&file, &[])?];
    for (name, way) in ["way0", "way1"].into_iter().zip(&ways) {
        let path = way.path().display();
        stage.shell.well(&format!("/backstores/block create {name} {path} wwn={SERIAL}"))?;
    }
    let [one, other] = [stage.serve("block/way0")?, stage.serve("block/way1")?];
    stage.map(&one, 1, 1, "block/way1")?;
    let mut first = Guest::boot(stage.daemon.socket(&one), Options::default())?;
    let mut second = Guest::boot(stage.daemon.socket(&other), Options::default())?;
    while ready(&mut first, 0)?.or(ready(&mut first, 1)?).or(ready(&mut second, 0)?).is_some() {}
    Ok(Some(Paths { stage, ways, first, second }))
}

/// Key, code and qualifier; nothing where there is no sense.
fn ready(guest: &mut Guest, number: u16) -> Result<Option<[u8; 3]>> {
    Ok(guest.execute(&commands::test_unit_ready(lun(number)))?.check_condition())
}

fn page(guest: &mut Guest, number: u16, page: u8) -> Result<Vec<u8>> {
    let answer = guest.execute(&commands::inquiry_page(lun(number), page, 512))?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(answer.data_in)
}

/// The designators of page 83h of that association: 0 the unit, 1 the port, 2 the target.
fn designators(page: &[u8], association: u8) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = page.get(4..).unwrap_or_default();
    while let Some(designator) = rest.get(3).and_then(|bytes| rest.get(..4 + usize::from(*bytes))) {
        if designator[1] >> 4 & 3 == association {
            found.push(designator.to_vec());
        }
        rest = &rest[designator.len()..];
    }
    found
}

fn reserve_out(number: u16, action: u8, kind: u8, key: u64, new_key: u64) -> Command {
    let mut list = [0; 24];
    list[..8].copy_from_slice(&key.to_be_bytes());
    list[8..16].copy_from_slice(&new_key.to_be_bytes());
    Command::new(lun(number), &[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]).data_out(list)
}

fn write(guest: &mut Guest, number: u16, byte: u8) -> Result<u8> {
    Ok(guest.execute(&commands::write_10(lun(number), 0, 1, &[byte; BLOCK]))?.status)
}

#[test]
fn two_ways_have_one_identity_and_ports_of_their_own() -> Result<()> {
    let Some(Paths { stage: _stage, ways: _ways, mut first, mut second }) = paths()? else { return Ok(()) };
    let standard = |guest: &mut Guest, number| -> Result<Vec<u8>> {
        Ok(guest.execute(&commands::inquiry(lun(number), 96))?.data_in)
    };
    let wanted = standard(&mut first, 0)?;
    assert_eq!(wanted.get(8..36), Some(b"LIO-ORG way0            4.0 ".as_slice()));
    assert_eq!((standard(&mut first, 1)?, standard(&mut second, 0)?), (wanted.clone(), wanted));
    assert_eq!(page(&mut first, 0, 0x80)?.get(4..40), Some(SERIAL.as_bytes()));
    let pages = [page(&mut first, 0, 0x83)?, page(&mut first, 1, 0x83)?, page(&mut second, 0, 0x83)?];
    let units = pages.each_ref().map(|page| designators(page, 0));
    // The NAA name is the one of that serial number.
    let name = [
        1, 3, 0, 16, 0x60, 0x01, 0x40, 0x51, 0xf2, 0xe3, 0xd4, 0xc5, 0xb6, 0xa7, 0x98, 0x08, 0x19, 0x0a,
        0x0b, 0x0c,
    ];
    assert_eq!(units[0].first().map(Vec::as_slice), Some(name.as_slice()));
    assert_eq!((&units[1], &units[2]), (&units[0], &units[0]));
    let ports = pages.each_ref().map(|page| designators(page, 1));
    assert_eq!(ports[0], ports[1], "one target port");
    assert_ne!(ports[0], ports[2]);
    // REPORT TARGET PORT GROUPS knows both ports whichever way it comes.
    let groups = Command::new(lun(0), &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]).data_in(255);
    for guest in [&mut first, &mut second] {
        let told = guest.execute(&groups)?.data_in;
        assert_eq!(told.get(11..20), Some([2, 0, 0, 0, 1, 0, 0, 0, 2].as_slice()), "{told:02x?}");
    }
    Ok(())
}

#[test]
fn two_ways_have_one_medium_one_reservation_and_one_news() -> Result<()> {
    let Some(Paths { mut stage, ways: _ways, mut first, mut second }) = paths()? else { return Ok(()) };
    assert_eq!(write(&mut first, 0, 0x5a)?, 0);
    for (guest, number) in [(&mut first, 1), (&mut second, 0)] {
        let read = guest.execute(&commands::read_10(lun(number), 0, 1, BLOCK))?;
        assert_eq!(read.data_in, [0x5a; BLOCK]);
    }
    // Registered and reserved by one way: the other way of the same nexus has it too, and another nexus has not.
    ensure!(first.execute(&reserve_out(0, 0, 0, 0, 0xa))?.is_good());
    ensure!(first.execute(&reserve_out(0, 1, 1, 0xa, 0))?.is_good());
    assert_eq!(
        (write(&mut first, 0, 1)?, write(&mut first, 1, 2)?, write(&mut second, 0, 3)?),
        (0, 0, CONFLICT)
    );
    let keys = Command::new(lun(0), &[0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0]).data_in(64);
    let told = second.execute(&keys)?.data_in;
    assert_eq!(told.get(..16), Some([0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0xa].as_slice()));
    // It holds whatever becomes of the daemon.
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    first.reconnect()?;
    second.reconnect()?;
    assert_eq!((write(&mut first, 1, 4)?, write(&mut second, 0, 5)?), (0, CONFLICT));
    // The second registers, the first clears: that is told by the other way, and to the other nexus only.
    ensure!(second.execute(&reserve_out(0, 0, 0, 0, 0xb))?.is_good());
    ensure!(first.execute(&reserve_out(1, 3, 0, 0xa, 0))?.is_good());
    assert_eq!(ready(&mut second, 0)?, Some([0x06, 0x2a, 0x03]));
    assert_eq!((ready(&mut first, 0)?, ready(&mut first, 1)?, write(&mut second, 0, 6)?), (None, None, 0));
    // What changes of the one is told on both.
    let group = "/backstores/block/way0/alua/default_tg_pt_gp";
    stage.shell.well(&format!("{group} set alua alua_access_state=1"))?;
    let told = [ready(&mut first, 0)?, ready(&mut first, 1)?, ready(&mut second, 0)?];
    assert_eq!(told, [Some([0x06, 0x2a, 0x06]); 3]);
    let shown =
        stage.shell.well("/backstores/block/way1/alua/default_tg_pt_gp get alua alua_access_state")?;
    assert_eq!(shown, "alua_access_state=1 \n");
    Ok(())
}

/// Counts a number in block 9 up, as often as said, with COMPARE AND WRITE: whoever was faster has it tried again.
fn count_up(guest: &mut Guest, times: u32) -> Result<()> {
    let mut block = [0; BLOCK];
    for _ in 0..times {
        loop {
            let read = guest.execute(&commands::read_10(lun(0), 9, 1, BLOCK))?;
            block.copy_from_slice(&read.data_in);
            let number = u32::from_be_bytes(block[..4].try_into()?);
            let mut next = block;
            next[..4].copy_from_slice(&(number + 1).to_be_bytes());
            let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0];
            let answer = guest.execute(&Command::new(lun(0), &cdb).data_out([block, next].concat()))?;
            if answer.is_good() {
                break;
            }
            ensure!(answer.check_condition() == Some(MISCOMPARE), "{answer:?}");
        }
    }
    Ok(())
}

#[test]
fn comparing_and_writing_is_one_deed_whichever_way_it_comes() -> Result<()> {
    const TIMES: u32 = 1000;
    let Some(Paths { stage: _stage, ways: _ways, mut first, mut second }) = paths()? else { return Ok(()) };
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| count_up(&mut second, TIMES));
        count_up(&mut first, TIMES)?;
        other.join().ok().context("the other guest")?
    })?;
    let read = first.execute(&commands::read_10(lun(0), 9, 1, BLOCK))?;
    assert_eq!(read.data_in.get(..4), Some((2 * TIMES).to_be_bytes().as_slice()));
    Ok(())
}
