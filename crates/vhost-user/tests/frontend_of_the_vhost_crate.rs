// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The session behind a real socket, driven by the front end of the `vhost` crate.
//!
//! Above: `cargo test`.
//! Below: `vhost::vhost_user::Frontend`, an implementation of the other side that is not ours; Cloud Hypervisor and
//! libkrun are built on it.
//! Never here: an encoder of our own.

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserInflight, VhostUserProtocolFeatures,
};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserDirtyLogRegion, VhostUserMemoryRegionInfo, VringConfigData};
use vhost_user::{Effect, Offer, ProtocolError, ProtocolFeatures, Received, Receiver, Reply, Session};
use vmm_sys_util::eventfd::EventFd;

/// Guest address of a region that cannot be mapped.
const UNMAPPABLE: u64 = 0xba_d000;

/// A session that serves a socket on a thread of its own, and hands the effects to the test.
struct Device {
    effects: Inbox<Effect>,
    thread: JoinHandle<Result<(), ProtocolError>>,
}

impl Device {
    fn serve(stream: UnixStream) -> Self {
        let (sender, effects) = channel();
        let thread = std::thread::spawn(move || serve(&stream, &sender));
        Self { effects, thread }
    }

    /// The next effect.
    fn next(&self) -> Effect {
        self.effects.recv_timeout(Duration::from_secs(30)).expect("an effect")
    }

    /// Checks, after an answer has come, that nothing was done that the test did not look at.
    fn rests(&self) {
        if let Ok(effect) = self.effects.try_recv() {
            panic!("{effect:?} was not expected");
        }
    }
}

fn serve(stream: &UnixStream, effects: &Sender<Effect>) -> Result<(), ProtocolError> {
    let mut session = Session::new(Offer {
        features: 0x1_7d00_0006,
        protocol_features: ProtocolFeatures::all(),
        queues: 6,
        queue_entries_max: 256,
        memory_slots: 32,
        config: (0..36).collect(),
    });
    let mut receiver = Receiver::new();
    loop {
        let (bytes, fds) = receive(stream, receiver.space());
        if bytes == 0 {
            assert!(receiver.is_idle());
            return Ok(());
        }
        let list = match receiver.received(bytes, fds)? {
            Received::Partial => continue,
            Received::Message(message) => session.on(message)?,
            Received::Malformed(malformed) => session.on_malformed(malformed)?,
        };
        for effect in list {
            if let Some(reply) = carry_out(&mut session, effect, effects)? {
                send(stream, &reply);
            }
        }
    }
}

/// Carries out what needs an answer, and hands on the rest.
fn carry_out(
    session: &mut Session,
    effect: Effect,
    effects: &Sender<Effect>,
) -> Result<Option<Reply>, ProtocolError> {
    match effect {
        Effect::Reply(reply) => return Ok(Some(reply)),
        Effect::Acknowledge => return Ok(session.acknowledge()),
        Effect::AllocateInflight(_) => {
            let area = memfd_create("inflight", MemfdFlags::CLOEXEC).unwrap();
            return Ok(session.inflight_allocated(Some((area, 0x6000))));
        }
        Effect::StopRing { index } => {
            effects.send(effect).unwrap();
            return Ok(session.ring_stopped(index, 0x1234));
        }
        Effect::AddRegion(region) if region.guest == UNMAPPABLE => session.failed()?,
        effect => effects.send(effect).unwrap(),
    }
    Ok(None)
}

fn receive(stream: &UnixStream, space: &mut [u8]) -> (usize, Vec<OwnedFd>) {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let bytes = recvmsg(stream, &mut [IoSliceMut::new(space)], &mut control, flags).unwrap().bytes;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    (bytes, fds)
}

fn send(stream: &UnixStream, reply: &Reply) {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds: Vec<_> = reply.fds().iter().map(AsFd::as_fd).collect();
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = sendmsg(stream, &[IoSlice::new(reply.bytes())], &mut control, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(sent, reply.bytes().len());
}

/// Expects an effect of one shape and takes it apart.
macro_rules! expect {
    ($device:expr, $shape:pat => $value:expr) => {
        match $device.next() {
            $shape => $value,
            other => panic!("{other:?} was not expected"),
        }
    };
}

/// A front end and a device that have agreed on all protocol features, where every message asks for an
/// acknowledgement.
fn negotiated() -> (Frontend, Device) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let device = Device::serve(ours);
    let mut frontend = Frontend::from_stream(theirs, 6);
    frontend.set_owner().unwrap();
    assert_eq!(frontend.get_features().unwrap(), 0x1_7d00_0006);
    frontend.set_features(0x1_7000_0006).unwrap();
    expect!(device, Effect::Features { acked } => assert_eq!(acked, 0x1_7000_0006));
    // The front end knows no STATUS, bit 16, and shows what it knows.
    let offered = frontend.get_protocol_features().unwrap();
    assert_eq!(offered.bits() & 0xffff, 0xb22b);
    // It asks for acknowledgements before they are agreed on, and waits for that of this very message.
    frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    frontend.set_protocol_features(VhostUserProtocolFeatures::from_bits_truncate(0xb22b)).unwrap();
    (frontend, device)
}

