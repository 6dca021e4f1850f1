// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `exit`: leaves the shell.
//!
//! Above: the table.  Below: `session`.
//! Never here: ending the process.

use crate::command::{Command, Needs, Places};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "exit",
    places: Places::All,
    parameters: &[],
    summary: "Leave the shell",
    details: "Every change is on disk when it is answered; nothing has to be saved first.",
    needs: Needs::Nothing,
    run: |call| {
        call.reply.leave = true;
        Ok(())
    },
}];
