// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes wrong between a tool and the tree: a write that is refused, a tool that dies, a daemon that stops, a tree
//! that is unmounted.  Nothing hangs, the errno says what it is, and all goes on afterwards.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::loop_device::{self, LoopDevice};
use stories::mounted::{self, Mounted};
use stories::process::{command, run_well};

const WWN: &str = "naa.500140568720f76f";
const LIMIT: Duration = Duration::from_secs(60);

fn skipped(why: Option<&str>) -> bool {
    if let Some(why) = why {
        println!("skipped: {why}");
    }
    why.is_some()
}

/// Python writes what it has once more when a file is closed.
const TWICE: &str = r#"
import errno, os, sys
def refused(path, text):
    said = []
    f = open(path, 'w')
    f.write(text)
    for attempt in (f.flush, f.close):
        try:
            attempt()
        except OSError as e:
            said.append(errno.errorcode[e.errno])
    print(path, *said)
os.chdir('/sys/kernel/config/target')
d = 'core/rd_mcp_0/r0'
refused(d + '/enable', '1\n')
refused(d + '/attrib/emulate_tas', 'x')
refused(d + '/wwn/vpd_unit_serial', 'another')
t = 'vhost/naa.500140568720f76f/tpgt_1'
refused(t + '/nexus', 'naa.5001405aabbccdd1')
refused(t + '/nexus', 'NULL')
refused(t + '/attrib/fabric_prot_type', '9')
"#;

#[test]
fn a_write_that_is_refused_is_refused_again_when_python_closes_the_file() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    shell.well("/backstores/ramdisk create r0 8M")?;
    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/ramdisk/r0"))?;
    let before = shell.well("ls --json")?;
    let script = mounted.scratch.join("twice.py");
    std::fs::write(&script, TWICE)?;
    let said = mounted.well(&format!("/usr/bin/python3 {}", script.display()))?;
    assert_eq!(
        said,
        "core/rd_mcp_0/r0/enable EEXIST EEXIST\n\
         core/rd_mcp_0/r0/attrib/emulate_tas EINVAL EINVAL\n\
         core/rd_mcp_0/r0/wwn/vpd_unit_serial EINVAL EINVAL\n\
         vhost/naa.500140568720f76f/tpgt_1/nexus EEXIST EEXIST\n\
         vhost/naa.500140568720f76f/tpgt_1/nexus EBUSY EBUSY\n\
         vhost/naa.500140568720f76f/tpgt_1/attrib/fabric_prot_type EINVAL EINVAL\n"
    );
    assert_eq!(shell.well("ls --json")?, before);
    Ok(())
}

#[test]
fn what_a_tool_that_died_half_way_left_is_listed_and_deleted_by_the_next() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    // As far as targetcli gets between two system calls, in the order of its own.
    for (name, steps) in [
        ("made", ""),
        ("sized", "echo -n rd_pages=256 > $d/control\n"),
        ("enabled", "echo -n rd_pages=256 > $d/control\necho 1 > $d/enable\n"),
    ] {
        let left = format!(
            "cd /sys/kernel/config/target\nd=core/rd_mcp_0/{name}\nmkdir core/rd_mcp_0 $d\n{steps}kill -KILL $$\n"
        );
        assert_eq!(mounted.script(&left)?.status.code(), None, "{name}: it is killed");
        let listed = mounted.well("targetcli ls /backstores")?;
        assert!(listed.contains(&format!("o- {name} ")), "{listed}");
        // Something else can be made beside it.
        mounted.well("targetcli /backstores/ramdisk create other 1M")?;
        mounted.well("targetcli /backstores/ramdisk delete other")?;
        let deleted = mounted.well(&format!("targetcli /backstores/ramdisk delete {name}"))?;
        assert_eq!(deleted, format!("Deleted storage object {name}.\n"));
        assert!(!mounted.top("core/rd_mcp_0").exists(), "{name}: its HBA goes with it");
    }
    mounted
        .well("mkdir /sys/kernel/config/target/vhost /sys/kernel/config/target/vhost/naa.500140568720f76f")?;
    mounted.well(&format!("targetcli ls\ntargetcli /vhost delete {WWN}\ntargetcli saveconfig"))?;
    Ok(())
}

