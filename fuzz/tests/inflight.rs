// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The target `inflight` on its corpus and on seeds.
//!
//! Above: `cargo xtask test`, level fuzz.  Below: `support`.
//! Never here: what the target promises; `src/inflight.rs` says that.

mod support;

#[test]
fn a_region_that_lies_is_refused_cleared_or_resumed() {
    support::run("inflight", 5000);
}
