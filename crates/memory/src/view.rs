// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory map as one reactor thread holds it.
//!
//! Above: the connection's queue on a reactor; every `IoBuf`.
//! Below: `guest_memory`.
//! Never here: sharing between threads; that is what `Arc<GuestMemory>` is for.

use std::rc::Rc;
use std::sync::Arc;

use crate::guest_memory::GuestMemory;

/// A map of guest memory, held by one thread.
///
/// Every request in flight keeps its map alive. Counting those holders with an atomic would cost two bus
/// locks a request (about 12 ns each); here a clone is a plain increment, and one atomic serves the thread.
/// Therefore `!Send`.
#[derive(Clone, Debug)]
pub struct View(Rc<Shared>);

/// This thread's one share in the map.
#[derive(Debug)]
struct Shared(Arc<GuestMemory>);

impl View {
    /// Makes this thread's view of `memory`. Allocates: once a thread and map, never per request.
    pub fn new(memory: Arc<GuestMemory>) -> Self {
        Self(Rc::new(Shared(memory)))
    }

    /// The map itself.
    #[inline]
    pub fn memory(&self) -> &GuestMemory {
        &self.0.0
    }

    /// Whether both are clones of one view.
    #[inline]
    pub fn is_same(&self, other: &View) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}
