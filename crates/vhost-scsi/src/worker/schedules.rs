// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Workers under every schedule: no abort, reset or fence is answered while a command that it is about may still land.
//!
//! Above: nothing.
//! Below: the workers of the product with their rings, letters and quiescences; `shuttle`, which runs one of them at a time
//! and chooses which.
//! Never here: a second worker that is written for the test.
//!
//! Each reactor is a thread of shuttle that goes round as the loop of `reactor` does, without its kernel: what a disk does is
//! a thread of its own, which lands a write and then lets the reactor know.  Another may run after a round that leaves letters or
//! completions behind, where a reactor sleeps, and before a write lands: within a round a worker meets others only in its
//! letters.  Shuttle finds who is never woken as a deadlock.  The small scenes are run in every schedule there is; the turmoil
//! in as many as `LUNAR_SCHEDULES` says (1000), with a choice wherever shuttle has one.

mod world; // reactors, a disk and guests

use super::{LetterKind, send};
use crate::events::Pending;
use crate::queue::{BATCH_MAX, QueueKind};
use crate::quiesce::Quiesce;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::thread;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use target::Scope;
use world::{ABORTED, CONFLICT, Ended, GOOD, Promise, RESET, Ring, TASK_ABORTED, Write, build, lock, run};

fn schedules() -> usize {
    std::env::var("LUNAR_SCHEDULES").map_or(1000, |count| count.parse().expect("a number"))
}

