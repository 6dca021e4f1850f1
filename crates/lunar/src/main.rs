// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar`: the shell, and tools that print what a guest needs.
//!
//! Above: the administrator.  Below: `shell`, `api`, `kernel-target`.
//! Never here: what a command means.  This program owns the terminal, and it alone prints.

mod completion; // the Tab key of other shells
mod door; //        the way to `lunard`, opened when it is needed
mod guest; //       which target for which guest
mod home; //        what is kept for the user: preferences and history
mod import_lio; //  `lunar import-lio`
mod interactive; // lines from a terminal
mod kernel; //      the way to the kernel's own target
mod libvirt; //     `lunar libvirt`
mod man; //         manual pages
mod options; //     the command line
mod picker; //      a node picked from the whole tree
mod printing; //    streams that may lead nowhere
mod qemu; //        `lunar qemu`
mod run; //         `lunar run`
mod session; //     one command, or lines

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use door::Door;
use options::{Options, RunOptions, Tool};
use serde_json::{Value, json};
use session::Printed;
use shell::failure::codes;
use shell::{Failure, Mode, report};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return ended(refuse(&error)),
    };
    match &options.tool {
        Some(Tool::Run(wanted)) => run_tool(&options, wanted),
        Some(Tool::RunBus { of }) => run::bus::serve(*of),
        _ => ended(run(&options)),
    }
}

