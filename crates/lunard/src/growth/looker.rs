// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The thread that looks at the size of everything open, and at the space below.
//!
//! Above: `growth`, which hears of what is new, and leaves a looker behind that hangs.
//! Below: the machine, which says what to look at; the media.
//! Never here: what comes of it.
//!
//! What was found once and came to nothing is compared here and told to nobody: a thread that wakes up on a machine at rest
//! finds its memory cold, and two would be twice that.

use super::News;
use crate::machine::{Gauge, Machine};
use backstore::Space;
use model::BackstoreId;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often everything is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// After so many looks it is asked anew what there is to look at: a medium may come back without a change.
const LOOKS_A_LIST: u32 = 5;
/// After so many looks without news all is told anyhow: LOG SENSE says how much space is left, and what is said of a store
/// that comes and goes has its own clock.
const LOOKS_UNTOLD_MAX: u32 = 15;
/// What is left of a store is news where it differs by one part of so many of the store from what was told.
const NEWS_PART: u64 = 1024;
/// And any difference is, where less than one part of so many is left: there it may become scarce, or enough again.
const NEAR_PART: u64 = 4;

/// What a look has found: the size, and the space below.
pub(super) type Seen = (u64, Option<Space>);
/// The same of all, in their order.
pub(super) type Found = Vec<io::Result<Seen>>;

/// The look that a looker is at, counted from its start; none is 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress(u64);

/// A thread that looks; it ends when this is dropped.
pub(super) struct Looker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    is_over: AtomicBool,
    /// The look that it is at, and 0 while it sleeps.
    look: AtomicU64,
    /// At which of the list that is.
    number: AtomicUsize,
    list: Mutex<Arc<[Gauge]>>,
}

