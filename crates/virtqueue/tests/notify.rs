// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is told of what, in both directions, against the standard read aloud (virtio 1.2, 2.7.7 and 2.7.10).
//!
//! Above: nothing.
//! Below: `virtqueue::testing`.
//! Never here: the arithmetic of the code under test; indices are counted one by one.

use proptest::prelude::*;
use virtqueue::testing::Driver;
use virtqueue::{RingConfig, SplitRing};

const ENTRIES: u16 = 16;

#[derive(Clone, Debug)]
enum Event {
    /// The driver asks to be told, by its flag or by its event: so far from the device's index.
    Wish(bool, i16),
    /// So many chains are offered, taken and answered at once.
    Round(u16),
    /// The device asks for kicks, and the driver then offers so many.
    Arm(u16),
    Disarm,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (any::<bool>(), -3..10_i16).prop_map(|(quiet, ahead)| Event::Wish(quiet, ahead)),
        3 => (1..=ENTRIES).prop_map(Event::Round),
        2 => (1..=ENTRIES).prop_map(Event::Arm),
        1 => Just(Event::Disarm),
    ]
}

/// Whether one of the elements from `old` on, up to and without `new`, is the one that is waited for.
fn is_among(event: u16, old: u16, new: u16) -> bool {
    let mut index = old;
    while index != new {
        if index == event {
            return true;
        }
        index = index.wrapping_add(1);
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_side_is_told_when_it_asked_to_be(
        event_idx in any::<bool>(),
        first in prop_oneof![Just(0_u16), Just(0xfff8), any::<u16>()],
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut driver = Driver::new(ENTRIES);
        driver.set_available_index(first);
        driver.set_used_index(first);
        let config = RingConfig { event_idx, next_avail: first, ..driver.config() };
        let mut ring = SplitRing::start(config, driver.memory(), None).unwrap();
        let (mut index, mut quiet, mut wanted, mut is_first) = (first, false, 0_u16, true);
        for event in events {
            let offers = match event {
                Event::Wish(flag, ahead) => {
                    quiet = flag;
                    wanted = index.wrapping_add_signed(ahead);
                    driver.set_available_flags(u16::from(flag));
                    driver.set_used_event(wanted);
                    continue;
                }
                Event::Disarm => {
                    ring.disarm();
                    prop_assert_eq!(driver.used_flags(), u16::from(!event_idx), "a flag, or an event left behind");
                    continue;
                }
                Event::Arm(count) => {
                    prop_assert!(!ring.arm(), "nothing is offered");
                    let told = driver.available_event();
                    // The very next chain is to be kicked for.
                    let kicks = if event_idx {
                        is_among(told, index, index.wrapping_add(count)) && told == index
                    } else {
                        driver.used_flags() == 0
                    };
                    prop_assert!(kicks, "a kick would be lost: {} at {}", told, index);
                    count
                }
                Event::Round(count) => count,
            };
            (0..offers).for_each(|head| driver.offer(head));
            prop_assert!(ring.arm(), "what was offered meanwhile is seen");
            let mut heads = [0; 32];
            prop_assert_eq!(ring.pop_batch(&mut heads), Ok(usize::from(offers)));
            (0..offers).for_each(|head| ring.push_used(head, 0));
            let new = index.wrapping_add(offers);
            let asked = if event_idx { is_among(wanted, index, new) } else { !quiet };
            prop_assert_eq!(ring.publish(), asked || is_first, "{} to {}, asked for {}", index, new, wanted);
            (index, is_first) = (new, false);
        }
    }
}
