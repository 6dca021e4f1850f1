// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cd`: goes to another node.
//!
//! Above: the table.  Below: `session`; `outline`, for one who picks a node.
//! Never here: bookmarks; `@name` is a path.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::outline;
use crate::path::NodePath;
use crate::screen::{Level, Screen};
use crate::session::Call;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "cd",
    places: Places::All,
    parameters: &[optional("path", Values::Node, "where to go; picked from the whole tree if left out")],
    summary: "Go to another node",
    details: "A path may be absolute or relative, `..` is the node above, `@NAME` a bookmark. `<` and `>` go back \
and forth among the nodes visited. A path typed alone goes there too.\n\nWithout a path the tree fills the screen: the \
arrows and page keys move, Enter goes there, Escape or q stays. Where there is no terminal it goes to the root, and \
says so.",
    needs: Needs::Tree,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    match call.arguments.get("path") {
        Some("<") => step(call, -1),
        Some(">") => step(call, 1),
        Some(text) => {
            let path = call.resolve(text)?;
            call.tree.find(&path)?;
            go(call, path);
            Ok(())
        }
        None => pick(call),
    }
}

fn go(call: &mut Call<'_>, path: NodePath) {
    call.shell.here = path.clone();
    call.shell.visits.go(path);
}

fn pick(call: &mut Call<'_>) -> Result<(), Failure> {
    let root = &call.tree.root;
    let Some(pick) = call.shell.pick.as_ref().filter(|_| !call.wants_json()) else {
        call.say(Level::Info, "No terminal to pick a node on: going to /.");
        go(call, NodePath::root());
        return Ok(());
    };
    let mut paths = outline::paths(root);
    let start = paths.iter().position(|path| *path == call.path).unwrap_or(0);
    let (screen, kept) = (call.shell.screen, call.kept);
    let lines = |columns: u16| outline::lines(root, Screen { columns, ..screen }, kept);
    let picked = pick(&lines, start)
        .map_err(|error| Failure::new(format!("the tree cannot be shown on this terminal: {error}")))?;
    if let Some(at) = picked.filter(|at| *at < paths.len()) {
        go(call, paths.swap_remove(at));
    }
    Ok(())
}

fn step(call: &mut Call<'_>, by: isize) -> Result<(), Failure> {
    let visits = &call.shell.visits;
    let Some(path) = visits.at.checked_add_signed(by).and_then(|at| visits.paths.get(at)).cloned() else {
        // targetcli's own spelling: scripts may look for it.
        let end =
            if by < 0 { "Reached begining of path history." } else { "Reached the end of path history." };
        call.say(Level::Info, end);
        return Ok(());
    };
    call.tree.find(&path)?;
    call.say(Level::Info, &format!("Taking you back to {path}."));
    call.shell.visits.at = call.shell.visits.at.saturating_add_signed(by);
    call.shell.here = path;
    Ok(())
}
