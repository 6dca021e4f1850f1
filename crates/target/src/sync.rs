// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What threads meet at: the standard library's.
//!
//! Above: `gate`, `attentions`.
//! Below: the standard library.
//! Never here: anything else.  `tests/schedules.rs` compiles those modules once more, with a `sync` of its own whose
//! every access is a point where another thread may run.

pub(crate) use std::sync::atomic::{AtomicU32, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
