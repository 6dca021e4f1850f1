// SPDX-License-Identifier: Apache-2.0 OR MIT
//! LIO's other tools on Lunar's tree: targetctl, targetclid, and a program on rtslib's Python interface; of Debian and,
//! where `cargo xtask setup` could fetch it, of PyPI.

use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stories::mounted::{self, Mounted};
use stories::process::run;
use stories::programs::workspace;

const WWN: &str = "naa.500140568720f76f";
const LIMIT: Duration = Duration::from_secs(120);

/// Where each version has its programs: `None` is Debian's.  Empty where the stories cannot run.
fn versions() -> Result<Vec<Option<PathBuf>>> {
    if let Some(why) = mounted::missing_tool() {
        println!("skipped: {why}");
        return Ok(Vec::new());
    }
    let newer = mounted::newer_targetcli()?;
    if newer.is_none() {
        println!("skipped for targetcli {}: cargo xtask setup fetches it", mounted::NEWER);
    }
    Ok(std::iter::once(None).chain(newer.map(Some)).collect())
}

/// Runs a script with the programs of a version; it must succeed.
fn well(mounted: &Mounted, programs: Option<&PathBuf>, script: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = programs.map_or(path.clone(), |folder| format!("{}:{path}", folder.display()));
    let mut lunar = mounted.lunar_run()?;
    let output = run(lunar.env("PATH", path).args(["sh", "-c", &format!("set -e\n{script}")]), LIMIT)?;
    let said = String::from_utf8(output.stdout)?;
    let complained = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{script}\n{}:\n{said}{complained}", output.status);
    Ok(said)
}

const DAEMON: &str = "
targetcli pwd >/dev/null
targetclid >/dev/null 2>&1 &
daemon=$!
i=0
while ! [ -S /run/targetclid.sock ]; do i=$((i+1)); [ $i -lt 300 ]; sleep 0.1; done
targetcli set global auto_use_daemon=true >/dev/null
targetcli /backstores/ramdisk create d0 1M
targetcli ls /backstores/ramdisk | grep -c 'o- d0 '
targetcli /backstores/ramdisk delete d0
targetcli --disable-daemon >/dev/null
kill $daemon
";

#[test]
fn targetctl_and_targetclid_of_both_versions_work() -> Result<()> {
    for programs in versions()? {
        let mounted = Mounted::start()?;
        let shell = mounted.shell()?;
        shell.well("/backstores/ramdisk create r0 8M")?;
        shell.well(&format!("/vhost create {WWN}"))?;
        shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0 7"))?;
        let file = mounted.scratch.join("saved.json");
        let said = well(&mounted, programs.as_ref(), &format!("targetctl save {}", file.display()))?;
        assert_eq!(said, "");
        assert_eq!(well(&mounted, programs.as_ref(), "targetctl clear")?, "");
        let listed = shell.well("ls")?;
        assert!(!listed.contains("r0") && !listed.contains(WWN), "{listed}");
        // Twice: it clears what is there first.
        for _ in 0..2 {
            let restore = format!("targetctl restore {}", file.display());
            assert_eq!(well(&mounted, programs.as_ref(), &restore)?, "");
        }
        let listed = shell.well("ls")?;
        assert!(listed.contains("lun7") && listed.contains("[ramdisk/r0 ("), "{listed}");

        let said = well(&mounted, programs.as_ref(), DAEMON)?;
        let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["Created ramdisk d0 with size 1M.", "1", "Deleted storage object d0."]);
        assert!(!std::path::Path::new("/run/targetclid.sock").exists(), "the host's is another");
    }
    Ok(())
}

