// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an access control list means for the guest whose nexus it names: other numbers, other rights, at once and after
//! a restart.

use anyhow::{Context, Result, ensure};
use initiator::{Answer, Command, Guest, LunAddress, Options, commands};
use stories::stage::Stage;

const UNIT_ATTENTION: u8 = 6;

/// The answer once the unit has said what changed.
fn execute(guest: &mut Guest, command: &Command) -> Result<Answer> {
    for _ in 0..8 {
        let answer = guest.execute(command)?;
        if answer.sense.get(2).is_none_or(|key| key & 0x0f != UNIT_ATTENTION) {
            return Ok(answer);
        }
    }
    anyhow::bail!("a unit has nothing but unit attentions")
}

/// The units that the guest finds.
fn luns(guest: &mut Guest) -> Result<Vec<u8>> {
    let answer = execute(guest, &commands::report_luns(LunAddress::unit(1, 0), 0, 256))?;
    ensure!(answer.status == 0, "REPORT LUNS ends with {answer:?}");
    let bytes = usize::try_from(u32::from_be_bytes(answer.data_in[..4].try_into()?))?;
    let entries = answer.data_in.get(8..8 + bytes).context("the list is cut")?;
    Ok(entries.chunks(8).map(|entry| entry[1]).collect())
}

/// Blocks of 512 bytes.
fn blocks(guest: &mut Guest, lun: u16) -> Result<u32> {
    let answer = execute(guest, &commands::read_capacity_10(LunAddress::unit(1, lun)))?;
    ensure!(answer.status == 0, "READ CAPACITY of LUN {lun} ends with {answer:?}");
    Ok(u32::from_be_bytes(answer.data_in[..4].try_into()?) + 1)
}

/// Status, and sense key, code and qualifier of a write.
fn write(guest: &mut Guest, lun: u16) -> Result<(u8, Vec<u8>)> {
    let answer = execute(guest, &commands::write_10(LunAddress::unit(1, lun), 0, 1, &[7; 512]))?;
    let sense = [2, 12, 13].iter().filter_map(|at| answer.sense.get(*at).copied());
    Ok((answer.status, sense.collect()))
}

/// A target with disks of 1 and 2 MiB as LUNs 0 and 5, and the name of its nexus.
fn serve(stage: &Stage) -> Result<(String, String)> {
    stage.create_fileio("disk0", 1 << 20)?;
    stage.create_fileio("disk1", 2 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    stage.map(&wwn, 1, 5, "fileio/disk1")?;
    let status = stage.shell.well(&format!("/vhost/{wwn}/tpg1 status"))?;
    let nexus = status.split_once("tpg1: ").and_then(|(_, rest)| rest.split_once(',')).context("no nexus")?.0;
    Ok((wwn, nexus.to_owned()))
}

#[test]
fn a_guest_sees_what_the_list_of_its_nexus_maps() -> Result<()> {
    let mut stage = Stage::set()?;
    let (wwn, nexus) = serve(&stage)?;
    let acls = format!("/vhost/{wwn}/tpg1/acls");
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;
    assert_eq!(luns(&mut guest)?, [0, 5]);

    // For somebody else nothing changes, and neither does it by a list that says what is so.
    stage.shell.well(&format!("{acls} create naa.5001405aaaaaaaaa add_mapped_luns=false"))?;
    assert_eq!(luns(&mut guest)?, [0, 5]);
    stage.shell.well(&format!("{acls} create {nexus}"))?;
    assert_eq!(luns(&mut guest)?, [0, 5]);
    assert_eq!(write(&mut guest, 5)?, (0, vec![]));

    stage.shell.well(&format!("{acls}/{nexus} delete 5"))?;
    stage.shell.well(&format!("{acls}/{nexus} create 9 lun5 true"))?;
    assert_eq!(luns(&mut guest)?, [0, 9]);
    assert_eq!((blocks(&mut guest, 0)?, blocks(&mut guest, 9)?), (2048, 4096));
    // DATA PROTECT, WRITE PROTECTED; and ILLEGAL REQUEST, LOGICAL UNIT NOT SUPPORTED.
    assert_eq!(write(&mut guest, 9)?, (2, vec![0x07, 0x27, 0]));
    assert_eq!(write(&mut guest, 5)?, (2, vec![0x05, 0x25, 0]));
    assert_eq!(write(&mut guest, 0)?, (0, vec![]));
    let sessions = stage.shell.well("sessions detail")?;
    assert!(sessions.contains(&format!("    name: {nexus} (NOT AUTHENTICATED)\n")), "{sessions}");
    assert!(sessions.contains("    mapped-lun: 9 backstore: fileio/disk1 mode: r\n"), "{sessions}");

    stage.daemon.kill()?;
    stage.daemon.restart()?;
    guest.reconnect()?;
    assert_eq!(luns(&mut guest)?, [0, 9]);
    assert_eq!(write(&mut guest, 9)?, (2, vec![0x07, 0x27, 0]));

    stage.shell.well(&format!("{acls} delete {nexus}"))?;
    assert_eq!(luns(&mut guest)?, [0, 5]);
    assert_eq!(write(&mut guest, 5)?, (0, vec![]));
    Ok(())
}
