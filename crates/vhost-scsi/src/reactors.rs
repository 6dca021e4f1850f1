// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All reactors of the process, each with its worker.
//!
//! Above: `lunard` starts them and asks them to be quiet; `connection` spreads its queues over them.
//! Below: `worker`.
//! Never here: a queue.

use crate::errands;
use crate::quiesce::Quiesce;
use crate::worker::{LetterKind, Worker, send};
use reactor::{Handle, Post, StartError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use target::Scope;

fn reactor_name(index: usize) -> String {
    format!("reactor-{index}")
}

/// All reactors of the process.
pub struct Reactors {
    handles: Vec<Handle<Worker>>,
    next: AtomicUsize,
}

impl Reactors {
    /// Starts `count` reactors, at least one.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(count: usize) -> Result<Arc<Self>, StartError> {
        let peers = Arc::new(OnceLock::new());
        let errands = errands::start();
        let mut handles = Vec::new();
        for index in 0..count.max(1) {
            let (peers, errands) = (Arc::clone(&peers), errands.clone());
            let make = move |post| Worker::new(post, index, peers, errands);
            handles.push(reactor::spawn(reactor_name(index), make)?);
        }
        let posts = handles.iter().map(|handle| handle.post().clone()).collect();
        assert!(peers.set(posts).is_ok(), "set once, here");
        Ok(Arc::new(Self { handles, next: AtomicUsize::new(0) }))
    }

    /// A reactor for the next queue.
    pub(crate) fn next(&self) -> &Post<Worker> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles[turn % self.handles.len()].post()
    }

    /// How to reach each.
    pub(crate) fn posts(&self) -> impl ExactSizeIterator<Item = &Post<Worker>> {
        self.handles.iter().map(Handle::post)
    }

    /// The names of the reactors' threads.
    pub fn names(&self) -> impl Iterator<Item = String> {
        (0..self.handles.len()).map(reactor_name)
    }

    /// Has one reactor, by its place in [`Reactors::names`], answer from its loop.  A disk that hangs does not keep
    /// it from that.
    pub fn ask_alive(&self, index: usize, answer: mpsc::Sender<()>) {
        if let Some(handle) = self.handles.get(index) {
            send(handle.post(), LetterKind::Alive { answer });
        }
    }

    /// Returns when nothing in `scope` that was in flight at the call is left, on any reactor, and its answers
    /// are visible.  With `close` every reactor then closes its channel into that backstore, which must be in
    /// no map any more.  Blocks as long as the backstore does.
    pub fn quiesce(&self, scope: Scope, close: Option<u64>) {
        let (tell, quiet) = mpsc::channel();
        self.begin_quiesce(scope, close, &(), &tell);
        drop(tell);
        let _ = quiet.recv();
    }

    /// The same for who waits for several at a time: sends `what` then, and does not block.
    pub fn tell_when_quiet<T: Clone + Send + 'static>(&self, scope: Scope, what: &T, tell: &mpsc::Sender<T>) {
        self.begin_quiesce(scope, None, what, tell);
    }

    fn begin_quiesce<T: Clone + Send + 'static>(
        &self,
        scope: Scope,
        close: Option<u64>,
        what: &T,
        tell: &mpsc::Sender<T>,
    ) {
        let left = Arc::new(AtomicUsize::new(self.handles.len()));
        for handle in &self.handles {
            let (left, what, tell) = (Arc::clone(&left), what.clone(), tell.clone());
            let done = Box::new(move || {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    let _ = tell.send(what);
                }
            });
            let quiesce = Quiesce {
                scope,
                ends_as: None,
                close,
                writes: None,
                waits_for_waiting: true,
                looks: None,
                done,
            };
            send(handle.post(), LetterKind::Quiesce(quiesce));
        }
    }
}