#[test]
fn an_hba_that_a_tool_made_is_free_again_when_another_door_took_its_backstore() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mounted = Mounted::start()?;
    let shell = mounted.shell()?;
    for how in ["/backstores/ramdisk delete t0", "clearconfig confirm=true"] {
        mounted.well("targetcli /backstores/ramdisk create t0 1M")?;
        // The kernel has looked.
        assert!(mounted.top("core/rd_mcp_0/t0/info").exists());
        shell.well(how)?;
        let gone = || Ok((!mounted.top("core/rd_mcp_0").exists()).then_some(()));
        Deadline::seconds(10).until("its HBA to go", gone)?;
        assert_eq!(mounted.well("ls /sys/kernel/config/target/core")?, "alua\n", "{how}");
    }
    let Some(programs) = mounted::newer_targetcli()? else {
        println!("skipped: targetcli {} is not there: cargo xtask setup fetches it", mounted::NEWER);
        return Ok(());
    };
    // This one does not make a directory that is there.
    let newer = format!("{}/targetcli", programs.display());
    mounted.well(&format!("targetcli /backstores/ramdisk create t0 1M\n{newer} ls / > /dev/null"))?;
    shell.well("/backstores/ramdisk delete t0")?;
    let said = mounted.well(&format!("{newer} /backstores/ramdisk create u0 1M"))?;
    assert_eq!(said, "Created ramdisk u0 with size 1M.\n");
    Ok(())
}

