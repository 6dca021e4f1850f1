// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libFuzzer's way into the target `vhost_user`; what it does is in `fuzz/src/vhost_user.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vhost_user::run(data));
