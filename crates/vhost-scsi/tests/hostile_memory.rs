// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guest memory that overlaps itself, changes while it is read, or goes away: that guest's own affair.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: a malformed chain as such; `initiator::hostile` has those.
//!
//! `LUNAR_HOSTILE_ROUNDS` is how many commands are sent while another thread rewrites them (600).

mod beside;
mod support;

use beside::{PATIENCE, Scene, eventually, lun_0};
use initiator::deadline::Deadline;
use initiator::dialect::protocol;
use initiator::memory::{GuestAddress, GuestBuffer, Plan, RegionPlan};
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION};
use initiator::ring::{Buffer, DESCRIPTOR_BYTES, Descriptor, Ring};
use initiator::{Command, Guest, Options, commands};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::Unit;

const MIB: u64 = 1 << 20;
/// Block where the disk's second half begins, which the guests beside leave alone.
const SECOND_HALF: u32 = 16384;
/// Where memory is that a test takes away.
const VICTIM: u64 = 1 << 30;

fn readable(address: GuestAddress, bytes: u32) -> Buffer {
    Buffer { address, bytes, writable: false }
}

fn writable(address: GuestAddress, bytes: u32) -> Buffer {
    Buffer { address, bytes, writable: true }
}

/// A guest buffer with a command's header in it.
fn header(guest: &Guest, command: &Command) -> GuestBuffer {
    let header = guest.memory().allocate(4096, 4096).unwrap();
    header.write(0, &command.readable(1)[..51]).unwrap();
    header
}

fn read_blocks(blocks: u16) -> Command {
    commands::read_10(lun_0(), SECOND_HALF, blocks, usize::from(blocks) * 512)
}

fn write_blocks(blocks: u16) -> Command {
    commands::write_10(lun_0(), SECOND_HALF, blocks, &vec![7; usize::from(blocks) * 512])
}

/// Offers a chain on the first request queue and waits for it; returns what the device says it wrote.
fn send(guest: &mut Guest, buffers: &[Buffer]) -> u32 {
    let ring = guest.ring_mut(2).unwrap();
    let head = ring.offer(buffers).unwrap();
    ring.kick().unwrap();
    let used = ring.wait(initiator::Wait::Sleep, &Deadline::after(PATIENCE)).unwrap();
    assert_eq!(used.head, head);
    used.bytes_written
}

/// The second request queue is served, whatever has become of the first.
fn second_queue_is_served(guest: &mut Guest) {
    let queue = guest.request_queue(1).unwrap();
    assert!(queue.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

/// Resets the guest, as its reboot does, and has it served.
fn reset_and_serve(guest: &mut Guest) {
    guest.reset().unwrap();
    guest.start().unwrap();
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

/// Waits until the device has done something with the first request queue: returned a chain, or found it broken.  Where
/// the ring itself was overwritten neither need be seen; then the pause is all there is.
fn settle(ring: &Ring, used_before: u16) {
    let end = Instant::now() + Duration::from_millis(100);
    while Instant::now() < end {
        if ring.used_index() != used_before || ring.errors.wait(&Deadline::after(Duration::ZERO)).unwrap() {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_chain_longer_than_a_request_may_be_is_given_back() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default().entries(2048));
        let header = header(&guest, &read_blocks(1));
        let room = guest.memory().allocate(4096, 4096).unwrap();
        let mut chain = vec![readable(header.address(), 51)];
        chain.extend(std::iter::repeat_n(writable(room.address(), 108), 1025));
        assert_eq!(send(&mut guest, &chain), 108 + 512, "1026 are a request");
        chain.push(writable(room.address(), 108));
        assert_eq!(send(&mut guest, &chain), 0, "1027 are not");
        reset_and_serve(&mut guest);
    });
    scene.is_whole();
}

#[test]
fn buffers_that_lie_over_each_other_are_answered() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default());
        let place = header(&guest, &read_blocks(1));
        let (at, room) = (place.address(), guest.memory().allocate(4096, 4096).unwrap());
        // The answer over the request.
        assert_eq!(
            send(&mut guest, &[readable(at, 51), writable(at, 108), writable(room.address(), 512)]),
            620
        );
        // The data over the request, and over the answer.
        place.write(0, &read_blocks(8).readable(1)[..51]).unwrap();
        assert_eq!(
            send(&mut guest, &[readable(at, 51), writable(room.address(), 108), writable(at, 4096)]),
            4204
        );
        place.write(0, &read_blocks(1).readable(1)[..51]).unwrap();
        let answer = room.address();
        assert_eq!(send(&mut guest, &[readable(at, 51), writable(answer, 108), writable(answer, 512)]), 620);
        // What is written to the disk is the request, and then the answer.
        place.write(0, &write_blocks(1).readable(1)[..51]).unwrap();
        assert_eq!(send(&mut guest, &[readable(at, 51), readable(at, 512), writable(at, 108)]), 108);
        let mut response = [0; 12];
        place.read(0, &mut response).unwrap();
        assert_eq!(response, [0; 12], "GOOD, over the request");
        assert_eq!(guest.execute(&read_blocks(1)).unwrap().data_in[..4], [1, 1, 0x40, 0]);
        // One piece of memory many times.
        place.write(0, &read_blocks(64).readable(1)[..51]).unwrap();
        let mut chain = vec![readable(at, 51), writable(answer, 108)];
        chain.extend(std::iter::repeat_n(writable(room.address(), 512), 64));
        assert_eq!(send(&mut guest, &chain), 108 + 64 * 512);
        reset_and_serve(&mut guest);
    });
    scene.is_whole();
}

