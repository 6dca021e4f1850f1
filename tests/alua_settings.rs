// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every setting of asymmetric access, row by row, at every door (the shell, the API, LIO's tree, a file that is
//! applied): the lowest and the highest value that it takes, and that nothing else is taken anywhere.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use stories::api;
use stories::mounted::{self, Mounted};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const DISK: &str = "/backstores/fileio/disk0";
const TREE: &str = "core/fileio_0/disk0";
const EINVAL: i32 = 22;
const ENODEV: i32 = 19;

/// Name; what is taken, the lowest and the highest among it, with what LIO's file then reads; and what is one beyond.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const SWITCH: &[(&str, &str)] = &[("0", "0"), ("1", "1")];
const NO_SWITCH: &[&str] = &["2"];

/// Of a group.  A state comes while all are supported and before anybody takes it from the administrator.
#[rustfmt::skip]
const OF_GROUP: &[Row] = &[
    ("alua_access_state", &[("3", "3"), ("2", "2"), ("1", "1"), ("0", "0")], &["4", "5", "14", "15"]),
    ("alua_access_status", &[("0", "None"), ("1", "Altered by Explicit STPG"), ("2", "Altered by Implicit ALUA")], &["3"]),
    ("alua_support_active_nonoptimized", SWITCH, NO_SWITCH),
    ("alua_support_active_optimized", SWITCH, NO_SWITCH),
    ("alua_support_lba_dependent", &[("0", "0")], &["1", "2"]),
    ("alua_support_offline", SWITCH, NO_SWITCH),
    ("alua_support_standby", SWITCH, NO_SWITCH),
    ("alua_support_transitioning", SWITCH, NO_SWITCH),
    ("alua_support_unavailable", SWITCH, NO_SWITCH),
    ("alua_write_metadata", SWITCH, NO_SWITCH),
    ("implicit_trans_secs", &[("0", "0"), ("255", "255")], &["256"]),
    ("nonop_delay_msecs", &[("0", "0"), ("10000", "10000")], &["10001"]),
    ("preferred", SWITCH, NO_SWITCH),
    ("trans_delay_msecs", &[("0", "0"), ("30000", "30000")], &["30001"]),
    ("alua_access_type", &[("0", "None"), ("1", "Implicit"), ("2", "Explicit"), ("3", "Implicit and Explicit")], &["4"]),
];

/// Of a LUN.
#[rustfmt::skip]
const OF_LUN: &[Row] = &[
    ("alua_tg_pt_offline", &[("1", "1"), ("0", "0")], NO_SWITCH),
    ("alua_tg_pt_status", &[("0", "0"), ("1", "1"), ("2", "2")], &["3"]),
    ("alua_tg_pt_write_md", SWITCH, NO_SWITCH),
];

/// What no number is.
const GARBAGE: &[&str] = &["", "x", "-1", "1x", "4294967296", "99999999999999999999"];

/// Where a setting is, at each door.
struct Place {
    /// The node of the shell, whose group is `alua`.
    node: String,
    /// The change of the API, but for attribute and value.
    change: Value,
    /// The directory in LIO's tree.
    directory: String,
    /// The text of a file to apply, with `@` where the setting goes.
    file: String,
    /// How a line that refuses names it, behind the attribute.
    named: &'static str,
}

/// A mounted tree with a disk in a group `grp1` that LUN 0 is in.
struct Rig {
    mounted: Mounted,
    wanted: PathBuf,
    path: String,
}

impl Rig {
    fn set() -> Result<Self> {
        let mounted = Mounted::furnished()?;
        let shell = mounted.shell()?;
        let path = mounted.scratch.join("disk0").display().to_string();
        shell.well(&format!("{DISK}/alua create grp1 5"))?;
        shell.well(&format!("/vhost create {WWN}"))?;
        shell.well(&format!("/vhost/{WWN}/tpg1/luns create {DISK} 0"))?;
        shell.well(&format!("/vhost/{WWN}/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=grp1"))?;
        let wanted = mounted.scratch.join("wanted.toml");
        Ok(Self { mounted, wanted, path })
    }

