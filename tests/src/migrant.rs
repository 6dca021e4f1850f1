// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Linux guest that moves from one QEMU to another.
//!
//! Above: stories about migration.  Below: `guest`'s machine, `qmp`.
//!
//! Its memory is a file for each QEMU, so that a story can compare what left with what arrived.  It has no share: what
//! its script prints comes on its console at the end, and what it writes to `/dev/ttyS0` at once.

use crate::accel::Accel;
use crate::daemon::read_lossy;
use crate::deadline::Deadline;
use crate::guest::{COMMAND_LINE, machine};
use crate::initramfs::{self, Wanted};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::qmp::Qmp;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// Bytes of guest memory that QEMU sends, or not, as one.
const PAGE_BYTES: usize = 4096;
/// Pages that an error names.
const PAGES_NAMED: usize = 8;
/// Processors of the guest.
const CPUS: &str = "2";

/// What moves.
#[derive(Debug)]
pub struct Plan<'a> {
    scratch: &'a Scratch,
    accel: Accel,
    kernel: PathBuf,
    initramfs: PathBuf,
    options: Vec<String>,
}

/// One QEMU, before, with or after the guest; it ends with this value.
#[derive(Debug)]
pub struct Host {
    qemu: Process,
    qmp: Qmp,
    name: String,
    /// What the guest's memory is on this host.
    ram: PathBuf,
    console: PathBuf,
    keyboard: PathBuf,
    complaints: PathBuf,
    entrance: PathBuf,
}

/// How far a migration is, in QEMU's words.
#[derive(Clone, Debug)]
pub struct Progress {
    /// `active`, `completed`, `cancelled`, …
    pub status: String,
    /// How often the dirty log was read.
    pub log_reads: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// How long the guest stood still, in milliseconds; only of a migration that is over.
    pub downtime_ms: Option<u64>,
    /// How long it took, in milliseconds.
    pub total_ms: Option<u64>,
}

impl<'a> Plan<'a> {
    /// A guest that runs `script`, with programs of this host and with options that `lunar qemu` printed, those about
    /// memory among them.
    pub fn new(scratch: &'a Scratch, script: &str, programs: &[&str], options: &[String]) -> Result<Self> {
        let kernel = Kernel::find()?;
        let initramfs = scratch.join("migrant.cpio");
        std::fs::write(
            &initramfs,
            initramfs::pack(&kernel, &Wanted { programs, ..Wanted::default() }, script)?,
        )?;
        Ok(Self {
            scratch,
            accel: Accel::detect()?,
            kernel: kernel.vmlinux()?,
            initramfs,
            options: options.to_vec(),
        })
    }

    /// Boots the guest.
    pub fn boot(&self, name: &str) -> Result<Host> {
        self.start(name, &[])
    }

    /// Makes a place for the guest to come to.  It stands still there until [`Host::go_on`].
    pub fn expect(&self, name: &str) -> Result<Host> {
        let mut host = self.start(name, &["-incoming", "defer", "-S"])?;
        let uri = format!("unix:{}", host.entrance.display());
        host.qmp.run("migrate-incoming", json!({ "uri": uri }))?;
        Ok(host)
    }

    fn start(&self, name: &str, more: &[&str]) -> Result<Host> {
        let file = |ending: &str| self.scratch.join(&format!("{name}.{ending}"));
        let (ram, console, complaints) = (file("ram"), file("console"), file("stderr"));
        let (monitor, keyboard, entrance) = (file("qmp"), file("keys"), file("in"));
        let mut qemu = machine(self.accel)?;
        qemu.args(["-name", name, "-smp", CPUS, "-no-reboot"]);
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initramfs);
        qemu.args(["-append", &format!("{COMMAND_LINE} lunar.on_console")]);
        qemu.args([
            "-chardev",
            &format!(
                "socket,id=console,path={},server=on,wait=off,logfile={}",
                keyboard.display(),
                console.display()
            ),
        ]);
        qemu.args(["-serial", "chardev:console"]);
        qemu.args(Qmp::options(&monitor));
        // What the options say about memory, in a file that can be read.
        let memory = format!("memory-backend-file,mem-path={},", ram.display());
        qemu.args(self.options.iter().map(|option| option.replace("memory-backend-memfd,", &memory)));
        qemu.args(more);
        qemu.stdout(Stdio::null()).stderr(Stdio::from(File::create(&complaints)?));
        let process = Process::spawn(&mut qemu)?;
        let qmp = Qmp::connect(&monitor)
            .with_context(|| format!("{name}: QEMU said: {}", read_lossy(&complaints)))?;
        let name = name.to_owned();
        Ok(Host { qemu: process, qmp, name, ram, console, keyboard, complaints, entrance })
    }
}

impl Host {
    /// Sends no more than so many bytes a second.
    pub fn limit_bandwidth(&mut self, bytes: u64) -> Result<()> {
        self.qmp.run("migrate-set-parameters", json!({ "max-bandwidth": bytes })).map(drop)
    }

    /// Has a migration wait once the guest stands still, or not.
    pub fn pause_before_switchover(&mut self, pause: bool) -> Result<()> {
        let capability = json!({ "capability": "pause-before-switchover", "state": pause });
        self.qmp.run("migrate-set-capabilities", json!({ "capabilities": [capability] })).map(drop)
    }

