// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `resize`: gives a backstore another size, also while guests use it.
//!
//! Above: the table.  Below: the API.
//! Never here: which sizes may be; the daemon refuses.

use crate::command::{Command, Needs, Places, Values, optional};
use crate::failure::{Failure, plain};
use crate::screen::Level;
use crate::session::Call;
use crate::size;
use crate::tree::{Place, Subject, kind_name};
use api::v1::{self, Change, Kind};
use serde_json::json;
use std::fs::File;
use std::io::{Seek, SeekFrom};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "resize",
    places: Places::At(&[Place::StorageObject]),
    parameters: &[
        optional(
            "size",
            Values::Free,
            "the new size, such as 20G, or +6G for so much more; for a device or a file that has another size already it \
is left out",
        ),
        optional("shrink", Values::Truth, "true: it may become smaller, and what it holds beyond is lost"),
    ],
    summary: "Give the backstore another size, also while guests use it",
    details: "A file is made longer, a ramdisk keeps what it holds. A device must have its new size already, for instance \
by lvextend.\n\nA smaller size needs shrink=true: what a guest keeps beyond is lost. Have the guest shrink its file systems \
and partitions first. It is told of the new size; what it has under way beyond ends first, what comes later is refused.",
    needs: Needs::Node,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let Subject::Backstore(backstore) = &call.node.subject else { return Ok(()) };
    let size_bytes = wanted(backstore, call.arguments.get("size"))?;
    let (id, before) = (backstore.id.clone(), backstore.size_bytes);
    let shrink = call.arguments.truth("shrink")?.unwrap_or(false);
    call.apply(Change::Resize { id: id.clone(), size_bytes, shrink })?;
    let config = call.api().config()?;
    let now = config
        .backstores
        .iter()
        .find(|backstore| backstore.id == id)
        .map_or(size_bytes, |now| now.size_bytes);
    call.result(json!({ "path": call.path.to_string(), "size_bytes": now, "was_bytes": before }));
    let (kind, name) = (kind_name(id.kind), &id.name);
    if now == before {
        call.say(Level::Info, &format!("The size of {kind} {name} is {now} as before"));
    } else {
        call.say(Level::Info, &format!("Resized {kind} {name} to {now}"));
    }
    Ok(())
}

/// Bytes as typed, or as the file or device has them by now.
fn wanted(backstore: &v1::Backstore, typed: Option<&str>) -> Result<u64, Failure> {
    match (typed, backstore.path.as_deref()) {
        (Some(text), _) => match text.strip_prefix('+') {
            Some(more) => {
                let sum = backstore.size_bytes.checked_add(size::parse(more)?);
                sum.ok_or_else(|| Failure::new(format!("Cannot interpret size, wrong format: {text}")))
            }
            None => size::parse(text),
        },
        (None, Some(path)) if backstore.id.kind != Kind::Ramdisk => {
            // The end of a file and of a device are found alike.
            let end = File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)));
            end.map_err(|error| {
                Failure::new(format!("Could not read the size of {path}: {}", plain(&error)))
                    .hint("give the size")
            })
        }
        (None, _) => Err(Failure::new("Missing required parameter size").hint("the command is: resize size")),
    }
}
