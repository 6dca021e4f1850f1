// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a front end may say: every message, parsed.
//!
//! Above: `session`, which gives them meaning.
//! Below: nothing.
//! Never here: bytes (that is `codec`) and the state of the connection (that is `session`).

use std::fmt;
use std::os::fd::OwnedFd;

/// A message's number on the wire (vhost-user, "Front-end message types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(pub u32);

/// Lists the requests this crate knows, once: number and name.
macro_rules! requests {
    ($($number:literal $name:ident;)*) => {
        impl Request {
            $(#[doc = concat!("Request ", $number, ", ", stringify!($name), ".")]
            pub const $name: Self = Self($number);)*

            /// Returns the name of the standard, if there is one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

requests! {
    1 GET_FEATURES;
    2 SET_FEATURES;
    3 SET_OWNER;
    4 RESET_OWNER;
    5 SET_MEM_TABLE;
    6 SET_LOG_BASE;
    7 SET_LOG_FD;
    8 SET_VRING_NUM;
    9 SET_VRING_ADDR;
    10 SET_VRING_BASE;
    11 GET_VRING_BASE;
    12 SET_VRING_KICK;
    13 SET_VRING_CALL;
    14 SET_VRING_ERR;
    15 GET_PROTOCOL_FEATURES;
    16 SET_PROTOCOL_FEATURES;
    17 GET_QUEUE_NUM;
    18 SET_VRING_ENABLE;
    19 SEND_RARP;
    20 NET_SET_MTU;
    21 SET_BACKEND_REQ_FD;
    22 IOTLB_MSG;
    23 SET_VRING_ENDIAN;
    24 GET_CONFIG;
    25 SET_CONFIG;
    26 CREATE_CRYPTO_SESSION;
    27 CLOSE_CRYPTO_SESSION;
    28 POSTCOPY_ADVISE;
    29 POSTCOPY_LISTEN;
    30 POSTCOPY_END;
    31 GET_INFLIGHT_FD;
    32 SET_INFLIGHT_FD;
    33 GPU_SET_SOCKET;
    34 RESET_DEVICE;
    35 VRING_KICK;
    36 GET_MAX_MEM_SLOTS;
    37 ADD_MEM_REG;
    38 REM_MEM_REG;
    39 SET_STATUS;
    40 GET_STATUS;
    41 GET_SHARED_OBJECT;
    42 SET_DEVICE_STATE_FD;
    43 CHECK_DEVICE_STATE;
    44 GET_SHMEM_CONFIG;
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "request {}", self.0),
        }
    }
}

/// One message of a front end, whole and well formed.  What it asks for may still be refused.
#[derive(Debug)]
pub struct Message {
    /// Which message it is.
    pub request: Request,
    /// The sender wants an acknowledgement.  Holds only where REPLY_ACK is negotiated.
    pub need_reply: bool,
    /// What it says.
    pub body: Body,
}

