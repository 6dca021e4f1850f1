// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Front ends that lie about memory and descriptors, or never stop talking: their own affair.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: what one message means; `vhost-user` has that.

mod beside;
mod hung_fuse;
mod support;

use beside::{PATIENCE, Scene, eventually, lun_0};
use hung_fuse::HungFuse;
use initiator::notifier::Notifier;
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION, RawChannel};
use initiator::{Options, Wait, commands};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, open};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

const MIB: u64 = 1 << 20;
const GET_FEATURES: [u8; 12] = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
/// Front ends that may be connected to one target.
const CONNECTIONS: usize = 8;

/// A connection with acknowledgements and memory slots agreed on.
fn talk(scene: &Scene) -> RawChannel {
    let raw = RawChannel::new(scene.connect(), PATIENCE).unwrap();
    raw.send(2, FLAG_VERSION, &0x1_7100_0006_u64.to_le_bytes(), &[]).unwrap();
    raw.send(16, FLAG_VERSION, &0x1_b209_u64.to_le_bytes(), &[]).unwrap();
    raw
}

/// Sends a message that wants an acknowledgement; whether it was carried out.  A connection that is closed instead has
/// refused it too.
fn is_accepted(raw: &RawChannel, request: u32, payload: &[u8], fds: &[OwnedFd]) -> bool {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    raw.send(request, FLAG_VERSION | FLAG_NEED_REPLY, payload, &fds).unwrap();
    raw.receive().is_ok_and(|reply| reply.as_u64() == Some(0))
}

/// Whether the other side closes a connection, and soon.
fn is_closed(mut socket: &UnixStream) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match socket.read(&mut [0; 1]) {
        Ok(bytes) => bytes == 0,
        // It was closed with something in it that nobody had read.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

/// A table of regions: guest address, bytes, front end's address, place in the file.
fn table(regions: &[[u64; 4]]) -> Vec<u8> {
    let mut payload = u32::try_from(regions.len()).unwrap().to_le_bytes().to_vec();
    payload.extend([0; 4]);
    payload.extend(regions.iter().flat_map(|region| longs(region)));
    payload
}

fn memory() -> OwnedFd {
    let file = rustix::fs::memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, MIB).unwrap();
    file
}

