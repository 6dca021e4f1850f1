// SPDX-License-Identifier: Apache-2.0 OR MIT
//! vhost-user messages as plain bytes, for what the `vhost` crate hides or would refuse to send.
//!
//! Above: `connection`, hostile tests.  Below: sendmsg(2), recvmsg(2).
//! Never here: checks of what is sent.

use crate::deadline::{Deadline, wait_readable};
use crate::error::Error;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Bytes of a message's header: request, flags, length of the payload, each four.
pub const HEADER_BYTES: usize = 12;
/// Version 1, which every message carries in its flags.
pub const FLAG_VERSION: u32 = 1;
/// The message is a reply.
pub const FLAG_REPLY: u32 = 4;
/// The sender wants an acknowledgement.
pub const FLAG_NEED_REPLY: u32 = 8;

/// The longest payload we read; vhost-user has none beyond a page or so.
const PAYLOAD_BYTES_MAX: u32 = 0x1_0000;
/// File descriptors in one message, sent or received.
const FDS_MAX: usize = 64;

/// A message that came in.
#[derive(Debug)]
pub struct RawMessage {
    /// The request it is, or answers.
    pub request: u32,
    /// [`FLAG_VERSION`], [`FLAG_REPLY`], [`FLAG_NEED_REPLY`].
    pub flags: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
    /// Descriptors that came along.
    pub fds: Vec<OwnedFd>,
}

impl RawMessage {
    /// Returns the payload as one number, if it is 8 bytes.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.payload.as_slice().try_into().ok().map(u64::from_ne_bytes)
    }
}

/// A socket that speaks vhost-user messages without understanding them.
#[derive(Debug)]
pub struct RawChannel {
    socket: UnixStream,
    patience: Duration,
}

