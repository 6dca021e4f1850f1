// SPDX-License-Identifier: Apache-2.0 OR MIT
//! GRUB loads a kernel and its initramfs from a LUN, and Linux comes up and reads the same LUN.
//!
//! The firmware reads tens of megabytes over one queue, polling, and Linux takes the device over from it on the same
//! connection: on SeaBIOS both in legacy virtio, on OVMF first in legacy virtio and then with all modern features.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;
use stories::boot_disk::{BootDisk, lacking};
use stories::efi::ballast;
use stories::grub;
use stories::loaded::{Load, Loaded};
use stories::ovmf::Ovmf;
use stories::process::{command, run_well};
use stories::programs::host_program;
use stories::stage::Stage;

const MIB: u64 = 1 << 20;
/// Bytes of the initramfs whose loading is looked at closely.
const BALLAST_BYTES: usize = 16 << 20;

/// What the firmware loaded is what the disk has, and what Linux writes stays there.
const SCRIPT: &str = "settle 1
    cat /proc/cmdline | grep -o console=ttyS0
    mount -t ext4 /dev/sda2 /mnt
    cmp /ballast /mnt/ballast && echo the loader read it right
    echo written by Linux > /mnt/note
    umount /mnt
    [ -d /sys/firmware/efi ] && echo EFI || echo BIOS";

/// A disk for both kinds of firmware.  Returns where its second partition begins.
fn make_disk(stage: &Stage) -> Result<u64> {
    let load = Load::prepare(&stage.scratch, ballast(BALLAST_BYTES), SCRIPT)?;
    println!("the loader reads {} bytes", load.bytes);
    ensure!(load.bytes > 10 << 20, "too little to be called big");
    let configuration = grub::configuration("/vmlinuz", load.command_line, "/initramfs");
    std::fs::write(load.folder.join("grub.cfg"), configuration)?;
    let mut disk = BootDisk::create(&stage.scratch.join("boot"), 512)?;
    disk.efi_system(8 * MIB, &grub::for_efi(&stage.scratch)?)?;
    let start = disk.linux(load.bytes.next_multiple_of(MIB) + 24 * MIB, &load.folder)?;
    let (sector, behind) = grub::for_bios(&stage.scratch)?;
    disk.finish(&sector, &behind)?;
    Ok(start)
}

/// What the host finds in a file of the second partition.
fn note_of(disk: &Path, partition: u64) -> Result<String> {
    let mut debugfs = command(host_program("debugfs")?);
    debugfs.args(["-R", "cat /note"]).arg(format!("{}?offset={partition}", disk.display()));
    Ok(String::from_utf8(run_well(&mut debugfs, Duration::from_secs(60))?)?)
}

/// Boots; `None` is a BIOS.  Returns what the guest printed, and the features of each start of the request queue.
fn boot(stage: &Stage, ovmf: Option<&Ovmf>) -> Result<(String, Vec<String>)> {
    let partition = make_disk(stage)?;
    let file = stage.scratch.join("boot");
    let bytes = file.metadata()?.len();
    stage.shell.well(&format!("/backstores/fileio create boot {} {bytes}", file.display()))?;
    let wwn = stage.shell.create_target()?;
    let (tag, bus) = ovmf.map_or((1, "pci.0"), |ovmf| (ovmf.tag, "pcie.0"));
    if tag == 0 {
        println!("note: OVMF before edk2-stable202302 looks at target 0 alone, so this is tpg0");
        stage.shell.well(&format!("/vhost/{wwn} create 0"))?;
    }
    stage.map(&wwn, tag, 0, "fileio/boot")?;
    let pci = format!("bus={bus},addr=0x5");
    let mut options = stage.shell.qemu(&wwn, &["--memory", "512M", "--pci", &pci])?;
    let adapter = options.last_mut().context("an adapter")?;
    adapter.push_str(if ovmf.is_none() { ",bootindex=0,disable-modern=on" } else { ",bootindex=0" });
    if let Some(ovmf) = ovmf {
        options.splice(0..0, ovmf.options(&stage.scratch, "grub")?);
    }
    let out = Loaded::boot(&stage.scratch, "grub", bus, &options)?.finish()?;
    assert_eq!(note_of(&file, partition)?, "written by Linux\n");
    let log = stage.daemon.log();
    let starts = log.lines().filter(|line| line.contains(" ring=2 "));
    let features = starts.filter_map(|line| line.split_once("with features ")?.1.split(' ').next());
    Ok((out, features.map(str::to_owned).collect()))
}

fn lacks_something() -> bool {
    let programs = [&["mkfs.fat", "mmd", "mcopy", "mkfs.ext4", "debugfs"], grub::NEEDED].concat();
    let lacking = lacking(&programs);
    if let Some(program) = lacking {
        println!("skipped: there is no {program}");
    }
    lacking.is_some()
}

const PRINTED: &str = "console=ttyS0\nthe loader read it right\n";

#[test]
fn grub_on_seabios_loads_linux_and_all_of_them_speak_legacy_virtio() -> Result<()> {
    if lacks_something() {
        return Ok(());
    }
    let stage = Stage::set_debugging()?;
    let (out, features) = boot(&stage, None)?;
    assert_eq!(out, format!("{PRINTED}BIOS\n"));
    let (firmware, linux) = (features.first().context("firmware")?, features.last().context("Linux")?);
    assert_eq!((firmware.as_str(), linux.as_str()), ("0x40000000", "0x70000006"));
    Ok(())
}

#[test]
fn grub_on_ovmf_loads_linux_which_takes_over_from_legacy_virtio() -> Result<()> {
    let Some(ovmf) = Ovmf::find() else {
        println!("skipped: there is no OVMF; the package ovmf has it");
        return Ok(());
    };
    if lacks_something() {
        return Ok(());
    }
    let stage = Stage::set_debugging()?;
    let (out, features) = boot(&stage, Some(&ovmf))?;
    assert_eq!(out, format!("{PRINTED}EFI\n"));
    let (firmware, linux) = (features.first().context("firmware")?, features.last().context("Linux")?);
    assert_eq!((firmware.as_str(), linux.as_str()), ("0x40000000", "0x170000006"));
    Ok(())
}
