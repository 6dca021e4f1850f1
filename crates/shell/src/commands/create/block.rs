// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/backstores/block create`: serves a device of the host.
//!
//! Above: `create`.  Below: the API.
//! Never here: opening the device.

use super::{SERIAL, made, make_backstore};
use crate::command::{Command, Needs, Places, Values, keyword, optional, required};
use crate::failure::Failure;
use crate::session::Call;
use crate::tree::Place;
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Block]),
    parameters: &[
        required(
            "name",
            Values::Free,
            "its name, which guests see as the product where it has up to 15 characters",
        ),
        required("dev", Values::HostPath, "the device; a name below /dev/disk/by-id stays the same"),
        optional("readonly", Values::Truth, "whether to refuse writes; as the device has it if left out"),
        SERIAL,
        keyword("exclusive", Values::Truth, "true: a device is never shared here"),
        keyword("write_back", Values::Truth, "taken and ignored: the device itself knows its cache"),
    ],
    summary: "Serve a block device of the host",
    details: "",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let arguments = &call.arguments;
    // The page this product starts from writes `write_back=false` here, so it is read, and must make sense.
    arguments.truth("write_back")?;
    if arguments.truth("exclusive")? == Some(false) {
        return Err(Failure::new("Cannot configure StorageObject. exclusive=false not supported."));
    }
    let wanted = v1::CreateBackstore::Block {
        name: arguments.required("name")?.to_owned(),
        path: call.host_path(arguments.required("dev")?),
        read_only: arguments.truth("readonly")?,
        unit_serial: arguments.get("wwn").map(str::to_owned),
    };
    let backstore = make_backstore(call, wanted)?;
    let name = backstore.id.name;
    let device = backstore.path.unwrap_or_default();
    made(call, &format!("Created block storage object {name} using {device}."), &name);
    Ok(())
}
