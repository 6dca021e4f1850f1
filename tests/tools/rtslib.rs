// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `saveconfig` writes, LIO's own library restores: every storage object, attribute, target and LUN of it,
//! with nothing skipped.  The library is Debian's python3-rtslib-fb, over a directory in the place of configfs.

use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use stories::process::{command, run};
use stories::programs::{host_program, workspace};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

/// What the library did with a file, a line each.
fn restore(stage: &Stage, tree: &str, file: &Path) -> Result<Vec<String>> {
    // The library belongs to the system's Python, which may not be the first in the path.
    let mut restore = command(host_program("/usr/bin/python3")?);
    restore.arg(workspace().join("tests/tools/rtslib_restore.py")).arg(stage.scratch.join(tree)).arg(file);
    let said = run(&mut restore, Duration::from_secs(60))?;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect())
}

fn furnished() -> Result<Stage> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 16 << 20)?;
    stage.shell.well("/backstores/ramdisk create r0 8M nullio=true")?;
    stage.shell.well("/backstores/fileio/disk0 set attribute emulate_write_cache=0 emulate_tas=0")?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.shell.well(&format!("/vhost/{WWN} create 7"))?;
    stage.shell.well(&format!("/vhost/{WWN} set option num_queues=4"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    let luns = format!("/vhost/{WWN}/tpg7/luns");
    stage.shell.well(&format!("{luns} create /backstores/ramdisk/r0 300 write_protect=true"))?;
    Ok(stage)
}

#[test]
fn lios_library_restores_what_lunar_saved_and_skips_nothing() -> Result<()> {
    let stage = furnished()?;
    let file = stage.scratch.join("saved.json");
    stage.shell.well(&format!("saveconfig {}", file.display()))?;
    let did = restore(&stage, "tree", &file)?;
    let errors: Vec<&String> = did.iter().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors, [""; 0]);
    let info = stage.shell.well("/backstores/fileio/disk0 info")?;
    let serial = info.lines().find_map(|line| line.strip_prefix("wwn: ")).unwrap_or_default();
    let path = stage.scratch.join("disk0");
    for line in [
        format!("core/fileio_0/disk0/udev_path={}", path.display()),
        format!("core/fileio_0/disk0/wwn/vpd_unit_serial={serial}"),
        "core/fileio_0/disk0/enable=1".to_owned(),
        "core/fileio_0/disk0/attrib/emulate_write_cache=0".to_owned(),
        "core/fileio_0/disk0/attrib/emulate_tas=0".to_owned(),
        "core/fileio_0/disk0/attrib/block_size=512".to_owned(),
        "core/rd_mcp_1/r0/control=rd_nullio=1".to_owned(),
    ] {
        assert!(did.contains(&line), "{line} is not in\n{}", did.join("\n"));
    }
    for (lun, object) in
        [("tpgt_1/lun/lun_0", "core/fileio_0/disk0"), ("tpgt_7/lun/lun_300", "core/rd_mcp_1/r0")]
    {
        let link = format!("vhost/{WWN}/{lun}/");
        let target = format!(" -> {object}");
        assert!(did.iter().any(|line| line.starts_with(&link) && line.ends_with(&target)), "{link}{target}");
    }
    Ok(())
}

#[test]
fn lios_library_complains_about_a_member_that_it_does_not_know() -> Result<()> {
    // So that no complaint above means something.
    let stage = furnished()?;
    let file = stage.scratch.join("saved.json");
    stage.shell.well(&format!("saveconfig {}", file.display()))?;
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("\"aio\": false", "\"x_lunar\": {}, \"aio\": false"))?;
    let did = restore(&stage, "tree", &file)?;
    let errors: Vec<&String> = did.iter().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors[0].starts_with("error: Could not create StorageObject disk0: "), "{errors:?}");
    Ok(())
}
