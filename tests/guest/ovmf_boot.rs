// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UEFI firmware boots from a LUN, in legacy virtio and in modern.
//!
//! It loads an application of 36 MiB, which it reads with the largest commands it may send, over one queue, polling; the
//! application ends the machine well only if every byte of it arrived.

use anyhow::{Context, Result, ensure};
use std::fs;
use stories::boot_disk::{BootDisk, lacking};
use stories::efi::{application, ballast};
use stories::firmware::{Firmware, Then};
use stories::ovmf::Ovmf;
use stories::stage::Stage;

const MIB: u64 = 1 << 20;

/// Boots from a LUN of blocks of a length and returns what the first ring's features were.
fn boot(name: &str, block_bytes: u64, device: &str) -> Result<Option<String>> {
    if let Some(program) = lacking(&["mkfs.fat", "mmd", "mcopy"]) {
        println!("skipped: {program} is not installed");
        return Ok(None);
    }
    let Some(ovmf) = Ovmf::find() else {
        println!("skipped: there is no OVMF; the package ovmf has it");
        return Ok(None);
    };
    let stage = Stage::set_debugging()?;
    let app = stage.scratch.join("app.efi");
    fs::write(&app, application("Every byte is here.\n", &ballast(36 << 20))?)?;
    let mut disk = BootDisk::create(&stage.scratch.join("boot"), block_bytes)?;
    disk.efi_system(48 * MIB, &app)?;
    let disk = disk.finish(&[], &[])?;
    let attribute = format!("/backstores/fileio create boot {} 49M", disk.display());
    stage.shell.well(&attribute)?;
    stage.shell.well(&format!("/backstores/fileio/boot set attribute block_size={block_bytes}"))?;
    let wwn = stage.shell.create_target()?;
    if ovmf.tag == 0 {
        println!("note: OVMF before edk2-stable202302 looks at target 0 alone, so this is tpg0");
        stage.shell.well(&format!("/vhost/{wwn} create 0"))?;
    }
    stage.map(&wwn, ovmf.tag, 0, "fileio/boot")?;

    let mut options = stage.shell.qemu(&wwn, &["--memory", "256M", "--pci", "bus=pcie.0,addr=0x5"])?;
    let adapter = options.last_mut().context("an adapter")?;
    ensure!(adapter.contains(&format!("boot_tpgt={}", ovmf.tag)), "another place to boot from: {adapter}");
    adapter.push_str(device);
    let options = [ovmf.options(&stage.scratch, name)?, options].concat();
    let machine = Firmware::boot(&stage.scratch, name, &options, Then::Ends)?;
    let shown = machine.finish()?;
    ensure!(shown.ends_with("Every byte is here.\n"), "{shown}");
    let log = stage.daemon.log();
    let features = log.split_once("a ring runs with features ").context("a ring that ran")?.1;
    Ok(features.split_ascii_whitespace().next().map(str::to_owned))
}

#[test]
fn ovmf_boots_over_legacy_virtio() -> Result<()> {
    if let Some(features) = boot("legacy", 512, ",bootindex=0")? {
        assert_eq!(features, "0x40000000", "VERSION_1 is bit 32");
    }
    Ok(())
}

#[test]
fn ovmf_boots_over_modern_virtio() -> Result<()> {
    if let Some(features) = boot("modern", 512, ",bootindex=0,disable-legacy=on")? {
        assert_eq!(features, "0x140000000");
    }
    Ok(())
}

#[test]
fn ovmf_boots_from_a_disk_of_4096_byte_blocks() -> Result<()> {
    boot("four-kib", 4096, "").map(drop)
}
