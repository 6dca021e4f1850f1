// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `version`: who this is.
//!
//! Above: the table.  Below: the API.
//! Never here: a version number.

use crate::command::{Command, Needs, Places};
use crate::failure::Failure;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::{Place, Subject, kind_name};
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "version",
        places: Places::At(&[Place::Root]),
        parameters: &[],
        summary: "Show the versions of the shell and of the daemon",
        details: "",
        needs: Needs::Nothing,
        run: programs,
    },
    Command {
        name: "version",
        places: Places::At(&[Place::Vhost]),
        parameters: &[],
        summary: "Show the version of the vhost fabric",
        details: "",
        needs: Needs::Node,
        run: fabric,
    },
    Command {
        name: "version",
        places: Places::At(&[Place::StorageObject]),
        parameters: &[],
        summary: "Show the version of what serves the backstore",
        details: "",
        needs: Needs::Node,
        run: plugin,
    },
];

fn programs(call: &mut Call<'_>) -> Result<(), Failure> {
    let line = format!("lunar version {}", call.program_version());
    call.say(Level::Info, &line);
    let name = call.api().name();
    let daemon = call.api().version().map(|daemon| daemon.version);
    call.result(json!({ "lunar": call.program_version(), "lunard": daemon.as_ref().ok() }));
    match daemon {
        Ok(version) => call.say(Level::Info, &format!("{name} version {version}")),
        Err(error) => call.say(Level::Warning, &error.to_string()),
    }
    Ok(())
}

fn fabric(call: &mut Call<'_>) -> Result<(), Failure> {
    let version = call.api().version()?.version;
    call.say(Level::Info, &format!("Target fabric module vhost: {version}"));
    Ok(())
}

fn plugin(call: &mut Call<'_>) -> Result<(), Failure> {
    let version = call.api().version()?.version;
    if let Subject::Backstore(backstore) = &call.node.subject {
        call.say(Level::Info, &format!("Backstore plugin {} v{version}", kind_name(backstore.id.kind)));
    }
    Ok(())
}
