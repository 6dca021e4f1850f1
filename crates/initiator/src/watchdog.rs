// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ends a call into the `vhost` crate that the back end lets hang: its `Frontend` waits for replies without an end.
//!
//! Above: `connection`.  Below: shutdown(2) on the socket, from a thread of its own.
//! Never here: protocol.

use crate::error::Error;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct State {
    end: Option<Instant>,
    fired: bool,
    quit: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that shuts one socket down when a call on it takes too long.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches `socket`.
    pub(crate) fn new(socket: UnixStream) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("guest-watchdog".into())
            .spawn(move || watch(&watched, &socket))
            .map_err(|source| Error::Host { what: "starting a thread", source })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Starts counting: a call begins.
    pub(crate) fn arm(&self, patience: Duration) {
        let mut state = self.shared.state();
        state.end = Some(Instant::now() + patience);
        state.fired = false;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Stops counting; returns whether the socket has been shut down for the call.
    pub(crate) fn disarm(&self) -> bool {
        let mut state = self.shared.state();
        state.end = None;
        state.fired
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.state().quit = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed and leaves nothing to do here.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, socket: &UnixStream) {
    let mut state = shared.state();
    while !state.quit {
        let Some(end) = state.end else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            state.fired = true;
            state.end = None;
            // It fails only if the other end has gone, which ends the call too.
            let _ = socket.shutdown(Shutdown::Both);
        } else {
            state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
