// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one owner of the configuration, and the way of one change.
//!
//! Above: `server` and `configfs_door`, through [`Handle`].  Below: `wish`, `model`, `store`, [`Machine`].
//! Never here: a wire, a file, a guest.
//!
//! ```text
//!   wishes ──validate──► draft ──prepare──► prepared ──persist──► commit ──► answer
//!            this thread        a thread of     this thread, all three; from here
//!            pure               its own         on it cannot be refused any more
//! ```
//!
//! While one transaction prepares, perhaps for ever on a hung disk, others go on.  When it is ready and
//! the configuration has moved, it is drafted again on what is now: if the same steps follow, it commits;
//! if not, what was prepared is dropped and it starts over.  What a commit leaves to a disk, a thread of its own waits
//! for, and answers.

mod answer; // how a transaction ended
mod handle; // what everybody else has of the owner

use crate::machine::{Fault, Machine, Rest};
use crate::saveconfig::RestoreError;
use crate::service_manager;
use crate::store::Store;
use crate::view::View;
use crate::wish::{Chance, Draft, Generation, Made, Wishes};
use api::v1;
use model::{BackstoreId, Change, Model, Step};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use tracing::{debug, info, warn};

pub use answer::{Counts, Failure};
pub use handle::Handle;

use answer::Reply;

/// The most transactions that prepare at once, each on a thread of its own.
pub const PREPARING_MAX: usize = 16;

/// The most transactions that wait for one of those threads.
pub const WAITING_MAX: usize = 64;

/// What the owner is told.
enum Message<P> {
    Wish {
        wishes: Wishes,
        reply: Reply,
    },
    Ready {
        ticket: Box<Ticket>,
        prepared: Result<P, Fault>,
    },
    /// A medium that was missing is there.
    Appeared(BackstoreId),
    /// Answered at once, by an owner that goes on.
    Alive(Sender<()>),
    Stop,
}

/// A transaction on its way.
struct Ticket {
    wishes: Wishes,
    draft: Draft,
    steps: Vec<Step>,
    reply: Reply,
}

/// The owner, as long as it runs.
#[derive(Debug)]
pub struct Running {
    stop: Stop,
    thread: JoinHandle<()>,
}

struct Stop(Box<dyn Fn() + Send>);

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

impl Running {
    /// Ends it: a commit under way is finished, everything that waits is answered with
    /// [`Failure::Stopping`].
    pub fn stop(self) {
        (self.stop.0)();
        if self.thread.join().is_err() {
            warn!("the owner of the configuration panicked");
        }
    }
}

struct StateDriver<M: Machine> {
    model: Arc<Model>,
    generation: Generation,
    store: Store,
    machine: Arc<M>,
    chance: Box<dyn Chance>,
    shared: Handle,
    to_self: Sender<Message<M::Prepared>>,
    preparing: usize,
    waiting: VecDeque<(Wishes, Reply)>,
}

/// Starts the owner on a thread of its own, on a configuration that is on disk and committed already.
///
/// # Errors
/// Those of starting a thread.
pub fn start<M: Machine>(
    model: Model,
    store: Store,
    machine: Arc<M>,
    chance: Box<dyn Chance>,
    runtime_dir: PathBuf,
) -> std::io::Result<(Handle, Running)> {
    let (to_self, messages) = channel();
    let model = Arc::new(model);
    let submit = to_self.clone();
    let ask = to_self.clone();
    let told = to_self.clone();
    let [live, open, connected, reserved, moving, counting, waits] = [(); 7].map(|()| Arc::clone(&machine));
    let shared = Handle {
        submit: Arc::new(move |wishes, reply| {
            // Without an owner the reply is dropped, which is an answer.
            let _ = submit.send(Message::Wish { wishes, reply });
        }),
        ask_alive: Arc::new(move |answer| {
            // An owner that has ended did so because it was told to.
            if let Err(SendError(Message::Alive(answer))) = ask.send(Message::Alive(answer)) {
                let _ = answer.send(());
            }
        }),
        appeared: Arc::new(move |id| {
            // An owner that has ended wants to know nothing more.
            let _ = told.send(Message::Appeared(id));
        }),
        saving: Arc::default(),
        live: Arc::new(move || live.live()),
        live_backstore: Arc::new(move |id| open.live_backstore(id)),
        connected: Arc::new(move |wwn| connected.connected(wwn)),
        reservations: Arc::new(move |id| reserved.reservations(id)),
        move_medium: Arc::new(move |id, loaded, force| moving.move_medium(id, loaded, force)),
        counted: Arc::new(move |of| counting.counted(of)),
        waiting: Arc::new(move || waits.waiting()),
        model: Arc::new(RwLock::new((Arc::clone(&model), Generation::default()))),
        counts: Arc::default(),
        runtime_dir: Arc::new(runtime_dir),
        watchers: Arc::default(),
    };
    let stop = to_self.clone();
    let stop = Stop(Box::new(move || {
        let _ = stop.send(Message::Stop);
    }));
    let handle = shared.clone();
    let driver = StateDriver {
        model,
        generation: Generation::default(),
        store,
        machine,
        chance,
        shared,
        to_self,
        preparing: 0,
        waiting: VecDeque::new(),
    };
    let thread = Builder::new().name("state".to_owned()).spawn(move || driver.run(&messages))?;
    Ok((handle, Running { stop, thread }))
}

