// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole front end that lies, on a real socket, beside a guest that does not.
//!
//! Above: libFuzzer, `tests/connection.rs`.
//! Below: `vhost_scsi::Endpoint` with its threads, and `initiator` for the guest beside it.
//! Never here: what a message is to be answered with.
//!
//! Promised: whatever was said, the connection ends soon after its front end has gone; no descriptor is left of it;
//! the guest beside it reads what it wrote; the next front end is served; and no panic.

use crate::input::Input;
use crate::memory::{Guest as Memory, memory_file};
use crate::messages::{Kind, Piece, message, protocol_features};
use initiator::{Error, Guest, LunAddress, Options, commands};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use vhost_scsi::{Bound, Endpoint, Reactors, TargetPort};

/// Steps of one input, at most.
const STEPS_MAX: usize = 96;
/// How long anything may take that is promised to happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Inputs between two good front ends.
const GOOD_EVERY: u64 = 16;
/// What the guest beside it has on its disk.
const BLOCKS: u16 = 8;

struct World {
    hostile: Endpoint,
    path: String,
    beside: Guest,
    pattern: Vec<u8>,
    inputs: u64,
    /// Descriptors of this process when nobody is connected but the guest beside.
    descriptors: Option<Vec<String>>,
    _sockets: [OwnedFd; 2],
    _other: Endpoint,
}

/// Serves a disk on a socket that has no name any more; returns also the way to it.
fn serve(reactors: &Arc<Reactors>, id: u64) -> (Endpoint, OwnedFd, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), crate::units::one(id)));
    let path = folder.path().join("sock");
    let bound = Bound::bind(&path, None).expect("a socket");
    let name = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("its name");
    let through = format!("/proc/self/fd/{}", name.as_raw_fd());
    (bound.serve(port, Arc::clone(reactors)), name, through)
}

impl World {
    fn new() -> Self {
        let reactors = Reactors::start(1).expect("a reactor");
        let (hostile, socket, path) = serve(&reactors, 101);
        let (other, other_socket, other_path) = serve(&reactors, 102);
        let mut beside = Guest::boot(other_path, Options::default()).expect("a good guest");
        let pattern: Vec<u8> = (0..usize::from(BLOCKS) * 512).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect();
        let write = commands::write_10(LunAddress::unit(1, 0), 0, BLOCKS, &pattern);
        assert!(beside.execute(&write).expect("an answer").is_good());
        let sockets = [socket, other_socket];
        Self {
            hostile,
            path,
            beside,
            pattern,
            inputs: 0,
            descriptors: None,
            _sockets: sockets,
            _other: other,
        }
    }

    fn check(&mut self) {
        self.wait("the connection is still there", |world| world.hostile.port().connections() == 0);
        let read = commands::read_10(LunAddress::unit(1, 0), 0, BLOCKS, self.pattern.len());
        let answer = self.beside.execute(&read).expect("the guest beside is served");
        assert!(answer.is_good() && answer.data_in == self.pattern, "the guest beside reads something else");
        if self.inputs.is_multiple_of(GOOD_EVERY) {
            let mut good = self.boot();
            let answer = good.execute(&commands::inquiry(LunAddress::unit(1, 0), 36)).expect("an answer");
            assert!(answer.is_good());
            drop(good);
            self.wait("a good connection is still there", |world| world.hostile.port().connections() == 0);
        }
        match &self.descriptors {
            // The first front ends find some things that are made only once.
            None if self.inputs <= GOOD_EVERY => {}
            None => self.descriptors = Some(open_descriptors()),
            Some(before) => {
                let more = || open_descriptors().len() > before.len();
                let end = Instant::now() + PATIENCE;
                while more() {
                    assert!(Instant::now() < end, "left open: {:?}, once {before:?}", open_descriptors());
                    std::thread::yield_now();
                }
            }
        }
        self.inputs += 1;
    }

