// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine boots from a LUN.
//!
//! SeaBIOS polls, uses one queue, and asks all 256 targets for their LUNs before it reads the first block.

use anyhow::{Context, Result};
use stories::firmware::{Firmware, Then, write_loader};
use stories::stage::Stage;

/// A disk with a loader that says which one it is, as a backstore of that name.
fn loader(stage: &Stage, name: &str) -> Result<()> {
    let file = stage.create_fileio(name, 1 << 20)?;
    write_loader(&file, &format!("The loader of {name}.\n"))
}

/// The options of a machine whose firmware tells what it does in a file of this name.
fn talkative(stage: &Stage, wwn: &str, name: &str) -> Result<Vec<String>> {
    let log = stage.scratch.join(name);
    let mut options = stage.shell.qemu(wwn, &["--memory", "64M"])?;
    let told = ["-chardev", &format!("file,id=told,path={}", log.display())].map(str::to_owned);
    options.extend(told);
    options.extend(["-device", "isa-debugcon,iobase=0x402,chardev=told"].map(str::to_owned));
    Ok(options)
}

#[test]
fn seabios_boots_a_loader_from_lun_0() -> Result<()> {
    let stage = Stage::set()?;
    loader(&stage, "boot")?;
    let wwn = stage.serve("fileio/boot")?;
    let options = stage.shell.qemu(&wwn, &["--memory", "64M"])?;
    let machine = Firmware::boot(&stage.scratch, "seabios", &options, Then::Ends)?;
    assert_eq!(machine.finish()?, "The loader of boot.\n");
    Ok(())
}

#[test]
fn seabios_boots_lun_0_of_the_target_named_among_many() -> Result<()> {
    const TARGETS: u16 = 32;
    const LUNS: u16 = 8;
    let stage = Stage::set()?;
    for lun in 0..LUNS {
        loader(&stage, &format!("decoy{lun}"))?;
    }
    loader(&stage, "wanted")?;
    let wwn = stage.shell.create_target()?;
    let mut lines = String::new();
    for tag in 1..=TARGETS {
        if tag > 1 {
            lines.push_str(&format!("/vhost/{wwn} create {tag}\n"));
        }
        for lun in 0..LUNS {
            let store = if (tag, lun) == (23, 0) { "wanted".into() } else { format!("decoy{lun}") };
            lines.push_str(&format!("/vhost/{wwn}/tpg{tag}/luns create /backstores/fileio/{store} {lun}\n"));
        }
    }
    let answer = stage.shell.batch(&[], &lines)?;
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""));

    let mut options = talkative(&stage, &wwn, "told")?;
    let adapter = options.iter_mut().find(|option| option.contains("boot_tpgt=1")).context("an adapter")?;
    // What is printed says the lowest; this guest is to boot from another.
    *adapter = adapter.replace("boot_tpgt=1", "boot_tpgt=23") + ",bootindex=0";
    let machine = Firmware::boot(&stage.scratch, "many", &options, Then::Ends)?;
    assert_eq!(machine.finish()?, "The loader of wanted.\n");
    let told = std::fs::read_to_string(stage.scratch.join("told"))?;
    assert_eq!(told.matches("virtio-scsi blksize=512 sectors=2048").count(), 256, "{told}");
    Ok(())
}

#[test]
fn seabios_passes_over_a_disk_of_4096_byte_blocks() -> Result<()> {
    let stage = Stage::set()?;
    loader(&stage, "large-blocks")?;
    loader(&stage, "small-blocks")?;
    stage.shell.well("/backstores/fileio/large-blocks set attribute block_size=4096")?;
    let wwn = stage.serve("fileio/large-blocks")?;
    stage.shell.well(&format!("/vhost/{wwn} create 2"))?;
    stage.map(&wwn, 2, 0, "fileio/small-blocks")?;
    let options = talkative(&stage, &wwn, "told")?;
    let machine = Firmware::boot(&stage.scratch, "large", &options, Then::Ends)?;
    assert_eq!(machine.finish()?, "The loader of small-blocks.\n");
    let told = std::fs::read_to_string(stage.scratch.join("told"))?;
    assert!(told.contains("virtio-scsi: unsupported block size 4096"), "{told}");
    Ok(())
}