#[test]
fn what_is_half_made_or_has_lost_its_disk_is_listed_beside_all_else() -> Result<()> {
    let no_disk = || (!loop_device::available()).then_some("attaching a loop device takes root");
    if skipped(mounted::missing_tool().or_else(no_disk)) {
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let disk = LoopDevice::attach(&mounted.scratch.sparse_file("disk", 8 << 20)?, &[])?;
    let path = disk.path().display().to_string();
    let file = mounted.scratch.sparse_file("f0", 1 << 20)?.display().to_string();
    let named = [
        format!("udev_path={path}"),
        format!("fd_dev_name={file},fd_dev_size=1048576"),
        "rd_pages=256".into(),
    ];
    let newer = mounted::newer_targetcli()?.map(|programs| format!("{}/targetcli", programs.display()));
    let tools: Vec<String> = ["targetcli".to_owned()].into_iter().chain(newer).collect();
    let shell = mounted.shell()?;
    shell.well("/backstores/ramdisk create whole 1M")?;
    for ((plugin, kind), control) in
        [("iblock", "block"), ("fileio", "fileio"), ("rd_mcp", "ramdisk")].into_iter().zip(&named)
    {
        let device = format!("core/{plugin}_7/half");
        std::fs::create_dir(mounted.top(&format!("core/{plugin}_7")))?;
        std::fs::create_dir(mounted.top(&device))?;
        let named = [("udev_path", "/dev/there-is-none"), ("udev_path", path.as_str())];
        // A file is looked up by the tools themselves, and is there before it is named.
        let named = named.into_iter().filter(|_| kind != "fileio");
        let steps = [("udev_path", "")].into_iter().chain(named).chain([("control", control.as_str())]);
        for (name, text) in steps {
            mounted.write(&format!("{device}/{name}"), text)?;
            for tool in &tools {
                let listed = mounted.well(&format!("{tool} ls"))?;
                let line =
                    listed.lines().find(|line| line.contains("o- half ")).context("it is not listed")?;
                assert!(line.ends_with(" deactivated]"), "{tool}: {line}");
                assert!(listed.contains("o- whole "), "{tool}: {listed}");
            }
        }
        let deleted = mounted.well(&format!("targetcli /backstores/{kind} delete half"))?;
        assert_eq!(deleted, "Deleted storage object half.\n");
    }
    // LIO of another build has these; here none can be made, and nothing is left of the attempt.
    for plugin in ["pscsi_7", "user_7", "rbd_7"] {
        let made = std::fs::create_dir(mounted.top(&format!("core/{plugin}")));
        let errno = made.err().and_then(|error| error.raw_os_error());
        assert_eq!(errno, Some(rustix::io::Errno::INVAL.raw_os_error()), "{plugin}");
    }
    // A disk that is not there when the daemon starts.
    shell.well(&format!("/backstores/block create gone {path}"))?;
    mounted.daemon.terminate()?;
    drop(disk);
    mounted.daemon.restart()?;
    for tool in &tools {
        let listed = mounted.well(&format!("{tool} ls"))?;
        let line = listed.lines().find(|line| line.contains("o- gone ")).context("it is not listed")?;
        assert!(line.ends_with(&format!("[{path} (0 bytes) write-thru deactivated]")), "{tool}: {line}");
        assert!(listed.contains("o- whole "), "{tool}: {listed}");
        mounted.well(&format!("{tool} saveconfig > /dev/null"))?;
    }
    Ok(())
}

/// A tool in the tree that goes on when it is told.
struct InTheTree(Child, BufReader<std::process::ChildStdout>);

impl InTheTree {
    fn start(mounted: &Mounted, then: &str) -> Result<Self> {
        let script =
            format!("cd /sys/kernel/config/target/core\nexec 3<../version\necho ready\nread _\n{then}");
        let mut child = mounted.lunar_run()?;
        child.args(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        assert_eq!(line, "ready\n");
        Ok(Self(child, lines))
    }

    /// Lets it go on, and returns what it says.
    fn go_on(mut self) -> Result<Vec<String>> {
        self.0.stdin.take().context("its input")?.write_all(b"\n")?;
        let said = self.1.lines().collect::<Result<_, _>>()?;
        self.0.wait()?;
        Ok(said)
    }
}

const LOOK: &str = "cat <&3 2>&1 | sed 's/.*: //'\nls 2>&1 | sed 's/.*: //'\n\
    mkdir rd_mcp_7 2>&1 | sed 's/.*: //'\ntimeout 60 targetcli ls 2>&1 | tail -1";

#[test]
fn a_tool_whose_daemon_stops_or_dies_is_told_so_and_the_tree_comes_again() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    let gone = "Transport endpoint is not connected";
    for how in ["stops", "dies"] {
        let tool = InTheTree::start(&mounted, LOOK)?;
        if how == "stops" {
            mounted.daemon.terminate()?;
        } else {
            mounted.daemon.kill()?;
        }
        let said = tool.go_on()?;
        assert_eq!(said.get(..3), Some([gone, gone, gone].map(str::to_owned).as_slice()), "{how}: {said:?}");
        // targetcli would mount the kernel's; it must not come as far as a listing.
        assert!(said.len() == 4 && !said[3].contains("o- "), "{how}: {said:?}");
        mounted.daemon.restart()?;
        assert!(mounted.well("targetcli ls")?.contains("o- vhost "), "{how}");
    }
    Ok(())
}

#[test]
fn a_tree_that_is_unmounted_under_a_tool_serves_it_to_its_end_and_nobody_after() -> Result<()> {
    if skipped(mounted::missing_tool()) {
        return Ok(());
    }
    let mut mounted = Mounted::start()?;
    // The first start says that there are no preferences yet.
    mounted.well("targetcli pwd")?;
    let tool = InTheTree::start(&mounted, "targetcli /backstores/ramdisk create late 1M")?;
    run_well(command("umount").arg("-l").arg(&mounted.tree), LIMIT)?;
    let refused = mounted.script("echo run")?;
    assert_eq!(refused.status.code(), Some(125));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.starts_with("there is no tree of lunard at "), "{said}");
    // Who is in it already has what he had.
    assert_eq!(tool.go_on()?, ["Created ramdisk late with size 1M."]);
    // The last who leaves takes it along, and the log says so.
    let told = || Ok(mounted.daemon.log().contains("is not mounted any more").then_some(()));
    Deadline::seconds(60).until("the log to say so", told)?;
    assert!(mounted.shell()?.well("ls")?.contains("o- late "), "all else is served");
    mounted.daemon.terminate()?;
    mounted.daemon.restart()?;
    assert!(mounted.well("targetcli ls")?.contains("o- late "));
    Ok(())
}
