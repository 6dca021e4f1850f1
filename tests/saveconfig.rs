// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A configuration is saved, cleared and restored by a whole daemon with real files.

use anyhow::Result;
use std::path::Path;
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

fn furnished() -> Result<Stage> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 16 << 20)?;
    stage.create_fileio("disk1", 1 << 20)?;
    stage.shell.well("/backstores/ramdisk create r0 8M")?;
    stage.shell.well("/backstores/fileio/disk1 set attribute emulate_write_cache=0")?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    stage.shell.well(&format!("/vhost/{WWN} create 7"))?;
    stage.map(WWN, 1, 0, "fileio/disk0")?;
    stage.map(WWN, 7, 300, "ramdisk/r0")?;
    Ok(stage)
}

/// A file of targetcli's: an image of which the last bytes are no block, a disk of another fabric beside it.
fn foreign_file(stage: &Stage, image: &Path) -> Result<std::path::PathBuf> {
    let file = stage.scratch.join("lio.json");
    let text = format!(
        r#"{{"fabric_modules": [], "storage_objects": [
            {{"name": "odd", "plugin": "fileio", "dev": "{}", "size": 1000000, "write_back": true,
              "aio": false, "wwn": "b9311139-ff05-4ffd-a5cc-8b35be14d722", "attributes": {{"pi_prot_type": 1}}}}],
          "targets": [{{"fabric": "iscsi", "wwn": "iqn.2003-01.org.x:sn.1", "tpgs": []}},
            {{"fabric": "vhost", "wwn": "naa.5001405000000042", "tpgs": [{{"tag": 1, "luns": [
              {{"index": 0, "storage_object": "/backstores/fileio/odd"}}]}}]}}]}}"#,
        image.display()
    );
    std::fs::write(&file, text)?;
    Ok(file)
}

#[test]
fn what_was_saved_comes_back_after_it_was_cleared() -> Result<()> {
    let mut stage = furnished()?;
    let tree = stage.shell.well("ls / --json")?;
    let saved = stage.shell.well("saveconfig")?;
    let path = saved.trim_end().strip_prefix("Configuration saved to ").unwrap_or_default().to_owned();
    assert_eq!(stage.shell.run(&["clearconfig"])?.stderr, "As a precaution, confirm=True needs to be set\n");
    assert_eq!(stage.shell.well("clearconfig confirm=True")?, "All configuration cleared\n");
    assert!(!stage.shell.well("ls /")?.contains("disk0"));
    assert!(!stage.daemon.socket(WWN).exists());
    assert!(stage.scratch.join("disk0").exists(), "files stay");

    assert_eq!(stage.shell.well("restoreconfig")?, format!("Configuration restored from {path}\n"));
    assert_eq!(stage.shell.well("ls / --json")?, tree);
    assert!(stage.daemon.socket(WWN).exists());
    let refused = stage.shell.run(&["restoreconfig"])?;
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.starts_with("storageobject 'fileio:disk0' exist not restoring; "),
        "{}",
        refused.stderr
    );
    stage.shell.well("restoreconfig clear_existing=true")?;
    assert_eq!(stage.shell.well("ls / --json")?, tree);

    // It is on disk as every change is.
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    assert_eq!(stage.shell.well("ls / --json")?, tree);
    Ok(())
}

#[test]
fn a_file_of_targetcli_is_restored_with_warnings_and_what_is_not_served_is_kept() -> Result<()> {
    let mut stage = Stage::set()?;
    let image = stage.scratch.join("odd.img");
    std::fs::File::create(&image)?.set_len(1_000_000)?;
    let file = foreign_file(&stage, &image)?;
    let said = stage.shell.well(&format!("restoreconfig {}", file.display()))?;
    let (image, file) = (image.display(), file.display());
    assert_eq!(
        said,
        format!(
            "the size of storage object fileio/odd, 1000000 bytes, is taken as 999936: whole blocks\n\
             target iqn.2003-01.org.x:sn.1 of fabric iscsi is not served; it is kept as it is\n\
             attributes of fileio/odd that cannot be so here keep their defaults: pi_prot_type=1\n\
             {image} ends within a block: its last 64 bytes are not used\n\
             Configuration restored from {file}\n"
        )
    );
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    let saved = stage.scratch.join("again.json");
    stage.shell.well(&format!("saveconfig {}", saved.display()))?;
    let text = std::fs::read_to_string(saved)?;
    assert!(text.contains("iqn.2003-01.org.x:sn.1"), "{text}");
    assert_eq!(
        stage.shell.well("clearconfig true")?,
        "What was kept and not served is forgotten too (1)\nAll configuration cleared\n"
    );
    Ok(())
}

#[test]
fn what_is_missing_from_the_host_makes_nothing_of_a_file_happen() -> Result<()> {
    let stage = furnished()?;
    let before = stage.shell.well("ls / --json")?;
    let saved = stage.scratch.join("saved.json");
    stage.shell.well(&format!("saveconfig {}", saved.display()))?;
    let text = std::fs::read_to_string(&saved)?.replace("/disk1\"", "/no/such/directory/disk1\"");
    std::fs::write(&saved, text)?;
    let refused = stage.shell.run(&["restoreconfig", &saved.display().to_string(), "clear_existing=true"])?;
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("/no/such/directory/disk1"), "{}", refused.stderr);
    assert_eq!(stage.shell.well("ls / --json")?, before);
    Ok(())
}
