// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's memory: the map a front end sends, and scatter lists over it.
//!
//! Above: `virtqueue` (rings), `backstore` (iovecs to the kernel), `target` (answers copied in and out).
//! Below: the kernel (`mmap`, `SIGBUS`).
//! Never here: a Rust reference to guest bytes; descriptors; SCSI.
//!
//! # Why no reference, ever
//!
//! The guest and the front end write these bytes whenever they like. A `&[u8]` promises the compiler that
//! nobody does, and a `&mut [u8]` that nobody else even reads. Both would be lies, so the bytes are touched in
//! three ways only: by the kernel (an iovec names them), by volatile copies into and out of memory of our own
//! (`copy`), and, for the few words a ring shares with the driver, by atomics (`virtqueue`).
//!
//! # How long a mapping lives
//!
//! ```text
//! GuestMemory ──Arc──> Mapping (munmap on drop)      one map: immutable, shared by threads
//!     ^ Arc                ^
//!     │                    │ regions that stay are shared between the old map and the new one
//! View (Rc<Arc<..>>)       │
//!     ^ held while not empty
//! IoBuf ── iovecs ─────────┘                         so memory outlives every I/O on it
//! ```

mod address; // the two ways to name a guest byte
mod between; // copies from list to list
mod copy; // CPU access to guest bytes; `between` has the rest
mod dirty_log; // which pages were written to, for a migration
mod error; // what can be wrong with a memory table
mod guest_memory; // all regions: address -> host
mod io_buf; // scatter lists
mod mapping; // one file, mapped
mod scratch; // memory of the device's own
mod sigbus; // a front end that cuts its file short
mod view; // the map as one thread holds it

pub use address::{GuestAddress, UserAddress};
pub use dirty_log::{DirtyLog, LOG_BYTES_MAX, LogError};
pub use error::{MapError, MappingError};
pub use guest_memory::{GuestMemory, HostRange, REGIONS_MAX, RegionHint, RegionInfo, RegionSpec};
pub use io_buf::{IoBuf, Unmapped};
pub use mapping::Mapping;
pub use scratch::{SCRATCH_BYTES, SCRATCHES_MAX, Scratch, ScratchPool};
pub use sigbus::broken_mappings;
pub use view::View;
