// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A vhost-user device for tests: the `vhost` crate's request handler, one thread a connection, one a ring.
//!
//! Above: the tests.  Below: `walker`, `disk`.
//! Never here: speed.  Guest memory is read and written through its file, which needs no `unsafe`.

use crate::disk::{DISK_BYTES, Disk};
use crate::walker::{Ring, Worker};
use rustix::event::{PollFd, PollFlags};
use std::fs::File;
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vhost::vhost_user::message::*;
use vhost::vhost_user::{
    Backend, BackendReqHandler, Error, GpuBackend, Result, VhostUserBackendReqHandlerMut,
};

pub(crate) const QUEUES: usize = 6;

/// How long a message may take that was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the device offers, and what it does wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Personality {
    pub(crate) features: u64,
    pub(crate) protocol_features: u64,
    pub(crate) queues: u64,
    pub(crate) quirk: Quirk,
}

/// One wrong thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    None,
    /// Commands are taken and never answered, on the first connection.
    SwallowOnce,
    /// Every answer is given twice.
    AnswerTwice,
    /// Answers come without interrupts.
    NoInterrupts,
    /// Each answer claims a byte more than there is room for.
    UsedTooLong,
    /// A response is one byte too short.
    ShortResponse,
    /// ADD_MEM_REG is refused.
    RefuseMemory,
    /// GET_VRING_BASE is never answered.
    HangOnBase,
    /// The connection is closed at the first READ CAPACITY.
    CloseOnCommand,
    /// One bit of every WRITE is lost.
    LoseABit,
}

impl Default for Personality {
    fn default() -> Self {
        Self {
            // HOTPLUG, CHANGE, INDIRECT, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1.
            features: 0x1_7000_0006,
            // MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT, RESET_DEVICE, MEM_SLOTS.
            protocol_features: 0xb229,
            queues: QUEUES as u64,
            quirk: Quirk::None,
        }
    }
}

/// One piece of guest memory: where the guest and the front end have it, and its file.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    guest: u64,
    user: u64,
    bytes: u64,
    offset: u64,
    file: Arc<File>,
}

/// The guest's memory, read and written through its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regions(Vec<Region>);

impl Regions {
    pub(crate) fn read(&self, guest: u64, out: &mut [u8]) {
        for (at, byte_range) in self.split(guest, out.len()) {
            at.0.read_exact_at(&mut out[byte_range], at.1).expect("guest memory");
        }
    }

    pub(crate) fn write(&self, guest: u64, data: &[u8]) {
        for (at, byte_range) in self.split(guest, data.len()) {
            at.0.write_all_at(&data[byte_range], at.1).expect("guest memory");
        }
    }

    pub(crate) fn guest_of_user(&self, user: u64) -> u64 {
        let region = self.0.iter().find(|region| (region.user..region.user + region.bytes).contains(&user));
        let region = region.expect("rings lie in memory");
        region.guest + (user - region.user)
    }

    fn split(&self, guest: u64, bytes: usize) -> Vec<((&File, u64), std::ops::Range<usize>)> {
        let (mut pieces, mut done) = (Vec::new(), 0);
        while done < bytes {
            let at = guest + done as u64;
            let region =
                self.0.iter().find(|region| (region.guest..region.guest + region.bytes).contains(&at));
            let region = region.unwrap_or_else(|| panic!("{at:#x} is no guest memory"));
            let step = usize::try_from(region.guest + region.bytes - at).unwrap().min(bytes - done);
            pieces.push(((&*region.file, region.offset + at - region.guest), done..done + step));
            done += step;
        }
        pieces
    }
}

/// What the tests want to know afterwards, and what outlives a connection.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) log: Vec<String>,
    pub(crate) disk: Arc<Disk>,
}

/// The device, serving until dropped.
#[derive(Debug)]
pub(crate) struct Device {
    directory: TempDir,
    facts: Arc<Mutex<Facts>>,
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    pub(crate) fn start(personality: Personality) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("device.sock")).expect("a socket");
        let disk = Arc::new(Disk::new(DISK_BYTES, personality.quirk));
        let facts = Arc::new(Mutex::new(Facts { log: Vec::new(), disk }));
        let (stop, stopped) = UnixStream::pair().expect("a pair");
        let served = Arc::clone(&facts);
        let thread = std::thread::spawn(move || serve(&listener, &stopped, personality, &served));
        Self { directory, facts, stop, thread: Some(thread) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        socket_path(self.directory.path())
    }

    /// Returns the messages so far, and forgets them.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.facts.lock().unwrap().log)
    }

    /// Returns the messages up to `last`, which nobody answers: a guest goes on before the device has read it.
    pub(crate) fn take_log_up_to(&self, last: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut facts = self.facts.lock().unwrap();
            if facts.log.last().is_some_and(|message| message == last) {
                return std::mem::take(&mut facts.log);
            }
            assert!(Instant::now() < deadline, "no {last} after {}", facts.log.join(", "));
            drop(facts);
            std::thread::yield_now();
        }
    }

    pub(crate) fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.facts.lock().unwrap().disk)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.shutdown(Shutdown::Both).expect("our own socket");
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the device panicked");
        }
    }
}