fn path(path: &str, flags: OFlags) -> OwnedFd {
    open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

#[test]
fn a_memory_table_that_lies_is_refused_and_changes_nothing() {
    let scene = Scene::new();
    let lies: &[&[[u64; 4]]] = &[
        &[[0, MIB, 0x1000, 1]],                                // One byte beyond its file.
        &[[0, MIB + 1, 0x1000, 0]],                            // The same.
        &[[0, 1 << 62, 0x1000, 0]],                            // Longer than any file.
        &[[0, 0, 0x1000, 0]],                                  // Nothing.
        &[[0, 4096, 0x1000, u64::MAX - 4096]],                 // The place in the file overflows.
        &[[u64::MAX - 4095, 4096, 0x1000, 0]],                 // The guest's addresses do.
        &[[0, 4096, u64::MAX - 4095, 0]],                      // The front end's do.
        &[[0, 8192, 0x1000, 0], [4096, 4096, 0x10_0000, 0]],   // They overlap for the guest.
        &[[0, 8192, 0x1000, 0], [0x10_0000, 4096, 0x2000, 0]], // They overlap for the front end.
        &[[0, 4096, 0x1000, 0], [0, 4096, 0x1000, 0]],         // They are the same.
    ];
    scene.with_others(|| {
        for lie in lies {
            let raw = talk(&scene);
            let files: Vec<OwnedFd> = lie.iter().map(|_| memory()).collect();
            assert!(!is_accepted(&raw, 5, &table(lie), &files), "{lie:x?}");
            drop(raw);
            let raw = talk(&scene);
            if let [region] = lie {
                let mut payload = longs(&[0]);
                payload.extend(longs(region));
                assert!(!is_accepted(&raw, 37, &payload, &files), "{lie:x?}");
            }
            drop(raw);
            scene.is_free();
        }
        // And one that does not.
        assert!(is_accepted(&talk(&scene), 5, &table(&[[0, MIB, 0x1000, 0]]), &[memory()]));
    });
    scene.is_whole();
}

#[test]
fn memory_that_is_no_memory_is_refused() {
    let scene = Scene::new();
    scene.with_others(|| {
        let owner = memory();
        let read_only = format!("/proc/self/fd/{}", owner.as_raw_fd());
        let files: Vec<(&str, OwnedFd)> = vec![
            ("a pipe", rustix::pipe::pipe().unwrap().0),
            ("a socket", UnixStream::pair().unwrap().0.into()),
            ("a folder", path("/", OFlags::RDONLY)),
            ("an eventfd", event()),
            ("a file for reading only", path(&read_only, OFlags::RDONLY)),
            ("/dev/null", path("/dev/null", OFlags::RDWR)),
            ("a file of another process", path("/proc/self/status", OFlags::RDONLY)),
            ("a name alone", path(&read_only, OFlags::PATH)),
        ];
        for (what, file) in files {
            let raw = talk(&scene);
            assert!(!is_accepted(&raw, 5, &table(&[[0, MIB, 0x1000, 0]]), &[file]), "{what}");
            drop(raw);
            scene.is_free();
        }
        // Memory without a file behind it is memory; what it holds is zero.
        assert!(is_accepted(
            &talk(&scene),
            5,
            &table(&[[0, MIB, 0x1000, 0]]),
            &[path("/dev/zero", OFlags::RDWR)]
        ));
    });
    scene.is_whole();
}

#[test]
fn memory_on_a_file_system_that_hangs_holds_up_its_own_front_end_alone() {
    let folder = tempfile::tempdir().unwrap();
    let fuse = match HungFuse::mount(folder.path(), hung_fuse::STATFS) {
        Ok(fuse) => fuse,
        Err(why) => return println!("skipped: a file system of our own cannot be mounted ({why})"),
    };
    let scene = Scene::new();
    scene.with_others(|| {
        let raw = talk(&scene);
        let payload = table(&[[0, MIB, 0x1000, 0]]);
        raw.send(5, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[fuse.file().as_fd()]).unwrap();
        eventually("nobody asked what it is", || fuse.hangs());
        // The next front end of the same target is served all the same.
        assert!(scene.boot(Options::default()).execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        drop(fuse);
        assert!(!raw.receive().is_ok_and(|reply| reply.as_u64() == Some(0)), "such memory is refused");
    });
    scene.is_whole();
}

#[test]
fn rings_that_lie_about_their_place_are_not_started() {
    let scene = Scene::new();
    scene.with_others(|| {
        for [desc, used, avail] in [
            [0, 0x3000, 0x2000],                         // Nowhere.
            [0x1000, 0x3000, 0x1000 + MIB],              // Behind the end.
            [0x1000, 0x1000 + MIB - 4, 0x2000],          // Half behind the end.
            [u64::MAX - 15, u64::MAX - 3, u64::MAX - 1], // Around the end of all addresses.
        ] {
            let raw = talk(&scene);
            assert!(is_accepted(&raw, 5, &table(&[[0, MIB, 0x1000, 0]]), &[memory()]));
            assert!(is_accepted(&raw, 8, &[2, 0, 0, 0, 128, 0, 0, 0], &[]));
            let mut addresses = vec![2, 0, 0, 0, 0, 0, 0, 0];
            addresses.extend(longs(&[desc, used, avail, 0]));
            assert!(is_accepted(&raw, 9, &addresses, &[]));
            assert!(is_accepted(&raw, 12, &longs(&[2]), &[event()]));
            assert!(!is_accepted(&raw, 18, &[2, 0, 0, 0, 1, 0, 0, 0], &[]), "{desc:x} {used:x} {avail:x}");
            drop(raw);
            scene.is_free();
        }
    });
    scene.is_whole();
}

#[test]
fn descriptors_for_notifications_that_are_no_eventfds_end_their_connection_or_the_message() {
    let scene = Scene::new();
    scene.with_others(|| {
        type Make = fn() -> OwnedFd;
        let kinds: [(&str, Make); 5] = [
            ("a file", memory),
            ("a pipe", || rustix::pipe::pipe().unwrap().1),
            ("a socket that blocks", || UnixStream::pair().unwrap().0.into()),
            ("a folder", || path("/", OFlags::RDONLY)),
            ("/dev/null", || path("/dev/null", OFlags::RDWR)),
        ];
        for (what, make) in kinds {
            for request in [12, 13, 14] {
                let mut guest = scene.boot(Options::default());
                let fd = make();
                let raw = guest.connection().unwrap().raw();
                raw.send(request, FLAG_VERSION, &longs(&[2]), &[fd.as_fd()]).unwrap();
                assert!(raw.wait_closed(PATIENCE).unwrap(), "{what} by message {request}");
                drop(guest);
                scene.is_free();
            }
        }
    });
    scene.is_whole();
}

#[test]
fn eventfds_that_are_full_or_count_otherwise_keep_nobody_waiting() {
    let scene = Scene::new();
    scene.with_others(|| {
        let semaphore = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE).unwrap();
        let full = event();
        rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        for call in [semaphore, full] {
            let mut guest = scene.boot(Options::default().wait(Wait::Poll));
            let raw = guest.connection().unwrap().raw();
            raw.send(13, FLAG_VERSION, &longs(&[2]), &[call.as_fd()]).unwrap();
            raw.send(14, FLAG_VERSION, &longs(&[2]), &[call.as_fd()]).unwrap();
            for _ in 0..100 {
                assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
            }
            drop(guest);
            scene.is_free();
        }
    });
    scene.is_whole();
}

#[test]
fn a_front_end_that_never_reads_its_answers_waits_alone() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut socket = scene.connect();
        socket.set_nonblocking(true).unwrap();
        let mut sent = 0_u32;
        // Until both directions are full.
        while sent < 1_000_000 && socket.write(&GET_FEATURES).is_ok() {
            sent += 1;
        }
        println!("{sent} messages");
        assert!(sent < 1_000_000, "somebody keeps answers without end");
        // Another front end of the same target is served meanwhile.
        assert!(scene.boot(Options::default()).execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        drop(socket);
    });
    scene.is_whole();
}

