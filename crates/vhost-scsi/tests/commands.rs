// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands from a real front end over real rings, byte by byte.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: malformed requests, which are in `hostile.rs`.

mod support;

use initiator::{LunAddress, Options, commands};
use support::{Rig, Unit};

const LUN_0: fn() -> LunAddress = || LunAddress::unit(1, 0);

#[test]
fn inquiry_names_the_disk_as_lio_does() {
    let rig = Rig::new(&[Unit::ramdisk(1 << 20)]);
    let mut guest = rig.boot(Options::default());
    let answer = guest.execute(&commands::inquiry(LUN_0(), 36)).unwrap();
    assert!(answer.is_good(), "{answer:?}");
    assert_eq!(answer.used_len, 108 + 36);
    assert_eq!(answer.data_in[..8], [0x00, 0x00, 0x06, 0x02, 0x5b, 0x80, 0x00, 0x02]);
    assert_eq!(&answer.data_in[8..36], b"LIO-ORG disk0           4.0 ");
}

#[test]
fn a_written_block_is_read_back() {
    let rig = Rig::new(&[Unit::ramdisk(1 << 20)]);
    let mut guest = rig.boot(Options::default());
    let data: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let written = guest.execute(&commands::write_10(LUN_0(), 8, 8, &data)).unwrap();
    assert!(written.is_good(), "{written:?}");
    assert_eq!((written.used_len, written.residual), (108, 0));
    let read = guest.execute(&commands::read_10(LUN_0(), 8, 8, 4096)).unwrap();
    assert!(read.is_good(), "{read:?}");
    assert_eq!((read.used_len, read.residual), (108 + 4096, 0));
    assert!(read.data_in == data);
}
