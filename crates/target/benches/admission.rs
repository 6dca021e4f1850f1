// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a READ (10) costs before its I/O, and what of it is the gate of admission and the tally of the LUN.
//!
//! Everything is in the cache, as on a reactor that is busy. What a reader compares it with is the processor time of a whole
//! command, which `cargo xtask bench speed` measures.

use backstore::{Backstore, Ramdisk};
use criterion::{Criterion, criterion_group, criterion_main};
use memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use scsi::inquiry::Identity;
use scsi::{Address, Lun};
use std::hint::black_box;
use std::sync::Arc;
use target::{
    Attentions, Buffers, Counted, Group, LogicalUnit, LunMap, Mapping, Nexus, Store, Tally, TaskAttribute,
    UnitFlags, execute,
};

const FLAGS: UnitFlags = UnitFlags { solid_state: false, ..UnitFlags::DEFAULT };

/// A ramdisk as LUN 0 of target 1.
fn map() -> LunMap {
    let disk: Arc<dyn Backstore> = Arc::new(Ramdisk::new(1 << 20, false).expect("memory"));
    let identity = Identity {
        vendor: Identity::ascii_field("LIO-ORG"),
        product: Identity::ascii_field("disk0"),
        revision: Identity::ascii_field("4.0"),
        unit_serial: "serial".into(),
        company_id: 0x00_1405,
    };
    let unit = Arc::new(LogicalUnit::new(Store::new(1, disk), identity, 512, FLAGS));
    let nexus = Nexus::new("naa.6001405000000001", "naa.5001405000000001", 1, 1);
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus, [(Lun::default(), Mapping::new(unit, false))]));
    map
}

fn view() -> View {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).expect("a memfd");
    ftruncate(&file, 1 << 20).expect("memory");
    let (guest, user) = (GuestAddress(0), UserAddress(0x1000_0000));
    let region = RegionSpec { guest, user, bytes: 1 << 20, file_offset: 0, file };
    View::new(Arc::new(GuestMemory::from_regions(vec![region]).expect("one region")))
}

fn parts(c: &mut Criterion) {
    let mut group = c.benchmark_group("admission");
    let attentions = Attentions::default();
    group.bench_function("the gate", |b| b.iter(|| black_box(&attentions).gate().load().is_open()));
    let tally = Tally::default();
    group.bench_function("the tally", |b| b.iter(|| black_box(&tally).count(Counted::Read, black_box(4096))));
    let (map, view) = (map(), view());
    let address = Address::decode(&[1, 1, 0, 0, 0, 0, 0, 0]);
    let mut cdb = [0; 32];
    cdb[..10].copy_from_slice(&[0x28, 0, 0, 0, 0, 8, 0, 0, 8, 0]);
    let mut buffers = Buffers { data_out: IoBuf::new(), data_in: IoBuf::new() };
    buffers.data_in.push(&view, GuestAddress(0), 4096).expect("inside of the region");
    group.bench_function("READ (10), decided", |b| {
        b.iter(|| {
            let way = map.way(black_box(address));
            black_box(execute(way, address, TaskAttribute::Simple, black_box(&cdb), &mut buffers));
        });
    });
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