    fn of_group(&self) -> Place {
        Place {
            node: format!("{DISK}/alua/grp1"),
            change: json!({ "change": "set_alua_attribute", "kind": "fileio", "name": "disk0", "group": "grp1" }),
            directory: format!("{TREE}/alua/grp1"),
            file: format!(
                "[fileio.disk0]\npath = \"{}\"\n[fileio.disk0.alua.grp1]\ntg_pt_gp_id = 5\n@\n",
                self.path
            ),
            named: "of ALUA group grp1 of fileio/disk0",
        }
    }

    fn of_lun(&self) -> Place {
        Place {
            node: format!("/vhost/{WWN}/tpg1/luns/lun0"),
            change: json!({ "change": "set_lun_alua", "wwn": WWN, "tag": 1, "lun": 0 }),
            directory: format!("vhost/{WWN}/tpgt_1/lun/lun_0"),
            file: format!("[vhost.\"{WWN}\".tpg1]\nlun0 = {{ backstore = \"fileio/disk0\", @ }}\n"),
            named: "of LUN naa.500140568720f76f/tpg1/lun0",
        }
    }

    fn ask(&self, place: &Place, name: &str, value: &str) -> Result<(u16, Value)> {
        let mut change = place.change.clone();
        (change["attribute"], change["value"]) = (json!(name), json!(value));
        api::change(&self.mounted.daemon.places().runtime, &change)
    }

    fn write(&self, place: &Place, file: &str, value: &str) -> Option<i32> {
        // Nothing is no write.
        let value = if value.is_empty() { "\n" } else { value };
        let written = self.mounted.write(&format!("{}/{file}", place.directory), value);
        written.err().and_then(|error| error.raw_os_error())
    }

    fn read(&self, place: &Place, file: &str) -> Result<String> {
        Ok(self.mounted.read(&format!("{}/{file}", place.directory))?.trim_end().to_owned())
    }

    fn typed(&self, place: &Place, name: &str, value: &str) -> Result<stories::shell::Answer> {
        self.mounted.shell()?.run(&[&place.node, "set", "alua", &format!("{name}={value}")])
    }

    /// What the shell says that it is.
    fn told(&self, place: &Place, name: &str) -> Result<String> {
        let line = self.mounted.shell()?.well(&format!("{} get alua {name}", place.node))?;
        let value = line.trim().strip_prefix(&format!("{name}=")).context("no value")?;
        Ok(value.trim_end_matches("[ro]").trim().to_owned())
    }

    fn apply(&self, place: &Place, setting: &str) -> Result<stories::shell::Answer> {
        std::fs::write(&self.wanted, place.file.replace('@', setting))?;
        self.mounted.shell()?.run(&["apply", &self.wanted.display().to_string()])
    }

    /// Refused at every door, by a line that names it, and nothing is another than it was.
    fn check_refused(&self, place: &Place, name: &str, value: &str) -> Result<()> {
        let before = self.read(place, name)?;
        assert_eq!(self.write(place, name, value), Some(EINVAL), "{name}={value}");
        let (status, problem) = self.ask(place, name, value)?;
        ensure!([400, 409].contains(&status), "{name}={value}: {status} {problem}");
        let message = problem["message"].as_str().context("no message")?;
        let state = name == "alua_access_state" && message.starts_with("ALUA group grp1 of fileio/disk0 ");
        ensure!(state || message.starts_with(&format!("{name} {} cannot be '", place.named)), "{message}");
        ensure!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
        let typed = self.typed(place, name, value)?;
        assert_eq!((typed.status, typed.stdout.as_str()), (1, ""), "{name}={value}: {}", typed.stderr);
        let named = typed.stderr.contains(name) || typed.stderr.starts_with(message);
        ensure!(named && !typed.stderr.trim().is_empty(), "{name}={value}: {}", typed.stderr);
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        for setting in [format!("{name} = \"{value}\""), format!("{name} = {value}")] {
            if digits || setting.ends_with('"') {
                let applied = self.apply(place, &setting)?;
                ensure!(applied.status == 1, "{setting} was applied");
                ensure!(applied.stderr.contains(name) || digits, "{setting}: {}", applied.stderr);
            }
        }
        assert_eq!(self.read(place, name)?, before, "{name}={value}");
        Ok(())
    }

