// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Linux guest in QEMU that runs a story's shell script and powers off.
//!
//! Above: the guest stories and `cargo xtask demo`.  Below: QEMU, `kernel`, `initramfs`.
//!
//! What the script leaves in `/share` is there for the host, while the guest runs and afterwards.  A guest
//! that is not done in time is killed, and the error shows its console.

use crate::accel::Accel;
use crate::daemon::read_lossy;
use crate::deadline::Deadline;
use crate::initramfs;
use crate::kernel::Kernel;
use crate::older_qemu::OlderQemu;
use crate::process::{Process, command, run_well};
use crate::programs::host_program;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The program that runs guests.
pub const QEMU: &str = "qemu-system-x86_64";

/// How long a guest may take unless its story says otherwise; an emulated one boots in 7 to 10 s.
const LIMIT: Duration = Duration::from_secs(120);

/// The end of a console that an error shows, in bytes.
const CONSOLE_SHOWN_BYTES: usize = 6000;

/// The kernel's command line: the console, an end where Linux fails, and nothing that takes time.
pub(crate) const COMMAND_LINE: &str = "console=ttyS0 loglevel=5 panic=-1 nokaslr mitigations=off no_timer_check audit=0 \
                            random.trust_cpu=on cryptomgr.notests raid=noautodetect";

/// What a guest is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    script: String,
    name: String,
    accel: Option<Accel>,
    cpus: u32,
    memory_mib: u32,
    modules: Vec<String>,
    programs: Vec<String>,
    files: Vec<String>,
    options: Vec<String>,
    then: String,
    limit: Duration,
    may_reset: bool,
    quiet: bool,
    older: Option<OlderQemu>,
    kernel: Option<Kernel>,
}

/// A running guest; it ends with this value.
#[derive(Debug)]
pub struct Guest {
    qemu: Process,
    deadline: Deadline,
    name: String,
    share: PathBuf,
    console: PathBuf,
    complaints: PathBuf,
    quiet: bool,
}

/// What a guest left behind.
#[derive(Clone, Debug)]
pub struct Results {
    share: PathBuf,
    /// All its script printed.
    pub out: String,
}

impl Guest {
    /// A guest that runs `script` with busybox's shell, which ends at the first command that fails.
    pub fn plan(script: &str) -> Plan {
        Plan {
            script: script.to_owned(),
            name: "guest".to_owned(),
            accel: None,
            cpus: 1,
            memory_mib: 512,
            modules: Vec::new(),
            programs: Vec::new(),
            files: Vec::new(),
            options: Vec::new(),
            then: String::new(),
            limit: LIMIT,
            may_reset: false,
            quiet: false,
            older: None,
            kernel: None,
        }
    }

    /// Waits until the script has written a file into `/share`, and returns what is in it.
    ///
    /// A file is complete once it has a final newline.
    pub fn wait_for(&mut self, file: &str) -> Result<String> {
        let path = self.share.join(file);
        let what = format!("{file} of {}", self.name);
        let deadline = self.deadline;
        let found = deadline.until(&what, || {
            let text = read_lossy(&path);
            if text.ends_with('\n') {
                return Ok(Some(text));
            }
            if let Some(status) = self.qemu.ended()? {
                bail!("{} ended before it wrote {file}, {status}", self.name);
            }
            Ok(None)
        });
        found.with_context(|| self.what_it_showed())
    }

    /// Whether the script has written a file into `/share`, and all of it.
    pub fn has_written(&self, file: &str) -> bool {
        read_lossy(&self.share.join(file)).ends_with('\n')
    }

