// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mailbox, snapshot and the way to sleep under thousands of schedules: no message, wake-up or value is lost.
//!
//! Above: nothing.
//! Below: `shuttle`, which runs one thread at a time and chooses which; the modules of this crate are compiled once more,
//! on its locks and atomics instead of the standard library's.
//! Never here: memory orderings.  Shuttle has every access seen at once by all; it finds steps in the wrong order.
//!
//! A thread that nobody will ever wake is found as a deadlock.  `LUNAR_SCHEDULES` is how many schedules each test tries
//! (1000): of the small tests the first of all orders, one after the other; of the larger ones some by chance.

#![allow(dead_code, unreachable_pub, reason = "modules of another crate, of which these tests use a part")]

#[path = "../src/mailbox.rs"]
mod mailbox;
#[path = "../src/snapshot.rs"]
mod snapshot;

/// What threads meet at, with a choice of the schedule at each access.
mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use mailbox::{Receiver, Wake, mailbox};
use shuttle::sync::Condvar;
use shuttle::thread;
use snapshot::{Cached, Published};
use sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, PoisonError};

fn schedules() -> usize {
    std::env::var("LUNAR_SCHEDULES").map_or(1000, |count| count.parse().expect("a number"))
}

/// An eventfd that a ring watches: what is written to it ends one sleep, now or at its beginning.
#[derive(Default)]
struct Eventfd {
    written: Mutex<bool>,
    changed: Condvar,
}

impl Eventfd {
    fn write(&self) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// `io_uring_enter` that waits for one completion.
    fn enter(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        while !*written {
            written = self.changed.wait(written).unwrap_or_else(PoisonError::into_inner);
        }
        *written = false;
    }
}

struct Waker(Arc<Eventfd>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.write();
    }
}

/// A ring as its driver and its device meet at it: an index, and whether a kick is wanted.
#[derive(Default)]
struct Ring {
    available: AtomicU64,
    wants_kick: AtomicBool,
}

impl Ring {
    /// The driver: offers one, then looks whether it is to kick.
    fn offer(&self, kick: &Eventfd) {
        self.available.fetch_add(1, Ordering::SeqCst);
        if self.wants_kick.load(Ordering::SeqCst) {
            kick.write();
        }
    }

    /// The device: asks for kicks, then looks whether there is work already.
    fn arm(&self, taken: u64) -> bool {
        self.wants_kick.store(true, Ordering::SeqCst);
        self.available.load(Ordering::SeqCst) != taken
    }

    fn disarm(&self) {
        self.wants_kick.store(false, Ordering::SeqCst);
    }
}

/// What a reactor does until it has had so many messages and chains, in the order of its loop.
fn react(mut mail: Receiver<u32>, ring: &Ring, eventfd: &Eventfd, messages: usize, chains: u64) -> Vec<u32> {
    let (mut had, mut taken) = (Vec::new(), 0);
    while had.len() < messages || taken < chains {
        let mut busy = false;
        while let Some(message) = mail.take() {
            had.push(message);
            busy = true;
        }
        let available = ring.available.load(Ordering::SeqCst);
        busy |= available != taken;
        taken = available;
        if busy || !mail.park() {
            continue;
        }
        if ring.arm(taken) {
            mail.unpark();
            ring.disarm();
            continue;
        }
        eventfd.enter();
        mail.unpark();
        ring.disarm();
    }
    had
}

