// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines of those who wait, one for each thing that is waited for: what is given back of one is looked at by nobody else.
//!
//! Above: `claims`.
//! Below: nothing.
//! Never here: what is waited for, or how much of it there is.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Waiters in a line from which on it is looked through for those that wait no more, so that aborts do not make it longer
/// than there are commands.
const SIFTED_FROM: usize = 64;

/// Lines, by what is waited for.
pub(super) struct Lines<K, W> {
    lines: HashMap<K, Line<W>>,
    /// The lines whose waiters are to be looked after, each once; they take turns.
    ready: VecDeque<K>,
}

/// Those who wait for one thing, the first come first; never empty.
struct Line<W> {
    waiters: VecDeque<W>,
    /// How long it is to be when it is looked through next: twice as long as it was then, so that a waiter costs the same
    /// however many there are.
    sifted_at: usize,
    /// How many are still to be looked after since it was woken: who joins again behind them is not.
    turns: usize,
    is_ready: bool,
}

impl<K, W> Default for Lines<K, W> {
    fn default() -> Self {
        Self { lines: HashMap::new(), ready: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, W> Lines<K, W> {
    /// Whether anybody waits for this.
    pub(super) fn has_line(&self, key: K) -> bool {
        self.lines.contains_key(&key)
    }

    /// Whether anybody is to be looked after.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lets somebody wait behind all others.
    pub(super) fn join(&mut self, key: K, waiter: W, still_waits: impl FnMut(&W) -> bool) {
        let new = || Line { waiters: VecDeque::new(), sifted_at: SIFTED_FROM, turns: 0, is_ready: false };
        let line = self.lines.entry(key).or_insert_with(new);
        if line.waiters.len() >= line.sifted_at {
            line.waiters.retain(still_waits);
            line.sifted_at = SIFTED_FROM.max(line.waiters.len().saturating_mul(2));
        }
        line.waiters.push_back(waiter);
    }

    /// Has all who wait for this now looked after.
    pub(super) fn wake(&mut self, key: K) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.turns = line.waiters.len();
        if !std::mem::replace(&mut line.is_ready, true) {
            self.ready.push_back(key);
        }
    }

    /// Takes the next who is to be looked after.  A line for whose thing `may_go` does not hold waits until it is woken.
    pub(super) fn next(&mut self, may_go: impl Fn(K) -> bool) -> Option<W> {
        while let Some(key) = self.ready.pop_front() {
            let Some(line) = self.lines.get_mut(&key) else { continue };
            line.is_ready = false;
            if line.turns == 0 || !may_go(key) {
                continue;
            }
            line.turns -= 1;
            let waiter = line.waiters.pop_front();
            if line.waiters.is_empty() {
                self.lines.remove(&key);
            } else if line.turns > 0 {
                line.is_ready = true;
                self.ready.push_back(key);
            }
            return waiter;
        }
        None
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.values().map(|line| line.waiters.len()).sum()
    }

    /// Forgets the lines that are not to stay, and who waits in them.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(K) -> bool) {
        self.lines.retain(|key, _| stays(*key));
        self.ready.retain(|key| self.lines.contains_key(key));
    }

    /// Forgets those who wait no more.
    pub(super) fn sift(&mut self, mut still_waits: impl FnMut(&W) -> bool) {
        self.lines.retain(|_, line| {
            line.waiters.retain(&mut still_waits);
            !line.waiters.is_empty()
        });
        self.ready.retain(|key| self.lines.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    fn drain(lines: &mut Lines<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| lines.next(|_| true)).collect()
    }

    #[test]
    fn what_one_gives_back_is_looked_at_by_no_other_who_waits() {
        let mut lines = Lines::default();
        for number in 0..32_768 {
            lines.join('a', number, |_| true);
        }
        lines.join('b', 40_000, |_| panic!("a line was looked through for another's sake"));
        lines.join('b', 40_001, |_| panic!("a line was looked through for another's sake"));
        lines.wake('b');
        assert_eq!(drain(&mut lines), [40_000, 40_001]);
        assert_eq!((lines.has_line('b'), lines.is_ready()), (false, false));
        lines.wake('a');
        assert_eq!(drain(&mut lines), (0..32_768).collect::<Vec<_>>());
    }

    #[test]
    fn lines_take_turns_and_nobody_has_two_who_joins_again() {
        let mut lines = Lines::default();
        for number in 0..3 {
            lines.join('a', number, |_| true);
            lines.join('b', 10 + number, |_| true);
        }
        lines.wake('a');
        lines.wake('b');
        lines.wake('a');
        let mut order = Vec::new();
        while let Some(number) = lines.next(|_| true) {
            order.push(number);
            lines.join(if number < 10 { 'a' } else { 'b' }, number, |_| true);
        }
        assert_eq!(order, [0, 10, 1, 11, 2, 12]);
        assert!(!lines.is_ready());
        // In the middle, the others have theirs before he has his second.
        lines.wake('a');
        assert_eq!(lines.next(|_| true), Some(0));
        lines.join('a', 0, |_| true);
        lines.wake('a');
        assert_eq!(drain(&mut lines), [1, 2, 0]);
    }

    #[test]
    fn a_line_that_may_not_go_on_keeps_its_place_and_stops_no_other() {
        let mut lines = Lines::default();
        for (key, number) in [('a', 1), ('b', 2), ('a', 3)] {
            lines.join(key, number, |_| true);
        }
        lines.wake('a');
        lines.wake('b');
        assert_eq!((lines.next(|key| key != 'a'), lines.next(|_| true)), (Some(2), None));
        lines.wake('a');
        assert_eq!(drain(&mut lines), [1, 3]);
    }

    #[test]
    fn aborted_commands_make_a_line_no_longer_and_cost_a_few_looks_each() {
        let mut lines = Lines::default();
        let mut looks = 0;
        // Fifty wait on, and each of the others is aborted before the next comes.
        for number in 0..100_000 {
            lines.join('a', number, |number| {
                looks += 1;
                *number < 50
            });
        }
        assert!(looks <= 300_000, "{looks}");
        lines.wake('a');
        let left = drain(&mut lines);
        assert!(left.len() <= 100 && left[0] == 0, "{}", left.len());
    }

    #[test]
    fn who_leaves_waits_no_more_and_others_do() {
        let mut lines = Lines::default();
        for (key, number) in [('a', 1), ('b', 2), ('c', 3), ('c', 4)] {
            lines.join(key, number, |_| true);
            lines.wake(key);
        }
        lines.retain(|key| key != 'a');
        lines.sift(|number| *number != 3);
        assert_eq!(drain(&mut lines), [2, 4]);
        lines.join('a', 5, |_| true);
        lines.wake('a');
        assert_eq!(drain(&mut lines), [5]);
    }
}
