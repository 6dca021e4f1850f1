// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ansible drives Lunar by commands that were written for targetcli, whichever program has that name: the real one on
//! Lunar's tree, or `lunar`.

use anyhow::{Context, Result};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;
use stories::mounted::{self, Mounted};
use stories::process::{command, run};
use stories::programs::{built, find_in_path, workspace};

const WWN: &str = "naa.500140568720f76f";
const LIMIT: Duration = Duration::from_secs(180);

/// Plays the playbook; how many of its tasks changed something.
fn changed(mounted: &Mounted, mut ansible: Command) -> Result<String> {
    let playbook = workspace().join("tests/tools/ansible.yml");
    let [image, saved] = ["disk0.img", "saved.json"].map(|name| mounted.scratch.join(name));
    ansible.env("ANSIBLE_HOME", mounted.scratch.join("ansible")).env("ANSIBLE_NOCOLOR", "1");
    ansible.env("ANSIBLE_LOCAL_TEMP", mounted.scratch.join("ansible/tmp"));
    ansible.args(["-i", "localhost,"]).arg(playbook);
    for value in
        [format!("wwn={WWN}"), format!("image={}", image.display()), format!("saved={}", saved.display())]
    {
        ansible.args(["-e", &value]);
    }
    let output = run(&mut ansible, LIMIT)?;
    let said = String::from_utf8(output.stdout)?;
    let complained = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}:\n{said}{complained}", output.status);
    let recap = said.lines().find(|line| line.contains("changed=")).context("no recap")?;
    let changed = recap.split_whitespace().find(|word| word.starts_with("changed="));
    Ok(changed.unwrap_or_default().to_owned())
}

/// Plays it twice, and looks at what it made.
fn twice(play: impl Fn(&Mounted) -> Result<Command>) -> Result<()> {
    let mounted = Mounted::start()?;
    assert_eq!(changed(&mounted, play(&mounted)?)?, "changed=5");
    let shell = mounted.shell()?;
    let made = shell.well("ls /")?;
    assert!(made.contains("lun0") && made.contains("[fileio/disk0 ("), "{made}");
    assert_eq!(shell.well("/backstores/fileio/disk0 get attribute emulate_tas")?, "emulate_tas=0 \n");
    assert!(mounted.daemon.socket(WWN).exists());
    let saved = std::fs::read_to_string(mounted.scratch.join("saved.json"))?;
    assert!(saved.contains(WWN), "{saved}");
    assert_eq!(changed(&mounted, play(&mounted)?)?, "changed=0");
    assert_eq!(shell.well("ls /")?, made);
    Ok(())
}

fn missing() -> Option<&'static str> {
    let absent = || find_in_path("ansible-playbook").is_none();
    mounted::missing_tool()
        .or_else(|| absent().then_some("there is no ansible-playbook (Debian: ansible-core)"))
}

#[test]
fn a_playbook_for_targetcli_changes_what_is_not_so_and_nothing_the_second_time() -> Result<()> {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return Ok(());
    }
    twice(|mounted| {
        let mut lunar = mounted.lunar_run()?;
        lunar.arg("ansible-playbook");
        Ok(lunar)
    })
}

#[test]
fn a_playbook_for_targetcli_does_the_same_where_lunar_has_that_name() -> Result<()> {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return Ok(());
    }
    twice(|mounted| {
        let programs = mounted.scratch.join("bin");
        if !programs.exists() {
            std::fs::create_dir(&programs)?;
            symlink(built("lunar")?, programs.join("targetcli"))?;
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut ansible = command("ansible-playbook");
        ansible.env("PATH", format!("{}:{path}", programs.display()));
        let places = mounted.daemon.places();
        ansible.env("LUNAR_STATE_DIR", &places.state).env("LUNAR_RUNTIME_DIR", &places.runtime);
        Ok(ansible)
    })
}
