// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lunar's chores: `cargo xtask demo`, `test`, `fuzz`, `bench`, `tidy`, `setup`.
//!
//! Above: developers, users who try Lunar, and continuous integration.
//! Below: cargo, apt, and the harness of the stories.
//! Never here: a crate of Lunar.  The chores judge the product from outside.

mod cargo;
mod run;

mod setup;
mod tidy;

mod bench;
mod demo;
mod fuzz;
mod levels;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Lunar's chores
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Show a Linux guest finding, formatting and verifying a disk that Lunar serves
    Demo,
    /// Install what is missing and run every level of tests that fits this machine
    Test,
    /// Run fuzz targets under libFuzzer, with AddressSanitizer, from the kept corpus on
    ///
    /// Installs cargo-fuzz from crates.io if it is not there, and builds with RUSTC_BOOTSTRAP=1, so that a stable
    /// compiler does.  An input that breaks a promise ends the run and is kept in target/fuzz-findings; what was
    /// found on the way is in target/fuzz-corpus, and --minimize brings it into fuzz/corpus.
    Fuzz(fuzz::Wanted),
    /// Measure Lunar beside a peer and fio, or another figure (`speed`, `inflight`, `guest`, `tools`, `lines`)
    Bench {
        /// The figure and its options, as the program `bench` takes them; `speed` if nothing is said
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FIGURE")]
        words: Vec<String>,
    },
    /// Check format, lints, the arrows between the crates and the house rules for files
    Tidy,
    /// Install what demo and test need
    Setup,
}

fn main() -> ExitCode {
    let chore = Arguments::parse().chore;
    match perform(&chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(chore: &Chore) -> Result<()> {
    match chore {
        Chore::Demo => demo::show(),
        Chore::Test => levels::run(),
        Chore::Fuzz(wanted) => fuzz::run(wanted),
        Chore::Bench { words } => bench::run(words),
        Chore::Tidy => tidy::check(),
        Chore::Setup => setup::prepare(setup::For::Test),
    }
}