thread_local! {
    /// Whether all has been seen that there is to see in a schedule.
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Another thread may run where one yields, sleeps or ends, and once all is over they end in their order.
struct Rounds<S>(S);

impl<S: Scheduler> Scheduler for Rounds<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        IS_OVER.set(false);
        self.0.new_execution()
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let goes_on = current.filter(|current| tasks.iter().any(|task| task.id() == *current));
        match (IS_OVER.get(), goes_on) {
            (_, Some(current)) if !yields => Some(current),
            (true, _) => tasks.first().map(|task| task.id()),
            (false, _) => self.0.next_task(tasks, current, yields),
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Runs every schedule there is; returns how many.
fn every_schedule(scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let runner = shuttle::Runner::new(Rounds(DfsScheduler::new(None, false)), config());
    runner.run(scenario)
}

fn config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    // A worker's frames are larger than those of a toy.
    config.stack_size = 0x4_0000;
    config
}

const ABORT_TASK: u32 = 0;
const ABORT_TASK_SET: u32 = 1;
const CLEAR_ACA: u32 = 2;
const CLEAR_TASK_SET: u32 = 3;
const NEXUS_RESET: u32 = 4;
const UNIT_RESET: u32 = 5;
const QUERY_TASK: u32 = 6;
const QUERY_TASK_SET: u32 = 7;

/// Every schedule of one function.  A control queue and a command are on the first reactor; on the second is another command,
/// of the same guest or of another, offered late and without a kick, behind so many that are answered at once.  The two end in
/// one of these ways.
fn check(
    (function, tag): (u32, u8),
    (other, before): (usize, usize),
    promise: impl Fn([Write; 2]) -> Promise + Send + Sync + 'static,
    ends: [&'static [Ended]; 2],
) {
    let count = every_schedule(move || {
        let queues = [(QueueKind::Control, 1, 0), (QueueKind::Request, 1, 0), (QueueKind::Request, other, 1)];
        let built = build(&queues, 2);
        let world = Arc::clone(&built.world);
        let first = world.rings[1].write(1);
        run(built, |world| {
            thread::yield_now();
            for _ in 0..before {
                world.rings[2].command(0, &[0; 6], &[]);
            }
            let second = world.rings[2].write(7);
            if other != 1 {
                thread::yield_now();
            }
            world.promise(promise([(1, first, 1), (2, second, 7)]));
            world.rings[0].manage(function, tag);
            world.kick(0);
            // Nothing but a function that looks makes anyone look.
            if function == CLEAR_ACA {
                world.kick(2);
            }
        });
        for (ring, number, ends) in [(1, first, ends[0]), (2, before as u64, ends[1])] {
            let ended = world.rings[ring].ended(number);
            assert!(ends.contains(&ended), "{ended:?}");
        }
    });
    assert!(count >= 100, "{count} schedules are not all there are");
}

fn both(writes: [Write; 2]) -> Promise {
    Promise::Over(writes.to_vec())
}

fn the_second([_, second]: [Write; 2]) -> Promise {
    Promise::Over(vec![second])
}

fn the_second_is_found([_, second]: [Write; 2]) -> Promise {
    Promise::Found(second)
}

#[test]
fn abort_task_is_answered_when_the_task_has_ended_in_every_schedule() {
    check((ABORT_TASK, 7), (1, 0), the_second, [&[GOOD], &[GOOD, ABORTED]]);
}

#[test]
fn abort_task_set_is_answered_when_the_set_has_ended_in_every_schedule() {
    check((ABORT_TASK_SET, 0), (1, 0), both, [&[GOOD, ABORTED], &[GOOD, ABORTED]]);
}

#[test]
fn clear_task_set_is_answered_when_everyones_commands_have_ended_in_every_schedule() {
    check((CLEAR_TASK_SET, 0), (2, 0), both, [&[GOOD, ABORTED], &[GOOD, TASK_ABORTED]]);
}

#[test]
fn i_t_nexus_reset_is_answered_when_its_commands_have_ended_in_every_schedule() {
    check((NEXUS_RESET, 0), (1, 0), both, [&[GOOD, RESET], &[GOOD, RESET]]);
}

#[test]
fn logical_unit_reset_is_answered_when_everyones_commands_have_ended_in_every_schedule() {
    check((UNIT_RESET, 0), (2, 0), both, [&[GOOD, RESET], &[GOOD, TASK_ABORTED]]);
}

#[test]
fn query_task_finds_a_task_that_is_under_way_in_every_schedule() {
    check((QUERY_TASK, 7), (1, 0), the_second_is_found, [&[GOOD], &[GOOD]]);
}

#[test]
fn query_task_set_finds_a_task_that_is_under_way_in_every_schedule() {
    check((QUERY_TASK_SET, 0), (1, 0), the_second_is_found, [&[GOOD], &[GOOD]]);
}

#[test]
fn clear_aca_is_rejected_in_every_schedule() {
    check((CLEAR_ACA, 0), (1, 0), |_| Promise::Rejected, [&[GOOD], &[GOOD]]);
}

#[test]
fn what_is_offered_behind_more_than_a_batch_is_begun_before_an_abort_is_answered_in_every_schedule() {
    check((ABORT_TASK, 7), (1, BATCH_MAX), the_second, [&[GOOD], &[GOOD, ABORTED]]);
    check((UNIT_RESET, 0), (2, BATCH_MAX), both, [&[GOOD, RESET], &[GOOD, TASK_ABORTED]]);
    check((QUERY_TASK, 7), (1, BATCH_MAX), the_second_is_found, [&[GOOD], &[GOOD]]);
}

/// PERSISTENT RESERVE OUT, PREEMPT AND ABORT of guest 2 by guest 1.
fn preempt_and_abort(ring: &Ring) -> u64 {
    let mut list = [0; 24];
    (list[7], list[15]) = (0xa, 0xb);
    ring.command(9, &[0x5f, 5, 5, 0, 0, 0, 0, 0, 24, 0], &list)
}

#[test]
fn preempt_and_abort_is_answered_when_the_others_commands_have_ended_in_every_schedule() {
    let count = every_schedule(|| {
        let queues = [(QueueKind::Request, 1, 0), (QueueKind::Request, 2, 0), (QueueKind::Request, 2, 1)];
        let built = build(&queues, 2);
        let world = Arc::clone(&built.world);
        let first = world.rings[1].write(1);
        run(built, |world| {
            thread::yield_now();
            let second = world.rings[2].write(7);
            thread::yield_now();
            world.promise(Promise::Over(vec![(1, first, 1), (2, second, 7)]));
            preempt_and_abort(&world.rings[0]);
            world.kick(0);
        });
        assert_eq!(world.rings[0].ended(0), GOOD);
        for ring in [1, 2] {
            let ended = world.rings[ring].ended(0);
            assert!([GOOD, TASK_ABORTED, CONFLICT].contains(&ended), "{ended:?}");
        }
    });
    assert!(count >= 100, "{count} schedules are not all there are");
}

#[test]
fn a_unit_is_taken_away_when_what_was_begun_there_has_ended_in_every_schedule() {
    let count = every_schedule(|| {
        let queues = [(QueueKind::Request, 1, 0), (QueueKind::Request, 1, 1)];
        let built = build(&queues, 2);
        let world = Arc::clone(&built.world);
        world.expects.store(2, Ordering::SeqCst);
        world.promise(Promise::Over(Vec::new()));
        let first = world.rings[0].write(1);
        run(built, |world| {
            thread::yield_now();
            let second = world.rings[1].write(7);
            world.kick(1);
            thread::yield_now();
            let writes = [(0, first, 1), (1, second, 7)];
            let begun = lock(&world.under_way).clone();
            for post in &world.posts {
                let (world, begun) = (Arc::downgrade(world), begun.clone());
                let done = Box::new(move || {
                    let world = world.upgrade().expect("it lasts longer");
                    if world.expects.fetch_sub(1, Ordering::SeqCst) == 1 {
                        let was_begun = |write: &Write| begun.contains(&(u64::from(write.2) * 512));
                        writes.into_iter().filter(was_begun).for_each(|write| world.is_over(write));
                    }
                });
                let scope = Scope { store: Some(1), ..Scope::default() };
                let (ends_as, close, writes, looks) = (None, None, None, None);
                let quiesce = Quiesce { scope, ends_as, close, writes, waits_for_waiting: true, looks, done };
                send(post, LetterKind::Quiesce(quiesce));
            }
        });
    });
    assert!(count >= 100, "{count} schedules are not all there are");
}

#[test]
fn what_is_said_before_the_queue_of_events_is_disabled_is_told_first_in_every_schedule() {
    let count = every_schedule(|| {
        let built = build(&[(QueueKind::Control, 1, 0), (QueueKind::Event, 1, 0)], 1);
        let world = Arc::clone(&built.world);
        let buffer = world.rings[1].command(0, &[], &[]);
        run(built, |world| {
            thread::yield_now();
            world.post_to(1, |key| LetterKind::Announce { key, pending: Pending::after(true) });
            thread::yield_now();
            let (done, _) = mpsc::channel();
            world.post_to(1, |key| LetterKind::Enable { key, enabled: false, done });
        });
        assert_eq!(world.rings[1].answered(), [buffer]);
    });
    assert!(count >= 3, "{count} schedules are not all there are");
}

/// Two guests write from four queues on three reactors, some of it unkicked, while the first aborts, clears, resets and asks.
fn turmoil() {
    let request = |client, reactor| (QueueKind::Request, client, reactor);
    let queues = [(QueueKind::Control, 1, 0), request(1, 0), request(1, 1), request(2, 1), request(2, 2)];
    let built = build(&queues, 3);
    let world = Arc::clone(&built.world);
    run(built, |world| {
        let mut offered: Vec<Write> = Vec::new();
        for (turn, (function, both)) in
            [(ABORT_TASK_SET, false), (UNIT_RESET, true), (CLEAR_TASK_SET, true)].into_iter().enumerate()
        {
            for ring in 1..5 {
                let block = u8::try_from(1 + 8 * turn + ring).expect("a few");
                offered.push((ring, world.rings[ring].write(block), block));
                thread::yield_now();
                if ring % 2 == 1 {
                    world.kick(ring);
                }
            }
            let is_meant = |(ring, _, _): &&Write| both || *ring < 3;
            world.promise(Promise::Over(offered.iter().filter(is_meant).copied().collect()));
            world.rings[0].manage(function, 0);
            world.kick(0);
        }
    });
    assert!(world.rings.iter().all(Ring::is_answered));
}

#[test]
fn nothing_lands_after_the_answer_that_says_so_in_a_turmoil_of_schedules() {
    let run = |scheduler: Box<dyn Scheduler + Send>| shuttle::Runner::new(scheduler, config()).run(turmoil);
    run(Box::new(RandomScheduler::new(schedules() / 2)));
    run(Box::new(PctScheduler::new(3, schedules() / 2)));
}
