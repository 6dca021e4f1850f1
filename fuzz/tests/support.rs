// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every input of a kept corpus, and seeds made up on the spot, through one target.
//!
//! Above: a test for each target, in a process of its own: descriptors are counted.
//! Below: the targets; on a stable compiler, unoptimized, so that arithmetic that overflows is found.
//! Never here: an input that is new each time; libFuzzer has those.
//!
//! `LUNAR_FUZZ_SEEDS` is how many seeds each target runs instead of its own number.

use fuzz::{TARGETS, seed};
use std::path::Path;

/// Runs a target on its corpus and so many seeds.
pub(crate) fn run(name: &str, seeds: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("a corpus for each target")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in &paths {
        // Seen where the test fails: the input that did it.
        println!("{}", path.display());
        (target.run)(&std::fs::read(path).expect("a file"));
    }
    let seeds = std::env::var("LUNAR_FUZZ_SEEDS").map_or(seeds, |count| count.parse().expect("a number"));
    for number in 0..seeds {
        println!("seed {number}");
        (target.run)(&seed(number));
    }
}