#[test]
fn rtslibs_python_interface_creates_saves_clears_and_restores() -> Result<()> {
    for programs in versions()? {
        let mounted = Mounted::start()?;
        let (image, saved) = (mounted.scratch.join("disk0.img"), mounted.scratch.join("saved.json"));
        let python = programs.as_ref().map(|folder| folder.join("python3"));
        let python = python.unwrap_or_else(|| PathBuf::from("/usr/bin/python3"));
        let script = workspace().join("tests/tools/rtslib_session.py");
        let words = [&python, &script, &image, &saved].map(|word| word.display().to_string());
        let said = well(&mounted, programs.as_ref(), &words.join(" "))?;
        let there = format!(
            "fileio disk0 16777216 1 [('default_tg_pt_gp', 0), ('standby', 2)]\n\
             ramdisk ram0 8388608 0 [('default_tg_pt_gp', 0)]\n\
             vhost {WWN} 1 [(0, '/backstores/fileio/disk0', 'standby'), \
             (3, '/backstores/ramdisk/ram0', 'default_tg_pt_gp')] \
             [('naa.5001405aaaaaaaaa', [(0, 0, True), (5, 3, False)])]\n"
        );
        let lines: Vec<&str> = said.lines().collect();
        let made = [
            "alua 16 2 standby default_tg_pt_gp",
            "acl [(0, 0, True), (5, 3, False)]",
            "created activated activated True True",
        ];
        assert_eq!(lines.get(..3), Some(made.as_slice()), "{said}");
        let refused = "refused: Cannot set attribute block_size: [Errno 22] Invalid argument";
        assert!(lines[3].starts_with("refused: ") && lines[3].contains("exist"), "{said}");
        assert_eq!(lines[4], refused);
        let rest: String = lines.iter().skip(5).map(|line| format!("{line}\n")).collect();
        assert_eq!(rest, format!("{there}saved True\ncleared [] []\nerrors []\n{there}restored True\n"));
    }
    Ok(())
}

/// A file of ours without what LIO's tools have no word for.
fn in_their_words(file: &Path) -> Result<Value> {
    let mut whole: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    if let Some(whole) = whole.as_object_mut() {
        whole.remove("x_lunar");
    }
    for tpg in whole["targets"].as_array_mut().into_iter().flatten().flat_map(|target| {
        target["tpgs"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
    }) {
        tpg.remove("x_lunar");
    }
    Ok(whole)
}

#[test]
fn a_configuration_goes_from_lunar_to_the_real_tools_and_back_without_a_loss() -> Result<()> {
    for programs in versions()? {
        let mounted = Mounted::start()?;
        let shell = mounted.shell()?;
        let image = mounted.scratch.sparse_file("disk0.img", 16 << 20)?;
        shell.well(&format!("/backstores/fileio create disk0 {}", image.display()))?;
        shell.well("/backstores/fileio/disk0 set attribute emulate_write_cache=0 emulate_tas=0")?;
        shell.well("/backstores/ramdisk create r0 8M nullio=true")?;
        shell.well(&format!("/vhost create {WWN}"))?;
        shell.well(&format!("/vhost/{WWN} create 7"))?;
        shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 0"))?;
        shell.well(&format!("/vhost/{WWN}/tpg7/luns create /backstores/ramdisk/r0 300"))?;
        let [ours, theirs, again] = ["ours", "theirs", "again"].map(|name| mounted.scratch.join(name));
        shell.well(&format!("saveconfig {}", ours.display()))?;
        let said = well(
            &mounted,
            programs.as_ref(),
            &format!(
                "targetcli pwd >/dev/null\ntargetcli clearconfig confirm=true\ntargetcli restoreconfig {}\n\
                 targetcli saveconfig {}",
                ours.display(),
                theirs.display()
            ),
        )?;
        assert_eq!(
            said,
            format!(
                "All configuration cleared\nConfiguration restored from {}\nConfiguration saved to {}\n",
                ours.display(),
                theirs.display()
            )
        );
        shell.well("clearconfig confirm=True")?;
        shell.well(&format!("restoreconfig {}", theirs.display()))?;
        shell.well(&format!("saveconfig {}", again.display()))?;
        assert_eq!(in_their_words(&again)?, in_their_words(&ours)?);
    }
    Ok(())
}
