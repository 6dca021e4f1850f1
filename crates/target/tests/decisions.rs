// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is decided about a command: CDB bytes in, an answer or one I/O out.
//!
//! Above: nothing.  Below: `target`, with a backstore that is never used.
//! Never here: rings; `vhost-scsi` has the same commands from a front end.

mod support;

use backstore::Geometry;
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use scsi::{Address, Lun, Sense, Status};
use std::sync::Arc;
use support::{FLAGS, Shape, identity};
use target::io::{BackstoreError, IoKind};
use target::{
    Answer, Buffers, Decision, Ended, Group, LogicalUnit, LunMap, Mapping, Nexus, Store, TaskAttribute,
    UnitFlags, execute, io_failed,
};

fn shape(bytes: u64) -> Geometry {
    Geometry {
        bytes,
        block_bytes: 512,
        physical_block_bytes: 4096,
        alignment_bytes: 0,
        io_min_bytes: 4096,
        io_opt_bytes: 65536,
        read_only: false,
        write_cache: true,
        rotational: false,
    }
}

/// 16 blocks and a half as LUN 3 of target 7.
fn map(flags: UnitFlags) -> LunMap {
    let store = Store::new(1, Arc::new(Shape(shape(16 * 512 + 256))));
    let unit = Arc::new(LogicalUnit::new(store, identity(), 512, flags));
    let nexus = Nexus::new("naa.6001405000000001", "naa.5001405000000001", 7, 1);
    let mut map = LunMap::default();
    map.insert(7, Group::new(nexus, [(Lun::new(3).unwrap(), Mapping::new(unit, false))]));
    map
}

fn list(bytes: u32) -> IoBuf {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 1 << 20).unwrap();
    let region = RegionSpec {
        guest: GuestAddress(0),
        user: UserAddress(0x1000_0000),
        bytes: 1 << 20,
        file_offset: 0,
        file,
    };
    let view = View::new(Arc::new(GuestMemory::from_regions(vec![region]).unwrap()));
    let mut list = IoBuf::new();
    list.push(&view, GuestAddress(0), bytes).unwrap();
    list
}

/// What is decided, in a form that can be compared.
#[derive(Debug, PartialEq)]
enum Decided {
    Answer(Answer),
    NoTarget,
    /// Several steps.
    Script,
    /// What, where, how many bytes of the buffer, and what is left over.
    Io(IoKind, u64, u64, u64),
}

fn decide(flags: UnitFlags, cdb: &[u8], data_out: u32, data_in: u32) -> Decided {
    let map = map(flags);
    let mut whole = [0; 32];
    whole[..cdb.len()].copy_from_slice(cdb);
    let mut buffers = Buffers { data_out: list(data_out), data_in: list(data_in) };
    let address = Address::decode(&[1, 7, 0, 3, 0, 0, 0, 0]);
    match execute(map.way(address), address, TaskAttribute::Simple, &whole, &mut buffers) {
        Decision::Answer(answer) => Decided::Answer(answer),
        Decision::NoTarget => Decided::NoTarget,
        Decision::Script(_) => Decided::Script,
        Decision::Io(plan) => {
            let bytes = buffers.data_in.bytes() + buffers.data_out.bytes();
            Decided::Io(plan.kind, plan.offset, bytes, plan.answer.residual)
        }
    }
}

fn refused(sense: [u8; 3], residual: u64) -> Decided {
    let [key, asc, ascq] = sense;
    let key = match key {
        0x02 => scsi::SenseKey::NotReady,
        0x05 => scsi::SenseKey::IllegalRequest,
        0x07 => scsi::SenseKey::DataProtect,
        _ => panic!("no such key here"),
    };
    let ended = Ended::Status(Status::CheckCondition, Some(Sense::new(key, asc, ascq)));
    Decided::Answer(Answer { ended, data_in_bytes: 0, residual })
}

fn good(residual: u64) -> Decided {
    Decided::Answer(Answer { ended: Ended::Status(Status::Good, None), data_in_bytes: 0, residual })
}

