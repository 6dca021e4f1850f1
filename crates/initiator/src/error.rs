// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong for a guest: mostly something that did not arrive.
//!
//! Above: everybody.  Below: nothing.
//! Never here: SCSI outcomes.  A CHECK CONDITION is an answer, not an error.

use crate::memory::GuestAddress;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a step of the guest did not succeed.
///
/// The variants from [`Error::NotAnswered`] to [`Error::ShortResponse`] are accusations: the device broke a rule of virtio.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket did not accept us in time.
    #[error("no connection to {path} within {waited:?}", path = path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// How long we tried.
        waited: Duration,
        /// The last refusal of the system.
        source: io::Error,
    },
    /// There is no connection: it was never made, was dropped or was lost.
    #[error("the guest has no connection")]
    NotConnected,
    /// The back end closed the connection where it owed us something.
    #[error("the back end closed the connection at {message}")]
    Closed {
        /// The message that was being sent or answered.
        message: &'static str,
    },
    /// The back end owes us a reply; the connection was shut down for it.
    #[error("no reply to {message} within {waited:?}")]
    NoReply {
        /// The message that was not answered.
        message: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// The back end acknowledged a message with a failure.
    #[error("the back end refused {message}")]
    Refused {
        /// The message that was refused.
        message: &'static str,
    },
    /// The `vhost` crate would not send the message or could not read its reply.
    #[error("{message} failed: {source}")]
    Protocol {
        /// The message that failed.
        message: &'static str,
        /// What the `vhost` crate says.
        source: vhost::Error,
    },
    /// The reply to a message of our own making does not fit it.
    #[error("the reply to {message} is malformed: {detail}")]
    MalformedReply {
        /// The message that was answered.
        message: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// The back end serves fewer queues than the guest wants.
    #[error("the back end serves {offered} queues where {wanted} are wanted")]
    TooFewQueues {
        /// What GET_QUEUE_NUM said.
        offered: u64,
        /// Control, event and request queues together.
        wanted: u64,
    },
    /// The back end takes fewer memory regions than the guest has.
    #[error("the back end takes {offered} memory regions where {wanted} are needed")]
    TooFewSlots {
        /// What GET_MAX_MEM_SLOTS said.
        offered: u64,
        /// Regions of the guest's memory.
        wanted: u64,
    },
    /// A queue index beyond those the guest was configured with.
    #[error("the guest has no queue {queue}")]
    NoSuchQueue {
        /// The index asked for; requests start at 2.
        queue: u16,
    },
    /// The guest's memory has no room left.
    #[error("no {bytes} bytes of guest memory are free")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
    /// A range that is not, or not wholly, guest memory (or is already in use, when it was asked for by address).
    #[error("{bytes} bytes at guest address {address:#x} are not free guest memory", address = address.0)]
    Unmapped {
        /// Start of the range.
        address: GuestAddress,
        /// Length of the range.
        bytes: u64,
    },
    /// A memory plan that cannot be built.
    #[error("memory plan: {detail}")]
    Plan {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// More descriptors were asked for than are free.
    #[error("queue {queue} has {free} descriptors free where {wanted} are needed")]
    RingFull {
        /// The queue.
        queue: u16,
        /// Descriptors asked for.
        wanted: usize,
        /// Descriptors free.
        free: usize,
    },
    /// A command or event did not come back in time.
    #[error("queue {queue} returned nothing within {waited:?}; {in_flight} chains are in flight")]
    NotAnswered {
        /// The queue.
        queue: u16,
        /// Chains the device holds.
        in_flight: usize,
        /// How long we waited.
        waited: Duration,
    },
    /// The used ring moved, but the interrupt we had asked for did not come: a real guest would hang.
    #[error("queue {queue} returned a chain without the interrupt that was asked for")]
    NotSignalled {
        /// The queue.
        queue: u16,
    },
    /// The used ring holds a head that is not in flight: never offered, or returned twice.
    #[error("queue {queue} returned head {head}, which is not in flight")]
    NotInFlight {
        /// The queue.
        queue: u16,
        /// The head in the used element.
        head: u32,
    },
    /// The used index advanced by more than what is in flight.
    #[error("the used index of queue {queue} advanced by {advanced} with {in_flight} chains in flight")]
    UsedIndexJumped {
        /// The queue.
        queue: u16,
        /// How far it advanced.
        advanced: u16,
        /// Chains the device holds.
        in_flight: usize,
    },
    /// The device claims to have written more than the chain can hold.
    #[error("queue {queue} returned head {head} with {used_len} bytes written of {writable_bytes} writable")]
    UsedTooLong {
        /// The queue.
        queue: u16,
        /// The head in the used element.
        head: u32,
        /// Its length.
        used_len: u32,
        /// Device-writable bytes of the chain.
        writable_bytes: u64,
    },
    /// The device returned the chain with less than a whole response in it.
    #[error("queue {queue} wrote {used_len} bytes where a response takes {response_bytes}")]
    ShortResponse {
        /// The queue.
        queue: u16,
        /// Length in the used element.
        used_len: u32,
        /// Bytes of the smallest valid response.
        response_bytes: usize,
    },
    /// An answer came for a command that nobody waits for.
    #[error("queue {queue} answered a command that nobody waits for")]
    Late {
        /// The queue.
        queue: u16,
    },
    /// A command a test or bench relies on did not end well.
    #[error("{command} ended with response {response:#04x}, status {status:#04x}, sense {sense:02x?}")]
    Command {
        /// Which command.
        command: &'static str,
        /// The virtio-scsi response byte.
        response: u8,
        /// The SCSI status byte.
        status: u8,
        /// The sense bytes.
        sense: Vec<u8>,
    },
    /// A parameter makes no sense.
    #[error("{detail}")]
    Invalid {
        /// Which one, and why.
        detail: &'static str,
    },
    /// This host failed us.
    #[error("{what}: {source}")]
    Host {
        /// What was attempted.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Wraps a failure of the host's system.
    pub(crate) fn host(what: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Error::Host { what, source: errno.into() }
    }
}
