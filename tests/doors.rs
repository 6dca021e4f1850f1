// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A value that cannot be is refused with one clear error, and nothing is changed: in the shell, in its JSON, in the API.
//! The same for a file that somebody wrote.  In a saveconfig.json it is told of, and the attribute stays as it was.

use anyhow::Result;
use serde_json::json;
use stories::api;
use stories::stage::Stage;

/// Attributes with values that are none of theirs.
const WRONG: &[(&str, &str)] = &[
    ("block_size", "777"),
    ("block_size", "0"),
    ("emulate_tas", "2"),
    ("emulate_tpu", "-1"),
    ("emulate_ua_intlck_ctrl", "3"),
    ("max_unmap_lba_count", "4294967296"),
    ("max_write_same_len", "1.5"),
    ("unmap_granularity", ""),
    ("emulate_nosuch", "1"),
];

/// A value as a file has it, where one that is no whole number is text.
fn as_number_or_text(value: &str) -> String {
    value.parse::<i64>().map_or_else(|_| format!("{value:?}"), |number| number.to_string())
}

/// A disk with an attribute as a saveconfig.json has it.
fn saved(name: &str, value: &str) -> String {
    let value = as_number_or_text(value);
    format!(
        r#"{{"storage_objects": [{{"name": "r1", "plugin": "ramdisk", "size": 1048576, "nullio": false,
            "wwn": "b9311139-ff05-4ffd-a5cc-8b35be14d722", "attributes": {{"{name}": {value}}}}}], "targets": []}}"#
    )
}

#[test]
fn an_attribute_out_of_range_is_told_of_at_every_door_and_changes_nothing() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well("/backstores/ramdisk create r0 1M")?;
    let file = stage.scratch.join("file");
    let shown = file.display().to_string();
    let before = stage.shell.well("ls / --json")?;
    for (name, value) in WRONG {
        let what = format!("{name}={value}");
        // The shell, and its JSON: one line, and perhaps a hint.
        let set = ["/backstores/ramdisk/r0", "set", "attribute", &what];
        let said = stage.shell.run(&set)?;
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{what}: {}", said.stderr);
        assert!(said.stderr.contains(name) && said.stderr.lines().count() <= 2, "{what}: {}", said.stderr);
        let said = stage.shell.run(&[&["--json"], &set[..]].concat())?;
        assert_eq!((said.status, said.stderr.as_str()), (1, ""), "{what}");
        let told: serde_json::Value = serde_json::from_str(&said.stdout)?;
        assert_eq!(told["ok"], false, "{told}");
        assert!(told["error"]["message"].as_str().is_some_and(|line| line.lines().count() == 1), "{told}");

        // The API.
        let change = json!({"change": "set_attribute", "kind": "ramdisk", "name": "r0", "attribute": name, "value": value});
        let (status, problem) = api::change(&stage.daemon.places().runtime, &change)?;
        assert!((400..500).contains(&status), "{what}: {status}");
        assert!(problem["message"].as_str().is_some_and(|line| line.contains(name)), "{what}: {problem}");

        // A file of what is to be.
        let wanted = as_number_or_text(value);
        let text =
            format!("scope = [\"*\"]\n[ramdisk.r0]\nsize = \"1M\"\nattributes = {{ {name} = {wanted} }}\n");
        std::fs::write(&file, text)?;
        let said = stage.shell.run(&["apply", "-f", &shown])?;
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{what}: {}", said.stderr);
        assert!(said.stderr.contains(name) && said.stderr.lines().count() <= 2, "{what}: {}", said.stderr);
        assert_eq!(stage.shell.well("ls / --json")?, before, "{what} changed something");
    }
    Ok(())
}

#[test]
fn a_value_of_a_saveconfig_json_that_cannot_be_is_told_of_and_changes_nothing_else() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well("/backstores/ramdisk create r0 1M")?;
    let before = stage.shell.well("ls / --json")?;
    let file = stage.scratch.join("saved.json");
    for (name, value) in WRONG.iter().filter(|(name, _)| *name != "emulate_nosuch") {
        std::fs::write(&file, saved(name, value))?;
        let said = stage.shell.run(&["restoreconfig", &file.display().to_string()])?;
        let told = format!("{}{}", said.stdout, said.stderr);
        assert!(told.contains(name), "{name}={value}: {told}");
        if said.status == 0 {
            // The disk is there, with the attribute as of a disk of which nothing was said.
            let [r0, r1] =
                ["r0", "r1"].map(|disk| format!("/backstores/ramdisk/{disk} get attribute {name}"));
            assert_eq!(stage.shell.well(&r1)?, stage.shell.well(&r0)?, "{name}={value}");
            stage.shell.well("/backstores/ramdisk delete r1")?;
        }
        assert_eq!(stage.shell.well("ls / --json")?, before, "{name}={value} changed something");
    }
    Ok(())
}

#[test]
fn a_group_or_an_id_in_use_is_refused_and_changes_nothing() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well("/backstores/ramdisk create r0 1M")?;
    let wwn = stage.serve("ramdisk/r0")?;
    stage.shell.well("/backstores/ramdisk/r0/alua create grp1 5")?;
    stage.shell.well(&format!("/vhost/{wwn}/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=grp1"))?;
    let before = stage.shell.well("ls / --json")?;
    for (line, part) in [
        ("/backstores/ramdisk/r0/alua create grp1 6".to_owned(), "grp1"),
        ("/backstores/ramdisk/r0/alua create grp2 5".to_owned(), "5"),
        ("/backstores/ramdisk/r0/alua delete grp1".to_owned(), "grp1"),
        ("/backstores/ramdisk/r0/alua create grp2 65536".to_owned(), "65536"),
        ("/backstores/ramdisk create r0 1M".to_owned(), "r0"),
        (format!("/vhost create {wwn}"), wwn.as_str()),
        (format!("/vhost/{wwn}/tpg1/luns create /backstores/ramdisk/r0 0"), "LUN"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let said = stage.shell.run(&words)?;
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{line}: {}", said.stderr);
        assert!(said.stderr.contains(part) && said.stderr.lines().count() <= 2, "{line}: {}", said.stderr);
        assert_eq!(stage.shell.well("ls / --json")?, before, "{line} changed something");
    }
    Ok(())
}
