// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest that has left keeps of the host's memory.  Alone in its process, because it looks at all mappings there.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: a second test.

mod support;

use initiator::{LunAddress, Options, commands};
use support::{Rig, Unit, until};

/// Pools of memory that commands borrow from.
fn pools() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:lunar-scratch")).count()
}

#[test]
fn a_guest_that_leaves_keeps_no_memory_that_its_commands_borrowed() {
    let rig = Rig::new(&[Unit::ramdisk(1 << 20), Unit::ramdisk(1 << 20)]);
    let mut guest = rig.boot(Options::default());
    for lun in 0..2 {
        let verify = commands::verify_10(LunAddress::unit(1, lun), 0, 1);
        assert!(guest.execute(&verify).unwrap().is_good());
    }
    assert!(pools() >= 2, "a comparison reads into memory of the device's");
    drop(guest);
    until("its pools to be given back", || pools() == 0);
}
