// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer's way into the target `commands`; what it does is in `fuzz/src/commands.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::commands::run(data));
