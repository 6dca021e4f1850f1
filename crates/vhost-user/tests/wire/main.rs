// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The crate from outside: wire bytes in, effects out, both literal.
//!
//! Above: `cargo test`.
//! Below: `caller`, which plays the caller of the session and writes down what it is told.
//! Never here: sockets; see `tests/frontend_of_the_vhost_crate.rs`.

mod caller; // carries effects out and writes them down

mod codec; // lengths, counts, sums
mod front_ends; // whole starts, as QEMU, Cloud Hypervisor, crosvm and libkrun make them
mod hostile; // anything in any order
mod negotiation; // features, status, configuration space
mod rings; // the life cycle
mod shared_memory; // memory map, inflight area, dirty log
