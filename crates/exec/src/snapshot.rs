// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A shared value that costs one atomic load to find unchanged.
//!
//! Above: LUN maps and unit settings, written by one authority and read in the path of every command.
//! Below: a mutex that is taken only after a change.
//! Never here: waiting until every reader has seen a change.  A writer that must know asks each reader.

use crate::sync::{Arc, AtomicU64, Mutex, Ordering, PoisonError};

/// The value as its authority publishes it.
pub struct Published<T> {
    generation: AtomicU64,
    value: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    /// Publishes a first value.
    pub fn new(value: T) -> Self {
        Self { generation: AtomicU64::new(1), value: Mutex::new(Arc::new(value)) }
    }

    /// Replaces the value.  A reader sees it at its next [`Cached::get`].
    pub fn publish(&self, value: T) {
        let mut current = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(value);
        // Inside the lock, so that a reader can never pair an old value with the new generation.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The value now.  Takes a lock: for control threads.
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One reader's copy.
pub struct Cached<T> {
    generation: u64,
    value: Arc<T>,
}

impl<T> Cached<T> {
    /// Takes a first copy.
    pub fn new(published: &Published<T>) -> Self {
        let generation = published.generation.load(Ordering::Acquire);
        Self { generation, value: published.load() }
    }

    /// Brings the copy up to date.  Returns whether it changed; one atomic load when it did not.
    pub fn refresh(&mut self, published: &Published<T>) -> bool {
        let generation = published.generation.load(Ordering::Acquire);
        if generation == self.generation {
            return false;
        }
        // The value may be newer than `generation`; then the next look takes it once more, which is harmless.
        *self = Self { generation, value: published.load() };
        true
    }

    /// The copy as it was last brought up to date.
    pub fn get(&self) -> &Arc<T> {
        &self.value
    }
}
