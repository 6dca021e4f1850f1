// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages into a thread that may be asleep.
//!
//! Above: nothing.  Below: `exec`.
//! Never here: two threads; `schedules.rs` has those.

use exec::mailbox::{MAIL_MAX, Undelivered, Wake, mailbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Count(Arc<AtomicUsize>);
impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counted<T>() -> (exec::mailbox::Sender<T>, exec::mailbox::Receiver<T>, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mailbox(Box::new(Count(Arc::clone(&wakes))));
    (sender, receiver, wakes)
}

#[test]
fn messages_arrive_in_order() {
    let (sender, mut receiver, _) = counted();
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!([receiver.take(), receiver.take(), receiver.take()], [Some(1), Some(2), None]);
}

#[test]
fn an_owner_that_is_awake_is_not_woken() {
    let (sender, _receiver, wakes) = counted();
    sender.send(1).unwrap();
    assert_eq!(wakes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_sleeping_owner_is_woken_once() {
    let (sender, mut receiver, wakes) = counted();
    assert!(receiver.park());
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
}

#[test]
fn an_owner_with_mail_must_not_sleep() {
    let (sender, mut receiver, _) = counted();
    sender.send(1).unwrap();
    assert!(!receiver.park());
}

#[test]
fn a_message_to_nobody_comes_back() {
    let (sender, receiver, _) = counted();
    drop(receiver);
    assert_eq!(sender.send(7), Err(Undelivered(7)));
}

#[test]
fn a_full_mailbox_gives_the_message_back() {
    let (sender, mut receiver, _) = counted();
    for n in 0..MAIL_MAX {
        sender.send(n).unwrap();
    }
    assert_eq!(sender.send(9), Err(Undelivered(9)));
    assert_eq!(receiver.take(), Some(0));
    assert_eq!(sender.send(9), Ok(()));
}
