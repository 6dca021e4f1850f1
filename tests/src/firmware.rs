// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine without an operating system: SeaBIOS boots a small loader from a disk.
//!
//! Above: stories about booting, and those that need a front end for a second or two.  Below: QEMU, SeaBIOS.

use crate::accel::Accel;
use crate::daemon::{groups_option, read_lossy};
use crate::deadline::Deadline;
use crate::guest::{machine, memory_options};
use crate::process::Process;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// How long SeaBIOS and the loader may take, in seconds; emulated, they need two.
const LIMIT_SECONDS: u64 = 60;

/// What the loader writes to port f4h to end the machine.
pub(crate) const DONE: u8 = 0x10;
pub(crate) const FAILED: u8 = 0x20;

/// The boot sector: reads the second block through the BIOS, sends the text in it to the first serial port,
/// and ends the machine; where nothing ends it, it halts.  At 7c00h:
const BOOT_SECTOR: [u8; 73] = [
    0xfa, //                         cli
    0x31, 0xc0, //                   xor ax, ax
    0x8e, 0xd8, //                   mov ds, ax
    0x8e, 0xd0, //                   mov ss, ax
    0xbc, 0x00, 0x7c, //             mov sp, 7c00h
    0xfb, //                         sti
    0xfc, //                         cld
    0xbe, 0x39, 0x7c, //             mov si, packet
    0xb4, 0x42, //                   mov ah, 42h         extended read; DL is the disk we came from
    0xcd, 0x13, //                   int 13h
    0x72, 0x1e, //                   jc failed
    0xbe, 0x00, 0x7e, //             mov si, 7e00h
    0xac, //               next:     lodsb
    0x84, 0xc0, //                   test al, al
    0x74, 0x12, //                   jz done
    0x88, 0xc3, //                   mov bl, al
    0xba, 0xfd, 0x03, //             mov dx, 3fdh
    0xec, //               full:     in al, dx
    0xa8, 0x20, //                   test al, 20h        room for a byte?
    0x74, 0xfb, //                   jz full
    0x88, 0xd8, //                   mov al, bl
    0xba, 0xf8, 0x03, //             mov dx, 3f8h
    0xee, //                         out dx, al
    0xeb, 0xe9, //                   jmp next
    0xb0, DONE, //         done:     mov al, DONE
    0xeb, 0x02, //                   jmp leave
    0xb0, FAILED, //       failed:   mov al, FAILED
    0xe6, 0xf4, //         leave:    out f4h, al
    0xfa, //                         cli
    0xf4, //                         hlt
    16, 0, 1, 0, //        packet:   16 bytes long; one block
    0x00, 0x7e, 0, 0, //             to 0000:7e00
    1, 0, 0, 0, 0, 0, 0, 0, //       from LBA 1
];

/// Writes the loader and its text to the start of a file or device of 512-byte blocks.
pub fn write_loader(disk: &Path, text: &str) -> Result<()> {
    ensure!(text.len() < 512 && text.is_ascii(), "the loader prints at most 511 ASCII characters");
    let mut sectors = [0; 1024];
    sectors[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    sectors[510..512].copy_from_slice(&[0x55, 0xaa]);
    sectors[512..512 + text.len()].copy_from_slice(text.as_bytes());
    File::options().write(true).open(disk)?.write_all_at(&sectors, 0)?;
    Ok(())
}

/// What becomes of the machine once the loader has printed its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It ends.
    Ends,
    /// It halts, its disks still connected.
    Halts,
}

/// Who runs a machine.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user, and his group.
    pub user: u32,
    /// His other groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// The same command, run by him.
    fn run(&self, other: &Command) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={0}", self.user), format!("--regid={0}", self.user)]);
        command.args([&groups_option(&self.groups), "--pdeathsig=KILL", "--"]);
        command.arg(other.get_program()).args(other.get_args());
        command.stdin(Stdio::null());
        command
    }
}

/// A running machine; it ends with this value.
#[derive(Debug)]
pub struct Firmware {
    qemu: Process,
    serial: PathBuf,
    complaints: PathBuf,
    deadline: Deadline,
}

