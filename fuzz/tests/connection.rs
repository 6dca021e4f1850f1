// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The target `connection` on its corpus and on seeds.
//!
//! Above: `cargo xtask test`, level fuzz.  Below: `support`.
//! Never here: what the target promises; `src/connection.rs` says that.

mod support;

#[test]
fn a_front_end_that_lies_leaves_its_port_free_and_the_guest_beside_alone() {
    support::run("connection", 500);
}
