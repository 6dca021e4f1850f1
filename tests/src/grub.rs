// SPDX-License-Identifier: Apache-2.0 OR MIT
//! GRUB, as an image for a BIOS and as one for EFI, made from the packages' modules.
//!
//! Above: the stories that boot Linux from a LUN.  Below: `grub-mkimage`.

use crate::process::{command, run_well};
use crate::programs::host_program;
use crate::scratch::Scratch;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What a story needs besides the programs that make file systems.
pub const NEEDED: &[&str] =
    &["grub-mkimage", "/usr/lib/grub/i386-pc/boot.img", "/usr/lib/grub/x86_64-efi/kernel.img"];

/// What both have: enough to find a kernel on ext2 and to start it.
const MODULES: &[&str] =
    &["part_msdos", "ext2", "search", "search_fs_file", "normal", "configfile", "linux", "boot", "echo"];

/// What it does before it has read its configuration, which is on the partition that has a file of this name.
const EARLY: &str = "search --no-floppy --file --set=root /grub.cfg\nconfigfile ($root)/grub.cfg\n";

/// The sector that a BIOS runs, and what that one loads from the sectors behind itself.
pub fn for_bios(scratch: &Scratch) -> Result<(Vec<u8>, Vec<u8>)> {
    let sector = "/usr/lib/grub/i386-pc/boot.img";
    let sector = std::fs::read(sector).with_context(|| format!("cannot read {sector}"))?;
    let image = image(scratch, "i386-pc", &["biosdisk", "serial", "terminal"])?;
    Ok((sector, std::fs::read(image)?))
}

/// An EFI application.
pub fn for_efi(scratch: &Scratch) -> Result<PathBuf> {
    image(scratch, "x86_64-efi", &[])
}

/// The configuration that starts a kernel at once.
pub fn configuration(kernel: &str, command_line: &str, initramfs: &str) -> String {
    // A BIOS has nothing to show its complaints on but the serial port; EFI uses that by itself.
    let terminal = "if [ $grub_platform = pc ]; then serial --unit=0; terminal_output serial; fi\n";
    let start = format!("linux {kernel} {command_line}\ninitrd {initramfs}\nboot\n");
    format!("{terminal}echo GRUB loads {kernel}\n{start}")
}

fn image(scratch: &Scratch, format: &str, more: &[&str]) -> Result<PathBuf> {
    let early = scratch.join("grub-early.cfg");
    std::fs::write(&early, EARLY)?;
    let image = scratch.join(&format!("grub-{format}"));
    let mut mkimage = command(host_program("grub-mkimage")?);
    mkimage.args(["-O", format, "-p", "/", "-c"]).arg(&early).arg("-o").arg(&image);
    run_well(mkimage.args(MODULES).args(more), LIMIT)?;
    Ok(image)
}
