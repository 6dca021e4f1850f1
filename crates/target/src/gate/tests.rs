// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The word between a nexus and a unit.
//!
//! Above: nothing.  Below: `gate`, which `tests/schedules.rs` compiles once more, and so has no tests in it.
//! Never here: threads.

use crate::gate::{Barred, Gate};

#[test]
fn a_new_gate_is_open() {
    assert!(Gate::default().load().is_open());
}

#[test]
fn each_field_is_set_and_taken_back_without_the_others() {
    let gate = Gate::default();
    gate.set_attention(true);
    gate.set_access_state(0xf);
    for barred in [Barred::Writing, Barred::Accessing, Barred::Legacy, Barred::Nothing] {
        gate.set_barred(barred);
        let word = gate.load();
        assert_eq!((word.barred(), word.has_attention(), word.access_state()), (barred, true, 0xf));
    }
    gate.set_attention(false);
    assert!(!gate.load().is_open());
    gate.set_access_state(0);
    assert!(gate.load().is_open());
}
