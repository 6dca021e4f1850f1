// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A shared value that costs one atomic load to find unchanged.
//!
//! Above: nothing.  Below: `exec`.
//! Never here: two threads; `schedules.rs` has those.

use exec::snapshot::{Cached, Published};

#[test]
fn a_reader_sees_a_change_at_its_next_look_and_only_once() {
    let published = Published::new("old");
    let mut cached = Cached::new(&published);
    assert!(!cached.refresh(&published));
    published.publish("new");
    assert_eq!(**cached.get(), "old");
    assert!(cached.refresh(&published));
    assert_eq!(**cached.get(), "new");
    assert!(!cached.refresh(&published));
}
