// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes and file descriptors over a Unix socket.
//!
//! Above: `connection`.  Below: `recvmsg`, `sendmsg`.
//! Never here: what the bytes mean.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Descriptors that one message may bring: the kernel's own bound (SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 253;

/// Receives what is there, up to the length of `space`.  0 bytes: the other side has closed.
pub(crate) fn receive(socket: &UnixStream, space: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(space)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((received.bytes, descriptors))
}

/// Sends all of `bytes`, the descriptors with the first of them.
pub(crate) fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        if first && !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(io::Error::other("an answer with more descriptors than answers have"));
        }
        match sendmsg(socket, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                first = false;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
