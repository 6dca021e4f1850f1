// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long to poll before sleeping.
//!
//! Above: the loop.  Below: nothing.  Never here: a clock.
//!
//! Polling pays when the next event comes sooner than a sleep and a wake-up cost.  The budget doubles when a
//! wait, the poll before the sleep included, turned out so short that a longer poll would have caught its end,
//! and halves when it was long, so an idle ring soon costs nothing.

use std::time::Duration;

/// Where growth begins.
const BUDGET_MIN: Duration = Duration::from_micros(4);
/// The longest poll: about what a sleep, an interrupt and a wake-up cost.
const BUDGET_MAX: Duration = Duration::from_micros(32);

/// The time to poll for, adapted by what the waits were like.
#[derive(Debug, Default)]
pub(crate) struct PollBudget {
    budget: Duration,
}

impl PollBudget {
    pub(crate) fn get(&self) -> Duration {
        self.budget
    }

    /// Learns from one wait that ended in a sleep.
    pub(crate) fn waited(&mut self, duration: Duration) {
        if duration <= self.budget {
            return;
        }
        self.budget = if duration > BUDGET_MAX {
            let halved = self.budget / 2;
            if halved < BUDGET_MIN { Duration::ZERO } else { halved }
        } else {
            (self.budget * 2).clamp(BUDGET_MIN, BUDGET_MAX)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::PollBudget;
    use std::time::Duration;

    fn after(waits_us: &[u64]) -> u128 {
        let mut budget = PollBudget::default();
        for &us in waits_us {
            budget.waited(Duration::from_micros(us));
        }
        budget.get().as_micros()
    }

    #[test]
    fn short_waits_make_it_grow_up_to_the_bound() {
        assert_eq!(after(&[]), 0);
        assert_eq!(after(&[10]), 4);
        assert_eq!(after(&[10, 10]), 8);
        assert_eq!(after(&[10, 10, 10]), 16);
        assert_eq!(after(&[30, 30, 30, 30, 30]), 32);
    }

    #[test]
    fn long_waits_make_it_vanish() {
        assert_eq!(after(&[30, 30, 30, 30, 1000]), 16);
        assert_eq!(after(&[30, 30, 30, 30, 1000, 1000, 1000, 1000]), 0);
    }
}
