// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `status`: what `ls` shows in brackets, for one node.
//!
//! Above: the table.  Below: `tree`.
//! Never here: how a summary is made.

use crate::command::{Command, Needs, Places};
use crate::screen::Level;
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "status",
    places: Places::All,
    parameters: &[],
    summary: "Show the summary of the node",
    details: "",
    needs: Needs::Node,
    run: |call| {
        let line = format!("Status for {}: {}", call.path, call.node.summary);
        call.result(json!({ "path": call.path.to_string(), "summary": call.node.summary, "healthy": call.node.healthy }));
        call.say(Level::Info, &line);
        Ok(())
    },
}];