impl Looker {
    /// Starts one that looks at all but what hangs, and asks what there is when the configuration `is_other`.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(super) fn start<M: Machine>(
        machine: Arc<M>,
        hung: BTreeSet<BackstoreId>,
        is_other: Arc<AtomicBool>,
        tell: SyncSender<News>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            is_over: AtomicBool::new(false),
            look: AtomicU64::new(0),
            number: AtomicUsize::new(0),
            list: Mutex::new(Arc::new([])),
        });
        let its = Arc::clone(&shared);
        let look = move || Looking { shared: its, machine, hung, is_other, tell, told: None }.for_ever();
        let thread = Builder::new().name("look".to_owned()).spawn(look)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The look that it is at, unless it sleeps.
    pub(super) fn progress(&self) -> Option<Progress> {
        let look = self.shared.look.load(Ordering::Acquire);
        (look > 0).then_some(Progress(look))
    }

    /// Whether there is no thread any more.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Leaves it behind with what it is at, unless there is nothing.
    pub(super) fn leave(mut self) -> Option<(BackstoreId, JoinHandle<()>)> {
        let list = self.shared.list();
        let gauge = list.get(self.shared.number.load(Ordering::Relaxed))?;
        Some((gauge.backstore.clone(), self.thread.take()?))
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    fn list(&self) -> Arc<[Gauge]> {
        Arc::clone(&self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// What the thread itself knows.
struct Looking<M> {
    shared: Arc<Shared>,
    machine: Arc<M>,
    hung: BTreeSet<BackstoreId>,
    is_other: Arc<AtomicBool>,
    tell: SyncSender<News>,
    told: Option<Told>,
}

/// What was told last and came to nothing: of what, and how often no more than that was found since.
struct Told {
    list: Arc<[Gauge]>,
    seen: Vec<Seen>,
    times: u32,
}

impl<M: Machine> Looking<M> {
    fn for_ever(mut self) {
        let mut looks = 0;
        for round in 0_u32.. {
            self.sleep();
            if self.shared.is_over() {
                return;
            }
            // Other attributes of the same media may make something of what was seen already.
            if self.is_other.swap(false, Ordering::AcqRel) {
                self.told = None;
            }
            if self.told.is_none() || round.is_multiple_of(LOOKS_A_LIST) {
                self.ask();
            }
            let list = self.shared.list();
            let found = self.look_at_all(&list, &mut looks);
            // One that was left behind has nothing to tell.
            if !self.shared.is_over() && !self.is_known(&list, &found) {
                self.told = Told::of(&list, &found);
                if self.tell.send(News::Found(list, found)).is_err() {
                    return;
                }
            }
        }
    }

    fn sleep(&self) {
        let until = Instant::now() + INTERVAL;
        let left = || until.saturating_duration_since(Instant::now());
        while !self.shared.is_over() && !left().is_zero() {
            std::thread::park_timeout(left());
        }
    }

    /// Asks what there is to look at.
    fn ask(&self) {
        let mut list = self.machine.gauges();
        list.retain(|gauge| !self.hung.contains(&gauge.backstore));
        let is_same =
            |was: &[Gauge]| was.len() == list.len() && was.iter().zip(&list).all(|(was, is)| was.is(is));
        let mut shared = self.shared.list.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same(&shared) {
            *shared = list.into();
        }
    }

    fn look_at_all(&self, list: &[Gauge], looks: &mut u64) -> Found {
        let look = |(number, gauge): (usize, &Gauge)| {
            *looks += 1;
            self.shared.number.store(number, Ordering::Relaxed);
            self.shared.look.store(*looks, Ordering::Release);
            gauge.look()
        };
        // One that was left behind, and comes back from what hung, must not go on into the next that hangs.
        let found = list.iter().enumerate().take_while(|_| !self.shared.is_over()).map(look).collect();
        self.shared.look.store(0, Ordering::Release);
        found
    }

    /// Whether nothing would come of telling this.
    fn is_known(&mut self, list: &Arc<[Gauge]>, found: &Found) -> bool {
        let is_told = |told: &&mut Told| Arc::ptr_eq(&told.list, list) && told.knows(found);
        let Some(told) = self.told.as_mut().filter(is_told) else { return false };
        told.times += 1;
        told.times < LOOKS_UNTOLD_MAX
    }
}

impl Told {
    /// A look at which each was as large as it is shown; of any other something comes.
    fn of(list: &Arc<[Gauge]>, found: &Found) -> Option<Self> {
        let as_shown = |(gauge, seen): (&Gauge, &io::Result<Seen>)| {
            seen.as_ref().ok().copied().filter(|(bytes, _)| *bytes == gauge.shown_bytes)
        };
        let seen = list.iter().zip(found).map(as_shown).collect::<Option<_>>()?;
        Some(Self { list: Arc::clone(list), seen, times: 0 })
    }

    fn knows(&self, found: &Found) -> bool {
        let is_known = |(was, is): (&Seen, &io::Result<Seen>)| {
            is.as_ref().is_ok_and(|is| was.0 == is.0 && is_no_news(was.1.as_ref(), is.1.as_ref()))
        };
        self.seen.iter().zip(found).all(is_known)
    }
}

/// Whether what is left of a store now is as good as what was left of it.
fn is_no_news(was: Option<&Space>, is: Option<&Space>) -> bool {
    match (was, is) {
        (Some(was), Some(is)) if was.available.min(is.available) < is.total / NEAR_PART => was == is,
        (Some(was), Some(is)) => {
            let little = is.total / NEWS_PART;
            was.store == is.store
                && was.total == is.total
                && was.available.abs_diff(is.available) <= little
                && was.used.abs_diff(is.used) <= little
        }
        (was, is) => was == is,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_less_of_a_store_with_much_room_is_no_news_and_anything_else_is() {
        let space = |available, used| Space { total: 102_400, available, used, store: 1 };
        let roomy = space(50_000, 10);
        let is = |was: Space, is: Space| is_no_news(Some(&was), Some(&is));
        assert!(is(roomy, roomy) && is(roomy, space(50_100, 110)) && is(roomy, space(49_900, 10)));
        assert!(!is(roomy, space(50_101, 10)) && !is(roomy, space(50_000, 111)));
        assert!(!is(roomy, Space { store: 2, ..roomy }) && !is(roomy, Space { total: 102_401, ..roomy }));
        assert!(!is_no_news(Some(&roomy), None) && !is_no_news(None, Some(&roomy)) && is_no_news(None, None));
        // Where it may be scarce with the next byte, that byte is news.
        let near = space(25_599, 10);
        assert!(is(near, near) && !is(near, space(25_600, 10)) && !is(near, space(25_598, 10)));
        assert!(!is(space(25_600, 10), near));
    }
}
