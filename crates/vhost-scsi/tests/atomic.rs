// SPDX-License-Identifier: Apache-2.0 OR MIT
//! WRITE ATOMIC (16): on a medium that writes whole or not at all, and on one that does not.
//!
//! Above: nothing.  Below: `initiator`, the target of `support`.
//! Never here: a loss of power; what a device promises the kernel is the device's.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{Abilities, Atomic, Backstore, Channel, Geometry, IoKind, Ramdisk};
use initiator::{Command, Options, commands, lun_0};
use std::sync::{Arc, Mutex};
use support::{Rig, Unit, refused};

const MIB: u64 = 1 << 20;

/// A medium that says that it writes 2 KiB to 16 KiB whole.
struct Whole(Judged<Ramdisk>);

impl Backstore for Whole {
    fn geometry(&self) -> &Geometry {
        self.0.geometry()
    }
    fn channel(&self, key: u32) -> Box<dyn Channel> {
        self.0.channel(key)
    }
    fn abilities(&self) -> Abilities {
        Abilities { atomic: Some(Atomic { bytes_min: 2048, bytes_max: 16384 }), ..self.0.abilities() }
    }
}

/// WRITE ATOMIC (16) of so many blocks of AAh.
fn write_atomic(flags: u8, first: u8, boundary: u8, blocks: u8) -> Command {
    let cdb = [0x9c, flags, 0, 0, 0, 0, 0, 0, 0, first, 0, boundary, 0, blocks, 0, 0];
    Command::new(lun_0(), &cdb).data_out(vec![0xaa; usize::from(blocks) * 512])
}

#[test]
fn a_write_that_is_whole_reaches_a_medium_that_can_as_such() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let disk = Judged::new(Ramdisk::new(MIB, false).unwrap(), move |kind, offset| {
        notes.lock().unwrap().push((kind, offset));
        Fate::Pass
    });
    let rig = Rig::new(&[Unit::new(Whole(disk))]);
    let mut guest = rig.boot(Options::default());
    let limits = guest.execute(&commands::inquiry_page(lun_0(), 0xb0, 64)).unwrap().data_in;
    assert_eq!(limits[44..64], [0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (command, durable, offset) in
        [(write_atomic(0, 8, 0, 8), false, 4096), (write_atomic(0, 32, 0, 32), false, 16384)]
    {
        assert!(guest.execute(&command).unwrap().is_good());
        assert_eq!(seen.lock().unwrap().last(), Some(&(IoKind::WriteWhole { durable }, offset)));
    }
    let read = guest.execute(&commands::read_10(lun_0(), 7, 10, 5120)).unwrap().data_in;
    assert!(read[..512] == [0; 512] && read[512..4608] == [0xaa; 4096] && read[4608..] == [0; 512]);
    let before = seen.lock().unwrap().len();
    assert!(guest.execute(&write_atomic(0, 0, 0, 0)).unwrap().is_good());
    for wrong in [
        /* not aligned */ write_atomic(0, 4, 0, 8),
        /* too short */ write_atomic(0, 0, 0, 2),
        /* too long */ write_atomic(0, 0, 0, 64),
        /* no power of two */ write_atomic(0, 0, 0, 12),
        /* a boundary */ write_atomic(0, 0, 4, 8),
    ] {
        refused(&mut guest, &wrong, [0x05, 0x24, 0x00]);
    }
    let behind =
        Command::new(lun_0(), &[0x9c, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 8, 0, 0]).data_out(vec![0; 4096]);
    refused(&mut guest, &behind, [0x05, 0x21, 0x00]);
    assert_eq!(seen.lock().unwrap().len(), before);
}

#[test]
fn a_medium_that_may_tear_a_write_does_not_take_it() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    refused(&mut guest, &write_atomic(0, 0, 0, 8), [0x05, 0x20, 0x00]);
    let limits = guest.execute(&commands::inquiry_page(lun_0(), 0xb0, 64)).unwrap().data_in;
    assert_eq!(limits[44..64], [0; 20]);
}
