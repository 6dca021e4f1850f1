// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer's way into the target `inflight`; what it does is in `fuzz/src/inflight.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::inflight::run(data));