fn socket_path(directory: &Path) -> PathBuf {
    directory.join("device.sock")
}

/// Serves one connection after the other.
fn serve(listener: &UnixListener, stopped: &UnixStream, personality: Personality, facts: &Arc<Mutex<Facts>>) {
    let mut connections = 0;
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        rustix::event::poll(&mut polled, None).expect("poll");
        if !polled[1].revents().is_empty() {
            return;
        }
        let (socket, _) = listener.accept().expect("accept");
        let ends_early = socket.try_clone().expect("a descriptor");
        connections += 1;
        let session = Session {
            personality,
            socket: socket.try_clone().expect("a descriptor"),
            facts: Arc::clone(facts),
            regions: Regions::default(),
            features: 0,
            rings: (0..QUEUES).map(|_| Ring::default()).collect(),
            connection: connections,
            inflight: None,
        };
        let session = Arc::new(Mutex::new(session));
        let mut handler = BackendReqHandler::from_stream(socket, Arc::clone(&session));
        let stopper = stopped.try_clone().expect("a descriptor");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Ends with the connection, or ends it when the test does.
                let mut polled =
                    [PollFd::new(&stopper, PollFlags::IN), PollFd::new(&ends_early, PollFlags::RDHUP)];
                rustix::event::poll(&mut polled, None).expect("poll");
                let _ = ends_early.shutdown(Shutdown::Both);
            });
            while handler.handle_request().is_ok() {}
            let _ = session.lock().unwrap().socket.shutdown(Shutdown::Both);
        });
        session.lock().unwrap().stop_all();
    }
}

/// One connection.
#[derive(Debug)]
struct Session {
    personality: Personality,
    socket: UnixStream,
    facts: Arc<Mutex<Facts>>,
    regions: Regions,
    features: u64,
    rings: Vec<Ring>,
    connection: u32,
    inflight: Option<File>,
}

