// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a chain costs in the ring: taken, gathered, given back, published; all but the request itself.
//!
//! A chain is one indirect descriptor to a table of three (51 bytes to read, 108 to write, 4 KiB to write), as Linux
//! sends a READ. 256 chains a publication (64 direct ones), everything in the cache. The driver's part is not measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memory::IoBuf;
use virtqueue::testing::{DATA, Driver, WRITE};
use virtqueue::{InflightRegion, SplitRing};

const ENTRIES: u16 = 256;
const BATCH: usize = 32;

fn per_chain(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    group
        .bench_function("256 indirect chains of 3", |b| b.iter_custom(|rounds| run(rounds, false, indirect)));
    group.bench_function("256 direct chains of 3", |b| b.iter_custom(|rounds| run(rounds, false, direct)));
    group.bench_function("256 indirect chains of 3, inflight", |b| {
        b.iter_custom(|rounds| run(rounds, true, indirect))
    });
    group.finish();
}

/// Offers all chains and takes them, `rounds` times. Returns the time of the device's part.
fn run(rounds: u64, track: bool, lay_out: fn(&Driver) -> Vec<u16>) -> Duration {
    let mut driver = Driver::new(ENTRIES);
    let heads = lay_out(&driver);
    // As many heads as divide the ring: what is written here serves all rounds, and the driver moves its index only.
    for (index, head) in (0..ENTRIES).zip(heads.iter().cycle()) {
        driver.write_available(index, *head);
    }
    let offered = u16::try_from(heads.len()).expect("at most the ring");
    let inflight = track.then(|| InflightRegion::create(1, ENTRIES).expect("a region").0.queue(0)).flatten();
    let mut config = driver.config();
    config.event_idx = true;
    let mut ring = SplitRing::start(config, driver.memory(), inflight).expect("a ring");
    let view = driver.view();
    let (mut readable, mut writable) = (IoBuf::new(), IoBuf::new());
    let mut spent = Duration::ZERO;
    let mut available = 0_u16;
    for _ in 0..rounds * u64::from(ENTRIES / offered) {
        available = available.wrapping_add(offered);
        driver.set_available_index(available);
        let begin = Instant::now();
        take_all(&mut ring, &view, &mut readable, &mut writable);
        spent += begin.elapsed();
    }
    spent
}

fn take_all(ring: &mut SplitRing, view: &memory::View, readable: &mut IoBuf, writable: &mut IoBuf) {
    let mut heads = [0; BATCH];
    loop {
        let count = ring.pop_batch(&mut heads).expect("a good driver");
        if count == 0 {
            break;
        }
        for &head in &heads[..count] {
            ring.chain(head, view, readable, writable).expect("a good chain");
            black_box((readable.iovecs(), writable.iovecs()));
            ring.push_used(head, 4204);
        }
    }
    black_box(ring.publish());
}

fn buffers(n: u16) -> [(u64, u32, u16); 3] {
    let at = DATA + 0x1_0000 + 0x2000 * u64::from(n % 64);
    [(at, 51, 0), (at + 0x100, 108, WRITE), (at + 0x1000, 4096, WRITE)]
}

fn indirect(driver: &Driver) -> Vec<u16> {
    for n in 0..ENTRIES {
        driver.link_indirect(n, DATA + 48 * u64::from(n), &buffers(n));
    }
    (0..ENTRIES).collect()
}

fn direct(driver: &Driver) -> Vec<u16> {
    let heads: Vec<u16> = (0..ENTRIES / 4).map(|n| 4 * n).collect();
    for &head in &heads {
        driver.link(head, &buffers(head));
    }
    heads
}

criterion_group!(benches, per_chain);
criterion_main!(benches);
