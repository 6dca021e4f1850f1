// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `restoreconfig`: makes what a saveconfig.json says.
//!
//! Above: the table.  Below: the API; `savefile`, where another than the daemon's is wanted.
//! Never here: what is in it.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::daemon::ApiError;
use crate::failure::Failure;
use crate::savefile;
use crate::screen::Level;
use crate::session::Call;
use crate::tree::Place;
use api::v1::{self, codes};
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "restoreconfig",
    places: Places::At(&[Place::Root]),
    parameters: &[
        optional("savefile", Values::HostPath, "the file; the daemon's own if left out"),
        optional("clear_existing", Values::Truth, "whether what is there goes first; false if left out"),
        optional(
            "target",
            Values::FileTarget,
            "the WWN of the only target to restore, with what its LUNs show",
        ),
        optional(
            "storage_object",
            Values::FileObject,
            "the only storage object to restore: disk0, or block/disk0",
        ),
    ],
    summary: "Make the backstores, targets and LUNs that a file describes",
    details: "The file is a saveconfig.json, by targetcli or by Lunar. All of it is made, or nothing.\n\n\
Unless clear_existing is true, nothing of the same name may be there; all that is there is listed. With target or \
storage_object, clear_existing replaces those alone.\n\n\
Warnings say what is otherwise than the file says: attributes that this version does not have, and targets of other \
fabrics, which are not served, and kept for the next saveconfig.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let argument = |name: &str| call.arguments.get(name).map(str::to_owned);
    let options = v1::RestoreOptions {
        clear_existing: call.arguments.truth("clear_existing")?.unwrap_or(false),
        target: argument("target"),
        storage_object: argument("storage_object"),
    };
    let path = call.arguments.get("savefile").map(|file| call.host_path(file));
    let document = path.as_deref().map(savefile::read).transpose()?;
    let restored = call.api().restore(document, &options).map_err(|error| {
        let file = path.as_deref().unwrap_or("the daemon's saveconfig.json");
        match error {
            ApiError::Refused(problem) if problem.code == codes::SAVECONFIG => Failure {
                code: problem.code.into(),
                message: format!("Could not restore {file}: {}", problem.message),
                hint: problem.hint,
            },
            other => other.into(),
        }
    })?;
    for note in &restored.notes {
        call.say(Level::Warning, note);
    }
    let path = path.or(restored.path).unwrap_or_default();
    call.result(json!({
        "file": path, "storage_objects": restored.storage_objects, "targets": restored.targets,
    }));
    call.say(Level::Info, &format!("Configuration restored from {path}"));
    Ok(())
}