impl Session {
    fn log(&self, line: impl Into<String>) {
        self.facts.lock().unwrap().log.push(line.into());
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring> {
        self.rings.get_mut(index as usize).ok_or(Error::InvalidParam)
    }

    fn add(&mut self, guest: u64, bytes: u64, user: u64, offset: u64, file: File) {
        self.regions.0.push(Region { guest, user, bytes, offset, file: Arc::new(file) });
    }

    fn start_if_ready(&mut self, index: usize) {
        let enabled_by_features = self.features & 1 << 30 == 0;
        let ring = &mut self.rings[index];
        let ready = ring.kick.is_some() && ring.entries > 0 && (ring.enabled || enabled_by_features);
        if ready && ring.worker.is_none() {
            let quirk = match self.personality.quirk {
                Quirk::SwallowOnce if self.connection > 1 => Quirk::None,
                quirk => quirk,
            };
            let disk = Arc::clone(&self.facts.lock().unwrap().disk);
            let socket = self.socket.try_clone().expect("a descriptor");
            let event_idx = self.features & 1 << 29 != 0;
            ring.worker =
                Some(Worker::start(index, ring, self.regions.clone(), disk, event_idx, quirk, socket));
        }
    }

    fn stop_all(&mut self) {
        for ring in &mut self.rings {
            ring.stop();
        }
    }
}

impl VhostUserBackendReqHandlerMut for Session {
    fn set_owner(&mut self) -> Result<()> {
        self.log("SET_OWNER");
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.log("RESET_DEVICE");
        self.stop_all();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        self.log("GET_FEATURES");
        Ok(self.personality.features)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        self.log(format!("SET_FEATURES {features:#x}"));
        self.features = features;
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<u64>>> {
        self.log(format!("SET_MEM_TABLE {}", regions.len()));
        self.regions.0.clear();
        for (region, file) in regions.iter().zip(files) {
            let (guest, bytes) = (region.guest_phys_addr, region.memory_size);
            self.add(guest, bytes, region.user_addr, region.mmap_offset, file);
        }
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        self.log(format!("NUM {index} {num}"));
        self.ring(index)?.entries = u16::try_from(num).map_err(|_| Error::InvalidParam)?;
        Ok(())
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        self.log(format!("ADDR {index}"));
        let [descriptors, used, available] =
            [descriptor, used, available].map(|user| self.regions.guest_of_user(user));
        let ring = self.ring(index)?;
        (ring.descriptors, ring.used, ring.available) = (descriptors, used, available);
        Ok(())
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        self.log(format!("BASE {index} {base}"));
        self.ring(index)?.next = u16::try_from(base).map_err(|_| Error::InvalidParam)?;
        Ok(())
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        self.log(format!("GET_BASE {index}"));
        if self.personality.quirk == Quirk::HangOnBase {
            // The other end gives up and shuts the socket down.
            let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
            rustix::event::poll(&mut polled, None).expect("poll");
            return Err(Error::Disconnected);
        }
        let ring = self.ring(index)?;
        ring.stop();
        Ok(VhostUserVringState::new(index, ring.next.into()))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.log(format!("KICK {index}"));
        self.ring(index.into())?.kick = fd;
        self.start_if_ready(index.into());
        Ok(())
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.log(format!("CALL {index}"));
        let call = self.ring(index.into())?.call.clone();
        // What was signalled into the descriptor before is lost unless it is said again.
        let mut call = call.lock().unwrap();
        if let Some(fd) = &fd {
            rustix::io::write(fd, &1_u64.to_ne_bytes()).expect("an eventfd");
        }
        *call = fd;
        Ok(())
    }

    fn set_vring_err(&mut self, index: u8, _fd: Option<File>) -> Result<()> {
        self.log(format!("ERR {index}"));
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        self.log("GET_PROTOCOL_FEATURES");
        Ok(VhostUserProtocolFeatures::from_bits_retain(self.personality.protocol_features))
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        self.log(format!("SET_PROTOCOL_FEATURES {features:#x}"));
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        self.log("GET_QUEUE_NUM");
        Ok(self.personality.queues)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.log(format!("ENABLE {index} {}", u8::from(enable)));
        let ring = self.ring(index)?;
        ring.enabled = enable;
        if !enable {
            ring.stop();
        }
        self.start_if_ready(index as usize);
        Ok(())
    }

    fn get_config(&mut self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        self.log(format!("GET_CONFIG {offset} {size}"));
        Ok((0..size).map(|at| u8::try_from((offset + at) & 0xff).unwrap()).collect())
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        Ok(())
    }

    fn set_backend_req_fd(&mut self, _backend: Backend) {
        self.log("SET_BACKEND_REQ_FD");
    }

    fn set_gpu_socket(&mut self, _gpu_backend: GpuBackend) -> Result<()> {
        Err(Error::InvalidParam)
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        Err(Error::InvalidParam)
    }

    fn get_inflight_fd(&mut self, inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        let (queues, entries) = (inflight.num_queues, inflight.queue_size);
        self.log(format!("GET_INFLIGHT_FD {queues} {entries}"));
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(b"lunar", 4096).expect("a file");
        let described = VhostUserInflight::new(4096, 4096, queues, entries);
        Ok((described, file))
    }

    fn set_inflight_fd(&mut self, inflight: &VhostUserInflight, file: File) -> Result<()> {
        let mut first = [0; 5];
        file.read_exact_at(&mut first, inflight.mmap_offset).expect("a file");
        self.log(format!("SET_INFLIGHT_FD {}", String::from_utf8_lossy(&first)));
        self.inflight = Some(file);
        Ok(())
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        self.log("GET_MAX_MEM_SLOTS");
        Ok(8)
    }

    fn add_mem_region(
        &mut self,
        region: &VhostUserSingleMemoryRegion,
        fd: File,
        _postcopy: Option<bool>,
    ) -> Result<Option<u64>> {
        self.log(format!("ADD_MEM_REG {:#x}", { region.guest_phys_addr }));
        if self.personality.quirk == Quirk::RefuseMemory {
            return Err(Error::InvalidParam);
        }
        self.add(region.guest_phys_addr, region.memory_size, region.user_addr, region.mmap_offset, fd);
        Ok(None)
    }

    fn remove_mem_region(&mut self, region: &VhostUserSingleMemoryRegion) -> Result<()> {
        let guest = region.guest_phys_addr;
        self.log(format!("REM_MEM_REG {guest:#x}"));
        self.regions.0.retain(|held| held.guest != guest);
        Ok(())
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        Err(Error::InvalidParam)
    }

    fn check_device_state(&mut self) -> Result<()> {
        Err(Error::InvalidParam)
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        Err(Error::InvalidParam)
    }

    fn set_log_base(&mut self, _log: &VhostUserLog, _file: File) -> Result<()> {
        Err(Error::InvalidParam)
    }
}
