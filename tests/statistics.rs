// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What guests ask for is counted once, and told alike by LIO's `statistics/`, by the metrics and by LOG SENSE.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use stories::api;
use stories::mounted::{self, Mounted};

const WWN: &str = "naa.500140568720f76f";
const UNIT: LunAddress = LunAddress([1, 1, 0, 0, 0, 0, 0, 0]);

/// Task management of virtio 1.2, 5.6.6.2.
const ABORT_TASK: u32 = 0;
const LOGICAL_UNIT_RESET: u32 = 5;

fn ready(guest: &mut Guest) -> Result<()> {
    for _ in 0..8 {
        if guest.execute(&commands::test_unit_ready(UNIT))?.is_good() {
            return Ok(());
        }
    }
    anyhow::bail!("a unit has nothing but unit attentions")
}

/// A number of the metrics.
fn metric(mounted: &Mounted, name: &str, label: &str) -> Result<u64> {
    let text = api::get(&mounted.daemon.places().runtime, "/metrics")?;
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    let line = line.with_context(|| format!("no {name} with {label} in\n{text}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

/// Files of a directory in `target/`, and the numbers that they say.
fn check(mounted: &Mounted, directory: &str, files: &[(&str, u64)]) -> Result<()> {
    for (file, is) in files {
        assert_eq!(number(mounted, directory, file)?, *is, "{file}");
    }
    Ok(())
}

fn number(mounted: &Mounted, directory: &str, file: &str) -> Result<u64> {
    Ok(mounted.read(&format!("{directory}/{file}"))?.trim_end().parse()?)
}

/// General access statistics: commands that read, that wrote; blocks received, transmitted.
fn logged(guest: &mut Guest) -> Result<[u64; 4]> {
    let log = Command { data_in_bytes: 255, ..Command::new(UNIT, &[0x4d, 0, 0x59, 0, 0, 0, 0, 0, 255, 0]) };
    let page = guest.execute(&log)?.good("LOG SENSE")?.data_in;
    let mut fields = [0; 4];
    for (field, bytes) in fields.iter_mut().zip(page[8..40].chunks(8)) {
        *field = u64::from_be_bytes(bytes.try_into()?);
    }
    Ok(fields)
}

/// A ramdisk as LUN 0, its guest, and the directories of their statistics.
fn furnished() -> Result<(Mounted, Guest, [String; 2])> {
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    shell.well("/backstores/ramdisk create r0 8M")?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0 0"))?;
    let mut guest = Guest::boot(mounted.daemon.socket(WWN), Options::default())?;
    ready(&mut guest)?;
    let mut homes = (0..9).map(|number| format!("core/rd_mcp_{number}/r0/statistics"));
    let unit = homes.find(|home| mounted.top(home).is_dir()).context("no directory of r0")?;
    Ok((mounted, guest, [unit, format!("vhost/{WWN}/tpgt_1/lun/lun_0/statistics")]))
}

#[test]
fn what_guests_ask_for_is_told_alike_wherever_it_is_told() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, mut guest, [unit, lun]) = furnished()?;
    let before = number(&mounted, &unit, "scsi_lu/num_cmds")?;
    // 3 MiB written, 2 MiB read, and a read behind the end, which is refused and counts as a command.
    for at in 0..3 {
        let write = commands::write_10(UNIT, at * 2048, 2048, &vec![7; 1 << 20]);
        ensure!(guest.execute(&write)?.is_good());
    }
    for at in 0..2 {
        ensure!(guest.execute(&commands::read_10(UNIT, at * 2048, 2048, 1 << 20))?.is_good());
    }
    ensure!(!guest.execute(&commands::read_10(UNIT, 0xffff_fff0, 1, 512))?.is_good());
    let of_unit = [
        ("scsi_lu/num_cmds", before + 6),
        ("scsi_lu/hs_num_cmds", before + 6),
        ("scsi_lu/write_mbytes", 3),
        ("scsi_lu/read_mbytes", 2),
        ("scsi_lu/resets", 0),
        ("scsi_lu/full_stat", 0),
        ("scsi_tgt_dev/aborts_complete", 0),
        ("scsi_tgt_dev/aborts_no_task", 0),
    ];
    check(&mounted, &unit, &of_unit)?;
    let of_lun = [
        ("scsi_tgt_port/in_cmds", before + 6),
        ("scsi_tgt_port/hs_in_cmds", before + 6),
        ("scsi_tgt_port/write_mbytes", 3),
        ("scsi_tgt_port/read_mbytes", 2),
        ("scsi_port/busy_count", 0),
    ];
    check(&mounted, &lun, &of_lun)?;
    for (name, is) in [("commands", before + 6), ("written_bytes", 3 << 20), ("read_bytes", 2 << 20)] {
        let at_lun = metric(&mounted, &format!("lunar_lun_{name}_total"), "lun=\"0\"")?;
        let of_object = metric(&mounted, &format!("lunar_storage_object_{name}_total"), "name=\"r0\"")?;
        assert_eq!((at_lun, of_object), (is, is), "{name}");
    }
    assert_eq!(logged(&mut guest)?, [2, 3, 6144, 4096]);

    // What a guest has forgotten is only what LOG SENSE tells.
    ensure!(guest.execute(&Command::new(UNIT, &[0x4c, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]))?.is_good());
    assert_eq!(logged(&mut guest)?, [0; 4]);
    check(&mounted, &unit, &[("scsi_lu/write_mbytes", 3)])
}

#[test]
fn resets_and_aborts_are_counted_and_a_lun_that_is_mapped_anew_begins_anew() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let (mounted, mut guest, [unit, lun]) = furnished()?;
    ensure!(guest.execute(&commands::write_10(UNIT, 0, 2048, &vec![7; 1 << 20]))?.is_good());
    assert_eq!(guest.control().task_management(ABORT_TASK, UNIT, 4711)?.response, 0);
    assert_eq!(guest.control().task_management(LOGICAL_UNIT_RESET, UNIT, 0)?.response, 0);
    assert_eq!(guest.control().task_management(LOGICAL_UNIT_RESET, UNIT, 0)?.response, 0);
    let managed = [
        ("scsi_lu/resets", 2),
        ("scsi_tgt_dev/resets", 2),
        ("scsi_tgt_dev/aborts_complete", 0),
        ("scsi_tgt_dev/aborts_no_task", 1),
    ];
    check(&mounted, &unit, &managed)?;
    assert_eq!(metric(&mounted, "lunar_storage_object_resets_total", "name=\"r0\"")?, 2);

    ready(&mut guest)?;
    let asked = number(&mounted, &unit, "scsi_lu/num_cmds")?;
    let shell = mounted.shell()?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns delete 0"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0 0"))?;
    check(&mounted, &lun, &[("scsi_tgt_port/in_cmds", 0)])?;
    check(&mounted, &unit, &[("scsi_lu/num_cmds", asked), ("scsi_lu/write_mbytes", 1)])
}
