// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cd`: goes to another node.
//!
//! Above: the table.  Below: `session`.
//! Never here: bookmarks; `@name` is a path.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "cd",
    places: Places::All,
    parameters: &[optional("path", Values::Node, "where to go; the root if left out")],
    summary: "Go to another node",
    details: "A path may be absolute or relative, `..` is the node above, `@NAME` a bookmark. `<` and `>` go back \
and forth among the nodes visited. A path typed alone goes there too.",
    needs: Needs::Tree,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    match call.arguments.get("path") {
        Some("<") => step(call, -1),
        Some(">") => step(call, 1),
        text => {
            let path = call.resolve(text.unwrap_or("/"))?;
            call.tree.find(&path)?;
            call.shell.here = path.clone();
            call.shell.visits.go(path);
            Ok(())
        }
    }
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
