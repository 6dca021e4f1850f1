// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A moment after which waiting is a failure.
//!
//! Above: whatever waits.  Below: the clock.
//! Never here: a sleep that hopes.  `until` looks again and again, and says what it waited for in vain.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long `until` rests between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A moment after which waiting is a failure.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The moment `seconds` from now.
    pub fn seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// What is left; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns the first value `look` finds.  An error of `look` ends the waiting at once.
    ///
    /// `what` completes the sentence "waited in vain for …".
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if self.passed() {
                bail!("waited in vain for {what}");
            }
            std::thread::sleep(PAUSE.min(self.remaining()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_looks_again_until_it_finds() -> Result<()> {
        let mut looks = 0;
        let found = Deadline::seconds(10).until("the third look", || {
            looks += 1;
            Ok((looks == 3).then_some("found"))
        })?;
        assert_eq!((found, looks), ("found", 3));
        Ok(())
    }

    #[test]
    fn until_names_what_never_came() {
        let waited = Deadline::after(Duration::ZERO).until("a sign", || Ok(None::<()>));
        assert_eq!(waited.unwrap_err().to_string(), "waited in vain for a sign");
    }
}
