// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel says of a block device, read from /sys.
//!
//! Above: `block`, `file`.  Below: sysfs.  Never here: ioctls; everything needed is text.

use crate::{Abilities, Discard, Geometry, OpenError};
use std::fs;
use std::path::{Path, PathBuf};

/// sysfs counts a device's size in these, whatever its sectors are.
const SYSFS_SECTOR_BYTES: u64 = 512;

/// A block device as sysfs shows it.
pub(crate) struct Description {
    pub(crate) kernel_name: String,
    pub(crate) geometry: Geometry,
    pub(crate) abilities: Abilities,
}

pub(crate) fn describe(path: &Path, major: u32, minor: u32) -> Result<Description, OpenError> {
    let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let undescribed = |what: String| OpenError::Undescribed { path: path.to_path_buf(), what };
    let directory =
        fs::canonicalize(&link).map_err(|error| undescribed(format!("{}: {error}", link.display())))?;
    // A partition has no queue of its own; its disk's is one level up.
    let queue = if directory.join("partition").exists() {
        directory.parent().unwrap_or(&directory).join("queue")
    } else {
        directory.join("queue")
    };
    let number = |file: PathBuf| -> Result<u64, OpenError> {
        let text =
            fs::read_to_string(&file).map_err(|error| undescribed(format!("{}: {error}", file.display())))?;
        text.trim().parse().map_err(|_| undescribed(format!("{} says {:?}", file.display(), text.trim())))
    };
    let small = |file: PathBuf| -> Result<u32, OpenError> {
        let value = number(file.clone())?;
        u32::try_from(value).map_err(|_| undescribed(format!("{} says {value}", file.display())))
    };
    let sectors = number(directory.join("size"))?;
    let write_cache = fs::read_to_string(queue.join("write_cache")).unwrap_or_default();
    let geometry = Geometry {
        bytes: sectors.saturating_mul(SYSFS_SECTOR_BYTES),
        block_bytes: small(queue.join("logical_block_size"))?,
        physical_block_bytes: small(queue.join("physical_block_size"))?,
        alignment_bytes: small(directory.join("alignment_offset")).unwrap_or(0),
        io_min_bytes: small(queue.join("minimum_io_size"))?,
        io_opt_bytes: small(queue.join("optimal_io_size"))?,
        read_only: number(directory.join("ro"))? != 0,
        write_cache: write_cache.trim() == "write back",
        rotational: number(queue.join("rotational"))? != 0,
    };
    // An older kernel does not say it, and then there is none.
    let unless_silent = |file: PathBuf| number(file).unwrap_or(0);
    let zeroes = unless_silent(queue.join("write_zeroes_max_bytes")) > 0;
    let discard_max = unless_silent(queue.join("discard_max_bytes"));
    let discard = Discard {
        granularity_bytes: small(queue.join("discard_granularity")).unwrap_or(0),
        alignment_bytes: small(directory.join("discard_alignment")).unwrap_or(0),
        bytes_max: discard_max,
        reads_zero: zeroes,
    };
    let abilities = Abilities { discard: (discard_max > 0).then_some(discard), zeroes };
    let kernel_name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Description { kernel_name, geometry, abilities })
}

/// Whether a device has no bytes any more, as one that was taken away while it was open.  Waits for no medium: it is the
/// kernel's memory that answers.
pub(crate) fn is_gone(major: u32, minor: u32) -> bool {
    match fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/size")) {
        Ok(sectors) => sectors.trim() == "0",
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
