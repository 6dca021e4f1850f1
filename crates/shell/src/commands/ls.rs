// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `ls`: draws the tree.
//!
//! Above: the table.  Below: `draw`, `json`.
//! Never here: how a line looks.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::draw::{Style, draw};
use crate::failure::Failure;
use crate::json;
use crate::screen::Paint;
use crate::session::Call;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "ls",
    places: Places::All,
    parameters: &[
        optional("path", Values::Node, "the node to start from; this one if left out"),
        optional("depth", Values::Free, "how many levels below it to show; 0 for all"),
    ],
    summary: "Show the tree below a node",
    details: "",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let path = match call.arguments.get("path") {
        Some(text) => call.resolve(text)?,
        None => call.path.clone(),
    };
    let depth = match call.arguments.get("depth") {
        Some(text) => text.parse().map_err(|_| Failure::new("The tree depth must be a number."))?,
        None => call.kept.number("tree_max_depth"),
    };
    let depth = (depth > 0).then_some(depth);
    let node = call.tree.find(&path)?;
    if call.wants_json() {
        call.result(json::value(node, &path, depth));
        return Ok(());
    }
    let style = Style {
        columns: call.shell.screen.tree_columns(),
        colour: call.shell.screen.colour_out && call.kept.is_on("color_mode"),
        default: Paint::named(call.kept.global("color_default")),
        round: call.kept.is_on("tree_round_nodes"),
        status: call.kept.is_on("tree_status_mode"),
        root: call.kept.is_on("tree_show_root"),
        depth,
    };
    let text = draw(node, &style);
    call.print(&text);
    Ok(())
}