fn ends_well(frontend: Frontend, device: Device) {
    device.rests();
    drop(frontend);
    assert_eq!(device.thread.join().unwrap(), Ok(()));
}

fn region(guest: u64, file: &OwnedFd) -> VhostUserMemoryRegionInfo {
    VhostUserMemoryRegionInfo {
        guest_phys_addr: guest,
        memory_size: 0x10_0000,
        userspace_addr: 0x7f00_0000_0000 + guest,
        mmap_offset: 0x1000,
        mmap_handle: file.as_raw_fd(),
    }
}

fn memory() -> OwnedFd {
    memfd_create("memory", MemfdFlags::CLOEXEC).unwrap()
}

fn ring(at: u64) -> VringConfigData {
    VringConfigData {
        queue_max_size: 256,
        queue_size: 128,
        flags: 0,
        desc_table_addr: at,
        used_ring_addr: at + 0x2000,
        avail_ring_addr: at + 0x1000,
        log_addr: None,
    }
}

fn event() -> EventFd {
    EventFd::new(0).unwrap()
}

/// Checks that what one side writes the other reads: the file descriptor crossed.
fn are_one(theirs: &EventFd, ours: OwnedFd) {
    theirs.write(41).unwrap();
    let mut count = [0; 8];
    assert_eq!(rustix::io::read(&ours, &mut count), Ok(8));
    assert_eq!(u64::from_ne_bytes(count), 41);
}

#[test]
fn counts_and_configuration_are_read() {
    let (mut frontend, device) = negotiated();
    assert_eq!(frontend.get_queue_num().unwrap(), 6);
    assert_eq!(frontend.get_max_mem_slots().unwrap(), 32);
    let (_, bytes) = frontend.get_config(4, 4, VhostUserConfigFlags::WRITABLE, &[0; 4]).unwrap();
    assert_eq!(bytes, [4, 5, 6, 7]);
    let (_, bytes) = frontend.get_config(0, 256, VhostUserConfigFlags::empty(), &[0; 256]).unwrap();
    assert_eq!((bytes.len(), bytes[35], bytes[36], bytes[255]), (256, 35, 0, 0));
    frontend.set_config(20, VhostUserConfigFlags::empty(), &[96, 0, 0, 0]).unwrap();
    expect!(device, Effect::WriteConfig(write) => assert_eq!((write.offset, write.data), (20, vec![96, 0, 0, 0])));
    let (_, bytes) = frontend.get_config(20, 1, VhostUserConfigFlags::empty(), &[0]).unwrap();
    assert_eq!(bytes, [96]);
    ends_well(frontend, device);
}

#[test]
fn memory_comes_as_a_table_and_in_pieces() {
    let (mut frontend, device) = negotiated();
    let file = memory();
    frontend.set_mem_table(&[region(0, &file), region(0x20_0000, &file)]).unwrap();
    expect!(device, Effect::MapMemory(regions) => {
        let shown: Vec<_> = regions.iter().map(|r| (r.guest, r.user, r.bytes, r.file_offset)).collect();
        assert_eq!(shown, [
            (0, 0x7f00_0000_0000, 0x10_0000, 0x1000),
            (0x20_0000, 0x7f00_0020_0000, 0x10_0000, 0x1000),
        ]);
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert!(regions.iter().all(|region| inode(&region.file) == inode(&file)));
    });
    frontend.add_mem_region(&region(0x40_0000, &file)).unwrap();
    expect!(device, Effect::AddRegion(region) => assert_eq!(region.guest, 0x40_0000));
    frontend.remove_mem_region(&region(0x20_0000, &file)).unwrap();
    expect!(device, Effect::RemoveRegion { guest, user, bytes } => {
        assert_eq!((guest, user, bytes), (0x20_0000, 0x7f00_0020_0000, 0x10_0000));
    });
    ends_well(frontend, device);
}

#[test]
fn refusal_is_acknowledged_and_the_connection_stays() {
    let (mut frontend, device) = negotiated();
    let file = memory();
    let refused = "vhost-user: backend internal error";
    assert_eq!(frontend.set_vring_num(0, 258).unwrap_err().to_string(), refused);
    expect!(device, Effect::Remark(_) => ());
    assert_eq!(frontend.set_vring_num(0, 257).unwrap_err().to_string(), refused);
    assert_eq!(frontend.remove_mem_region(&region(0, &file)).unwrap_err().to_string(), refused);
    expect!(device, Effect::Remark(_) => ());
    // This one the caller fails to map.
    assert_eq!(frontend.add_mem_region(&region(UNMAPPABLE, &file)).unwrap_err().to_string(), refused);
    assert_eq!(frontend.remove_mem_region(&region(UNMAPPABLE, &file)).unwrap_err().to_string(), refused);
    assert_eq!(frontend.get_queue_num().unwrap(), 6);
    frontend.set_vring_num(0, 256).unwrap();
    ends_well(frontend, device);
}