#[test]
fn buffers_in_the_rings_themselves_spoil_that_ring_at_most() {
    let scene = Scene::new();
    scene.with_others(|| {
        // So many entries that what is written into a part of one ring stays in it.
        let mut guest = scene.boot(Options::default().request_queues(2).entries(4096));
        assert!(guest.execute(&write_blocks(4)).unwrap().is_good());
        for part in 0..3 {
            for (response_bytes, data_bytes) in [(108, 512), (108, 2048), (0, 0)] {
                let (header, room) =
                    (header(&guest, &read_blocks(4)), guest.memory().allocate(4096, 4096).unwrap());
                let ring = guest.ring_mut(2).unwrap();
                let parts = ring.addresses();
                let target = [parts.descriptors, parts.available, parts.used][part];
                let chain = if data_bytes == 0 {
                    // The answer itself in the ring.
                    vec![readable(header.address(), 51), writable(target, 108)]
                } else {
                    let response = writable(room.address(), response_bytes);
                    vec![readable(header.address(), 51), response, writable(target, data_bytes)]
                };
                let used_before = ring.used_index();
                ring.offer(&chain).unwrap();
                ring.kick_anyway().unwrap();
                settle(ring, used_before);
                second_queue_is_served(&mut guest);
                reset_and_serve(&mut guest);
            }
        }
    });
    scene.is_whole();
}

/// The inflight region as a piece of guest memory: the front end has its file, so it may say so.
#[test]
fn buffers_in_the_inflight_region_spoil_that_guest_at_most() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default().request_queues(2));
        assert!(guest.execute(&write_blocks(4)).unwrap().is_good());
        let region = guest.inflight().unwrap();
        let (bytes, file) = (region.bytes, region.file().try_clone().unwrap());
        let payload: Vec<u8> =
            [0, VICTIM, bytes, 0x6000_0000_0000, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        let raw = guest.connection().unwrap().raw();
        raw.send(37, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[file.as_fd()]).unwrap();
        assert_eq!(raw.receive().unwrap().as_u64(), Some(0));
        let header = header(&guest, &read_blocks(4));
        let room = guest.memory().allocate(4096, 4096).unwrap();
        let into = u32::try_from(bytes.min(2048)).unwrap();
        let chain = [
            readable(header.address(), 51),
            writable(room.address(), 108),
            writable(GuestAddress(VICTIM), into),
        ];
        assert_eq!(send(&mut guest, &chain), 108 + into);
        second_queue_is_served(&mut guest);
        // What is in it now is nothing that a ring ever wrote: of no version that there is.
        assert!(guest.reconnect().is_err());
        guest.lose();
        guest.forget_all();
        guest.reconnect().unwrap();
        second_queue_is_served(&mut guest);
    });
    scene.is_whole();
}

#[test]
fn an_index_that_moves_without_a_new_head_brings_an_old_one_or_ends_the_ring() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default().request_queues(2));
        for step in [1, 128, 129, 0x8000, 0xffff] {
            let ring = guest.ring_mut(2).unwrap();
            let (index, used_before) = (ring.available_index(), ring.used_index());
            ring.set_available_index(index.wrapping_add(step));
            ring.kick_anyway().unwrap();
            settle(ring, used_before);
            second_queue_is_served(&mut guest);
            reset_and_serve(&mut guest);
        }
    });
    scene.is_whole();
}

fn rounds() -> u32 {
    std::env::var("LUNAR_HOSTILE_ROUNDS").map_or(600, |rounds| rounds.parse().unwrap())
}