#[test]
fn messages_and_kicks_without_end_disturb_nobody() {
    let scene = Scene::new();
    scene.with_others(|| {
        let mut socket = scene.connect();
        let mut answer = [0; 20];
        for _ in 0..20_000 {
            socket.write_all(&GET_FEATURES).unwrap();
            socket.read_exact(&mut answer).unwrap();
        }
        drop(socket);
        let mut guest = scene.boot(Options::default());
        for queue in 0..3 {
            let ring = guest.ring_mut(queue).unwrap();
            for _ in 0..50_000 {
                ring.kicks.signal().unwrap();
            }
        }
        // Calls that change without end.
        let calls = [Notifier::new().unwrap(), Notifier::new().unwrap()];
        for round in 0..2000 {
            guest.connection().unwrap().set_ring_call(2, Some(&calls[round % 2])).unwrap();
        }
        guest.stop().unwrap();
        guest.start().unwrap();
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    });
    scene.is_whole();
}

#[test]
fn half_messages_hold_their_own_connection_and_no_more_than_eight_are_held() {
    let scene = Scene::new();
    scene.with_others(|| {
        let halves: Vec<UnixStream> = (0..CONNECTIONS - 1)
            .map(|bytes| {
                let mut socket = scene.connect();
                socket.write_all(&GET_FEATURES[..bytes + 1]).unwrap();
                socket
            })
            .collect();
        // The eighth is served, beside seven that have not finished their first word.
        let mut guest = scene.boot(Options::default());
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        eventually("they are counted", || scene.hostile.port().connections() == CONNECTIONS);
        // The ninth and all after it are turned away at once.
        for _ in 0..50 {
            assert!(is_closed(&scene.connect()), "one more is connected");
        }
        assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
        drop(halves);
        eventually("they are still there", || scene.hostile.port().connections() == 1);
    });
    scene.is_whole();
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    let scene = Scene::new();
    scene.with_others(|| {
        for round in 0..500 {
            let mut socket = scene.connect();
            let _ = socket.write_all(&GET_FEATURES[..round % 13]);
        }
    });
    scene.is_whole();
}

#[test]
fn a_message_with_253_descriptors_closes_its_connection_and_all_of_them() {
    let scene = Scene::new();
    scene.with_others(|| {
        for bytes in [1, 12] {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            let socket = scene.connect();
            let fds = [writer.as_fd(); 253];
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
            let mut ancillary = SendAncillaryBuffer::new(&mut room);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
            let message = [IoSlice::new(&GET_FEATURES[..bytes])];
            sendmsg(&socket, &message, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
            drop(writer);
            assert!(is_closed(&socket), "253 descriptors are no message");
            let mut polled = [PollFd::new(&reader, PollFlags::empty())];
            let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
            poll(&mut polled, Some(&patience)).unwrap();
            assert!(polled[0].revents().contains(PollFlags::HUP), "descriptors were left open");
        }
        // Two at a time, in a message that never ends: no more are kept than a message may have.
        let socket = scene.connect();
        let file = File::from(memory());
        for _ in 0..12 {
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut room);
            let four = [file.as_fd(); 4];
            ancillary.push(SendAncillaryMessage::ScmRights(&four));
            let _ = sendmsg(&socket, &[IoSlice::new(&[5])], &mut ancillary, SendFlags::NOSIGNAL);
        }
        assert!(is_closed(&socket), "48 descriptors are no message");
    });
    scene.is_whole();
}
