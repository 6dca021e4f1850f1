// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar run`: a tool of LIO's, against Lunar; and `lunar bind`, for all tools of a machine.
//!
//! Above: `main`.  Below: `run/`: the tree (`tree`), the view of the host that the command gets (`namespace`),
//! its processor (`place`) and its message bus (`bus`).
//! Never here: what the command does.  This process becomes it, so that its exit status, its terminal and its
//! signals are its own.

mod bind; //           the tree for a whole machine
pub(crate) mod bus; // a message bus that knows nobody
mod namespace; //      what the command finds where
mod place; //          on which processors it may be
mod tree; //           where LIO's tree is, and whether it is

use crate::door::Door;
use crate::options::{BindOptions, RunOptions};
use place::Place;
use shell::{Api, Failure};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What env(1), nohup(1) and timeout(1) end with where they, and not the command, are at fault.
const CANNOT: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why the command does not run.
pub(crate) struct End {
    pub(crate) failure: Failure,
    pub(crate) status: u8,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self { failure, status: CANNOT }
    }
}

/// Becomes the command.  Returns only where that cannot be.
pub(crate) fn command(
    wanted: &RunOptions,
    runtime_dir: &dyn Fn() -> Result<PathBuf, Failure>,
    state_dir: Option<PathBuf>,
) -> End {
    match prepare(wanted, runtime_dir, state_dir) {
        Ok(mut command) => {
            let error = command.exec();
            let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            let program = command.get_program().display().to_string();
            End { failure: Failure::new(format!("cannot run {program}: {error}")), status }
        }
        Err(failure) => failure.into(),
    }
}

fn prepare(
    wanted: &RunOptions,
    runtime_dir: &dyn Fn() -> Result<PathBuf, Failure>,
    state_dir: Option<PathBuf>,
) -> Result<Command, Failure> {
    let Some((program, arguments)) = wanted.command.split_first() else {
        return Err(Failure::new("there is no command to run"));
    };
    let tree = find(wanted.tree.as_deref(), runtime_dir)?;
    let mut place = Place::default();
    place.look();
    let tools = tools_dir(wanted.tools_dir.clone(), state_dir)?;
    namespace::enter(&tree, &tools)?;
    place.look();
    let address =
        bus::start().map_err(|error| Failure::new(format!("cannot start a message bus: {error}")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    // targetcli's preferences, its history and its log.
    command.env("TARGETCLI_HOME", tools.join(namespace::HOME));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
    place.stay();
    Ok(command)
}

/// `lunar bind`.
pub(crate) fn bind(
    wanted: &BindOptions,
    runtime_dir: &dyn Fn() -> Result<PathBuf, Failure>,
) -> Result<String, Failure> {
    if wanted.undo {
        bind::undo()?;
    } else {
        bind::bind(&find(wanted.tree.as_deref(), runtime_dir)?)?;
    }
    Ok(String::new())
}

fn find(
    given: Option<&Path>,
    runtime_dir: &dyn Fn() -> Result<PathBuf, Failure>,
) -> Result<tree::Tree, Failure> {
    let dir = match given {
        Some(dir) => api::absolute(dir.to_owned()),
        None => tree_of_daemon(&Door::new(runtime_dir()?))?,
    };
    tree::Tree::find(&dir)
}

fn tree_of_daemon(api: &dyn Api) -> Result<PathBuf, Failure> {
    let dir = api.version()?.configfs;
    dir.map(PathBuf::from).ok_or_else(|| {
        Failure::new("lunard shows no tree for LIO's tools").hint("start it with --configfs DIR")
    })
}

fn tools_dir(given: Option<PathBuf>, state_dir: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let of_state = || state_dir.or_else(api::default_state_dir).map(|dir| dir.join("tools"));
    given.or_else(of_state).map(api::absolute).ok_or_else(|| {
        Failure::new("neither HOME nor XDG_STATE_HOME says where the tools keep what they keep")
            .hint("give --tools-dir")
    })
}