#[test]
fn reads_and_writes_become_one_io_on_the_bytes_of_their_blocks() {
    let read = [0x28, 0, /* LBA */ 0, 0, 0, 14, 0, /* blocks */ 0, 2, 0];
    assert_eq!(decide(FLAGS, &read, 0, 1024), Decided::Io(IoKind::Read, 7168, 1024, 0));
    assert_eq!(decide(FLAGS, &read, 0, 4096), Decided::Io(IoKind::Read, 7168, 1024, 3072));
    let write = [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0];
    let plain = IoKind::Write { durable: false };
    assert_eq!(decide(FLAGS, &write, 512, 0), Decided::Io(plain, 512, 512, 0));
    let fua = [0x2a, 0x08, 0, 0, 0, 1, 0, 0, 1, 0];
    assert_eq!(decide(FLAGS, &fua, 512, 0), Decided::Io(IoKind::Write { durable: true }, 512, 512, 0));
    let flush = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decide(FLAGS, &flush, 0, 0), Decided::Io(IoKind::Flush, 0, 0, 0));
}

#[test]
fn the_half_block_behind_the_last_whole_one_is_not_there() {
    let last = [0x28, 0, 0, 0, 0, 15, 0, 0, 1, 0];
    assert_eq!(decide(FLAGS, &last, 0, 512), Decided::Io(IoKind::Read, 7680, 512, 0));
    let behind = [0x28, 0, 0, 0, 0, 16, 0, 0, 1, 0];
    assert_eq!(decide(FLAGS, &behind, 0, 512), refused([0x05, 0x21, 0x00], 512));
}

#[test]
fn a_transfer_larger_than_its_buffer_is_an_overrun() {
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    let overrun = Answer { ended: Ended::Overrun, data_in_bytes: 0, residual: 0 };
    assert_eq!(decide(FLAGS, &read, 0, 1023), Decided::Answer(overrun));
    assert_eq!(decide(FLAGS, &read, 1024, 0), Decided::Answer(overrun));
}

#[test]
fn a_write_to_a_read_only_unit_is_refused_before_its_range_is_looked_at() {
    let read_only = UnitFlags { read_only: true, ..FLAGS };
    let behind = [0x2a, 0, 0, 0, 0, 99, 0, 0, 1, 0];
    assert_eq!(decide(read_only, &behind, 512, 0), refused([0x07, 0x27, 0x00], 512));
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(decide(read_only, &read, 0, 512), Decided::Io(IoKind::Read, 0, 512, 0));
}

#[test]
fn fua_needs_a_cache_and_the_attribute() {
    let fua = [0x2a, 0x08, 0, 0, 0, 1, 0, 0, 1, 0];
    let refusal = refused([0x05, 0x24, 0x00], 512);
    assert_eq!(decide(UnitFlags { write_cache: false, ..FLAGS }, &fua, 512, 0), refusal);
    assert_eq!(decide(UnitFlags { fua_write: false, ..FLAGS }, &fua, 512, 0), refusal);
}