    /// Writes a file that the script finds in `/share`.
    pub fn tell(&self, file: &str, text: &str) -> Result<()> {
        // Renamed into place, so that the guest never sees half of it.
        let aside = self.share.join(format!(".{file}"));
        std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, self.share.join(file)))?;
        Ok(())
    }

    /// Waits until the guest has powered off.  Its script must have succeeded.
    pub fn finish(mut self) -> Result<Results> {
        let Some(ended) = self.qemu.wait(self.deadline)? else {
            self.qemu.kill()?;
            bail!("{} is not done in time\n{}", self.name, self.what_it_showed());
        };
        let status = read_lossy(&self.share.join("status"));
        let results = Results { share: self.share.clone(), out: read_lossy(&self.share.join("out")) };
        if !ended.success() || status != "0\n" {
            let status = if status.is_empty() { "never ended" } else { status.trim_end() };
            bail!("{}: QEMU ended with {ended}, its script: {status}\n{}", self.name, self.what_it_showed());
        }
        Ok(results)
    }

    /// The guest loses its power, and the daemon its front end, in one moment.
    pub fn kill(mut self) -> Result<()> {
        self.qemu.kill().map(drop)
    }

    /// The process of QEMU.
    pub fn qemu(&self) -> &Process {
        &self.qemu
    }

    fn what_it_showed(&self) -> String {
        let (out, console) = (read_lossy(&self.share.join("out")), read_lossy(&self.console));
        let complaints = read_lossy(&self.complaints);
        let console = tail(&console, CONSOLE_SHOWN_BYTES);
        format!("--- its script printed:\n{out}\n--- its console:\n{console}\n--- QEMU said:\n{complaints}")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        if !self.quiet {
            println!("--- {}\n{}", self.name, self.what_it_showed());
        }
    }
}

impl Results {
    /// What the script wrote into a file of `/share`.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.share.join(file);
        std::fs::read_to_string(&path)
            .with_context(|| format!("the guest left no {file}; it printed:\n{}", self.out))
    }

    /// The lines of a file that contain `part`, each without its final blanks.
    pub fn lines_with(&self, file: &str, part: &str) -> Result<Vec<String>> {
        let text = self.read(file)?;
        Ok(text.lines().filter(|line| line.contains(part)).map(|line| line.trim_end().to_owned()).collect())
    }
}

