// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an attribute can be in LIO, whatever Lunar makes of it.
//!
//! Above: `attributes`, which tells a mistake from what is otherwise here.  Below: `model`, for the names.
//! Never here: what it can be in Lunar.
//!
//! Where a bound depends on the device or on the version of the kernel, the widest counts: a file that a kernel wrote is
//! no mistake.

use model::{Attribute, Backstore, Key, Kind, Values};

/// The queue depth of files and of memory in LIO, and the most of them.
const QUEUE_DEPTH_MAX: u32 = 128;

/// The most blocks of a transfer of a file in LIO: 8 MiB in the smallest blocks.
const FILE_TRANSFER_BLOCKS_MAX: u32 = 16_384;

/// Whether some kernel of LIO has an attribute of that name with that value in a storage object of this kind.
pub(super) fn has(backstore: &Backstore, name: &str, text: &str) -> bool {
    // An attribute of another version: what it can be is not known here.
    let Some(row) = Attribute::named(name) else { return true };
    let kind = backstore.kind();
    let Some(value) = row.read(text) else { return false };
    match row.key {
        // For a name too long some kernels cut it, and others refuse.
        Key::EmulateModelAlias => value <= 1,
        Key::EmulateWriteCache => kind != Kind::Block && value <= 1,
        Key::PgrSupport => kind == Kind::Block && value <= 1,
        Key::AluaSupport | Key::EmulateRestReord => row.default_of(kind) == Some(value),
        Key::PiProtType => [0, 1, 3].contains(&value),
        Key::QueueDepth => value != 0 && (kind == Kind::Block || value <= QUEUE_DEPTH_MAX),
        Key::OptimalSectors => kind != Kind::Fileio || value <= FILE_TRANSFER_BLOCKS_MAX,
        _ => match row.values {
            Values::Switch => value <= 1,
            Values::OneOf(list) => list.contains(&value),
            Values::Between(..) | Values::Transfer => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AbsolutePath, BackstoreName, Medium, UnitSerial};

    fn object(kind: Kind) -> Backstore {
        let path = AbsolutePath::parse("/dev/x").unwrap();
        let medium = match kind {
            Kind::Block => Medium::Block { path, read_only: None, size_bytes: None },
            Kind::Fileio => Medium::Fileio { path, size_bytes: Some(4096), sparse: true },
            Kind::Ramdisk => Medium::ramdisk(4096, false).unwrap(),
        };
        Backstore::new(BackstoreName::parse("x").unwrap(), UnitSerial::parse("s").unwrap(), medium).unwrap()
    }

    #[test]
    fn what_no_kernel_takes_is_told_from_what_some_device_has() {
        use Kind::{Block, Fileio, Ramdisk};
        for (kind, name, text, has) in [
            (Fileio, "emulate_tpu", "7", false),
            (Fileio, "emulate_tpu", "yes", true),
            (Fileio, "emulate_tpu", "maybe", false),
            (Fileio, "emulate_tpu", "0x1", false),
            (Fileio, "emulate_tpu", " 1", false),
            (Fileio, "emulate_tpu", "1 ", false),
            (Fileio, "queue_depth", "+1", true),
            (Fileio, "queue_depth", "0x80", true),
            (Fileio, "queue_depth", "0200", true),
            (Fileio, "queue_depth", "0201", false),
            (Fileio, "queue_depth", "128\n", true),
            (Fileio, "queue_depth", "", false),
            (Fileio, "emulate_ua_intlck_ctrl", "3", false),
            (Fileio, "emulate_model_alias", "1", true),
            (Fileio, "emulate_model_alias", "2", false),
            (Fileio, "queue_depth", "0", false),
            (Fileio, "queue_depth", "129", false),
            (Ramdisk, "queue_depth", "129", false),
            (Block, "queue_depth", "256", true),
            (Block, "queue_depth", "0", false),
            (Block, "optimal_sectors", "4294967288", true),
            (Fileio, "optimal_sectors", "16384", true),
            (Fileio, "optimal_sectors", "16385", false),
            (Fileio, "max_unmap_block_desc_count", "4294967295", true),
            (Fileio, "max_unmap_lba_count", "4294967296", false),
            (Fileio, "max_unmap_lba_count", "-1", false),
            (Block, "emulate_write_cache", "1", false),
            (Fileio, "pi_prot_type", "1", true),
            (Fileio, "pi_prot_type", "2", false),
            (Fileio, "pi_prot_verify", "1", true),
            (Block, "pgr_support", "0", true),
            (Ramdisk, "pgr_support", "0", false),
            (Block, "alua_support", "0", false),
            (Block, "submit_type", "novel", true),
        ] {
            assert_eq!(super::has(&object(kind), name, text), has, "{name}={text} of {kind}");
        }
    }
}