    /// Taken at every door, and all of them show it.
    fn check_taken(&self, place: &Place, name: &str, (value, reads): (&str, &str)) -> Result<()> {
        let shown = |door: &str| -> Result<()> {
            assert_eq!(self.read(place, name)?, reads, "{door}: {name}={value}");
            assert_eq!(self.told(place, name)?, value, "{door}: {name}={value}");
            Ok(())
        };
        // From another value each time, where there is one: what is so already is easily taken.
        let others = [OF_GROUP, OF_LUN].concat();
        let row = others.iter().find(|row| row.0 == name).context("no row")?;
        let other = row.1.iter().map(|(other, _)| *other).find(|other| *other != value).unwrap_or(value);
        assert_eq!(self.write(place, name, value), None, "{name}={value}");
        shown("tree")?;
        assert_eq!(self.write(place, name, other), None, "{name}={other}");
        let (status, done) = self.ask(place, name, value)?;
        assert_eq!(status, 200, "{name}={value}: {done}");
        shown("API")?;
        assert_eq!(self.write(place, name, other), None, "{name}={other}");
        let typed = self.typed(place, name, value)?;
        if name == "alua_support_lba_dependent" {
            // It follows the map, so that there is nothing to set.
            assert_eq!(typed.stderr, format!("Parameter {name} is read-only.\n"));
        } else {
            let said = format!("Parameter {name} is now '{value}'.\n");
            assert_eq!((typed.status, typed.stdout), (0, said), "{}", typed.stderr);
        }
        shown("shell")?;
        assert_eq!(self.write(place, name, other), None, "{name}={other}");
        let applied = self.apply(place, &format!("{name} = {value}"))?;
        assert_eq!(applied.status, 0, "{name} = {value}: {}", applied.stderr);
        shown("file")
    }

    fn check(&self, place: &Place, rows: &[Row]) -> Result<()> {
        for (name, good, bad) in rows {
            for value in bad.iter().chain(GARBAGE) {
                self.check_refused(place, name, value)?;
            }
            for value in *good {
                self.check_taken(place, name, *value)?;
            }
        }
        Ok(())
    }
}

#[test]
fn every_setting_of_a_group_takes_its_range_and_no_more_at_every_door() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let rig = Rig::set()?;
    let place = rig.of_group();
    rig.check(&place, OF_GROUP)?;
    // None is left out.
    for entry in std::fs::read_dir(rig.mounted.top(&place.directory))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known =
            OF_GROUP.iter().any(|row| row.0 == name) || ["members", "tg_pt_gp_id"].contains(&name.as_str());
        ensure!(known, "{name} is in no row");
    }
    let (status, problem) = rig.ask(&place, "color", "1")?;
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_alua_attribute")));
    Ok(())
}

#[test]
fn every_setting_of_a_lun_takes_its_range_and_no_more_at_every_door() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let rig = Rig::set()?;
    let place = rig.of_lun();
    rig.check(&place, OF_LUN)?;
    let group = "alua_tg_pt_gp_name";
    // Its group, by name: an empty one is the default, at every door.
    let is_in = |rig: &Rig, name: &str| -> Result<()> {
        assert_eq!(rig.told(&place, group)?, name);
        let said = rig.read(&place, "alua_tg_pt_gp")?;
        ensure!(said.starts_with(&format!("TG Port Alias: {name}\n")), "{said}");
        Ok(())
    };
    for (named, name) in [("", "default_tg_pt_gp"), ("grp1", "grp1"), ("NULL", "default_tg_pt_gp")] {
        assert_eq!(rig.write(&place, "alua_tg_pt_gp", named), None);
        is_in(&rig, name)?;
        rig.ask(&place, group, "grp1")?;
        assert_eq!(rig.ask(&place, group, named)?.0, 200);
        is_in(&rig, name)?;
        rig.ask(&place, group, "grp1")?;
        assert_eq!(rig.typed(&place, group, named)?.status, 0);
        is_in(&rig, name)?;
        rig.ask(&place, group, "grp1")?;
        assert_eq!(rig.apply(&place, &format!("{group} = \"{named}\""))?.status, 0);
        is_in(&rig, name)?;
    }
    for (named, code) in
        [("bogus", "no_such_alua_group"), ("a b", "alua_name_invalid"), ("a/b", "alua_name_invalid")]
    {
        assert_eq!(rig.write(&place, "alua_tg_pt_gp", named), Some(ENODEV), "{named}");
        assert_eq!(rig.ask(&place, group, named)?.1["code"], json!(code), "{named}");
        let typed = rig.typed(&place, group, named)?;
        ensure!(typed.status == 1 && typed.stderr.contains(&format!("'{named}'")), "{}", typed.stderr);
        let applied = rig.apply(&place, &format!("{group} = \"{named}\""))?;
        ensure!(applied.status == 1 && applied.stderr.contains(&format!("'{named}'")), "{}", applied.stderr);
        is_in(&rig, "default_tg_pt_gp")?;
    }
    Ok(())
}