impl Plan {
    /// A name for messages, and for the guest's files; one scratch directory may hold several guests.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// How to run it, where that is not to be found out.
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = Some(accel);
        self
    }

    /// How many processors it has; one unless said.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// How much memory it has; 512 MiB unless said.  What the options say about memory goes before.
    pub fn memory_mib(mut self, mebibytes: u32) -> Self {
        self.memory_mib = mebibytes;
        self
    }

    /// More kernel modules.
    pub fn modules(mut self, names: &[&str]) -> Self {
        self.modules.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// Programs of the host to take along, such as `lsscsi`; a whole path names any other.
    pub fn programs(mut self, names: &[&str]) -> Self {
        self.programs.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// Files of the host to take along, where they are there; a program or a library with the libraries it needs.
    pub fn files(mut self, paths: &[&str]) -> Self {
        self.files.extend(paths.iter().map(|&path| path.to_owned()));
        self
    }

    /// More options of QEMU, such as those `lunar qemu` prints.
    pub fn options(mut self, options: &[String]) -> Self {
        self.options.extend_from_slice(options);
        self
    }

    /// After the script, a program in a root file system that the script has made goes on as the first process; it
    /// finds `/share` there, and writes its `status`.
    pub fn then_enters(mut self, root: &str, program: &str) -> Self {
        self.then = format!("{root} {program}\n");
        self
    }

    /// How long it may take from start to power-off.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A reset of the guest starts it anew; without this it ends QEMU.
    pub fn may_reset(mut self) -> Self {
        self.may_reset = true;
        self
    }

    /// Does not print the console when the value goes.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Runs in this QEMU and not in the one that is installed.
    pub fn in_older_qemu(mut self, older: &OlderQemu) -> Self {
        self.older = Some(older.clone());
        self
    }

    /// Boots this kernel and not the one that all guests boot.
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Starts it.
    pub fn boot(&self, scratch: &Scratch) -> Result<Guest> {
        let accel = self.accel.map_or_else(Accel::detect, Ok)?;
        let kernel = self.kernel.clone().map_or_else(Kernel::find, Ok)?;
        let initramfs = scratch.join(&format!("{}.cpio", self.name));
        let (modules, programs, files) = (refs(&self.modules), refs(&self.programs), refs(&self.files));
        let wanted =
            initramfs::Wanted { modules: &modules, programs: &programs, files: &files, then: &self.then };
        std::fs::write(&initramfs, initramfs::pack(&kernel, &wanted, &self.script)?)?;
        let share = scratch.directory(&format!("{}.share", self.name))?;
        let console = scratch.join(&format!("{}.console", self.name));
        let complaints = scratch.join(&format!("{}.stderr", self.name));

        let program = self.older.as_ref().map_or_else(|| host_program(QEMU), |older| Ok(older.program()))?;
        let mut qemu = machine_of(program, accel);
        qemu.args(self.older.iter().flat_map(OlderQemu::options));
        qemu.args(["-name", &self.name, "-smp", &self.cpus.to_string()]);
        qemu.arg("-kernel").arg(kernel.vmlinux()?).arg("-initrd").arg(&initramfs);
        qemu.args(["-append", COMMAND_LINE, "-serial", &format!("file:{}", console.display())]);
        qemu.args(["-fsdev", &format!("local,id=share,security_model=none,path={}", share.display())]);
        qemu.args(["-device", "virtio-9p-pci,fsdev=share,mount_tag=share,bus=pci.0,addr=0x1d"]);
        qemu.args(memory_options(&self.options, self.memory_mib));
        qemu.args(&self.options);
        if !self.may_reset {
            qemu.arg("-no-reboot");
        }
        qemu.stdout(Stdio::null()).stderr(Stdio::from(File::create(&complaints)?));
        Ok(Guest {
            deadline: Deadline::after(self.limit),
            qemu: Process::spawn(&mut qemu)?,
            name: self.name.clone(),
            share,
            console,
            complaints,
            quiet: self.quiet,
        })
    }
}

/// QEMU with a bare machine: nothing but what the options add.  Its PCI bus is `pci.0`, as on the page.
pub fn machine(accel: Accel) -> Result<std::process::Command> {
    Ok(machine_of(host_program(QEMU)?, accel))
}

fn machine_of(program: PathBuf, accel: Accel) -> std::process::Command {
    let mut qemu = command(program);
    qemu.args(["-machine", "pc", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
    qemu.args(accel.options());
    qemu
}

/// Shared memory of a size in MiB, as far as `options` do not bring memory of their own.
pub fn memory_options(options: &[String], mebibytes: u32) -> Vec<String> {
    let size = format!("{mebibytes}M");
    let mut own = Vec::new();
    if !options.iter().any(|option| option == "-m") {
        own.extend(["-m".to_owned(), size.clone()]);
    }
    if !options.iter().any(|option| option.starts_with("memory-backend-")) {
        let backend = format!("memory-backend-memfd,id=memory,size={size},share=on");
        own.extend(["-object".to_owned(), backend]);
        own.extend(["-numa".to_owned(), "node,memdev=memory".to_owned()]);
    }
    own
}

/// Major and minor release of the QEMU that runs guests.
pub fn qemu_version() -> Result<(u32, u32)> {
    version_of(&host_program(QEMU)?)
}

/// Major and minor release of a QEMU.
pub fn version_of(program: &Path) -> Result<(u32, u32)> {
    let said = run_well(command(program).arg("--version"), Duration::from_secs(30))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    version_in(&said).with_context(|| format!("{} names no version: {said}", program.display()))
}

/// The first `N.N` after the word `version`.
fn version_in(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_once("version ")?.1.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The last `bytes` of a text, from the start of a line.
fn tail(text: &str, bytes: usize) -> &str {
    let from = text.len().saturating_sub(bytes);
    match text.char_indices().find(|&(at, c)| from == 0 || (at >= from && c == '\n')) {
        Some((0, _)) | None => text,
        Some((at, _)) => &text[at + 1..],
    }
}

/// The path of a file in the guest's share, as the host sees it.
pub fn share_of(scratch: &Scratch, guest: &str, file: &str) -> PathBuf {
    Path::new(&scratch.join(&format!("{guest}.share"))).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_starts_with_a_line() {
        assert_eq!(tail("one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(tail("one\ntwo\n", 100), "one\ntwo\n");
    }

    #[test]
    fn versions_are_read_from_what_qemu_says() {
        assert_eq!(version_in("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"), Some((10, 0)));
        assert_eq!(version_in("QEMU emulator"), None);
    }

    #[test]
    fn memory_that_the_options_bring_is_not_doubled() {
        let printed = ["-m", "1G", "-object", "memory-backend-memfd,id=m,size=1G,share=on"];
        assert_eq!(memory_options(&printed.map(str::to_owned), 64), Vec::<String>::new());
        let own = memory_options(&[], 300).join(" ");
        assert_eq!(
            own,
            "-m 300M -object memory-backend-memfd,id=memory,size=300M,share=on -numa node,memdev=memory"
        );
    }
}
