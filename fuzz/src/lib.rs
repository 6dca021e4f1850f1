// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Front ends and guests that lie.  A target is one function of bytes, so that libFuzzer, the kept corpus and the
//! seeds of a stable test all run the same code.
//!
//! Above: `libfuzzer/` (by hand, for hours) and `tests/corpus.rs` (in every run of all tests).
//! Below: the crates that listen to a front end or a guest.
//! Never here: what is right to answer; only what must never happen.
//!
//! A target panics where a promise is broken: that is the finding.  README.md says what each promises.

#![forbid(unsafe_code)]

mod input; // bytes -> choices
mod memory; // the memory of a guest, and of the one beside it
mod messages; // what a front end may say
mod segments; // a unit that is reached in parts
mod units; // the disks that it is given

pub mod chains; // a guest's rings, in memory that changes
pub mod commands; // any CDB, in a good request
pub mod connection; // a whole front end, on a socket
pub mod inflight; // a region that somebody else wrote
pub mod vhost_user; // messages, cut anywhere

/// What can be run.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, of its folder in `corpus`, and of libFuzzer's program.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "vhost_user", run: vhost_user::run },
    Target { name: "connection", run: connection::run },
    Target { name: "chains", run: chains::run },
    Target { name: "commands", run: commands::run },
    Target { name: "inflight", run: inflight::run },
];

/// The input of a number: the same on every machine.
pub fn seed(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let [first, second, ..] = word();
    let words = 1 + usize::from(u16::from_le_bytes([first, second]) % 200);
    (0..words).flat_map(|_| word()).collect()
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn seeds_are_the_same_everywhere_and_differ_from_each_other() {
        assert_eq!(seed(1), seed(1));
        assert_ne!(seed(1), seed(2));
        assert!((1..100).map(seed).all(|bytes| (8..=1600).contains(&bytes.len())));
    }
}