impl<M: Machine> StateDriver<M> {
    fn run(mut self, messages: &Receiver<Message<M::Prepared>>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Wish { wishes, reply } => self.accept(wishes, reply),
                Message::Ready { ticket, prepared } => {
                    self.preparing -= 1;
                    self.finish(*ticket, prepared);
                    self.start_waiting();
                }
                Message::Appeared(id) => self.learn(&id),
                Message::Alive(answer) => {
                    let _ = answer.send(());
                }
                Message::Stop => return,
            }
        }
    }

    /// Takes note of what a medium that has appeared cannot do: a fact and no wish, which is found out again at each start.
    fn learn(&mut self, id: &BackstoreId) {
        // What is open now, after all that was committed.
        let Some(beyond) = self.machine.limits(id) else { return };
        let mut model = Model::clone(&self.model);
        model.learn_limits(id, &beyond);
        if model != *self.model {
            self.model = Arc::new(model);
            self.show();
        }
    }

    /// Shows everybody the configuration as it is now.
    fn show(&self) {
        *self.shared.model.write().unwrap_or_else(PoisonError::into_inner) =
            (Arc::clone(&self.model), self.generation);
        for watcher in self.shared.watchers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            watcher();
        }
    }

    fn accept(&mut self, wishes: Wishes, reply: Reply) {
        if self.preparing < PREPARING_MAX {
            self.begin(wishes, reply);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((wishes, reply));
        } else {
            self.answer(reply, Err(Failure::Busy));
        }
    }

    fn start_waiting(&mut self) {
        while self.preparing < PREPARING_MAX
            && let Some((wishes, reply)) = self.waiting.pop_front()
        {
            if !reply.is_closed() {
                self.begin(wishes, reply);
            }
        }
    }

    /// Validates, and hands the steps to a thread.
    fn begin(&mut self, wishes: Wishes, reply: Reply) {
        if self.has_moved_for(&wishes) {
            return self.answer(reply, Err(Failure::Moved));
        }
        let draft = match wishes.draft(&self.model, &mut *self.chance) {
            Ok(draft) => draft,
            Err(RestoreError::Refused(refusal)) => return self.answer(reply, Err(refusal.into())),
            Err(error) => return self.answer(reply, Err(Failure::Restore(error))),
        };
        if wishes.is_other_than_shown(&self.model, &draft) {
            return self.answer(reply, Err(Failure::Moved));
        }
        let (steps, of_guest) = (draft.steps_from(&self.model), reply.of_guest);
        let ticket = Ticket { wishes, draft, steps, reply };
        let (machine, back) = (Arc::clone(&self.machine), self.to_self.clone());
        let prepare = move || {
            let prepared = machine.prepare(&ticket.steps, ticket.wishes.occasion());
            // An owner that ended drops what was prepared, which undoes it.
            let _ = back.send(Message::Ready { ticket: Box::new(ticket), prepared });
        };
        match Builder::new().name("prepare".to_owned()).spawn(prepare) {
            Ok(_detached) => self.preparing += 1,
            // The reply went with the closure: the caller hears that there is nobody to do it.
            Err(err) => {
                self.shared
                    .counts
                    .fail(of_guest, &format_args!("cannot start a thread to prepare it: {err}"));
            }
        }
    }

    /// Whether something was committed since these wishes were looked at, other than for a guest.
    fn has_moved_for(&self, wishes: &Wishes) -> bool {
        wishes.meant_for().is_some_and(|generation| generation != self.generation)
    }

    fn finish(&mut self, ticket: Ticket, prepared: Result<M::Prepared, Fault>) {
        let Ticket { wishes, draft, steps, reply } = ticket;
        if reply.is_closed() {
            if reply.of_guest {
                debug!("a change was taken back: the guest that asked for it is gone, or waits no more");
            } else {
                info!("a change was taken back: whoever asked for it is gone");
            }
            return;
        }
        if self.has_moved_for(&wishes) {
            drop(prepared);
            return self.answer(reply, Err(Failure::Moved));
        }
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => return self.answer(reply, Err(fault.into())),
        };
        match draft.moved_to(&self.model) {
            Ok(moved)
                if moved.steps_from(&self.model) == steps
                    && !wishes.is_other_than_shown(&self.model, &moved) =>
            {
                self.conclude(moved, prepared, reply);
            }
            Ok(_) | Err(_) => {
                drop(prepared);
                self.begin(wishes, reply);
            }
        }
    }

    /// Persists, commits, answers.
    fn conclude(&mut self, draft: Draft, prepared: M::Prepared, reply: Reply) {
        let Draft { mut model, changes, mut made } = draft;
        for found in self.machine.found(&prepared) {
            if let Some(bytes) = found.size_bytes {
                model.learn_size(&found.backstore, bytes);
            }
            if let Some(bytes) = found.sector_bytes {
                model.learn_blocks(&found.backstore, bytes);
            }
            model.learn_limits(&found.backstore, &found.beyond);
            tell(&mut made, &found.backstore, &found.notes);
        }
        self.shared.saving.store(true, Ordering::Relaxed);
        let saved = self.store.save(&self.model, &model);
        self.shared.saving.store(false, Ordering::Relaxed);
        if let Err(err) = saved {
            return self.answer(reply, Err(err.into()));
        }
        let rest = self.machine.commit(prepared);
        self.model = Arc::new(model);
        // However often guests ask for something, an administrator can have what he was shown, as long as it is that: see
        // `Wishes::is_other_than_shown`.
        if !reply.of_guest {
            self.generation.0 += 1;
        }
        self.show();
        if reply.of_guest {
            debug!("{}", summary(&changes));
        } else {
            info!("{}", summary(&changes));
        }
        let live = self.machine.live();
        service_manager::serves(&live);
        let view = View::new(&self.model, &live, &self.shared.runtime_dir);
        let results = made.into_iter().map(|made| view.outcome(made)).collect();
        let done = v1::Applied { results };
        if rest.is_empty() { self.answer(reply, Ok(done)) } else { self.answer_after(rest, reply, done) }
    }

    /// Answers when all is so, however long that takes.  Others are not held up.
    fn answer_after(&self, rest: Vec<Rest>, reply: Reply, done: v1::Applied) {
        let counts = Arc::clone(&self.shared.counts);
        let wait = move || {
            let ended = rest.into_iter().try_for_each(Rest::wait);
            counts.answer(reply, ended.map(|()| done).map_err(Failure::from));
        };
        // The reply goes with the closure: nobody is told that it is so.
        if let Err(err) = Builder::new().name("rest".to_owned()).spawn(wait) {
            warn!("cannot start a thread to wait for the end of a change: {err}");
        }
    }

    fn answer(&self, reply: Reply, result: Result<v1::Applied, Failure>) {
        self.shared.counts.answer(reply, result);
    }
}

/// The most changes that a line of the log names.
const NAMED_MAX: usize = 4;

/// A transaction in one line.
fn summary(changes: &[Change]) -> String {
    let mut named: Vec<String> = changes.iter().take(NAMED_MAX).map(Change::to_string).collect();
    if let Some(more) = changes.len().checked_sub(NAMED_MAX).filter(|more| *more != 0) {
        named.push(format!("and {more} more changes"));
    }
    named.join(", ")
}

/// Puts what the machine noticed where the backstore is told of.
fn tell(made: &mut [Made], id: &BackstoreId, notes: &[String]) {
    for made in made {
        if let Made::Backstore(told, own) = made
            && told == id
        {
            own.extend_from_slice(notes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Wwn;

    #[test]
    fn a_transaction_is_one_bounded_line() {
        let changes: Vec<Change> = (1..=4).map(|n| Change::DeleteTarget(Wwn::made_up(n))).collect();
        assert_eq!(summary(&changes[..1]), "delete target naa.5001405000000001");
        assert!(summary(&changes).ends_with("delete target naa.5001405000000004"));
        let many: Vec<Change> = changes.iter().cycle().take(4096).cloned().collect();
        assert!(summary(&many).ends_with("naa.5001405000000004, and 4092 more changes"));
    }
}
