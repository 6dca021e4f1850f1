// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One vhost-user connection as its front end: a method a message, each with an end to its waiting.
//!
//! Above: `guest`.  Below: the `vhost` crate's `Frontend`, which is an independent reading of the protocol, and
//! `raw_channel` for the messages it lacks (status) or refuses to send.
//! Never here: the order of messages, which is a `Dialect`'s.

mod inflight;

use crate::deadline::Deadline;
use crate::dialect::{Acks, FEATURE_LOG_ALL, protocol};
use crate::dirty_log::DirtyLog;
use crate::error::Error;
use crate::memory::{GuestAddress, Memory, Region};
use crate::notifier::Notifier;
use crate::raw_channel::{FLAG_REPLY, FLAG_VERSION, RawChannel};
use crate::ring::Ring;
use crate::watchdog::Watchdog;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures};
use vhost::vhost_user::{Error as ProtocolError, Frontend, VhostUserFrontend};
use vhost::{
    Error as VhostError, VhostBackend, VhostUserDirtyLogRegion, VhostUserMemoryRegionInfo, VringConfigData,
};

pub use inflight::Inflight;

/// Messages that only the raw channel can send.
const SET_VRING_KICK: u32 = 12;
const SET_VRING_CALL: u32 = 13;
const SET_STATUS: u32 = 39;
const GET_STATUS: u32 = 40;
/// "No descriptor comes along" in the payload of SET_VRING_KICK, CALL and ERR.
const NO_DESCRIPTOR: u64 = 0x100;

/// Bytes of the virtio-scsi configuration space (virtio 1.2, 5.6.4).
pub const CONFIG_BYTES: u32 = 36;