/// What a message says.  Ring indices are those of the wire: they may name a ring that does not exist.
#[derive(Debug)]
pub enum Body {
    /// Asks which virtio features we offer.
    GetFeatures,
    /// Says which virtio features are in force from now on.  Comes again while rings run.
    SetFeatures(u64),
    /// Claims the device.
    SetOwner,
    /// Gives the device up.  Deprecated by the standard, and ignored.
    ResetOwner,
    /// Replaces the whole memory map.
    SetMemTable(Vec<Region>),
    /// Gives the dirty log as shared memory.
    SetLogBase(LogArea),
    /// Gives the eventfd to signal after logging.
    SetLogFd(OwnedFd),
    /// Sets the number of entries of a ring.
    SetVringNum {
        /// Index of the ring.
        index: u32,
        /// Entries.
        entries: u32,
    },
    /// Says where a ring lies.
    SetVringAddr {
        /// Index of the ring.
        index: u32,
        /// Its three parts and the log of its used ring.
        addresses: RingAddresses,
    },
    /// Sets the available index that a ring goes on from.
    SetVringBase {
        /// Index of the ring.
        index: u32,
        /// Available index; a split ring has 16 bits of it.
        base: u32,
    },
    /// Stops a ring and asks where it stands.
    GetVringBase {
        /// Index of the ring.
        index: u32,
    },
    /// Starts a ring: gives the eventfd of the guest's kicks.
    SetVringKick {
        /// Index of the ring.
        index: u8,
        /// The eventfd; none means that the back end has to poll.
        fd: Option<OwnedFd>,
    },
    /// Gives the eventfd that notifies the guest.
    SetVringCall {
        /// Index of the ring.
        index: u8,
        /// The eventfd; none means that the guest polls.
        fd: Option<OwnedFd>,
    },
    /// Gives the eventfd that tells the front end of a broken ring.
    SetVringErr {
        /// Index of the ring.
        index: u8,
        /// The eventfd, if there is one.
        fd: Option<OwnedFd>,
    },
    /// Enables or disables a ring.
    SetVringEnable {
        /// Index of the ring.
        index: u32,
        /// Whether the ring may run.
        enable: bool,
    },
    /// Asks which protocol features we offer.
    GetProtocolFeatures,
    /// Says which protocol features are in force.
    SetProtocolFeatures(u64),
    /// Asks how many queues there may be, of all kinds.
    GetQueueNum,
    /// Gives the socket for messages of the back end's own.
    SetBackendReqFd(OwnedFd),
    /// Reads the configuration space.
    GetConfig {
        /// Offset of the first byte.
        offset: u32,
        /// Number of bytes.
        bytes: u32,
        /// Flags, echoed in the answer.
        flags: u32,
    },
    /// Writes the configuration space.
    SetConfig(ConfigWrite),
    /// Asks for a new area for requests in flight.
    GetInflightFd {
        /// Number of queues of all kinds.
        queues: u16,
        /// Entries of each.
        entries: u16,
        /// Length of the payload, 20 or 24 bytes: the answer takes the same form.
        payload_bytes: usize,
    },
    /// Gives the area for requests in flight: a new one, or that of a back end that died.
    SetInflightFd(InflightArea),
    /// Disables all rings and brings the device back to its first state.
    ResetDevice,
    /// Asks how many memory regions we take.
    GetMaxMemSlots,
    /// Adds a memory region.
    AddMemReg(Region),
    /// Removes the memory region with just these values.
    RemMemReg {
        /// First guest-physical address.
        guest: u64,
        /// First address in the front end's address space.
        user: u64,
        /// Length in bytes.
        bytes: u64,
    },
    /// Passes on the virtio device status.
    SetStatus(u8),
    /// Asks for the virtio device status.
    GetStatus,
    /// A message that this crate does not serve, known to the standard or not.
    Unserved,
}

/// A piece of guest memory as the front end describes it.  No sum of its fields overflows.
#[derive(Debug)]
pub struct Region {
    /// First guest-physical address.
    pub guest: u64,
    /// First address in the front end's own address space; ring addresses are of this space.
    pub user: u64,
    /// Length in bytes, not 0.
    pub bytes: u64,
    /// Where in `file` the region begins, in bytes.  Any value: it need not be a multiple of a page.
    pub file_offset: u64,
    /// The memory itself.
    pub file: OwnedFd,
}

/// Where a ring lies, in the front end's address space.  Aligned as virtio 1.2, 2.7 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// Descriptor table, a multiple of 16.
    pub desc: u64,
    /// Used ring, a multiple of 4.
    pub used: u64,
    /// Available ring, a multiple of 2.
    pub avail: u64,
    /// Guest-physical address under which writes to the used ring are logged, if they are.
    pub log: Option<u64>,
}

/// The dirty log as shared memory.
#[derive(Debug)]
pub struct LogArea {
    /// Length in bytes.
    pub bytes: u64,
    /// Where in `file` it begins.
    pub file_offset: u64,
    /// The memory.
    pub file: OwnedFd,
}

/// Who writes to the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// The guest's driver: only fields that a driver may write.
    Guest,
    /// A migration restores all of it.
    Migration,
}

/// A write to the configuration space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWrite {
    /// Offset of the first byte.
    pub offset: u32,
    /// What to write.
    pub data: Vec<u8>,
    /// Who writes.
    pub origin: ConfigOrigin,
}

/// An area for requests in flight.
#[derive(Debug)]
pub struct InflightArea {
    /// Length in bytes, not 0.
    pub bytes: u64,
    /// Where in `file` it begins.
    pub file_offset: u64,
    /// Number of queues of all kinds, not 0.
    pub queues: u16,
    /// Entries of each, not 0.
    pub entries: u16,
    /// The memory.
    pub file: OwnedFd,
}