/// The exit status of what is done, where the reason of an error is not told yet.
fn ended(done: io::Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read our output has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            printing::err(&format!("{error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What clap has to say: help and version come this way too.
fn refuse(said: &clap::Error) -> io::Result<bool> {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    if !said.use_stderr() {
        let topic = if said.kind() == ErrorKind::DisplayVersion { "version" } else { "help" };
        return show(json, topic, &said.render());
    }
    let tool = completion::tool_of(&words);
    let (message, tip) = api::one_line(&said.to_string());
    let about = tool.as_ref().map_or(String::new(), |tool| format!("{tool} "));
    let failure = Failure::new(message).code(codes::SYNTAX);
    let failure =
        failure.hint(tip.unwrap_or_else(|| format!("`lunar {about}--help` shows how it is called")));
    match tool {
        Some(tool) if json => printing::out(report::of_tool(&tool, Err(&failure)).as_bytes())?,
        None if json => printing::out(report::failed(&failure).as_bytes())?,
        _ => printing::err(&failure.printable().lines()),
    }
    Ok(false)
}

/// A text that was asked for and is no result of a command.
fn show(json: bool, topic: &str, text: &StyledStr) -> io::Result<bool> {
    if json {
        let line = report::of_tool(topic, Ok(json!({ "text": text.to_string() })));
        printing::out(line.as_bytes())?;
    } else if session::screen(Mode::OneShot).colour_out {
        printing::out(text.ansi().to_string().as_bytes())?;
    } else {
        printing::out(text.to_string().as_bytes())?;
    }
    Ok(true)
}

/// Returns whether nothing failed.
fn run(options: &Options) -> io::Result<bool> {
    match &options.tool {
        Some(Tool::Qemu(wanted)) => {
            let text = runtime_dir(options).and_then(|at| qemu::options(wanted, &Door::new(at)));
            print_tool(options, "qemu", text, |text| json!({ "arguments": qemu::words(text) }))
        }
        Some(Tool::Libvirt(wanted)) => {
            let text = runtime_dir(options).and_then(|at| libvirt::xml(wanted, &Door::new(at)));
            print_tool(options, "libvirt", text, |text| json!({ "xml": text }))
        }
        Some(Tool::Completions { shell }) => {
            let text = Ok(shell.script().to_owned());
            print_tool(options, "completions", text, |text| json!({ "script": text }))
        }
        Some(Tool::Man { page }) => {
            print_tool(options, "man", Ok(man::page(*page)), |text| json!({ "page": text }))
        }
        Some(Tool::Complete { shell, line, cursor }) => {
            let offers = completion::offers(*shell, line, cursor.as_deref(), options);
            printing::out(offers.as_bytes())?;
            Ok(true)
        }
        Some(Tool::ImportLio(wanted)) => {
            let text = runtime_dir(options).and_then(|at| {
                import_lio::run(wanted, &kernel::at(options), &kernel::kept_in()?, &Door::new(at))
            });
            print_tool(
                options,
                "import-lio",
                text,
                |text| json!({ "lines": text.lines().collect::<Vec<_>>() }),
            )
        }
        Some(Tool::Bind(wanted)) => {
            let text = run::bind(wanted, &|| runtime_dir(options));
            print_tool(options, "bind", text, |text| json!({ "lines": text.lines().collect::<Vec<_>>() }))
        }
        // They have an exit status of their own.
        Some(Tool::Run(_) | Tool::RunBus { .. }) => Ok(true),
        Some(Tool::Words(words)) if let Some(about) = help_of(words) => {
            let json = options.json || words.iter().any(|word| word == "--json");
            show(json, "help", &about)
        }
        _ if options.disable_daemon => disable_daemon(options),
        Some(Tool::Words(words)) if words.len() == 1 && words[0] == "disable-daemon" => {
            disable_daemon(options)
        }
        Some(Tool::Words(words)) => {
            let Some(words) = words.iter().map(|word| word.to_str()).collect::<Option<Vec<&str>>>() else {
                return fail(options, &Failure::new("an argument is not UTF-8"));
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

/// The help of the program, or of a tool, where `help` or `help TOOL` was typed.
fn help_of(words: &[OsString]) -> Option<StyledStr> {
    let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    let mut words = words.into_iter().filter(|word| *word != "--json");
    let mut program = Options::command();
    match (words.next()?, words.next(), words.next()) {
        ("help", None, _) => Some(program.render_long_help()),
        ("help", Some(tool), None) => {
            program.build();
            let tool = program.find_subcommand_mut(tool).filter(|tool| !tool.is_hide_set())?;
            Some(tool.render_long_help())
        }
        _ => None,
    }
}

/// What targetcli's word for it does, which is no command of its shell.
fn disable_daemon(options: &Options) -> io::Result<bool> {
    let words = ["/", "set", "global", "auto_use_daemon=false"];
    with_shell(options, Mode::OneShot, |shell| session::one_shot(shell, &words, options.stop))
}

/// Becomes the command; returns where that cannot be.
fn run_tool(options: &Options, wanted: &RunOptions) -> ExitCode {
    let end = run::command(wanted, &|| runtime_dir(options), options.state_dir.clone());
    printing::err(&end.failure.printable().lines());
    ExitCode::from(end.status)
}

fn with_shell(
    options: &Options,
    mode: Mode,
    body: impl FnOnce(&mut shell::Shell) -> io::Result<Printed>,
) -> io::Result<bool> {
    let api: Box<dyn shell::Api> = match &options.root {
        Some(_) => Box::new(kernel::Kernel::new(kernel::at(options))),
        None => match runtime_dir(options) {
            Ok(directory) => Box::new(Door::new(directory)),
            Err(failure) => return fail(options, &failure),
        },
    };
    let mut shell = shell::Shell::new(
        api,
        Box::new(home::Memory::of_user()),
        session::environment()?,
        session::screen(mode),
    );
    if options.json {
        shell.speak_json();
    }
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        shell.ask_with(Box::new(session::ask));
    }
    Ok(!body(&mut shell)?.failed)
}

fn runtime_dir(options: &Options) -> Result<PathBuf, Failure> {
    options.runtime_dir.clone().or_else(api::default_runtime_dir).map(api::absolute).ok_or_else(|| {
        Failure::new("XDG_RUNTIME_DIR is not set, so that nobody knows where lunard listens")
            .hint("give --runtime-dir, or set LUNAR_RUNTIME_DIR")
    })
}

/// Prints the text of a tool, or why there is none; for a program what `told` makes of it.
fn print_tool(
    options: &Options,
    tool: &str,
    text: Result<String, Failure>,
    told: impl FnOnce(&str) -> Value,
) -> io::Result<bool> {
    match &text {
        _ if options.json => {
            let line = report::of_tool(tool, text.as_deref().map(told));
            printing::out(line.as_bytes())?;
        }
        Ok(text) => printing::out(text.as_bytes())?,
        Err(failure) => printing::err(&failure.printable().lines()),
    }
    Ok(text.is_ok())
}

/// Prints why nothing was begun.
fn fail(options: &Options, failure: &Failure) -> io::Result<bool> {
    if options.json {
        printing::out(report::failed(failure).as_bytes())?;
    } else {
        printing::err(&failure.printable().lines());
    }
    Ok(false)
}
