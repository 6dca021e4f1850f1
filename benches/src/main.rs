// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The figures of Lunar, each measured beside something to compare it with.
//!
//! Above: `cargo xtask bench`, which builds Lunar, this program and the peer.
//! Below: `initiator` for guests in user space, `stories` for daemons and guests in QEMU.
//! Never here: what is fast enough.  Figures are compared by people: no machine of continuous integration is
//! quiet.
//!
//! What is compared is measured by turns within one run, and what is printed are medians of the turns.

mod alone;
mod fio;
mod guest;
mod inflight;
mod lines;
mod machine;
mod sample;
mod server;
mod speed;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The figures of Lunar, each measured beside something to compare it with
#[derive(Parser)]
#[command(name = "bench", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Subcommand)]
enum Figure {
    /// IOPS, latency and processor time of random and sequential I/O, beside a peer and fio
    Speed {
        /// The peer's program, vhost-device-scsi; without it Lunar is measured alone
        #[arg(long, value_name = "PROGRAM")]
        peer: Option<PathBuf>,
        #[command(flatten)]
        turns: Turns,
        /// Only loads whose name contains this
        #[arg(long, value_name = "WORD", default_value = "")]
        only: String,
    },
    /// What the record of commands in flight costs
    Inflight {
        #[command(flatten)]
        turns: Turns,
    },
    /// What COMPARE AND WRITE costs beside WRITE, and those who write meanwhile
    Alone {
        #[command(flatten)]
        turns: Turns,
    },
    /// Time from the start of QEMU to the disk; memory and processor time of the daemon with that guest
    Guest {
        /// Seconds to watch the daemon while the guest rests
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        idle: u64,
        /// Boots
        #[arg(long, value_name = "COUNT", default_value_t = 3)]
        boots: u32,
    },
    /// targetcli's `ls` and `saveconfig` on Lunar's tree, and `lunar`'s beside them
    Tools {
        /// Numbers of LUNs
        #[arg(long, value_name = "COUNT", value_delimiter = ',', default_values_t = [1, 40, 1000])]
        luns: Vec<u32>,
        /// How often each command is run
        #[arg(long, value_name = "COUNT", default_value_t = 3)]
        rounds: u32,
    },
    /// Lines of code, comments and tests of each crate
    Lines,
}

/// How often and how long each thing is measured.
#[derive(Clone, Copy, clap::Args)]
struct Turns {
    /// How often each thing is measured
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    rounds: u32,
    /// How long one measurement takes
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
}

impl Turns {
    fn duration(self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// The longest a single measurement may take, in seconds.
const SECONDS_MAX: f64 = 600.0;

fn seconds(typed: &str) -> Result<f64, String> {
    match typed.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Ok(seconds),
        _ => Err(format!("not a number of seconds up to {SECONDS_MAX}")),
    }
}

fn main() -> ExitCode {
    match perform(Arguments::parse().figure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(figure: Figure) -> Result<()> {
    if !matches!(figure, Figure::Lines) {
        println!("{}", machine::describe());
    }
    match figure {
        Figure::Speed { peer, turns, only } => speed::measure(peer.as_deref(), turns, &only),
        Figure::Inflight { turns } => inflight::measure(turns),
        Figure::Alone { turns } => alone::measure(turns),
        Figure::Guest { idle, boots } => guest::measure(Duration::from_secs(idle), boots),
        Figure::Tools { luns, rounds } => tools::measure(&luns, rounds),
        Figure::Lines => lines::count(),
    }
}
