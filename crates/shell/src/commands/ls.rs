// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `ls`: draws the tree.
//!
//! Above: the table.  Below: `draw`, `json`.
//! Never here: how a line looks.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::draw::{Style, draw};
use crate::failure::{Failure, codes};
use crate::json;
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
        Some(text) => text.parse().map_err(|_| {
            let hint = format!("'{text}' is none; 0 is the whole tree");
            Failure::new("The tree depth must be a number.").hint(hint).code(codes::SYNTAX)
        })?,
        None => call.kept.number("tree_max_depth"),
    };
    let depth = (depth > 0).then_some(depth);
    let node = call.tree.find(&path)?;
    if call.wants_json() {
        call.result(json::value(node, &path, depth));
        return Ok(());
    }
    for line in draw(node, &Style::wanted(call.shell.screen, call.kept, depth)) {
        call.print_line(&line);
    }
    Ok(())
}