/// Runs `rewrite` again and again on a thread of its own while `work` runs.
fn while_rewriting(rewrite: impl Fn(u64) + Sync, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                rewrite(round);
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn headers_that_are_rewritten_while_they_are_read_are_answered_once() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default());
        let place = header(&guest, &read_blocks(1));
        let (at, room) = (place.address(), guest.memory().allocate(8192, 4096).unwrap().address());
        let mut forms: Vec<Vec<u8>> =
            [read_blocks(1), read_blocks(8), write_blocks(1), commands::inquiry(lun_0(), 36)]
                .iter()
                .map(|command| command.readable(1)[..51].to_vec())
                .collect();
        forms.push(vec![0xff; 51]);
        let memory = Arc::clone(guest.memory());
        let rewrite = |round: u64| {
            let form = &forms[usize::try_from(round % 5).unwrap()];
            // In pieces, so that a mixture can be read.
            memory.write(at.plus(round % 40), &form[usize::try_from(round % 40).unwrap()..]).unwrap();
        };
        while_rewriting(rewrite, || {
            for round in 0..rounds() {
                let data_in = [readable(at, 51), writable(room, 108), writable(room.plus(4096), 4096)];
                let data_out = [readable(at, 51), readable(room.plus(4096), 512), writable(room, 108)];
                let written =
                    if round % 2 == 0 { send(&mut guest, &data_in) } else { send(&mut guest, &data_out) };
                assert!((108..=4204).contains(&written), "{written}");
            }
        });
        reset_and_serve(&mut guest);
    });
    scene.is_whole();
}

#[test]
fn descriptors_that_are_rewritten_while_they_are_followed_are_answered_or_given_back_once() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default());
        let place = header(&guest, &read_blocks(1));
        let (at, room) = (place.address(), guest.memory().allocate(8192, 4096).unwrap().address());
        let table = guest.memory().allocate(4 * DESCRIPTOR_BYTES as u64, 16).unwrap();
        let hole = guest.memory().hole(MIB);
        let good = [
            Descriptor { address: at.0, bytes: 51, flags: 1, next: 1 },
            Descriptor { address: room.0, bytes: 108, flags: 3, next: 2 },
            Descriptor { address: room.0 + 4096, bytes: 512, flags: 2, next: 0 },
        ];
        let bad = [
            Descriptor { flags: 5, ..good[0] },
            Descriptor { address: hole.0, ..good[1] },
            Descriptor { next: 1, flags: 3, ..good[2] },
            Descriptor { bytes: u32::MAX, ..good[2] },
            Descriptor { address: table.address().0, bytes: 64, flags: 4, next: 0 },
        ];
        let write = |slot: u64, descriptor: &Descriptor| {
            table.write(slot * DESCRIPTOR_BYTES as u64, &descriptor.to_bytes()).unwrap();
        };
        let rewrite = |round: u64| {
            for (slot, descriptor) in (0..).zip(&good) {
                write(slot, descriptor);
            }
            write(round % 3, &bad[usize::try_from(round % 5).unwrap()]);
        };
        let (mut answered, mut given_back) = (0, 0);
        while_rewriting(rewrite, || {
            for _ in 0..rounds() {
                let ring = guest.ring_mut(2).unwrap();
                let head = ring.offer_table(table.address(), 48, u64::MAX).unwrap();
                ring.kick().unwrap();
                let used = ring.wait(initiator::Wait::Sleep, &Deadline::after(PATIENCE)).unwrap();
                assert_eq!(used.head, head);
                *(if used.bytes_written == 0 { &mut given_back } else { &mut answered }) += 1;
            }
        });
        println!("{answered} answered, {given_back} given back");
        reset_and_serve(&mut guest);
    });
    scene.is_whole();
}

/// A guest whose rings and requests are in one file, and whose data is in another; neither is sealed.
fn with_victim() -> Options {
    let regions = vec![RegionPlan::new(0, 4 * MIB), RegionPlan::new(VICTIM, MIB).in_own_file()];
    Options::default().request_queues(2).entries(4096).memory(Plan { regions, sealed: false })
}

/// Cuts the file of a region; what was mapped there by us as well is not to be touched until it has grown again.
fn cut(guest: &Guest, region: usize, bytes: u64) {
    let region = &guest.memory().regions()[region];
    rustix::fs::ftruncate(guest.memory().file(region), bytes).unwrap();
}

/// Brings the memory back, empty, and the guest with it.
fn come_back(guest: &mut Guest, region: usize) {
    guest.lose();
    cut(guest, region, if region == 0 { 4 * MIB } else { MIB });
    guest.forget_all();
    guest.reconnect().unwrap();
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}

#[test]
fn a_ring_whose_memory_is_taken_away_ends_alone() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(with_victim());
        for part in 0..3 {
            let ring = guest.ring_mut(3).unwrap();
            let parts = ring.addresses();
            let first = [parts.descriptors, parts.available, parts.used][part].0;
            cut(&guest, 0, first & !4095);
            let ring = guest.ring_mut(3).unwrap();
            ring.kicks.signal().unwrap();
            let errors = &ring.errors;
            if part > 0 {
                assert!(errors.wait(&Deadline::after(PATIENCE)).unwrap(), "part {part}: nobody was told");
            }
            come_back(&mut guest, 0);
        }
    });
    scene.is_whole();
}