    /// Begins to move the guest.
    pub fn move_to(&mut self, to: &Host) -> Result<()> {
        self.qmp.run("migrate", json!({ "uri": format!("unix:{}", to.entrance.display()) })).map(drop)
    }

    /// Calls a migration off.
    pub fn cancel(&mut self) -> Result<()> {
        self.qmp.run("migrate_cancel", json!({})).map(drop)
    }

    /// How far the migration from here is.
    pub fn progress(&mut self) -> Result<Progress> {
        let found = self.qmp.run("query-migrate", json!({}))?;
        let number = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_u64);
        let ram = found.get("ram");
        let status = found.get("status").and_then(|status| status.as_str()).unwrap_or("none");
        if status == "failed" {
            bail!("{} cannot move the guest: {found}\nQEMU said: {}", self.name, self.complaints());
        }
        Ok(Progress {
            status: status.to_owned(),
            log_reads: number(ram.and_then(|ram| ram.get("dirty-sync-count"))).unwrap_or(0),
            sent_bytes: number(ram.and_then(|ram| ram.get("transferred"))).unwrap_or(0),
            downtime_ms: number(found.get("downtime")),
            total_ms: number(found.get("total-time")),
        })
    }

    /// Waits until the migration has a status.
    pub fn wait_for_status(&mut self, wanted: &str, limit: Duration) -> Result<Progress> {
        Deadline::after(limit).until(&format!("a migration that is {wanted}"), || {
            let progress = self.progress()?;
            Ok((progress.status == wanted).then_some(progress))
        })
    }

    /// Waits until the guest on this host stands still in a state of QEMU.
    pub fn wait_for_run_state(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        Deadline::after(limit).until(&format!("{} to be {wanted}", self.name), || {
            let found = self.qmp.run("query-status", json!({}))?;
            Ok((found.get("status").and_then(|status| status.as_str()) == Some(wanted)).then_some(()))
        })
    }

    /// Lets the guest run here.
    pub fn go_on(&mut self) -> Result<()> {
        self.qmp.run("cont", json!({})).map(drop)
    }

    /// How many lines of the console begin with `start`.
    pub fn lines(&self, start: &str) -> usize {
        self.console().lines().filter(|line| line.starts_with(start)).count()
    }

    /// Waits until one more line of the console begins with `start` than do now.
    pub fn wait_for_another(&mut self, start: &str, limit: Duration) -> Result<()> {
        let before = self.lines(start);
        let waited = Deadline::after(limit).until(&format!("another line that begins with {start}"), || {
            if let Some(status) = self.qemu.ended()? {
                bail!("{} ended, {status}", self.name);
            }
            Ok((self.lines(start) > before).then_some(()))
        });
        waited.with_context(|| format!("{}:\n{}", self.name, self.console()))
    }

    /// Types a line.
    pub fn type_line(&self, line: &str) -> Result<()> {
        let mut keyboard = UnixStream::connect(&self.keyboard).context("no keyboard")?;
        keyboard.write_all(format!("{line}\n").as_bytes())?;
        // QEMU takes no more than the guest has room for; hanging up before would lose the rest.
        keyboard.shutdown(std::net::Shutdown::Write)?;
        Ok(())
    }

    /// All that came on the console of this host.
    pub fn console(&self) -> String {
        read_lossy(&self.console).replace('\r', "")
    }

    /// What QEMU complained of.
    pub fn complaints(&self) -> String {
        read_lossy(&self.complaints)
    }

    /// Waits until the guest has powered off.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        let Some(ended) = self.qemu.wait(Deadline::after(limit))? else {
            bail!("{} is not done in time:\n{}", self.name, self.console());
        };
        ensure!(ended.success(), "{}: QEMU ended with {ended}: {}", self.name, self.complaints());
        Ok(())
    }

    /// Ends QEMU, and gives back its memory.
    pub fn end(mut self) -> Result<()> {
        self.qemu.kill()?;
        std::fs::remove_file(&self.ram)?;
        Ok(())
    }

    /// Compares the guest's memory on this host with that on another, page by page; the guest stands still on both.
    /// Returns how many pages there are.
    pub fn same_memory(&self, other: &Host) -> Result<usize> {
        let (mut ours, mut theirs) = (File::open(&self.ram)?, File::open(&other.ram)?);
        let bytes = ours.metadata()?.len();
        ensure!(bytes == theirs.metadata()?.len(), "two lengths of memory");
        let (mut one, mut two) = (vec![0; PAGE_BYTES], vec![0; PAGE_BYTES]);
        let mut different = Vec::new();
        let pages = usize::try_from(bytes)? / PAGE_BYTES;
        for page in 0..pages {
            ours.read_exact(&mut one)?;
            theirs.read_exact(&mut two)?;
            if one != two {
                different.push(format!("{:#x}", page * PAGE_BYTES));
            }
        }
        if !different.is_empty() {
            let (count, named) = (different.len(), different[..PAGES_NAMED.min(different.len())].join(" "));
            bail!("{count} of {pages} pages did not arrive as they left: {named}");
        }
        Ok(pages)
    }
}
