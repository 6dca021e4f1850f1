// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sequences of orders by chance, from three initiators, against a plain model of SPC-4's persistent reservations.
//!
//! Above: nothing.  Below: `target`, through `execute`, with steps taken at once.
//! Never here: a word of the code it judges.  The model is written from the standard, in the form of its tables.

mod support;

use proptest::prelude::*;
use support::Outcome::{self, Check, Conflict, Done};
use support::{OBSERVER, Rig};

const INITIATORS: usize = 3;

/// What an initiator does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Out {
        nexus: usize,
        action: u8,
        kind: u8,
        key: u64,
        theirs: u64,
    },
    Read(usize),
    Write(usize),
    /// TEST UNIT READY, which is told what is pending.
    Look(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    let nexus = 1..=INITIATORS;
    // Few keys and types, so that they meet.
    let kind = prop::sample::select(vec![1_u8, 3, 5, 6, 7, 8, 5, 7, 2]);
    prop_oneof![
        6 => (nexus.clone(), 0..=6_u8, kind, 0..4_u64, 0..4_u64)
            .prop_map(|(nexus, action, kind, key, theirs)| Act::Out { nexus, action, kind, key, theirs }),
        2 => nexus.clone().prop_map(|nexus| Act::Out { nexus, action: 6, kind: 0, key: 0, theirs: nexus as u64 }),
        1 => nexus.clone().prop_map(Act::Read),
        1 => nexus.clone().prop_map(Act::Write),
        2 => nexus.prop_map(Act::Look),
    ]
}

/// Three initiators and one logical unit, as the standard speaks of them.
#[derive(Default)]
struct Model {
    /// The key of each; 0 is none.
    keys: [u64; INITIATORS + 1],
    /// The type, and who made it.
    held: Option<(u8, usize)>,
    generation: u32,
    pending: [Vec<(u8, u8)>; INITIATORS + 1],
}

impl Model {
    fn registered(&self) -> Vec<usize> {
        (1..=INITIATORS).filter(|nexus| self.keys[*nexus] != 0).collect()
    }

    fn is_holder(&self, nexus: usize) -> bool {
        match self.held {
            Some((7 | 8, _)) => self.keys[nexus] != 0,
            Some((_, holder)) => holder == nexus,
            None => false,
        }
    }

    fn tell(&mut self, nexus: usize, condition: (u8, u8)) {
        if !self.pending[nexus].contains(&condition) {
            self.pending[nexus].push(condition);
        }
    }

    /// A registration ends.
    fn leave(&mut self, nexus: usize) {
        let was_holder = self.is_holder(nexus);
        self.keys[nexus] = 0;
        let left = self.registered();
        match self.held {
            Some((7 | 8, _)) if !left.is_empty() => {}
            Some((kind, _)) if was_holder => {
                self.held = None;
                if kind == 5 || kind == 6 {
                    left.into_iter().for_each(|other| self.tell(other, (0x2a, 0x04)));
                }
            }
            _ => {}
        }
    }

    /// What a command of `nexus` meets first: an attention, or a conflict.
    fn meets(&mut self, nexus: usize, writes: bool) -> Outcome {
        let free = match self.held {
            None => true,
            Some((5..=8, _)) if self.keys[nexus] != 0 => true,
            Some((1 | 5 | 7, _)) if !writes => true,
            Some(_) => self.is_holder(nexus),
        };
        if !free {
            return Conflict;
        }
        self.attention(nexus)
    }

    fn attention(&mut self, nexus: usize) -> Outcome {
        if self.pending[nexus].is_empty() {
            return Done;
        }
        let (asc, ascq) = self.pending[nexus].remove(0);
        Check(6, asc, ascq)
    }

    fn out(&mut self, nexus: usize, action: u8, kind: u8, key: u64, theirs: u64) -> Outcome {
        let attention = self.attention(nexus);
        if attention != Done {
            return attention;
        }
        let is_type = [1, 3, 5, 6, 7, 8].contains(&kind);
        if (action == 1 || action == 2) && !is_type {
            return Check(5, 0x24, 0);
        }
        let is_registered = self.keys[nexus] != 0;
        match action {
            0 | 6 => {
                if action == 0 && key != self.keys[nexus] {
                    return Conflict;
                }
                match (is_registered, theirs) {
                    (false, 0) => return Done,
                    (true, 0) => self.leave(nexus),
                    _ => self.keys[nexus] = theirs,
                }
                self.generation += 1;
                return Done;
            }
            _ if !is_registered || key != self.keys[nexus] => return Conflict,
            _ => {}
        }
        let others: Vec<usize> = self.registered().into_iter().filter(|other| *other != nexus).collect();
        match action {
            1 => match self.held {
                None => self.held = Some((kind, nexus)),
                Some((is, _)) if is == kind && self.is_holder(nexus) => {}
                Some(_) => return Conflict,
            },
            2 => {
                if self.is_holder(nexus) {
                    if self.held.map(|(is, _)| is) != Some(kind) {
                        return Check(5, 0x26, 4);
                    }
                    self.held = None;
                    if kind >= 5 {
                        others.into_iter().for_each(|other| self.tell(other, (0x2a, 0x04)));
                    }
                }
            }
            3 => {
                self.held = None;
                self.keys = [0; INITIATORS + 1];
                others.into_iter().for_each(|other| self.tell(other, (0x2a, 0x03)));
                self.generation += 1;
            }
            _ => return self.preempt(nexus, kind, theirs, is_type),
        }
        Done
    }

