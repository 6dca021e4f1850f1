// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks to boot from: a partition table of the PC, an EFI system partition, and one for Linux.
//!
//! Above: the stories that boot firmware and loaders.  Below: mkfs.fat, mtools, mkfs.ext4, on plain files; no root.

use crate::process::{command, run_well};
use crate::programs::{find_in_path, host_program};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first partition begins here, and a boot loader has the room before it.
const FIRST_BYTES: u64 = 1 << 20;

/// How long making a file system may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An EFI system partition, and what Linux calls its own (the type bytes of the table).
const EFI_SYSTEM: u8 = 0xef;
const LINUX: u8 = 0x83;

/// A disk in the making.
#[derive(Debug)]
pub struct BootDisk {
    path: PathBuf,
    block_bytes: u64,
    end_bytes: u64,
    partitions: Vec<(u8, u64, u64)>,
}

impl BootDisk {
    /// An empty disk for blocks of a length.
    pub fn create(path: &Path, block_bytes: u64) -> Result<Self> {
        File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path: path.into(), block_bytes, end_bytes: FIRST_BYTES, partitions: Vec::new() })
    }

    /// Adds an EFI system partition of `bytes` whose only file, `EFI/BOOT/BOOTX64.EFI`, is what firmware loads.
    pub fn efi_system(&mut self, bytes: u64, application: &Path) -> Result<()> {
        let start = self.add(EFI_SYSTEM, bytes)?;
        let blocks = |bytes: u64| (bytes / self.block_bytes).to_string();
        let mut mkfs = command(host_program("mkfs.fat")?);
        mkfs.args(["-S", &self.block_bytes.to_string(), "--offset", &blocks(start), "-h", &blocks(start)]);
        run_well(mkfs.arg(&self.path).arg((bytes / 1024).to_string()), LIMIT)?;
        let image = format!("{}@@{start}", self.path.display());
        let mut mmd = command(host_program("mmd")?);
        run_well(mmd.args(["-i", &image, "::/EFI", "::/EFI/BOOT"]), LIMIT)?;
        let mut mcopy = command(host_program("mcopy")?);
        run_well(mcopy.args(["-i", &image]).arg(application).arg("::/EFI/BOOT/BOOTX64.EFI"), LIMIT)?;
        Ok(())
    }

    /// Adds a partition of `bytes` with an ext2 file system and the files of a folder.
    pub fn linux(&mut self, bytes: u64, folder: &Path) -> Result<u64> {
        let start = self.add(LINUX, bytes)?;
        let mut mkfs = command(host_program("mkfs.ext4")?);
        mkfs.args(["-q", "-t", "ext2", "-b", "4096", "-E", &format!("offset={start}"), "-d"]).arg(folder);
        run_well(mkfs.arg(&self.path).arg(format!("{}k", bytes / 1024)), LIMIT)?;
        Ok(start)
    }

    /// Writes the table, and in front of it and behind it what a BIOS is to run: a boot sector, and what that loads.
    pub fn finish(self, boot_sector: &[u8], behind: &[u8]) -> Result<PathBuf> {
        let mut sector = [0; 512];
        let code = boot_sector.len().min(440);
        sector[..code].copy_from_slice(&boot_sector[..code]);
        for (entry, &(kind, start, bytes)) in sector[446..510].chunks_exact_mut(16).zip(&self.partitions) {
            // Cylinders and heads are beyond what three bytes can say.
            entry[..8].copy_from_slice(&[0, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff]);
            entry[8..12].copy_from_slice(&u32::try_from(start / self.block_bytes)?.to_le_bytes());
            entry[12..].copy_from_slice(&u32::try_from(bytes / self.block_bytes)?.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let disk = File::options().write(true).open(&self.path)?;
        disk.write_all_at(&sector, 0)?;
        anyhow::ensure!(behind.len() as u64 <= FIRST_BYTES - 512, "no room before the first partition");
        disk.write_all_at(behind, 512)?;
        Ok(self.path)
    }

    fn add(&mut self, kind: u8, bytes: u64) -> Result<u64> {
        let start = self.end_bytes;
        self.end_bytes += bytes;
        self.partitions.push((kind, start, bytes));
        File::options().write(true).open(&self.path)?.set_len(self.end_bytes)?;
        Ok(start)
    }
}

/// Which of these programs, or files where the name is a path, this machine has not.
pub fn lacking<'a>(wanted: &[&'a str]) -> Option<&'a str> {
    wanted.iter().find(|name| find_in_path(name).is_none()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_table_says_where_a_partition_lies_in_the_disks_own_blocks() -> Result<()> {
        let scratch = Scratch::new()?;
        let mut disk = BootDisk::create(&scratch.join("disk"), 4096)?;
        assert_eq!(disk.add(EFI_SYSTEM, 8 << 20)?, 1 << 20);
        assert_eq!(disk.add(LINUX, 4 << 20)?, 9 << 20);
        let bytes = std::fs::read(disk.finish(&[0xeb, 0x63], &[7; 600])?)?;
        assert_eq!(bytes.len(), 13 << 20);
        assert_eq!((&bytes[..3], bytes[512], bytes[1111], bytes[1112]), (&[0xeb, 0x63, 0][..], 7, 7, 0));
        assert_eq!(bytes[450..462], [0xef, 0xfe, 0xff, 0xff, 0, 1, 0, 0, 0, 8, 0, 0]);
        assert_eq!(bytes[466..478], [0x83, 0xfe, 0xff, 0xff, 0, 9, 0, 0, 0, 4, 0, 0]);
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
        Ok(())
    }
}