#[test]
fn the_id_of_a_group_is_any_that_is_free_and_stays() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let rig = Rig::set()?;
    let shell = rig.mounted.shell()?;
    let runtime = &rig.mounted.daemon.places().runtime;
    let ask = |group: &str, id: Value| {
        let change = json!({
            "change": "create_alua_group", "kind": "fileio", "name": "disk0", "group": group, "group_id": id,
        });
        api::change(runtime, &change)
    };
    let alua = format!("{DISK}/alua");
    let there =
        || -> Result<usize> { Ok(std::fs::read_dir(rig.mounted.top(&format!("{TREE}/alua")))?.count()) };
    assert_eq!(there()?, 2);
    // Taken, beyond, and no number.
    for (id, says) in
        [("0", "between 1 and 65535"), ("5", "in use"), ("65536", "65535"), ("-1", "-1"), ("x", "x")]
    {
        let typed = shell.run(&[&alua, "create", "grp2", id])?;
        ensure!(typed.status == 1 && typed.stderr.contains(says), "{id}: {}", typed.stderr);
        let number = id.parse::<i64>().map_or(json!(id), |number| json!(number));
        let (status, problem) = ask("grp2", number)?;
        ensure!([400, 409].contains(&status), "{id}: {status} {problem}");
        ensure!(problem["message"].as_str().is_some_and(|line| !line.contains('\n')), "{problem}");
        let text = format!(
            "[fileio.disk0]\npath = \"{}\"\n[fileio.disk0.alua.grp1]\ntg_pt_gp_id = 5\n[fileio.disk0.alua.grp2]\n\
             tg_pt_gp_id = {}\n",
            rig.path,
            id.parse::<i64>().map_or(format!("\"{id}\""), |number| number.to_string())
        );
        std::fs::write(&rig.wanted, text)?;
        let applied = shell.run(&["apply", &rig.wanted.display().to_string()])?;
        let named =
            ["ALUA group id", "tg_pt_gp_id", "there is no id"].iter().any(|it| applied.stderr.contains(it));
        ensure!(applied.status == 1 && named, "{id}: {}", applied.stderr);
        assert_eq!(there()?, 2, "{id}");
    }
    for (group, id) in [("low", 1), ("high", 65535)] {
        shell.well(&format!("{alua} create {group} {id}"))?;
        assert_eq!(rig.mounted.read(&format!("{TREE}/alua/{group}/tg_pt_gp_id"))?, format!("{id}\n"));
        shell.well(&format!("{alua} delete {group}"))?;
        let (status, done) = ask(group, json!(id))?;
        assert_eq!(status, 200, "{done}");
        assert_eq!(rig.mounted.read(&format!("{TREE}/alua/{group}/tg_pt_gp_id"))?, format!("{id}\n"));
        // It stays.
        let written = rig.mounted.write(&format!("{TREE}/alua/{group}/tg_pt_gp_id"), "77");
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(EINVAL));
        let typed = shell.run(&[&format!("{alua}/{group}"), "set", "alua", "tg_pt_gp_id=77"])?;
        assert_eq!(typed.stderr, "Parameter tg_pt_gp_id is read-only.\n");
    }
    Ok(())
}