#[test]
fn commands_without_data_leave_buffers_alone_and_say_so() {
    assert_eq!(decide(FLAGS, &[0x00, 0, 0, 0, 0, 0], 0, 0), good(0));
    assert_eq!(decide(FLAGS, &[0x00, 0, 0, 0, 0, 0], 0, 100), good(100));
    assert_eq!(decide(FLAGS, &[0x2f, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, 0), good(0));
    assert_eq!(decide(FLAGS, &[0x34, 0, 0, 0, 0, 0, 0, 0, 16, 0], 0, 0), good(0));
}

#[test]
fn a_seek_is_good_where_its_block_is_there() {
    for there in [&[0x01, 0, 0, 0, 0, 0][..], &[0x0b, 0, 0, 15, 0, 0], &[0x2b, 0, 0, 0, 0, 15, 0, 0, 0, 0]] {
        assert_eq!(decide(FLAGS, there, 0, 0), good(0), "{there:02x?}");
    }
    for beyond in [
        &[0x0b, 0, 0, 16, 0, 0][..],
        &[0x0b, 0x1f, 0xff, 0xff, 0, 0],
        &[0x2b, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    ] {
        assert_eq!(decide(FLAGS, beyond, 0, 0), refused([0x05, 0x21, 0x00], 0), "{beyond:02x?}");
    }
}

#[test]
fn an_allocation_length_cuts_and_zero_is_no_error() {
    let answered = |bytes, residual| {
        Decided::Answer(Answer { ended: Ended::Status(Status::Good, None), data_in_bytes: bytes, residual })
    };
    assert_eq!(decide(FLAGS, &[0x12, 0, 0, 0, 36, 0], 0, 36), answered(36, 0));
    assert_eq!(decide(FLAGS, &[0x12, 0, 0, 0, 0, 0], 0, 0), answered(0, 0));
    assert_eq!(decide(FLAGS, &[0x12, 0, 0, 1, 0, 0], 0, 300), answered(96, 204));
    assert_eq!(decide(FLAGS, &[0x12, 0, 0, 0, 96, 0], 0, 8), answered(8, 0));
}

#[test]
fn physical_blocks_and_the_best_lengths_are_those_of_the_medium() {
    let map = map(FLAGS);
    let unit = &map.group(7).unwrap().unit(Lun::new(3).unwrap()).unwrap().unit;
    assert_eq!((unit.geometry.blocks.0, unit.geometry.physical_exponent), (16, 3));
    assert_eq!((unit.granularity_blocks, unit.optimal_blocks), (8, 128));
}

#[test]
fn a_failure_below_keeps_its_meaning() {
    let sense = |error| match io_failed(error, 512).ended {
        Ended::Status(Status::CheckCondition, Some(sense)) => [sense.key as u8, sense.asc, sense.ascq],
        other => panic!("{other:?}"),
    };
    assert_eq!(sense(BackstoreError::ReadFailed), [0x03, 0x11, 0x00]);
    assert_eq!(sense(BackstoreError::WriteFailed), [0x03, 0x0c, 0x00]);
    assert_eq!(sense(BackstoreError::NoSpace), [0x07, 0x27, 0x07]);
    assert_eq!(sense(BackstoreError::ReadOnly), [0x07, 0x27, 0x00]);
    assert_eq!(sense(BackstoreError::Gone), [0x02, 0x04, 0x00]);
    assert_eq!(sense(BackstoreError::Unreachable), [0x02, 0x08, 0x00]);
    assert_eq!(sense(BackstoreError::TimedOut), [0x02, 0x08, 0x01]);
    assert_eq!(sense(BackstoreError::Unprotected), [0x0b, 0x10, 0x01]);
    assert_eq!(sense(BackstoreError::Internal), [0x04, 0x44, 0x00]);
    // What has no sense.
    let status = |error| match io_failed(error, 512).ended {
        Ended::Status(status, None) => status as u8,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(BackstoreError::Reserved), 0x18);
    assert_eq!(status(BackstoreError::Busy), 0x08);
}

#[test]
fn physical_blocks_are_as_large_as_the_administrator_says() {
    let of = |bytes: u32, block_bytes: u32| {
        let below = Geometry { physical_block_bytes: 512, io_min_bytes: 512, ..shape(1 << 20) };
        let store = Store::new(1, Arc::new(Shape(below)));
        let unit = LogicalUnit::new(store, identity(), block_bytes, FLAGS).with_physical_blocks(bytes);
        (unit.geometry.physical_exponent, unit.geometry.lowest_aligned, unit.granularity_blocks)
    };
    assert_eq!(of(512, 512), (0, 0, 1));
    assert_eq!(of(4096, 512), (3, 0, 8));
    assert_eq!(of(65536, 512), (7, 0, 128));
    assert_eq!(of(512, 4096), (0, 0, 1), "none is smaller than a logical one");
}
