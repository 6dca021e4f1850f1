// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of the space below, once for each store, however many backstores are on it and however often guests fill
//! it and make room again.
//!
//! Above: `growth`, once for each round.
//! Below: nothing.
//! Never here: a look at a file system, or when its space is scarce.

use crate::machine::SpaceLook;
use model::BackstoreId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// So many lines are said of one store in [`INTERVAL`]; how it is after that is said then.
const LINES_MAX: u32 = 6;
const INTERVAL: Duration = Duration::from_secs(600);

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// That space is scarce.
    Scarce(String),
    /// That there is enough again.
    Enough(String),
}

/// What was said, by store.
#[derive(Default)]
pub(super) struct Told(BTreeMap<u64, Store>);

struct Store {
    is_scarce: bool,
    lines: u32,
    since: Instant,
}

impl Told {
    /// What is to be said of one round, in which the space below these was `scarce`.
    pub(super) fn lines(
        &mut self,
        looks: &[SpaceLook],
        scarce: &BTreeSet<BackstoreId>,
        now: Instant,
    ) -> Vec<Line> {
        let mut stores: BTreeMap<u64, (&SpaceLook, bool)> = BTreeMap::new();
        for look in looks {
            let is_scarce = scarce.contains(&look.backstore);
            let store = stores.entry(look.space.store).or_insert((look, is_scarce));
            if is_scarce && !store.1 {
                *store = (look, true);
            }
        }
        // One that hangs is not seen for a while.
        self.0.retain(|store, told| stores.contains_key(store) || now - told.since < INTERVAL);
        stores.into_values().filter_map(|(look, is_scarce)| self.line(look, is_scarce, now)).collect()
    }

    fn line(&mut self, look: &SpaceLook, is_scarce: bool, now: Instant) -> Option<Line> {
        let fresh = Store { is_scarce: false, lines: 0, since: now };
        let told = self.0.entry(look.space.store).or_insert(fresh);
        if now - told.since >= INTERVAL {
            (told.lines, told.since) = (0, now);
        }
        if told.is_scarce == is_scarce || told.lines == LINES_MAX {
            return None;
        }
        told.is_scarce = is_scarce;
        told.lines += 1;
        let rest = if told.lines == LINES_MAX {
            let minutes = INTERVAL.as_secs() / 60;
            format!(
                "; it comes and goes, and no more is said of it within {minutes} minutes of the first time"
            )
        } else {
            String::new()
        };
        let SpaceLook { backstore, space, claimed } = look;
        let left = format!("{} of {} bytes are left", space.available, space.total);
        Some(if is_scarce {
            let taken = format!("{left}, and guests may take {claimed}");
            Line::Scarce(format!("the file system of {backstore} is nearly full: {taken}{rest}"))
        } else {
            Line::Enough(format!("the file system of {backstore} has enough room again: {left}{rest}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstore::Space;
    use model::{BackstoreName, Kind};

    fn look(name: &str, store: u64) -> SpaceLook {
        let backstore = BackstoreId { kind: Kind::Fileio, name: BackstoreName::parse(name).unwrap() };
        SpaceLook { backstore, space: Space { total: 1000, available: 7, used: 1, store }, claimed: 90 }
    }

    #[test]
    fn a_store_is_told_of_once_whatever_is_on_it() {
        let (mut told, now) = (Told::default(), Instant::now());
        let looks = [look("a", 1), look("b", 1), look("c", 2)];
        let all: BTreeSet<_> = looks.iter().map(|look| look.backstore.clone()).collect();
        let some = BTreeSet::from([looks[1].backstore.clone()]);
        assert_eq!(told.lines(&looks, &BTreeSet::new(), now), []);
        let scarce =
            "the file system of fileio/b is nearly full: 7 of 1000 bytes are left, and guests may take 90";
        assert_eq!(told.lines(&looks, &some, now), [Line::Scarce(scarce.to_owned())]);
        assert_eq!(told.lines(&looks, &some, now), []);
        assert_eq!(told.lines(&looks, &all, now).len(), 1, "of the second store");
        // Who comes later, and who goes.
        assert_eq!(told.lines(&looks[..1], &all, now), []);
        let enough = "the file system of fileio/a has enough room again: 7 of 1000 bytes are left";
        assert_eq!(told.lines(&looks[..1], &BTreeSet::new(), now), [Line::Enough(enough.to_owned())]);
    }

    #[test]
    fn a_guest_that_fills_and_makes_room_for_a_day_fills_no_log_and_the_end_is_told() {
        let (mut told, start) = (Told::default(), Instant::now());
        let looks = [look("a", 1)];
        let scarce = BTreeSet::from([looks[0].backstore.clone()]);
        let mut lines = Vec::new();
        for second in 0..86_400 {
            let none = BTreeSet::new();
            let is = if second % 2 == 0 { &scarce } else { &none };
            lines.extend(told.lines(&looks, is, start + Duration::from_secs(second)));
        }
        assert_eq!(lines.len(), 144 * 6);
        let Line::Enough(last) = &lines[5] else { panic!("{:?}", lines[5]) };
        assert!(
            last.ends_with(
                "; it comes and goes, and no more is said of it within 10 minutes of the first time"
            )
        );
        // It has become scarce in silence.
        let quiet = told.lines(&looks, &scarce, start + Duration::from_secs(86_399));
        assert_eq!(quiet, []);
        let later = told.lines(&looks, &scarce, start + Duration::from_secs(86_400));
        assert_eq!(later.len(), 1);
    }
}