impl RawChannel {
    /// Speaks over `socket`; `patience` bounds each wait.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn new(socket: UnixStream, patience: Duration) -> Result<Self, Error> {
        socket
            .set_write_timeout(Some(patience))
            .map_err(|source| Error::Host { what: "timeout of a socket", source })?;
        Ok(Self { socket, patience })
    }

    /// Returns the socket.
    #[must_use]
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Sends a message with a header that fits it.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::NoReply`] if the other end does not read, [`Error::Host`].
    pub fn send(
        &self,
        request: u32,
        flags: u32,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let length =
            u32::try_from(payload.len()).map_err(|_| Error::Invalid { detail: "a payload beyond 4 GiB" })?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        for field in [request, flags, length] {
            bytes.extend_from_slice(&field.to_ne_bytes());
        }
        bytes.extend_from_slice(payload);
        self.send_bytes(&bytes, fds)
    }

    /// Sends any bytes, the descriptors with the first of them.
    ///
    /// # Errors
    /// As [`RawChannel::send`].
    pub fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        const MESSAGE: &str = "a raw message";
        if fds.len() > FDS_MAX {
            return Err(Error::Invalid { detail: "more than 64 descriptors in one message" });
        }
        let mut sent = 0;
        while sent < bytes.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !fds.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(fds));
            }
            let rest = [IoSlice::new(&bytes[sent..])];
            match rustix::net::sendmsg(&self.socket, &rest, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(step) => sent += step,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(Error::NoReply { message: MESSAGE, waited: self.patience }),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Error::Closed { message: MESSAGE }),
                Err(errno) => return Err(Error::host("sendmsg")(errno)),
            }
        }
        Ok(())
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::NoReply`], [`Error::MalformedReply`] for one that is too long, [`Error::Host`].
    pub fn receive(&self) -> Result<RawMessage, Error> {
        const MESSAGE: &str = "a raw message";
        let deadline = Deadline::after(self.patience);
        let mut header = [0; HEADER_BYTES];
        let mut fds = Vec::new();
        self.receive_exactly(&mut header, &mut fds, &deadline)?;
        let [request, flags, length] = [0, 4, 8]
            .map(|at| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        if length > PAYLOAD_BYTES_MAX {
            return Err(Error::MalformedReply {
                message: MESSAGE,
                detail: "its payload is longer than 64 KiB",
            });
        }
        let mut payload = vec![0; length as usize];
        self.receive_exactly(&mut payload, &mut fds, &deadline)?;
        Ok(RawMessage { request, flags, payload, fds })
    }

    /// Waits until the other end closes the connection; returns whether it did.  Messages that arrive are dropped.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn wait_closed(&self, patience: Duration) -> Result<bool, Error> {
        let deadline = Deadline::after(patience);
        let mut dropped = Vec::new();
        loop {
            match self.receive_exactly(&mut [0], &mut dropped, &deadline) {
                Ok(()) => dropped.clear(),
                Err(Error::Closed { .. }) => return Ok(true),
                Err(Error::NoReply { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns whether the other end has closed the connection, with nothing left to read before that.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.socket, &mut [0_u8; 1], flags) {
            Ok((_, bytes)) => bytes == 0,
            Err(errno) => errno == Errno::CONNRESET,
        }
    }

    fn receive_exactly(
        &self,
        out: &mut [u8],
        fds: &mut Vec<OwnedFd>,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        const MESSAGE: &str = "a raw message";
        let mut done = 0;
        while done < out.len() {
            if !wait_readable(&self.socket, deadline)? {
                return Err(Error::NoReply { message: MESSAGE, waited: deadline.waited() });
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let mut rest = [IoSliceMut::new(&mut out[done..])];
            match rustix::net::recvmsg(&self.socket, &mut rest, &mut ancillary, flags) {
                Ok(received) if received.bytes == 0 => return Err(Error::Closed { message: MESSAGE }),
                Ok(received) => done += received.bytes,
                Err(Errno::CONNRESET) => return Err(Error::Closed { message: MESSAGE }),
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(errno) => return Err(Error::host("recvmsg")(errno)),
            }
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    fn pair() -> (RawChannel, RawChannel) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let channel = |socket| RawChannel::new(socket, Duration::from_millis(50)).expect("a channel");
        (channel(ours), channel(theirs))
    }

    #[test]
    fn a_message_is_its_header_its_payload_and_its_descriptors() {
        let (ours, theirs) = pair();
        ours.send(39, FLAG_VERSION, &[15, 0, 0, 0, 0, 0, 0, 0], &[ours.socket().as_fd()]).expect("sent");
        let mut bytes = [0; 20];
        let mut fds = Vec::new();
        let deadline = Deadline::after(Duration::from_secs(30));
        theirs.receive_exactly(&mut bytes, &mut fds, &deadline).expect("there");
        assert_eq!(bytes, [39, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(fds.len(), 1);
    }

    #[test]
    fn what_was_sent_is_received() {
        let (ours, theirs) = pair();
        ours.send(40, FLAG_VERSION | FLAG_REPLY, &7_u64.to_ne_bytes(), &[]).expect("sent");
        let message = theirs.receive().expect("there");
        assert_eq!((message.request, message.flags, message.as_u64()), (40, 5, Some(7)));
        assert!(message.fds.is_empty());
    }

    #[test]
    fn silence_an_end_and_nonsense_have_names() {
        let (ours, theirs) = pair();
        assert!(matches!(theirs.receive(), Err(Error::NoReply { .. })));
        assert!(!theirs.is_closed() && !theirs.wait_closed(Duration::from_millis(10)).expect("poll"));
        ours.socket().write_all(&[1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 2, 0]).expect("sent");
        assert!(matches!(theirs.receive(), Err(Error::MalformedReply { .. })));
        drop(ours);
        assert!(theirs.is_closed() && theirs.wait_closed(Duration::ZERO).expect("poll"));
        assert!(matches!(theirs.receive(), Err(Error::Closed { .. })));
    }
}