/// How often a connection that is refused is tried again.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// One connection to a back end.
pub struct Connection {
    frontend: Frontend,
    raw: RawChannel,
    watchdog: Watchdog,
    patience: Duration,
    acks: Acks,
    protocol_features: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("protocol_features", &self.protocol_features)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the socket at `path`, again and again for `patience` while nobody listens there.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Host`].
    pub fn connect(path: &Path, acks: Acks, patience: Duration) -> Result<Self, Error> {
        let deadline = Deadline::after(patience);
        loop {
            match connect_once(path) {
                Ok(socket) => return Self::over(socket, acks, patience),
                Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN) if !deadline.passed() => {
                    std::thread::sleep(CONNECT_INTERVAL.min(deadline.remaining()));
                }
                Err(errno) => {
                    return Err(Error::Connect {
                        path: path.into(),
                        waited: deadline.waited(),
                        source: errno.into(),
                    });
                }
            }
        }
    }

    /// Speaks over a socket that is connected already.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn over(socket: UnixStream, acks: Acks, patience: Duration) -> Result<Self, Error> {
        let clone =
            || socket.try_clone().map_err(|source| Error::Host { what: "duplicating a descriptor", source });
        let raw = RawChannel::new(clone()?, patience)?;
        let watchdog = Watchdog::new(clone()?)?;
        // The count is a bound for indices until GET_QUEUE_NUM says more; vhost-user has 8 bits for an index.
        let frontend = Frontend::from_stream(socket, 256);
        Ok(Self { frontend, raw, watchdog, patience, acks, protocol_features: 0 })
    }

    /// Returns the way to send and receive any bytes on this connection.
    #[must_use]
    pub fn raw(&self) -> &RawChannel {
        &self.raw
    }

    /// Returns the protocol features that were negotiated.
    #[must_use]
    pub fn protocol_features(&self) -> u64 {
        self.protocol_features
    }

    /// Sends GET_FEATURES.
    ///
    /// # Errors
    /// Those of every message: [`Error::Closed`], [`Error::NoReply`], [`Error::Refused`], [`Error::Protocol`].
    pub fn features(&mut self) -> Result<u64, Error> {
        self.call("GET_FEATURES", false, |frontend| frontend.get_features())
    }

    /// Sends SET_FEATURES.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_features(&mut self, features: u64) -> Result<(), Error> {
        // QEMU wants to know whether the log is kept.
        let important = features & FEATURE_LOG_ALL != 0;
        self.call("SET_FEATURES", important, |frontend| frontend.set_features(features))
    }

    /// Sends SET_OWNER.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_owner(&mut self) -> Result<(), Error> {
        self.call("SET_OWNER", false, |frontend| frontend.set_owner())
    }

    /// Sends GET_PROTOCOL_FEATURES; bits unknown to the `vhost` crate are lost.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn offered_protocol_features(&mut self) -> Result<u64, Error> {
        let offered =
            self.call("GET_PROTOCOL_FEATURES", false, |frontend| frontend.get_protocol_features())?;
        Ok(offered.bits())
    }

    /// Sends SET_PROTOCOL_FEATURES.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_protocol_features(&mut self, features: u64) -> Result<(), Error> {
        let bits = VhostUserProtocolFeatures::from_bits_retain(features);
        self.call("SET_PROTOCOL_FEATURES", false, |frontend| frontend.set_protocol_features(bits))?;
        self.protocol_features = features;
        Ok(())
    }

    /// Sends GET_QUEUE_NUM; later messages cannot name a queue beyond it.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn queue_count(&mut self) -> Result<u64, Error> {
        self.call("GET_QUEUE_NUM", false, |frontend| frontend.get_queue_num())
    }

    /// Sends GET_MAX_MEM_SLOTS.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn memory_slots(&mut self) -> Result<u64, Error> {
        self.call("GET_MAX_MEM_SLOTS", false, |frontend| frontend.get_max_mem_slots())
    }

    /// Sends SET_BACKEND_REQ_FD.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_backend_channel(&mut self, theirs: &UnixStream) -> Result<(), Error> {
        self.call("SET_BACKEND_REQ_FD", true, |frontend| frontend.set_backend_request_fd(theirs))
    }

    /// Sends SET_MEM_TABLE with all of `memory`.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_memory_table(&mut self, memory: &Memory) -> Result<(), Error> {
        let table: Vec<_> = memory.regions().iter().map(|region| describe(memory, region)).collect();
        self.call("SET_MEM_TABLE", true, |frontend| frontend.set_mem_table(&table)).map(|_| ())
    }

    /// Sends ADD_MEM_REG.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn add_region(&mut self, memory: &Memory, region: &Region) -> Result<(), Error> {
        let described = describe(memory, region);
        self.call("ADD_MEM_REG", true, |frontend| frontend.add_mem_region(&described)).map(|_| ())
    }

    /// Sends REM_MEM_REG.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn remove_region(&mut self, memory: &Memory, region: &Region) -> Result<(), Error> {
        let described = describe(memory, region);
        self.call("REM_MEM_REG", true, |frontend| frontend.remove_mem_region(&described))
    }

    /// Sends SET_VRING_NUM.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_entries(&mut self, queue: u16, entries: u16) -> Result<(), Error> {
        self.call("SET_VRING_NUM", false, |frontend| frontend.set_vring_num(queue.into(), entries))
    }

    /// Sends SET_VRING_BASE.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_base(&mut self, queue: u16, base: u16) -> Result<(), Error> {
        self.call("SET_VRING_BASE", false, |frontend| frontend.set_vring_base(queue.into(), base))
    }

    /// Sends GET_VRING_BASE, which stops the ring.
    ///
    /// # Errors
    /// As [`Connection::features`]; [`Error::MalformedReply`] for a base that is no ring index.
    pub fn take_ring_base(&mut self, queue: u16) -> Result<u16, Error> {
        const MESSAGE: &str = "GET_VRING_BASE";
        let base = self.call(MESSAGE, false, |frontend| frontend.get_vring_base(queue.into()))?;
        u16::try_from(base)
            .map_err(|_| Error::MalformedReply { message: MESSAGE, detail: "the base exceeds 65535" })
    }

    /// Sends SET_VRING_ADDR for a ring in `memory`.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_addresses(&mut self, memory: &Memory, ring: &Ring) -> Result<(), Error> {
        self.set_ring_addresses_logged(memory, ring, None)
    }

    /// Sends SET_VRING_ADDR for a ring in `memory` whose used ring is logged at `log`, if it is.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_addresses_logged(
        &mut self,
        memory: &Memory,
        ring: &Ring,
        log: Option<GuestAddress>,
    ) -> Result<(), Error> {
        let at = ring.addresses();
        let user = |address| memory.user_address(address, 1).ok_or(Error::Unmapped { address, bytes: 1 });
        let data = VringConfigData {
            queue_max_size: ring.entries(),
            queue_size: ring.entries(),
            flags: u32::from(log.is_some()),
            desc_table_addr: user(at.descriptors)?,
            used_ring_addr: user(at.used)?,
            avail_ring_addr: user(at.available)?,
            log_addr: log.map(|address| address.0),
        };
        self.call("SET_VRING_ADDR", log.is_some(), |frontend| {
            frontend.set_vring_addr(ring.index().into(), &data)
        })
    }

    /// Sends SET_LOG_BASE and waits for its answer.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_log_base(&mut self, log: &DirtyLog) -> Result<(), Error> {
        let region = VhostUserDirtyLogRegion {
            mmap_size: log.bytes(),
            mmap_offset: log.offset(),
            mmap_handle: log.file().as_raw_fd(),
        };
        self.call("SET_LOG_BASE", false, |frontend| frontend.set_log_base(0, Some(region)))
    }

    /// Sends SET_LOG_FD.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_log_fd(&mut self, signal: &Notifier) -> Result<(), Error> {
        self.call("SET_LOG_FD", true, |frontend| frontend.set_log_fd(signal.event().as_raw_fd()))
    }

    /// Sends SET_VRING_ADDR with any addresses of the front end's own: descriptors, available ring, used ring.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_user_addresses(&mut self, queue: u16, parts: [u64; 3]) -> Result<(), Error> {
        let [desc_table_addr, avail_ring_addr, used_ring_addr] = parts;
        let data = VringConfigData {
            queue_max_size: 0,
            queue_size: 0,
            flags: 0,
            desc_table_addr,
            used_ring_addr,
            avail_ring_addr,
            log_addr: None,
        };
        self.call("SET_VRING_ADDR", false, |frontend| frontend.set_vring_addr(queue.into(), &data))
    }

    /// Sends SET_VRING_KICK; without a descriptor the back end has to poll.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_kick(&mut self, queue: u16, kick: Option<&Notifier>) -> Result<(), Error> {
        let Some(kick) = kick else { return self.without_descriptor(SET_VRING_KICK, queue) };
        self.call("SET_VRING_KICK", false, |frontend| frontend.set_vring_kick(queue.into(), kick.event()))
    }

    /// Sends SET_VRING_CALL; without a descriptor the driver polls.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_call(&mut self, queue: u16, call: Option<&Notifier>) -> Result<(), Error> {
        let Some(call) = call else { return self.without_descriptor(SET_VRING_CALL, queue) };
        self.call("SET_VRING_CALL", false, |frontend| frontend.set_vring_call(queue.into(), call.event()))
    }

    /// Sends SET_VRING_ERR.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_ring_error(&mut self, queue: u16, error: &Notifier) -> Result<(), Error> {
        self.call("SET_VRING_ERR", false, |frontend| frontend.set_vring_err(queue.into(), error.event()))
    }

    /// Sends SET_VRING_ENABLE.  Where it matters and acknowledgements were not agreed on, GET_FEATURES follows, whose
    /// reply shows that the ring is enabled: a kick may otherwise overtake the message.  QEMU does the same.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn enable_ring(&mut self, queue: u16, enabled: bool) -> Result<(), Error> {
        let important = self.acks != Acks::Memory;
        self.call("SET_VRING_ENABLE", important, |frontend| {
            frontend.set_vring_enable(queue.into(), enabled)
        })?;
        if self.acks == Acks::Some && self.protocol_features & protocol::REPLY_ACK == 0 {
            self.features()?;
        }
        Ok(())
    }

    /// Sends RESET_DEVICE.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn reset_device(&mut self) -> Result<(), Error> {
        self.call("RESET_DEVICE", false, |frontend| frontend.reset_device())
    }

    /// Sends GET_CONFIG and returns `bytes` of the configuration space from `offset`.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn config(&mut self, offset: u32, bytes: u32) -> Result<Vec<u8>, Error> {
        let zeroes = vec![0; bytes as usize];
        let flags = VhostUserConfigFlags::empty();
        let (_, config) =
            self.call("GET_CONFIG", false, |frontend| frontend.get_config(offset, bytes, flags, &zeroes))?;
        Ok(config)
    }

    /// Sends SET_CONFIG.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_config(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        let flags = VhostUserConfigFlags::empty();
        self.call("SET_CONFIG", true, |frontend| frontend.set_config(offset, flags, bytes))
    }

    /// Sends GET_STATUS.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn status(&mut self) -> Result<u64, Error> {
        const MESSAGE: &str = "GET_STATUS";
        self.raw.send(GET_STATUS, FLAG_VERSION, &[], &[])?;
        let reply = self.raw.receive()?;
        if reply.request != GET_STATUS || reply.flags & FLAG_REPLY == 0 {
            return Err(Error::MalformedReply { message: MESSAGE, detail: "it answers something else" });
        }
        reply.as_u64().ok_or(Error::MalformedReply { message: MESSAGE, detail: "it is not 8 bytes" })
    }

    /// Sends SET_STATUS.
    ///
    /// # Errors
    /// As [`Connection::features`].
    pub fn set_status(&mut self, status: u64) -> Result<(), Error> {
        self.raw.send(SET_STATUS, FLAG_VERSION, &status.to_ne_bytes(), &[])
    }

    /// Waits until the back end closes the connection; returns whether it did.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn wait_closed(&self, patience: Duration) -> Result<bool, Error> {
        self.raw.wait_closed(patience)
    }

    /// Returns whether the back end has closed the connection, as far as can be told without reading from it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }

    fn without_descriptor(&self, request: u32, queue: u16) -> Result<(), Error> {
        let payload = NO_DESCRIPTOR | u64::from(queue & 0xff);
        self.raw.send(request, FLAG_VERSION, &payload.to_ne_bytes(), &[])
    }

    /// Runs one call of the `vhost` crate under the watchdog and says what its failure means.
    pub(crate) fn call<T>(
        &mut self,
        message: &'static str,
        important: bool,
        send: impl FnOnce(&mut Frontend) -> Result<T, VhostError>,
    ) -> Result<T, Error> {
        let acknowledged = match self.acks {
            Acks::Never => false,
            Acks::Memory | Acks::Some => important,
            Acks::Always => true,
        };
        let reply_ack = self.protocol_features & protocol::REPLY_ACK != 0;
        let need_reply = if acknowledged && reply_ack { VhostUserHeaderFlag::NEED_REPLY.bits() } else { 0 };
        self.frontend.set_hdr_flags(VhostUserHeaderFlag::from_bits_retain(need_reply));
        self.watchdog.arm(self.patience);
        let outcome = send(&mut self.frontend);
        let fired = self.watchdog.disarm();
        outcome.map_err(|source| match source {
            _ if fired => Error::NoReply { message, waited: self.patience },
            VhostError::VhostUserProtocol(ProtocolError::BackendInternalError) => Error::Refused { message },
            VhostError::VhostUserProtocol(
                ProtocolError::PartialMessage | ProtocolError::Disconnected | ProtocolError::SocketBroken(_),
            ) => Error::Closed { message },
            source => Error::Protocol { message, source },
        })
    }
}

fn connect_once(path: &Path) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(socket)
}

fn describe(memory: &Memory, region: &Region) -> VhostUserMemoryRegionInfo {
    let file: BorrowedFd<'_> = memory.file(region);
    VhostUserMemoryRegionInfo {
        guest_phys_addr: region.guest.0,
        memory_size: region.bytes,
        userspace_addr: region.user,
        mmap_offset: region.file_offset,
        mmap_handle: file.as_raw_fd(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_channel::FLAG_NEED_REPLY;

    fn pair(acks: Acks) -> (Connection, RawChannel) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let patience = Duration::from_secs(30);
        let connection = Connection::over(ours, acks, patience).expect("a connection");
        (connection, RawChannel::new(theirs, patience).expect("a channel"))
    }

    #[test]
    fn status_is_asked_for_and_set_by_hand() {
        let (mut connection, back_end) = pair(Acks::Some);
        let answering = std::thread::spawn(move || {
            let question = back_end.receive().expect("a question");
            back_end.send(40, FLAG_VERSION | FLAG_REPLY, &11_u64.to_ne_bytes(), &[]).expect("sent");
            let told = back_end.receive().expect("a statement");
            (question.request, question.payload.len(), told.request, told.as_u64())
        });
        assert_eq!(connection.status().expect("a status"), 11);
        connection.set_status(15).expect("sent");
        assert_eq!(answering.join().expect("the back end"), (40, 0, 39, Some(15)));
    }

    #[test]
    fn a_ring_without_a_descriptor_says_so_in_bit_8() {
        let (mut connection, back_end) = pair(Acks::Some);
        connection.set_ring_kick(2, None).expect("sent");
        let message = back_end.receive().expect("there");
        assert_eq!((message.request, message.as_u64(), message.fds.len()), (12, Some(0x102), 0));
    }

    #[test]
    fn acknowledgements_are_asked_for_as_the_dialect_does() {
        for (acks, plain, important) in [(Acks::Never, 1, 1), (Acks::Some, 1, 9), (Acks::Always, 9, 9)] {
            let (mut connection, back_end) = pair(acks);
            connection.protocol_features = protocol::REPLY_ACK;
            let answering = std::thread::spawn(move || {
                let mut flags = Vec::new();
                for _ in 0..2 {
                    let message = back_end.receive().expect("there");
                    flags.push(message.flags);
                    if message.flags & FLAG_NEED_REPLY != 0 {
                        let reply = FLAG_VERSION | FLAG_REPLY;
                        back_end.send(message.request, reply, &0_u64.to_ne_bytes(), &[]).expect("sent");
                    }
                }
                flags
            });
            connection.set_ring_base(2, 0).expect("sent");
            connection.call("SET_VRING_NUM", true, |frontend| frontend.set_vring_num(2, 1)).expect("sent");
            assert_eq!(answering.join().expect("the back end"), [plain, important]);
        }
    }
}