#[test]
fn groups_of_logical_units_have_their_range_at_the_doors_that_have_them() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let rig = Rig::set()?;
    let runtime = &rig.mounted.daemon.places().runtime;
    let ask = |group: &str, id: Value| {
        api::change(runtime, &json!({ "change": "create_lu_group", "group": group, "group_id": id }))
    };
    let errno = |file: &str, text: &str| {
        let written = rig.mounted.write(file, text);
        written.err().and_then(|error| error.raw_os_error())
    };
    let groups = "core/alua/lu_gps";
    let shell = rig.mounted.shell()?;
    for (name, id) in [("low", "1"), ("high", "65535")] {
        assert_eq!(ask(name, json!(id.parse::<u16>()?))?.0, 200);
        assert_eq!(rig.mounted.read(&format!("{groups}/{name}/lu_gp_id"))?, format!("{id}\n"));
        let (status, problem) = ask("other", json!(id.parse::<u16>()?))?;
        assert_eq!((status, &problem["code"]), (409, &json!("lu_group_id_in_use")));
    }
    assert_eq!(ask("other", json!(0))?.1["code"], json!("lu_group_id_in_use"));
    for beyond in [json!(65536), json!(-1), json!("x"), json!("")] {
        let (status, problem) = ask("other", beyond)?;
        assert_eq!(status, 400, "{problem}");
    }
    std::fs::create_dir(rig.mounted.top(&format!("{groups}/staged")))?;
    for wrong in ["65536", "65535", "-1", "x", "\n"] {
        assert_eq!(errno(&format!("{groups}/staged/lu_gp_id"), wrong), Some(EINVAL), "{wrong}");
    }
    for wrong in ["\"x\"", "65536", "-1", "65535"] {
        std::fs::write(&rig.wanted, format!("lu_groups = {{ other = {wrong} }}\n"))?;
        let applied = shell.run(&["apply", &rig.wanted.display().to_string()])?;
        assert_eq!(applied.status, 1, "{wrong}");
    }
    // A backstore is in one that is there.
    let put = |group: &str| {
        api::change(
            runtime,
            &json!({ "change": "set_lu_group", "kind": "fileio", "name": "disk0", "group": group }),
        )
    };
    assert_eq!(put("high")?.0, 200);
    assert_eq!(
        rig.mounted.read(&format!("{TREE}/alua_lu_gp"))?,
        "LU Group Alias: high\nLU Group ID: 65535\n"
    );
    assert_eq!((put("bogus")?.0, put("a b")?.0), (404, 400));
    assert_eq!(errno(&format!("{TREE}/alua_lu_gp"), "bogus"), Some(ENODEV));
    let text = format!("[fileio.disk0]\npath = \"{}\"\nlu_group = \"bogus\"\n", rig.path);
    std::fs::write(&rig.wanted, text)?;
    let applied = shell.run(&["apply", &rig.wanted.display().to_string()])?;
    ensure!(applied.status == 1 && applied.stderr.contains("'bogus'"), "{}", applied.stderr);
    assert_eq!(
        rig.mounted.read(&format!("{TREE}/alua_lu_gp"))?,
        "LU Group Alias: high\nLU Group ID: 65535\n"
    );
    Ok(())
}

#[test]
fn what_is_said_of_a_lun_after_a_set_is_what_is_so() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let lun = format!("/vhost/{}/tpg1/luns/lun0", stage.serve("fileio/disk0")?);
    stage.shell.well(&format!("{DISK}/alua create grp1 5"))?;
    for (typed, told) in [
        ("alua_tg_pt_gp_name=grp1", "alua_tg_pt_gp_name is now 'grp1'"),
        ("alua_tg_pt_gp_name=", "alua_tg_pt_gp_name is now 'default_tg_pt_gp'"),
        ("alua_tg_pt_gp_name=NULL", "alua_tg_pt_gp_name is now 'default_tg_pt_gp'"),
        ("alua_tg_pt_offline=01", "alua_tg_pt_offline is now '1'"),
        ("alua_tg_pt_status=0", "alua_tg_pt_status is now '0'"),
        ("alua_tg_pt_write_md=1", "alua_tg_pt_write_md is now '1'"),
    ] {
        let said = stage.shell.well(&format!("{lun} set alua {typed}"))?;
        assert_eq!(said, format!("Parameter {told}.\n"));
    }
    let json = stage.shell.well(&format!("{lun} set alua alua_tg_pt_gp_name= --json"))?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(
        json["result"]["parameters"],
        json!([{ "name": "alua_tg_pt_gp_name", "value": "default_tg_pt_gp" }])
    );
    Ok(())
}
