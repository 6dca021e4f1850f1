// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar`: the shell, and tools that print what a guest needs.
//!
//! Above: the administrator.  Below: `shell`, `api`.
//! Never here: what a command means.  This program owns the terminal, and it alone prints.

mod door; //        the way to `lunard`, opened when it is needed
mod guest; //       which target for which guest
mod home; //        what is kept for the user: preferences and history
mod interactive; // lines from a terminal
mod libvirt; //     `lunar libvirt`
mod options; //     the command line
mod qemu; //        `lunar qemu`
mod run; //         `lunar run`
mod session; //     one command, or lines

use clap::{CommandFactory, Parser};
use door::Door;
use options::{Options, RunOptions, Tool};
use session::Printed;
use shell::{Failure, Mode};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help and version come this way too.  That they cannot be printed leaves nothing to be done.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match &options.tool {
        Some(Tool::Run(wanted)) => return run_tool(&options, wanted),
        Some(Tool::RunBus) => return run::bus::serve(),
        _ => {}
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read our output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether nothing failed.
fn run(options: &Options) -> io::Result<bool> {
    match &options.tool {
        Some(Tool::Qemu(wanted)) => {
            print(runtime_dir(options).and_then(|at| qemu::options(wanted, &Door::new(at))))
        }
        Some(Tool::Libvirt(wanted)) => {
            print(runtime_dir(options).and_then(|at| libvirt::xml(wanted, &Door::new(at))))
        }
        Some(Tool::Bind(wanted)) => print(run::bind(wanted, &|| runtime_dir(options))),
        // They have an exit status of their own.
        Some(Tool::Run(_) | Tool::RunBus) => Ok(true),
        Some(Tool::Words(words)) if words.len() == 1 && words[0] == "help" => {
            Options::command().print_long_help()?;
            Ok(true)
        }
        Some(Tool::Words(words)) => {
            let Some(words) = words.iter().map(|word| word.to_str()).collect::<Option<Vec<&str>>>() else {
                return print(Err(Failure::new("an argument is not UTF-8")));
            };
            with_shell(options, Mode::OneShot, |shell| session::one_shot(shell, &words, options.stop))
        }
        None if io::stdin().is_terminal() => {
            with_shell(options, Mode::Session, |shell| interactive::run(shell, options.stop))
        }
        None => with_shell(options, Mode::Session, |shell| {
            session::batch(shell, io::stdin().lock(), options.stop)
        }),
    }
}

/// Becomes the command; returns where that cannot be.
fn run_tool(options: &Options, wanted: &RunOptions) -> ExitCode {
    let end = run::command(wanted, &|| runtime_dir(options), options.state_dir.clone());
    // Where it cannot be told nothing is left to be done.
    let _ = io::stderr().lock().write_all(end.failure.lines().as_bytes());
    ExitCode::from(end.status)
}

fn with_shell(
    options: &Options,
    mode: Mode,
    body: impl FnOnce(&mut shell::Shell) -> io::Result<Printed>,
) -> io::Result<bool> {
    let door = match runtime_dir(options) {
        Ok(directory) => Door::new(directory),
        Err(failure) => return print(Err(failure)),
    };
    let mut shell = shell::Shell::new(
        Box::new(door),
        Box::new(home::Memory::of_user()),
        session::environment()?,
        session::screen(mode),
    );
    Ok(!body(&mut shell)?.failed)
}

fn runtime_dir(options: &Options) -> Result<PathBuf, Failure> {
    options.runtime_dir.clone().or_else(api::default_runtime_dir).map(api::absolute).ok_or_else(|| {
        Failure::new("XDG_RUNTIME_DIR is not set, so that nobody knows where lunard listens")
            .hint("give --runtime-dir, or set LUNAR_RUNTIME_DIR")
    })
}

/// Prints the text of a tool, or why there is none.
fn print(text: Result<String, Failure>) -> io::Result<bool> {
    match &text {
        Ok(text) => io::stdout().lock().write_all(text.as_bytes())?,
        Err(failure) => io::stderr().lock().write_all(failure.lines().as_bytes())?,
    }
    Ok(text.is_ok())
}