impl Firmware {
    /// Starts a machine of 64 MiB with the disks of `options`; `name` keeps its files apart.
    ///
    /// The options bring the memory's backend, or a shared one is made where they do not.
    pub fn boot(scratch: &Scratch, name: &str, options: &[String], then: Then) -> Result<Self> {
        Self::boot_as(scratch, name, options, then, None)
    }

    /// Starts one as somebody else, which takes root.
    pub fn boot_as(
        scratch: &Scratch,
        name: &str,
        options: &[String],
        then: Then,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let serial = scratch.join(&format!("{name}.serial"));
        let complaints = scratch.join(&format!("{name}.stderr"));
        let mut qemu = machine(Accel::detect()?)?;
        qemu.args(["-name", name, "-no-reboot", "-serial", &format!("file:{}", serial.display())]);
        qemu.args(memory_options(options, 64)).args(options);
        if then == Then::Ends {
            qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        }
        if let Some(identity) = identity {
            // It may write into the file, though not make it.
            std::fs::write(&serial, "")?;
            std::fs::set_permissions(&serial, Permissions::from_mode(0o666))?;
            qemu = identity.run(&qemu);
        }
        qemu.stdout(Stdio::null()).stderr(Stdio::from(File::create(&complaints)?));
        let qemu = Process::spawn(&mut qemu)?;
        Ok(Self { qemu, serial, complaints, deadline: Deadline::seconds(LIMIT_SECONDS) })
    }

    /// Waits until the loader has printed `text`.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let what = format!("{text:?} of the loader");
        let waited = self.deadline.until(&what, || {
            if read_lossy(&self.serial).contains(text) {
                return Ok(Some(()));
            }
            match self.qemu.ended()? {
                // It may have printed between the two looks.
                Some(_) if read_lossy(&self.serial).contains(text) => Ok(Some(())),
                Some(status) => bail!("QEMU ended before the loader printed {text:?}, {status}"),
                None => Ok(None),
            }
        });
        waited.with_context(|| self.what_it_showed())
    }

    /// Waits until the loader has ended the machine, and returns what it printed.
    pub fn finish(mut self) -> Result<String> {
        let Some(ended) = self.qemu.wait(self.deadline)? else {
            bail!("the loader never ended the machine\n{}", self.what_it_showed());
        };
        // isa-debug-exit: twice the value written, and one.
        ensure!(ended.code() == Some(0x21), "QEMU ended with {ended}\n{}", self.what_it_showed());
        Ok(read_lossy(&self.serial))
    }

    /// What it has sent to its serial port so far.
    pub fn serial(&self) -> String {
        read_lossy(&self.serial)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.qemu.ended()
    }

    /// The machine loses its power, and the daemon its front end, in one moment.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.qemu.kill()
    }

    fn what_it_showed(&self) -> String {
        let (serial, complaints) = (read_lossy(&self.serial), read_lossy(&self.complaints));
        format!("--- its serial port:\n{serial}\n--- QEMU said:\n{complaints}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(disk: &Path) -> [String; 4] {
        let file = format!("file={},format=raw,if=none,id=d", disk.display());
        ["-drive".into(), file, "-device".into(), "virtio-blk-pci,drive=d".into()]
    }

    #[test]
    fn the_loader_prints_its_text_and_ends_the_machine() -> Result<()> {
        let scratch = Scratch::new()?;
        let disk = scratch.sparse_file("disk", 1 << 20)?;
        write_loader(&disk, "Lunar says hello.\n")?;
        let machine = Firmware::boot(&scratch, "firmware", &drive(&disk), Then::Ends)?;
        assert_eq!(machine.finish()?, "Lunar says hello.\n");
        Ok(())
    }

    #[test]
    fn a_loader_that_halts_leaves_the_machine_running() -> Result<()> {
        let scratch = Scratch::new()?;
        let disk = scratch.sparse_file("disk", 1 << 20)?;
        write_loader(&disk, "Here I stay.\n")?;
        let mut machine = Firmware::boot(&scratch, "firmware", &drive(&disk), Then::Halts)?;
        machine.wait_for("Here I stay.\n")?;
        assert_eq!(machine.kill()?.code(), None);
        Ok(())
    }
}
