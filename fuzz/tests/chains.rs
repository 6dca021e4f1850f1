// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The target `chains` on its corpus and on seeds.
//!
//! Above: `cargo xtask test`, level fuzz.  Below: `support`.
//! Never here: what the target promises; `src/chains.rs` says that.

mod support;

#[test]
fn chains_in_live_memory_are_given_back_once_and_stay_in_it() {
    support::run("chains", 3000);
}
