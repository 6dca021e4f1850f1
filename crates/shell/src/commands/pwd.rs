// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `pwd`: says where one is.
//!
//! Above: the table.  Below: `session`.
//! Never here: the prompt.

use crate::command::{Command, Needs, Places};
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "pwd",
    places: Places::All,
    parameters: &[],
    summary: "Show the current path",
    details: "",
    needs: Needs::Nothing,
    run: |call| {
        let path = call.path.to_string();
        call.print_line(&path);
        call.result(json!({ "path": path }));
        Ok(())
    },
}];
