// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon whose tree of LIO's is mounted, and LIO's tools run against it by `lunar run`.
//!
//! Above: the stories of `tools`.  Below: `daemon`, /dev/fuse.
//!
//! It takes root and /dev/fuse; a story asks [`missing`] first, says so where one is missing, and ends.

use crate::daemon::{Daemon, Places};
use crate::process::{command, run};
use crate::programs::{built, find_in_path, target_folder};
use crate::scratch::Scratch;
use crate::shell::Shell;
use anyhow::Result;
use rustix::mount::UnmountFlags;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// How long one command of a tool may take.
const LIMIT: Duration = Duration::from_secs(120);

/// targetcli's version that `cargo xtask setup` fetches from PyPI, beside Debian's.
pub const NEWER: &str = "3.0.2";

/// What is missing for a tree, if anything is.
#[must_use]
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("mounting takes root")
    } else if !Path::new("/dev/fuse").exists() {
        Some("there is no /dev/fuse")
    } else {
        None
    }
}

/// What is missing for Debian's targetcli in a tree, if anything is.
#[must_use]
pub fn missing_tool() -> Option<&'static str> {
    let absent = || find_in_path("targetcli").is_none();
    missing().or_else(|| absent().then_some("targetcli is not installed (Debian: targetcli-fb)"))
}

/// Whether this kernel's LIO has `emulate_rsoc`: Linux 6.3.
#[must_use]
pub fn kernel_has_rsoc() -> bool {
    has_rsoc(&rustix::system::uname().release().to_string_lossy())
}

fn has_rsoc(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|release| release >= (6, 3))
}

/// Where the newer targetcli is, or would be.
pub fn newer_targetcli_root() -> Result<PathBuf> {
    Ok(target_folder()?.join("tools").join(format!("targetcli-{NEWER}")))
}

/// The folder of the newer targetcli's programs, if it is there.
pub fn newer_targetcli() -> Result<Option<PathBuf>> {
    let folder = newer_targetcli_root()?.join("bin");
    Ok(folder.join("targetcli").is_file().then_some(folder))
}

/// A daemon whose tree is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// The daemon; it ends before its directory goes.
    pub daemon: Daemon,
    /// Where it is mounted.
    pub tree: PathBuf,
    /// Where everything is.
    pub scratch: Scratch,
}

impl Mounted {
    /// Starts one in a directory of its own.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let tree = scratch.join("tree");
        let options = vec!["--configfs".to_owned(), tree.display().to_string()];
        let daemon = Daemon::start_at(Places { options, ..Places::in_scratch(&scratch) })?;
        Ok(Self { daemon, tree, scratch })
    }

    /// Starts one with a disk of 1 MiB: `fileio/disk0`.
    pub fn furnished() -> Result<Self> {
        let mounted = Self::start()?;
        let file = mounted.scratch.join("disk0");
        mounted.shell()?.well(&format!("/backstores/fileio create disk0 {} 1M", file.display()))?;
        Ok(mounted)
    }

    /// Does not print the daemon's log when the value goes.
    pub fn quiet(&mut self) {
        self.daemon.silence();
    }

    /// The path of something in `target/`.
    pub fn top(&self, path: &str) -> PathBuf {
        self.tree.join("target").join(path)
    }

    /// Writes what a file in `target/` is to store.
    pub fn write(&self, path: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.top(path), text)
    }

    /// What a file in `target/` says.
    pub fn read(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.top(path))
    }

    /// The shell that talks to the daemon.
    pub fn shell(&self) -> Result<Shell> {
        self.daemon.shell()
    }

    /// Makes so many backstores that hold nothing, each behind a LUN of one target port group, in one transaction.
    pub fn show_ramdisks(&self, count: u32) -> Result<()> {
        let object = |lun| {
            json!({ "plugin": "ramdisk", "name": format!("r{lun}"), "size": 1 << 20, "nullio": true,
                    "wwn": format!("3f9e2c5a-7d41-4f0e-9b7a-{lun:012}") })
        };
        let shown = |lun| json!({ "index": lun, "alias": format!("{lun:010}"), "storage_object": format!("/backstores/ramdisk/r{lun}") });
        let objects: Vec<Value> = (0..count).map(object).collect();
        let luns: Vec<Value> = (0..count).map(shown).collect();
        let tpgs = json!([{ "tag": 1, "luns": luns }]);
        let target = json!({ "fabric": "vhost", "wwn": "naa.500140568720f76f", "tpgs": tpgs });
        let file = self.scratch.join("wanted.json");
        std::fs::write(&file, json!({ "storage_objects": objects, "targets": [target] }).to_string())?;
        self.shell()?.well(&format!("restoreconfig {}", file.display()))?;
        Ok(())
    }

    /// How many of the kernel's requests for the tree the daemon has taken, or `None` where that is not counted: each is
    /// one read by the thread that takes them.
    pub fn requests(&mut self) -> Result<Option<u64>> {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.daemon.process().id()));
        let mut all = None;
        for task in std::fs::read_dir(tasks)? {
            let task = task?.path();
            if std::fs::read_to_string(task.join("comm"))?.trim_end() != "fuser-0" {
                continue;
            }
            let Ok(counts) = std::fs::read_to_string(task.join("io")) else { return Ok(None) };
            let reads = counts.lines().find_map(|line| line.strip_prefix("syscr: "));
            all = reads.map(str::parse::<u64>).transpose()?;
        }
        Ok(all)
    }

    /// Where the tools that `lunar run` runs keep what they keep.
    pub fn tools_dir(&self) -> PathBuf {
        self.daemon.places().state.join("tools")
    }

    /// `lunar run --`, ready for a command.
    pub fn lunar_run(&self) -> Result<Command> {
        let mut lunar = command(built("lunar")?);
        let places = self.daemon.places();
        lunar.env("LUNAR_STATE_DIR", &places.state).env("LUNAR_RUNTIME_DIR", &places.runtime);
        lunar.args(["run", "--"]);
        Ok(lunar)
    }

    /// Runs a script where the tools find the tree.
    pub fn script(&self, text: &str) -> Result<Output> {
        run(self.lunar_run()?.args(["sh", "-c", text]), LIMIT)
    }

    /// The same, which must succeed; returns what it printed.
    pub fn well(&self, text: &str) -> Result<String> {
        let output = self.script(&format!("set -e\n{text}"))?;
        let said = String::from_utf8(output.stdout)?;
        let complained = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{text}\nended with {}:\n{said}{complained}", output.status);
        Ok(said)
    }
}