/// Runs a reactor with senders of two messages each, and a driver that offers so many chains.
fn run_reactor(senders: u32, chains: u64) {
    let eventfd = Arc::new(Eventfd::default());
    let (sender, receiver) = mailbox(Box::new(Waker(Arc::clone(&eventfd))));
    let ring = Arc::new(Ring::default());
    let mut threads: Vec<_> = (0..senders)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                for message in [2 * number, 2 * number + 1] {
                    assert!(sender.send(message).is_ok());
                }
            })
        })
        .collect();
    let (driver, kick) = (Arc::clone(&ring), Arc::clone(&eventfd));
    threads.push(thread::spawn(move || (0..chains).for_each(|_| driver.offer(&kick))));
    let messages = 2 * senders as usize;
    let had = react(receiver, &ring, &eventfd, messages, chains);
    for thread in threads {
        thread.join().expect("a sender");
    }
    let mut sorted = had.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..2 * senders).collect::<Vec<_>>(), "each message once");
    let place = |message| had.iter().position(|found| *found == message);
    assert!(
        (0..senders).all(|number| place(2 * number) < place(2 * number + 1)),
        "in the order of its sender"
    );
}

#[test]
fn no_message_is_lost_to_a_sleeping_owner_in_any_order() {
    shuttle::check_dfs(|| run_reactor(1, 0), Some(schedules()));
}

#[test]
fn no_kick_is_lost_to_a_sleeping_reactor_in_any_order() {
    shuttle::check_dfs(|| run_reactor(0, 2), Some(schedules()));
}

#[test]
fn messages_and_kicks_together_wake_a_reactor() {
    shuttle::check_random(|| run_reactor(2, 2), schedules());
    shuttle::check_pct(|| run_reactor(2, 2), schedules(), 3);
}

#[test]
fn a_message_is_either_taken_or_comes_back_when_its_owner_goes() {
    shuttle::check_dfs(
        || {
            let (sender, mut receiver) = mailbox(Box::new(Waker(Arc::default())));
            let sending =
                thread::spawn(move || (0..2_u32).filter(|&message| sender.send(message).is_err()).count());
            let taken = receiver.take().into_iter().count();
            drop(receiver);
            let back = sending.join().expect("the sender");
            assert!(taken + back <= 2 && (taken == 0 || back < 2));
        },
        Some(schedules()),
    );
}

/// Publishes 1 and 2 and says so after each; whoever has heard of one sees it, and nothing goes backwards.
fn run_snapshot(readers: u32) {
    let published = Arc::new(Published::new(0_u64));
    let said = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..readers)
        .map(|_| {
            let (published, said) = (Arc::clone(&published), Arc::clone(&said));
            thread::spawn(move || {
                let mut cached = Cached::new(&published);
                let mut last = **cached.get();
                for _ in 0..3 {
                    let heard = said.load(Ordering::SeqCst);
                    cached.refresh(&published);
                    let seen = **cached.get();
                    assert!(seen >= heard, "{seen} though {heard} was published before");
                    assert!(seen >= last, "{seen} after {last}");
                    last = seen;
                }
            })
        })
        .collect();
    let mut own = Cached::new(&published);
    for value in 1..=2 {
        published.publish(value);
        said.store(value, Ordering::SeqCst);
        assert!(own.refresh(&published) && **own.get() == value, "a publisher sees its own value");
        assert!(!own.refresh(&published), "and once");
    }
    for thread in threads {
        thread.join().expect("a reader");
    }
}

#[test]
fn a_snapshot_is_never_older_than_what_was_published_before_in_any_order() {
    shuttle::check_dfs(|| run_snapshot(1), Some(schedules()));
}

#[test]
fn a_snapshot_is_never_older_than_what_was_published_before_for_many_readers() {
    shuttle::check_random(|| run_snapshot(3), schedules());
    shuttle::check_pct(|| run_snapshot(3), schedules(), 3);
}

#[test]
fn the_last_of_two_publishers_is_what_stays() {
    shuttle::check_dfs(
        || {
            let published = Arc::new(Published::new(0_u64));
            let mut cached = Cached::new(&published);
            let other = {
                let published = Arc::clone(&published);
                thread::spawn(move || published.publish(1))
            };
            published.publish(2);
            cached.refresh(&published);
            other.join().expect("the other publisher");
            cached.refresh(&published);
            assert_eq!(**cached.get(), *published.load());
        },
        Some(schedules()),
    );
}
