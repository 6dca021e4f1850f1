// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program `lunard`.
//!
//! Above: the administrator, systemd.  Below: `daemon`.
//! Never here: anything but the exit status and which machine runs.

use clap::Parser as _;
use lunard::daemon;
use lunard::machine::running::RunningMachine;
use lunard::options::Options;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(said) => return refuse(&said),
    };
    if options.man_page {
        return print_page();
    }
    let log = match lunard::logging::start() {
        Ok(log) => log,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "lunard: cannot start the thread of the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    match daemon::run(&options, RunningMachine::start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            let hint = err.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            // Where nobody takes the line, the status has to do.
            log.say(&format!("lunard: {err}{hint}"));
            ExitCode::FAILURE
        }
    }
}

/// What clap has to say; help and version come this way too.
fn refuse(said: &clap::Error) -> ExitCode {
    if !said.use_stderr() {
        return if said.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (message, tip) = api::one_line(&said.to_string());
    let way = tip.unwrap_or_else(|| "`lunard --help` lists the options".to_owned());
    // Where nobody takes the line, the status has to do.
    let _ = writeln!(std::io::stderr(), "lunard: {message}; {way}");
    ExitCode::FAILURE
}

fn print_page() -> ExitCode {
    let printed = lunard::man::page().and_then(|text| std::io::stdout().lock().write_all(text.as_bytes()));
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
