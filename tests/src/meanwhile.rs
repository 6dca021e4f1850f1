// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One thing that is done again and again for as long as another takes.
//!
//! Above: stories of what must not be disturbed.  Below: a thread.
//! Never here: a clock.

use crate::deadline::Deadline;
use anyhow::{Result, ensure};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How long a round may take.
const ROUND_SECONDS: u64 = 120;

/// What is done again and again, as the other thing sees it.
#[derive(Debug, Default)]
pub struct Beside {
    rounds: AtomicU32,
    is_over: AtomicBool,
}

impl Beside {
    /// Waits until one more round has ended.  Who does so between the steps of its work leaves it to no scheduler how often
    /// the one thing was done in the time of the other.
    ///
    /// # Errors
    /// That none comes any more.
    pub fn another(&self) -> Result<()> {
        let before = self.rounds.load(Ordering::SeqCst);
        Deadline::seconds(ROUND_SECONDS).until("another round", || {
            ensure!(!self.is_over.load(Ordering::SeqCst), "what was done meanwhile has failed");
            Ok((self.rounds.load(Ordering::SeqCst) > before).then_some(()))
        })
    }
}

/// Does `again`, with how often it was done before, until `work` has ended; returns how often, and what came of that.
///
/// # Errors
/// Those of the one and the other.
pub fn meanwhile<T: Send>(
    mut again: impl FnMut(u32) -> Result<()>,
    work: impl FnOnce(&Beside) -> Result<T> + Send,
) -> Result<(u32, T)> {
    let beside = Beside::default();
    std::thread::scope(|scope| {
        let works = scope.spawn(|| work(&beside));
        let mut rounds = 0;
        while !works.is_finished() {
            if let Err(error) = again(rounds) {
                beside.is_over.store(true, Ordering::SeqCst);
                return Err(error);
            }
            rounds += 1;
            beside.rounds.store(rounds, Ordering::SeqCst);
        }
        Ok((rounds, works.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_waits_for_rounds_has_as_many_beside_it() -> Result<()> {
        let (rounds, ()) = meanwhile(|_| Ok(()), |beside| (0..3).try_for_each(|_| beside.another()))?;
        assert!(rounds >= 3, "{rounds}");
        Ok(())
    }

    #[test]
    fn work_does_not_wait_for_rounds_that_failed() {
        let failed: Result<(u32, ())> = meanwhile(|_| anyhow::bail!("it fails"), Beside::another);
        assert_eq!(failed.unwrap_err().to_string(), "it fails");
    }
}
