// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The target `vhost_user` on its corpus and on seeds.
//!
//! Above: `cargo xtask test`, level fuzz.  Below: `support`.
//! Never here: what the target promises; `src/vhost_user.rs` says that.

mod support;

#[test]
fn messages_in_any_order_keep_rings_consistent_and_leave_nothing_open() {
    support::run("vhost_user", 4000);
}