#[test]
fn data_whose_memory_is_taken_away_under_a_copy_ends_that_ring_alone() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(with_victim());
        for command in [read_blocks(8), write_blocks(8)] {
            let header = header(&guest, &command);
            let room = guest.memory().allocate(4096, 4096).unwrap();
            cut(&guest, 1, 4096);
            let data = GuestAddress(VICTIM + 4096);
            let response = writable(room.address(), 108);
            let chain = if command.data_in_bytes > 0 {
                vec![readable(header.address(), 51), response, writable(data, 4096)]
            } else {
                vec![readable(header.address(), 51), readable(data, 4096), response]
            };
            let ring = guest.ring_mut(2).unwrap();
            ring.offer(&chain).unwrap();
            ring.kick().unwrap();
            assert!(ring.errors.wait(&Deadline::after(PATIENCE)).unwrap(), "nobody was told");
            assert!(!ring.has_used(), "an answer about memory that has gone is not given");
            come_back(&mut guest, 1);
        }
    });
    scene.is_whole();
}

#[test]
fn an_indirect_table_whose_memory_is_taken_away_ends_that_ring_alone() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(with_victim());
        cut(&guest, 1, 4096);
        let ring = guest.ring_mut(2).unwrap();
        ring.offer_table(GuestAddress(VICTIM + 8192), 64, u64::MAX).unwrap();
        ring.kick().unwrap();
        assert!(ring.errors.wait(&Deadline::after(PATIENCE)).unwrap(), "nobody was told");
        come_back(&mut guest, 1);
    });
    scene.is_whole();
}

/// The kernel finds the hole: a cached read at once, and what the cache does not have on the ring.
#[test]
fn data_whose_memory_is_taken_away_under_the_kernel_is_answered_as_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let scene = Scene::on(Unit::file(&path, 16 * MIB, true));
    scene.with_others(|| {
        let mut guest = scene.boot(with_victim());
        assert!(guest.execute(&write_blocks(8)).unwrap().is_good());
        cut(&guest, 1, 4096);
        let data = GuestAddress(VICTIM + 4096);
        // In the cache, since it was just written; and never read before.
        for lba in [SECOND_HALF, SECOND_HALF + 4096] {
            for command in [commands::read_10(lun_0(), lba, 8, 4096), write_blocks(8)] {
                let header = header(&guest, &command);
                let room = guest.memory().allocate(4096, 4096).unwrap();
                room.write(0, &[0xee; 108]).unwrap();
                let response = writable(room.address(), 108);
                let chain = if command.data_in_bytes > 0 {
                    vec![readable(header.address(), 51), response, writable(data, 4096)]
                } else {
                    vec![readable(header.address(), 51), readable(data, 4096), response]
                };
                assert_eq!(send(&mut guest, &chain), 108);
                let mut answer = [0; 12];
                room.read(0, &mut answer).unwrap();
                assert_eq!(answer[10..], [2, 0], "CHECK CONDITION: {answer:?}");
            }
        }
        come_back(&mut guest, 1);
    });
    scene.is_whole();
}

#[test]
fn an_inflight_region_that_is_taken_away_ends_its_rings_alone() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut guest = scene.boot(Options::default().without_protocol_features(protocol::INFLIGHT_SHMFD));
        guest.stop().unwrap();
        let bytes = 0x1_0000_u64;
        let file = File::from(rustix::fs::memfd_create("region", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(bytes).unwrap();
        let mut payload: Vec<u8> = [bytes, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        payload.extend([3, 0, 128, 0, 0, 0, 0, 0]);
        let connection = guest.connection().unwrap();
        let features = connection.protocol_features() | protocol::INFLIGHT_SHMFD;
        let raw = connection.raw();
        // By hand, so that the guest does not bring a region of its own.
        raw.send(16, FLAG_VERSION | FLAG_NEED_REPLY, &features.to_le_bytes(), &[]).unwrap();
        assert_eq!(raw.receive().unwrap().as_u64(), Some(0));
        raw.send(32, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[file.as_fd()]).unwrap();
        assert_eq!(raw.receive().unwrap().as_u64(), Some(0));
        guest.start().unwrap();
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        file.set_len(0).unwrap();
        let ring = guest.ring_mut(2).unwrap();
        let header = readable(ring.addresses().descriptors, 51);
        ring.offer(&[header]).unwrap();
        ring.kick().unwrap();
        assert!(ring.errors.wait(&Deadline::after(PATIENCE)).unwrap(), "nobody was told");
        drop(guest);
        eventually("it is still there", || scene.hostile.port().connections() == 0);
    });
    scene.is_whole();
}
