// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On which processor requests are answered: on that of whoever asks, where he is confined to one.
//!
//! Above: `fuse`, on the one thread that takes requests.  Below: `sched_setaffinity(2)`.
//! Never here: where anybody else runs.
//!
//! Who asks sleeps until he is answered, and who answers sleeps until he is asked.  On two processors each of them
//! wakes one that has gone to sleep meanwhile, twice a request, and that takes many times what the answer does.  On
//! one processor it is a switch from one to the other, and none of it is spent at rest.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::{Duration, Instant};

/// How often it is looked at where the asker runs, at most: whoever asks by turns with another is not followed to and
/// fro, and looking costs the others nothing that they notice.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where the thread that takes requests runs.
#[derive(Debug, Default)]
pub(crate) struct Nearby {
    /// Where it may run, as the daemon was started.
    home: Option<CpuSet>,
    /// The one processor that it is on, if it followed somebody.
    at: Option<usize>,
    looked: Option<Instant>,
}

impl Nearby {
    /// Goes where the asker is, if there is one place for him alone that the daemon may run in as well, and home if
    /// not.  The calling thread is the one that goes.
    ///
    /// `asker` is a process, or `None` for somebody who is not followed.
    pub(crate) fn follow(&mut self, asker: Option<Pid>) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        let Some(home) = self.home.or_else(|| sched_getaffinity(None).ok()) else { return };
        self.home = Some(home);
        let confined = asker.and_then(|asker| sched_getaffinity(Some(asker)).ok());
        let to = confined.as_ref().and_then(only).filter(|processor| home.is_set(*processor));
        if to == self.at {
            return;
        }
        let places = to.map_or(home, |processor| {
            let mut one = CpuSet::new();
            one.set(processor);
            one
        });
        // Where that is forbidden, it is slower.
        if sched_setaffinity(None, &places).is_ok() {
            self.at = to;
        }
    }
}

/// The only processor of a set, if it has one.
fn only(set: &CpuSet) -> Option<usize> {
    let first = || (0..CpuSet::MAX_CPU).find(|processor| set.is_set(*processor));
    if set.count() == 1 { first() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_one_has_an_only_processor() {
        let mut set = CpuSet::new();
        assert_eq!(only(&set), None);
        set.set(5);
        assert_eq!(only(&set), Some(5));
        set.set(0);
        assert_eq!(only(&set), None);
    }
}
