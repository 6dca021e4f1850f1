// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The target `commands` on its corpus and on seeds.
//!
//! Above: `cargo xtask test`, level fuzz.  Below: `support`.
//! Never here: what the target promises; `src/commands.rs` says that.

mod support;

#[test]
fn commands_are_answered_once_and_change_a_medium_only_if_the_answer_is_good() {
    support::run("commands", 600);
}
