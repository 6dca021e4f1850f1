// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A worker on the thread of a test, run round by round.
//!
//! Above: the fuzz targets.
//! Below: `worker`, `reactor::testing`.
//! Never here: anything that the product uses.

use crate::errands;
use crate::losses::Losses;
use crate::port::TargetPort;
use crate::queue::{Life, QueueKind, QueueParts};
use crate::signs_of_life::SignsOfLife;
use crate::worker::{LetterKind, Mail, QueueKey, Worker, send};
use exec::mailbox::{Receiver, Wake, mailbox};
use memory::GuestMemory;
use reactor::{Post, Submitter, Work};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;
use virtqueue::SplitRing;

/// A worker that does a round when it is told to.
pub struct Bench {
    worker: Worker,
    post: Post<Worker>,
    mail: Receiver<Mail>,
    port: Arc<TargetPort>,
    signs: Arc<SignsOfLife>,
    losses: Arc<Losses>,
}

/// A queue of a [`Bench`].
#[derive(Clone, Copy, Debug)]
pub struct BenchQueue(QueueKey);

/// Nobody sleeps here.
struct Awake;

impl Wake for Awake {
    fn wake(&self) {}
}

impl Bench {
    /// A worker for queues of `port`.
    pub fn new(port: Arc<TargetPort>) -> Self {
        let (post, mail) = mailbox(Box::new(Awake));
        let peers = Arc::new(OnceLock::new());
        assert!(peers.set(vec![post.clone()]).is_ok(), "set once, here");
        let worker = Worker::new(post.clone(), 0, peers, errands::start());
        Self { worker, post, mail, port, signs: Arc::default(), losses: Arc::default() }
    }

    /// Starts queue `index` of a device.
    pub fn start(
        &mut self,
        submitter: &mut Submitter,
        index: u16,
        ring: SplitRing,
        memory: Arc<GuestMemory>,
        features: u64,
        call: Option<OwnedFd>,
    ) -> BenchQueue {
        let parts = Box::new(QueueParts {
            kind: QueueKind::of_index(index),
            ring,
            memory,
            client: 1,
            port: Arc::clone(&self.port),
            signs: Arc::clone(&self.signs),
            losses: Arc::clone(&self.losses),
            features,
            call,
            err: None,
            kick: None,
            enabled: true,
            logging: None,
            held_back: false,
        });
        let (key, started) = mpsc::channel();
        send(&self.post, LetterKind::Start { parts, key });
        self.take_mail(submitter);
        BenchQueue(started.recv().expect("the letter was taken"))
    }

    /// One round of the loop; returns whether there was anything to do.
    pub fn round(&mut self, submitter: &mut Submitter) -> bool {
        let mut busy = self.take_mail(submitter);
        busy |= self.worker.poll(submitter);
        for event in reactor::testing::exchange(submitter) {
            self.worker.event(submitter, event);
            busy = true;
        }
        self.worker.publish(submitter);
        busy
    }

    /// Does what is due by now, as the loop does when it wakes.
    pub fn wake_due(&mut self, submitter: &mut Submitter) {
        self.worker.expired(submitter, Instant::now());
    }

    /// What a worker does when it has nothing to do: asks for kicks.  Returns whether there is work already.
    pub fn arm(&mut self) -> bool {
        self.worker.arm()
    }

    /// Puts a queue on another map; returns whether its ring is in it.
    pub fn remap(&mut self, submitter: &mut Submitter, queue: BenchQueue, memory: Arc<GuestMemory>) -> bool {
        let (done, answer) = mpsc::channel();
        send(&self.post, LetterKind::Remap { key: queue.0, memory, done });
        self.take_mail(submitter);
        answer.recv().is_ok_and(|outcome| outcome.is_ok())
    }

    /// Takes nothing more from a queue's ring, and finishes what was taken in `rounds` rounds at most.  Returns how many
    /// heads it then owes, or `None` where it had not come to rest.
    pub fn finish(&mut self, submitter: &mut Submitter, queue: BenchQueue, rounds: usize) -> Option<u16> {
        self.worker.queue(queue.0)?.life = Life::Broken;
        for _ in 0..rounds {
            self.round(submitter);
            let queue = self.worker.queue(queue.0)?;
            if queue.is_quiet() && !queue.dirty {
                return Some(queue.ring.in_flight());
            }
        }
        None
    }

    /// Stops a queue; returns where its ring stood, or `None` where that took more than `rounds` rounds.
    pub fn stop(&mut self, submitter: &mut Submitter, queue: BenchQueue, rounds: usize) -> Option<u16> {
        let (stopped, answer) = mpsc::channel();
        send(&self.post, LetterKind::Stop { key: queue.0, stopped });
        for _ in 0..rounds {
            self.round(submitter);
            if let Ok(stopped) = answer.try_recv() {
                return Some(stopped.next_avail);
            }
        }
        None
    }

    fn take_mail(&mut self, submitter: &mut Submitter) -> bool {
        let mut busy = false;
        while let Some(mail) = self.mail.take() {
            self.worker.mail(submitter, mail);
            busy = true;
        }
        busy
    }
}
