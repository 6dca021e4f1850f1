// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages into a thread that may be asleep.
//!
//! Above: `reactor`, whose loop looks in once a round, and whoever sends to it.
//! Below: a mutex that only a sender and a non-empty look take.
//! Never here: how a sleeping thread is woken; that is the [`Wake`] the owner brings.
//!
//! The two sides agree by one flag.  The owner raises `parked` *before* it looks for the last time and
//! sleeps; a sender lowers it *after* the message is in.  Both are sequentially consistent, so either the
//! owner sees the message or the sender sees the flag, and no message waits for another event.

use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError};
use std::collections::VecDeque;

/// Messages that may wait in one mailbox.  Senders are control threads that wait for an answer each, so a
/// mailbox this full means that its owner has stopped.
pub const MAIL_MAX: usize = 65_536;

/// Wakes the owner of a mailbox from its sleep.
pub trait Wake: Send + Sync {
    /// Makes the owner's sleep end, now or at its beginning.  Never blocks.
    fn wake(&self);
}

/// The mailbox is full, or its owner has gone; the message comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Undelivered<T>(pub T);

struct Shared<T> {
    mail: Mutex<VecDeque<T>>,
    waiting: AtomicUsize,
    parked: AtomicBool,
    closed: AtomicBool,
    wake: Box<dyn Wake>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        // A sender cannot leave the queue half changed, so a poisoned lock still guards a whole queue.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a mailbox whose owner is woken by `wake`.
pub fn mailbox<T>(wake: Box<dyn Wake>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        mail: Mutex::new(VecDeque::new()),
        waiting: AtomicUsize::new(0),
        parked: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        wake,
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The side that sends.  Any thread may hold one.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Sender<T> {
    /// Puts a message in and wakes the owner if it sleeps.
    ///
    /// # Errors
    /// [`Undelivered`] when [`MAIL_MAX`] messages wait or the owner has gone.
    pub fn send(&self, message: T) -> Result<(), Undelivered<T>> {
        {
            let mut mail = self.shared.lock();
            if self.shared.closed.load(Ordering::Acquire) || mail.len() >= MAIL_MAX {
                return Err(Undelivered(message));
            }
            mail.push_back(message);
            self.shared.waiting.store(mail.len(), Ordering::SeqCst);
        }
        if self.shared.parked.swap(false, Ordering::SeqCst) {
            self.shared.wake.wake();
        }
        Ok(())
    }
}

/// The side that receives: one thread.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Takes the oldest message.  One atomic load when there is none.
    pub fn take(&mut self) -> Option<T> {
        if self.shared.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut mail = self.shared.lock();
        let message = mail.pop_front();
        self.shared.waiting.store(mail.len(), Ordering::SeqCst);
        message
    }

    /// Announces sleep.  Returns `false`, and the owner must not sleep, when a message is already there.
    #[must_use]
    pub fn park(&mut self) -> bool {
        self.shared.parked.store(true, Ordering::SeqCst);
        if self.shared.waiting.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.unpark();
        false
    }

    /// Ends the sleep announced by [`Receiver::park`].
    pub fn unpark(&mut self) {
        self.shared.parked.store(false, Ordering::SeqCst);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut mail = self.shared.lock();
        self.shared.closed.store(true, Ordering::Release);
        mail.clear();
        self.shared.waiting.store(0, Ordering::SeqCst);
    }
}
