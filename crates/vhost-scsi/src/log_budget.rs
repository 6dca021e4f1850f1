// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bound on what guests and front ends can have logged.
//!
//! Above: `connection`, `endpoint`; `lunard`, for what it keeps of guests.  Below: nothing.
//! Never here: a clock of its own; the caller says what time it is.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lines that may come at once.
const BURST: u32 = 20;
/// The time in which one more may come.
const REFILL: Duration = Duration::from_secs(10);

/// How many lines may still be written.
#[derive(Debug)]
pub struct LogBudget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: u32,
    refilled: Instant,
    suppressed: u64,
}

impl LogBudget {
    /// As many as may come at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { state: Mutex::new(State { left: BURST, refilled: now, suppressed: 0 }) }
    }

    /// Whether a line may be written now, and then how many were not since the last one.
    pub fn spend(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while state.left < BURST && now.saturating_duration_since(state.refilled) >= REFILL {
            state.left += 1;
            state.refilled += REFILL;
        }
        if state.left == BURST {
            state.refilled = now;
        }
        if state.left == 0 {
            state.suppressed = state.suppressed.saturating_add(1);
            return None;
        }
        state.left -= 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::LogBudget;
    use std::time::{Duration, Instant};

    #[test]
    fn a_burst_is_written_and_then_one_line_in_ten_seconds() {
        let start = Instant::now();
        let budget = LogBudget::new(start);
        let at = |seconds| budget.spend(start + Duration::from_secs(seconds));
        for _ in 0..20 {
            assert_eq!(at(0), Some(0));
        }
        assert_eq!(at(1), None);
        assert_eq!(at(9), None);
        assert_eq!(at(10), Some(2));
        assert_eq!(at(11), None);
        assert_eq!(at(20), Some(1));
    }
}
