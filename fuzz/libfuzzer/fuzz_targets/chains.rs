// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer's way into the target `chains`; what it does is in `fuzz/src/chains.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::chains::run(data));
