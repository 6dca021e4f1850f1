// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Linux guest that firmware and a boot loader have to load from a disk; it runs a story's script and powers off.
//!
//! Above: the stories about booting.  Below: `guest` for the machine, `initramfs` and `kernel` for what is loaded.
//! Never here: a kernel that QEMU loads; `guest` has those.

use crate::accel::Accel;
use crate::cpio::Archive;
use crate::daemon::read_lossy;
use crate::deadline::Deadline;
use crate::guest::{COMMAND_LINE, machine, memory_options};
use crate::initramfs::{self, Wanted};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::scratch::Scratch;
use anyhow::{Result, bail};
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

/// How long firmware, loader and guest may take, in seconds; emulated, they need 20 to 30.
const LIMIT_SECONDS: u64 = 150;

/// What a loader is to load, as files of one folder.
#[derive(Debug)]
pub struct Load {
    /// The folder, with `vmlinuz`, `initramfs` and `ballast`.  The last is in the initramfs too.
    pub folder: PathBuf,
    /// The kernel's command line.
    pub command_line: &'static str,
    /// Bytes that the loader reads.
    pub bytes: u64,
}

impl Load {
    /// A kernel, and an initramfs that runs `script` and has the ballast besides, to be compared.
    pub fn prepare(scratch: &Scratch, ballast: Vec<u8>, script: &str) -> Result<Self> {
        let folder = scratch.directory("load")?;
        let kernel = Kernel::find()?;
        std::fs::write(folder.join("ballast"), &ballast)?;
        let mut archive = Archive::default();
        archive.file("ballast", ballast);
        // Linux takes several archives, one behind the other.
        let packed = initramfs::pack(&kernel, &Wanted::default(), script)?;
        std::fs::write(folder.join("initramfs"), [packed, archive.bytes()].concat())?;
        let vmlinuz = folder.join("vmlinuz");
        let mut bytes = std::fs::copy(&kernel.image, vmlinuz)?;
        bytes += folder.join("initramfs").metadata()?.len();
        Ok(Self { folder, command_line: COMMAND_LINE, bytes })
    }
}

/// A machine that boots from its disks; it ends with this value.
#[derive(Debug)]
pub struct Loaded {
    qemu: Process,
    deadline: Deadline,
    name: String,
    share: PathBuf,
    console: PathBuf,
    complaints: PathBuf,
}

impl Loaded {
    /// Starts one with `options`, which may name another machine and its firmware; `bus` is where the share goes.
    pub fn boot(scratch: &Scratch, name: &str, bus: &str, options: &[String]) -> Result<Self> {
        let share = scratch.directory(&format!("{name}.share"))?;
        let console = scratch.join(&format!("{name}.console"));
        let complaints = scratch.join(&format!("{name}.stderr"));
        let mut qemu = machine(Accel::detect()?)?;
        qemu.args(["-name", name, "-no-reboot", "-serial", &format!("file:{}", console.display())]);
        qemu.args(["-fsdev", &format!("local,id=share,security_model=none,path={}", share.display())]);
        let device = format!("virtio-9p-pci,fsdev=share,mount_tag=share,bus={bus},addr=0x1d");
        qemu.args(["-device", &device]);
        qemu.args(memory_options(options, 512)).args(options);
        qemu.stdout(Stdio::null()).stderr(Stdio::from(File::create(&complaints)?));
        let qemu = Process::spawn(&mut qemu)?;
        let deadline = Deadline::seconds(LIMIT_SECONDS);
        Ok(Self { qemu, deadline, name: name.to_owned(), share, console, complaints })
    }

    /// Waits until the guest has powered off, and returns what its script printed.
    pub fn finish(mut self) -> Result<String> {
        let ended = self.qemu.wait(self.deadline)?;
        let (out, status) = (read_lossy(&self.share.join("out")), read_lossy(&self.share.join("status")));
        if ended.is_none_or(|ended| !ended.success()) || status != "0\n" {
            bail!("{}: QEMU ended: {ended:?}, its script: {status:?}\n{}", self.name, self.what_it_showed());
        }
        Ok(out)
    }

    fn what_it_showed(&self) -> String {
        let (out, console) = (read_lossy(&self.share.join("out")), read_lossy(&self.console));
        let complaints = read_lossy(&self.complaints);
        format!("--- its script printed:\n{out}\n--- its console:\n{console}\n--- QEMU said:\n{complaints}")
    }
}
