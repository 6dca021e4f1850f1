// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer's way into the target `connection`; what it does is in `fuzz/src/connection.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::connection::run(data));