#[test]
fn inflight_area_goes_out_and_comes_back() {
    let (mut frontend, device) = negotiated();
    let wanted = VhostUserInflight { mmap_size: 0, mmap_offset: 0, num_queues: 6, queue_size: 128 };
    let (area, file) = frontend.get_inflight_fd(&wanted).unwrap();
    assert_eq!((area.mmap_size, area.mmap_offset, area.num_queues, area.queue_size), (0x6000, 0, 6, 128));
    frontend.set_inflight_fd(&area, file.as_raw_fd()).unwrap();
    expect!(device, Effect::AdoptInflight(back) => {
        assert_eq!((back.bytes, back.file_offset, back.queues, back.entries), (0x6000, 0, 6, 128));
        let inode = rustix::fs::fstat(&file).unwrap().st_ino;
        assert_eq!(rustix::fs::fstat(&back.file).unwrap().st_ino, inode);
    });
    ends_well(frontend, device);
}

#[test]
fn ring_starts_parks_and_stops() {
    let (mut frontend, device) = negotiated();
    let file = memory();
    let (kick, call, err) = (event(), event(), event());
    frontend.set_mem_table(&[region(0, &file)]).unwrap();
    expect!(device, Effect::MapMemory(_) => ());
    frontend.set_vring_num(2, 128).unwrap();
    frontend.set_vring_addr(2, &ring(0x7f00_0000_0000)).unwrap();
    frontend.set_vring_base(2, 9).unwrap();
    frontend.set_vring_call(2, &call).unwrap();
    expect!(device, Effect::SetCall { index: 2, call: Some(fd) } => are_one(&call, fd));
    frontend.set_vring_err(2, &err).unwrap();
    expect!(device, Effect::SetErr { index: 2, err: Some(fd) } => are_one(&err, fd));
    frontend.set_vring_kick(2, &kick).unwrap();
    device.rests();
    frontend.set_vring_enable(2, true).unwrap();
    expect!(device, Effect::StartRing(start) => {
        assert_eq!((start.index, start.entries, start.base, start.features), (2, 128, 9, 0x1_7000_0006));
        let parts = (start.addresses.desc, start.addresses.avail, start.addresses.used, start.addresses.log);
        assert_eq!(parts, (0x7f00_0000_0000, 0x7f00_0000_1000, 0x7f00_0000_2000, None));
        are_one(&kick, start.kick.unwrap());
    });
    frontend.set_features(0x1_7000_0006).unwrap();
    expect!(device, Effect::Features { .. } => ());
    frontend.set_vring_enable(2, false).unwrap();
    expect!(device, Effect::DisableRing { index: 2 } => ());
    frontend.set_vring_enable(2, true).unwrap();
    expect!(device, Effect::EnableRing { index: 2 } => ());
    assert_eq!(frontend.get_vring_base(2).unwrap(), 0x1234);
    expect!(device, Effect::StopRing { index: 2 } => ());
    assert_eq!(frontend.get_vring_base(2).unwrap(), 0x1234);
    assert_eq!(frontend.get_vring_base(5).unwrap(), 0);
    frontend.reset_device().unwrap();
    expect!(device, Effect::ResetDevice => ());
    assert_eq!(frontend.get_vring_base(2).unwrap(), 0);
    ends_well(frontend, device);
}

#[test]
fn log_and_channel_are_passed_on() {
    let (mut frontend, device) = negotiated();
    let file = memory();
    let log = VhostUserDirtyLogRegion { mmap_size: 0x8000, mmap_offset: 0, mmap_handle: file.as_raw_fd() };
    frontend.set_log_base(0, Some(log)).unwrap();
    expect!(device, Effect::SetLogBase(area) => assert_eq!((area.bytes, area.file_offset), (0x8000, 0)));
    let signal = event();
    frontend.set_log_fd(signal.as_raw_fd()).unwrap();
    expect!(device, Effect::SetLogFd(fd) => are_one(&signal, fd));
    let (channel, _) = UnixStream::pair().unwrap();
    frontend.set_backend_request_fd(&channel).unwrap();
    expect!(device, Effect::BackendChannel(_) => ());
    ends_well(frontend, device);
}

#[test]
fn front_end_without_protocol_features_has_its_rings_enabled() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let device = Device::serve(ours);
    let frontend = Frontend::from_stream(theirs, 6);
    frontend.set_owner().unwrap();
    frontend.set_features(0x1_3000_0006).unwrap();
    expect!(device, Effect::Features { acked } => assert_eq!(acked, 0x1_3000_0006));
    let file = memory();
    frontend.set_mem_table(&[region(0, &file)]).unwrap();
    expect!(device, Effect::MapMemory(_) => ());
    frontend.set_vring_num(0, 128).unwrap();
    frontend.set_vring_addr(0, &ring(0x7f00_0000_0000)).unwrap();
    frontend.set_vring_kick(0, &event()).unwrap();
    expect!(device, Effect::StartRing(start) => assert_eq!((start.index, start.entries), (0, 128)));
    assert_eq!(frontend.get_vring_base(0).unwrap(), 0x1234);
    expect!(device, Effect::StopRing { index: 0 } => ());
    ends_well(frontend, device);
}
