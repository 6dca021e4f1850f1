// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gate and attentions under thousands of schedules: nothing that was barred is begun after the answer that barred it,
//! nothing that was aborted lands after the abort's answer, and no attention is lost.
//!
//! Above: nothing.
//! Below: `shuttle`, which runs one thread at a time and chooses which; the modules of this crate are compiled once more,
//! on its locks and atomics instead of the standard library's.
//! Never here: memory orderings.  Shuttle has every access seen at once by all; it finds steps in the wrong order.
//!
//! A reactor here is the loop of `vhost-scsi`'s worker, with everything left out but the order of its steps: letters,
//! commands that are begun if the gate lets them, completions, answers shown, quiescences answered.  What is tried here is the
//! gate, whose every access is a choice; the worker itself runs under shuttle in its own crate.
//! `LUNAR_SCHEDULES` is how many schedules each test tries (1000).

#![allow(dead_code, unreachable_pub, reason = "modules of another crate, of which these tests use a part")]

#[path = "../src/attentions.rs"]
mod attentions;
#[path = "../src/gate.rs"]
mod gate;

/// What threads meet at, with a choice of the schedule at each access.
mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicU32, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use attentions::Attentions;
use gate::{Barred, Gate};
use scsi::Sense;
use scsi::mode::UaInterlock;
use shuttle::sync::mpsc::{self, Receiver, Sender};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

fn schedules() -> usize {
    std::env::var("LUNAR_SCHEDULES").map_or(1000, |count| count.parse().expect("a number"))
}

/// What a reactor may be asked.
enum Letter {
    /// To have everything end that it has begun, aborted, and to say so.
    Abort(Sender<()>),
    End,
}

/// What became of the commands of the nexus that is barred.
#[derive(Default)]
struct Seen {
    /// Writes that reached the medium after the order was answered.
    late: usize,
    /// Commands that were begun after it.
    begun_late: usize,
    /// Begun, and whose answer the guest cannot see.
    unanswered: usize,
    answered: bool,
}

/// A write that is under way: begun in one round, on the medium in a later one.
fn react(letters: &Receiver<Letter>, gate: &Gate, commands: usize, seen: &Mutex<Seen>) {
    let (mut under_way, mut ended, mut waiting, mut left) = (0, 0, Vec::new(), commands);
    let mut ends = false;
    while !ends || under_way + ended + left > 0 || !waiting.is_empty() {
        while let Ok(letter) = letters.try_recv() {
            match letter {
                Letter::Abort(done) => waiting.push(done),
                Letter::End => ends = true,
            }
        }
        if left > 0 {
            left -= 1;
            // One load, and then the command is begun: others may run in between.
            if gate.load().barred() == Barred::Nothing {
                thread::yield_now();
                let mut seen = seen.lock().expect("no poison");
                seen.begun_late += usize::from(seen.answered);
                seen.unanswered += 1;
                under_way += 1;
            }
        } else if under_way > 0 {
            let mut seen = seen.lock().expect("no poison");
            seen.late += usize::from(seen.answered);
            under_way -= 1;
            ended += 1;
        }
        if ended > 0 {
            seen.lock().expect("no poison").unanswered -= ended;
            ended = 0;
        }
        if under_way == 0 {
            waiting.drain(..).for_each(|done: Sender<()>| done.send(()).expect("who asked waits"));
        }
        thread::yield_now();
    }
}

/// PREEMPT AND ABORT, or a reset of a barred nexus, while so many reactors have so many of its writes.
fn fence(reactors: usize, commands: usize) {
    let (gate, seen) = (Arc::new(Gate::default()), Arc::new(Mutex::new(Seen::default())));
    let (letters, threads): (Vec<_>, Vec<_>) = (0..reactors)
        .map(|_| {
            let (sender, letters) = mpsc::channel();
            let (gate, seen) = (Arc::clone(&gate), Arc::clone(&seen));
            (sender, thread::spawn(move || react(&letters, &gate, commands, &seen)))
        })
        .unzip();
    gate.set_barred(Barred::Writing);
    let (done, quiet) = mpsc::channel();
    for reactor in &letters {
        assert!(reactor.send(Letter::Abort(done.clone())).is_ok());
    }
    for _ in 0..reactors {
        quiet.recv().expect("every reactor answers");
    }
    {
        let mut seen = seen.lock().expect("no poison");
        assert_eq!(seen.unanswered, 0, "the guest sees the end of its commands before the abort's");
        seen.answered = true;
    }
    letters.iter().for_each(|reactor| assert!(reactor.send(Letter::End).is_ok()));
    threads.into_iter().for_each(|thread| thread.join().expect("a reactor"));
    let seen = seen.lock().expect("no poison");
    assert_eq!((seen.begun_late, seen.late), (0, 0));
}

#[test]
fn nothing_barred_begins_or_lands_after_the_answer_on_one_reactor() {
    shuttle::check_random(|| fence(1, 2), schedules());
    shuttle::check_pct(|| fence(1, 2), schedules(), 3);
}

#[test]
fn nothing_barred_begins_or_lands_after_the_answer_on_several_reactors() {
    shuttle::check_random(|| fence(2, 2), schedules());
    shuttle::check_pct(|| fence(2, 2), schedules(), 3);
}

/// Establishes from two threads while a third tells.
fn tell() {
    const CONDITIONS: [Sense; 2] = [Sense::BUS_DEVICE_RESET, Sense::CAPACITY_DATA_CHANGED];
    let attentions = Arc::new(Attentions::default());
    let threads: Vec<_> = CONDITIONS
        .into_iter()
        .map(|condition| {
            let attentions = Arc::clone(&attentions);
            thread::spawn(move || attentions.establish(condition))
        })
        .collect();
    let mut told = Vec::new();
    for _ in 0..2 {
        if attentions.gate().load().has_attention() {
            told.extend(attentions.report(UaInterlock::Clear));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().expect("it establishes"));
    while attentions.gate().load().has_attention() {
        told.push(attentions.report(UaInterlock::Clear).expect("the gate said so"));
    }
    assert!(CONDITIONS.iter().all(|condition| told.contains(condition)), "{told:?}");
    assert_eq!(told.len(), 2, "each once");
}

#[test]
fn no_attention_is_lost_or_told_twice_in_any_order() {
    shuttle::check_dfs(tell, Some(schedules()));
    shuttle::check_random(tell, schedules());
}