    fn preempt(&mut self, nexus: usize, kind: u8, theirs: u64, is_type: bool) -> Outcome {
        let is_for_all = matches!(self.held, Some((7 | 8, _)));
        if theirs == 0 && !is_for_all {
            return Check(5, 0x26, 0);
        }
        let takes = match self.held {
            Some((7 | 8, _)) => theirs == 0,
            Some((_, holder)) => self.keys[holder] == theirs,
            None => false,
        };
        let meant: Vec<usize> = self
            .registered()
            .into_iter()
            .filter(|other| (theirs == 0 || self.keys[*other] == theirs) && !(takes && *other == nexus))
            .collect();
        if takes {
            if !is_type {
                return Check(5, 0x24, 0);
            }
            let before = self.held.replace((kind, nexus));
            for other in &meant {
                self.keys[*other] = 0;
            }
            if before.is_some_and(|(before, _)| before != kind && before >= 5) {
                for other in self.registered() {
                    if other != nexus {
                        self.tell(other, (0x2a, 0x04));
                    }
                }
            }
        } else {
            if meant.is_empty() {
                return Conflict;
            }
            meant.iter().for_each(|other| self.leave(*other));
        }
        for other in meant {
            if other != nexus {
                self.tell(other, (0x2a, 0x05));
            }
        }
        self.generation += 1;
        Done
    }
}

fn send(rig: &Rig, act: Act) -> Outcome {
    match act {
        Act::Out { nexus, action, kind, key, theirs } => {
            let cdb = [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0];
            let list = [&key.to_be_bytes()[..], &theirs.to_be_bytes(), &[0; 8]].concat();
            rig.send_with(nexus, 0, &cdb, &list).0
        }
        Act::Read(nexus) => rig.send(nexus, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Act::Write(nexus) => rig.send(nexus, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Act::Look(nexus) => rig.send(nexus, &[0x00, 0, 0, 0, 0, 0]),
    }
}

fn expect(model: &mut Model, act: Act) -> Outcome {
    match act {
        Act::Out { nexus, action, kind, key, theirs } => model.out(nexus, action, kind, key, theirs),
        Act::Read(nexus) => model.meets(nexus, false),
        Act::Write(nexus) => model.meets(nexus, true),
        Act::Look(nexus) => model.attention(nexus),
    }
}

/// READ KEYS and READ RESERVATION as the standard lays them out.
fn looks(model: &Model) -> (Vec<u8>, Vec<u8>) {
    let generation = model.generation.to_be_bytes();
    let keys: Vec<u8> =
        model.registered().iter().flat_map(|nexus| model.keys[*nexus].to_be_bytes()).collect();
    let length = u32::try_from(keys.len()).unwrap().to_be_bytes();
    let held = match model.held {
        None => [&generation[..], &[0; 4]].concat(),
        Some((kind, holder)) => {
            let key = if kind >= 7 { 0 } else { model.keys[holder] };
            [&generation[..], &[0, 0, 0, 16], &key.to_be_bytes(), &[0, 0, 0, 0, 0, kind, 0, 0]].concat()
        }
    };
    ([&generation[..], &length, &keys].concat(), held)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_sequence_of_orders_comes_to_what_the_standard_says(
        acts in prop::collection::vec(acts(), 1..60),
    ) {
        let (rig, mut model) = (Rig::new(INITIATORS), Model::default());
        for (number, act) in acts.into_iter().enumerate() {
            prop_assert_eq!(send(&rig, act), expect(&mut model, act), "{} {:?}", number, act);
            let read = |action| rig.send_with(OBSERVER, 0, &[0x5e, action, 0, 0, 0, 0, 0, 1, 0, 0], &[]).1;
            prop_assert_eq!((read(0), read(1)), looks(&model), "{} {:?}", number, act);
        }
    }
}
