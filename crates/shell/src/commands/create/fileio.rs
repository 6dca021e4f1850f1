// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/backstores/fileio create`: serves a file of the host.
//!
//! Above: `create`.  Below: the API.
//! Never here: making the file.

use super::{SERIAL, made, make_backstore};
use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::Failure;
use crate::session::Call;
use crate::size;
use crate::tree::Place;
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Fileio]),
    parameters: &[
        required(
            "name",
            Values::Free,
            "its name, which guests see as the product where it has up to 15 characters",
        ),
        required(
            "file_or_dev",
            Values::HostPath,
            "the file; it is made if it does not exist and a size is given",
        ),
        optional("size", Values::Free, "the size of a new file, such as 14G; an existing file keeps its own"),
        optional("write_back", Values::Truth, "whether the page cache is a write cache; true if left out"),
        optional("sparse", Values::Truth, "whether a new file takes room only as it fills; true if left out"),
        SERIAL,
    ],
    summary: "Serve a file of the host",
    details: "A relative path starts from the current directory of this shell. Deleting the backstore leaves the \
file.\n\nA size is a whole number, followed by k, m, g or t for powers of 1024.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let arguments = &call.arguments;
    let wanted = v1::CreateBackstore::Fileio {
        name: arguments.required("name")?.to_owned(),
        path: call.host_path(arguments.required("file_or_dev")?),
        size_bytes: arguments.get("size").map(size::parse).transpose()?,
        write_back: arguments.truth("write_back")?,
        sparse: arguments.truth("sparse")?,
        unit_serial: arguments.get("wwn").map(str::to_owned),
    };
    let backstore = make_backstore(call, wanted)?;
    let name = backstore.id.name;
    made(call, &format!("Created fileio {name} with size {}", backstore.size_bytes), &name);
    Ok(())
}