    /// A good front end, which may come too early: eight that have gone are to be noticed first.
    fn boot(&self) -> Guest {
        let end = Instant::now() + PATIENCE;
        loop {
            match Guest::boot(&self.path, Options::default().patience(PATIENCE)) {
                Err(Error::Closed { .. }) if Instant::now() < end => std::thread::yield_now(),
                outcome => return outcome.expect("the next front end is served"),
            }
        }
    }

    fn wait(&self, otherwise: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "{otherwise}");
            std::thread::yield_now();
        }
    }
}

/// What the descriptors of this process lead to; pipes aside, which libFuzzer opens to programs of its own.
fn open_descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("proc");
    let paths = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let mut names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    names.retain(|name| !name.starts_with("pipe:"));
    names.sort();
    names
}

/// Runs one input.
pub fn run(data: &[u8]) {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    let mut world =
        WORLD.get_or_init(|| Mutex::new(World::new())).lock().unwrap_or_else(PoisonError::into_inner);
    let memory = Memory::new();
    FrontEnd::connect(&world.path, &memory, &mut Input::new(data)).run();
    world.check();
}

/// What is on the other side of the socket.
struct FrontEnd<'a, 'b> {
    socket: UnixStream,
    memory: &'a Memory,
    input: &'a mut Input<'b>,
    kick: OwnedFd,
    area: File,
    available: [u16; 4],
    reads: bool,
}

impl<'a, 'b> FrontEnd<'a, 'b> {
    fn connect(path: &str, memory: &'a Memory, input: &'a mut Input<'b>) -> Self {
        let socket = UnixStream::connect(path).expect("the target listens");
        let kick = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let (reads, area) = (!input.rarely(8), memory_file(0x4000));
        Self { socket, memory, input, kick, area, available: [0; 4], reads }
    }

    fn run(mut self) {
        if !self.input.rarely(8) {
            self.send(&protocol_features());
        }
        if !self.input.rarely(4) {
            self.introduce();
        }
        for _ in 0..STEPS_MAX {
            if self.input.is_empty() {
                break;
            }
            match self.input.below(8) {
                0..5 => {
                    for piece in message(self.input) {
                        self.send(&piece);
                    }
                }
                5..7 => self.request(),
                _ => match self.input.below(4) {
                    0 => self.memory.truncate(u64::from(self.input.below(18)) << 12),
                    1 => {
                        let _ = self.area.set_len(u64::from(self.input.below(5)) << 12);
                    }
                    _ => {
                        let (address, length) = (self.input.u16().into(), usize::from(self.input.below(32)));
                        self.memory.write(address, self.input.bytes(length));
                    }
                },
            }
            if self.reads {
                let mut answer = [0_u8; 4096];
                let _ = recv(&self.socket, &mut answer[..], RecvFlags::DONTWAIT);
            }
        }
        self.leave();
    }

    /// Says no more, and waits until the other side has noticed.
    fn leave(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut answer = [0_u8; 4096];
        while let Ok((bytes, _)) = recv(&self.socket, &mut answer[..], RecvFlags::empty()) {
            if bytes == 0 {
                return;
            }
        }
    }

    /// Says what a good front end says first: features, memory, and a request queue that runs.
    fn introduce(&mut self) {
        let long = |value: u64| value.to_le_bytes().to_vec();
        let mut table = vec![3, 0, 0, 0, 0, 0, 0, 0];
        for at in 0..3 {
            let (guest, bytes, file_offset, user) = crate::memory::region(at);
            table.extend([guest, bytes, user, file_offset].into_iter().flat_map(u64::to_le_bytes));
        }
        let ring = |index: u32, value: u32| [index.to_le_bytes(), value.to_le_bytes()].concat();
        let mut addresses = ring(2, 0);
        for part in [0x2000_u64, 0x2800, 0x2400] {
            addresses.extend(crate::memory::user_address(part).to_le_bytes());
        }
        addresses.extend([0; 8]);
        let messages: [(u32, Vec<u8>, Vec<Kind>); 7] = [
            (2, long(0x1_7100_0006), vec![]),
            (5, table, vec![Kind::Memory; 3]),
            (8, ring(2, 16), vec![]),
            (9, addresses, vec![]),
            (13, long(2), vec![Kind::Event]),
            (12, long(2), vec![Kind::Event]),
            (18, ring(2, 1), vec![]),
        ];
        for (request, payload, kinds) in messages {
            let length = u32::try_from(payload.len()).expect("short");
            let mut bytes: Vec<u8> = [request, 9, length].into_iter().flat_map(u32::to_le_bytes).collect();
            bytes.extend(payload);
            self.send(&Piece { bytes, kinds });
        }
    }