/// One `targetcli saveconfig` on the tree, and the next on a copy of it in memory.
#[derive(Clone, Copy, Debug)]
pub struct Save {
    /// By the clock.
    pub took: Duration,
    /// By the clock, on the copy.
    pub beside: Duration,
    /// Processor time of the tool, the kernel's on its behalf included.
    pub of_tool: Duration,
    /// Processor time of `lunard`.
    pub of_daemon: Duration,
}

/// Prints four numbers for each turn: nanoseconds, nanoseconds on the copy, ticks of the tool, ticks of the daemon.
const SAVE_BY_TURNS: &str = r#"
ticks() { awk -v from=$2 '{ sub(/.*\) /, ""); print $(from) + $(from + 1) }' /proc/$1/stat; }
save() { targetcli saveconfig $FILE > /dev/null; }
now() { date +%s%N; }
# The first makes what targetcli wants to be there.
save
mkdir -p $COPY
mount -t tmpfs none $COPY
cp -a /sys/kernel/config/target $COPY/ 2>/dev/null || true
for turn in $(seq $TURNS); do
    tool=$(ticks $$ 14) daemon=$(ticks $DAEMON 12) begun=$(now)
    save
    took=$(($(now) - begun)) tool=$(($(ticks $$ 14) - tool)) daemon=$(($(ticks $DAEMON 12) - daemon))
    mount --bind $COPY /sys/kernel/config
    begun=$(now)
    save
    beside=$(($(now) - begun))
    umount /sys/kernel/config
    echo $took $beside $tool $daemon
done
"#;

/// `sysconf(_SC_CLK_TCK)` of Linux on x86: a tick of /proc/PID/stat.
const TICK: Duration = Duration::from_millis(10);

impl Mounted {
    /// Lets Debian's targetcli save the tree into a file, by turns with a copy of it on a tmpfs.
    pub fn save_by_turns(&mut self, file: &Path, turns: u32, limit: Duration) -> Result<Vec<Save>> {
        let copy = self.scratch.join("copy");
        let daemon = self.daemon.process().id();
        let mut lunar = self.lunar_run()?;
        lunar.env("FILE", file).env("COPY", copy).env("TURNS", turns.to_string());
        lunar.env("DAEMON", daemon.to_string()).args(["sh", "-e", "-c", SAVE_BY_TURNS]);
        let output = run(&mut lunar, limit)?;
        let (said, complained) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(output.status.success(), "ended with {}:\n{said}{complained}", output.status);
        let save = |line: &str| -> Result<Save> {
            let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            let &[took, beside, tool, daemon] = numbers.as_slice() else {
                anyhow::bail!("four numbers: {line}")
            };
            let ticks = |count: u64| TICK * u32::try_from(count).unwrap_or(u32::MAX);
            Ok(Save {
                took: Duration::from_nanos(took),
                beside: Duration::from_nanos(beside),
                of_tool: ticks(tool),
                of_daemon: ticks(daemon),
            })
        };
        said.lines().map(save).collect()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.daemon.terminate();
        // What a daemon left that was killed.
        let _ = rustix::mount::unmount(&self.tree, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::has_rsoc;

    #[test]
    fn the_attribute_came_with_linux_6_3() {
        for older in ["5.19.17", "6.1.0-18-amd64", "6.2.16", "6", "six.three", ""] {
            assert!(!has_rsoc(older), "{older}");
        }
        for newer in ["6.3", "6.3.0-1-amd64", "6.3-rc1", "6.10.2", "6.18.44-fc", "7.0.0", "10.1"] {
            assert!(has_rsoc(newer), "{newer}");
        }
    }
}