    /// Sends what the socket takes; a connection that was closed takes nothing.
    fn send(&self, piece: &Piece) {
        let descriptors: Vec<OwnedFd> =
            piece.kinds.iter().filter_map(|&kind| self.descriptor(kind).ok()).collect();
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        if !borrowed.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = sendmsg(&self.socket, &[IoSlice::new(&piece.bytes)], &mut ancillary, flags);
    }

    fn descriptor(&self, kind: Kind) -> io::Result<OwnedFd> {
        let path = |path: &str, flags: OFlags| Ok(open(path, flags | OFlags::CLOEXEC, Mode::empty())?);
        match kind {
            Kind::Memory => Ok(self.memory.file().try_clone()?.into()),
            Kind::Area => Ok(self.area.try_clone()?.into()),
            Kind::Event => self.kick.try_clone(),
            Kind::Pipe => Ok(io::pipe()?.1.into()),
            Kind::Socket => Ok(UnixStream::pair()?.0.into()),
            Kind::Folder => path("/", OFlags::RDONLY),
            Kind::Null => path("/dev/null", OFlags::RDWR),
            Kind::ReadOnly => {
                path(&format!("/proc/self/fd/{}", self.memory.file().as_raw_fd()), OFlags::RDONLY)
            }
        }
    }

    /// Writes a request into a ring where rings are by default, offers it and kicks.
    fn request(&mut self) {
        let ring = if self.input.rarely(4) { self.input.below(4) } else { 2 };
        let base = 0x1000 * u64::from(ring);
        let mut header = [0; 51];
        header[..4].copy_from_slice(&[1, 1, 0x40, 0]);
        header[8] = self.input.u8();
        header[19] = self.input.pick(&[0x12, 0x28, 0x2a, 0x00, 0x25, 0xa0, 0x35]);
        header[19 + 8] = self.input.below(4);
        header[19 + 4] = header[19 + 8];
        let data_bytes = 512 * u32::from(self.input.below(4));
        let writes = header[19] == 0x2a;
        let data = (0x8000, data_bytes, if writes { 0 } else { 2_u16 });
        let response = (0x7000, 108, 2);
        self.memory.write(0x6000, &header);
        let buffers =
            if writes { [(0x6000, 51, 0), data, response] } else { [(0x6000, 51, 0), response, data] };
        for (at, (address, bytes, flags)) in (0_u64..).zip(buffers) {
            let last = at == 2;
            let flags = if last { flags } else { flags | 1 };
            let next = if last { 0 } else { u16::try_from(at + 1).expect("small") };
            let mut descriptor = u64::to_le_bytes(address).to_vec();
            descriptor.extend(bytes.to_le_bytes());
            descriptor.extend(flags.to_le_bytes());
            descriptor.extend(next.to_le_bytes());
            self.memory.write(base + 16 * at, &descriptor);
        }
        if self.input.rarely(8) {
            let length = usize::from(self.input.below(16));
            self.memory.write(base + u64::from(self.input.below(48)), self.input.bytes(length));
        }
        let available = &mut self.available[usize::from(ring)];
        self.memory.write(base + 0x404 + 2 * u64::from(*available % 16), &[0, 0]);
        *available = available.wrapping_add(1);
        self.memory.write(base + 0x402, &available.to_le_bytes());
        let _ = rustix::io::write(&self.kick, &1_u64.to_ne_bytes());
    }
}
