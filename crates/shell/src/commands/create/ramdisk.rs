// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/backstores/ramdisk create`: serves memory of the daemon.
//!
//! Above: `create`.  Below: the API.
//! Never here: memory.

use super::{SERIAL, made, make_backstore};
use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::Failure;
use crate::session::Call;
use crate::size;
use crate::tree::Place;
use api::v1;

pub(super) const COMMAND: Command = Command {
    name: "create",
    places: Places::At(&[Place::Ramdisk]),
    parameters: &[
        required(
            "name",
            Values::Free,
            "its name, which guests see as the product where it has up to 15 characters",
        ),
        required("size", Values::Free, "its size, such as 64M; rounded up to whole pages"),
        optional("nullio", Values::Truth, "whether to keep nothing, for measuring; false if left out"),
        SERIAL,
    ],
    summary: "Serve memory of the daemon",
    details: "Its contents go with the daemon.",
    needs: Needs::Node,
    run,
};

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let arguments = &call.arguments;
    let typed_size = arguments.required("size")?.to_owned();
    let wanted = v1::CreateBackstore::Ramdisk {
        name: arguments.required("name")?.to_owned(),
        size_bytes: size::parse(&typed_size)?,
        nullio: arguments.truth("nullio")?.unwrap_or(false),
        unit_serial: arguments.get("wwn").map(str::to_owned),
    };
    let name = make_backstore(call, wanted)?.id.name;
    made(call, &format!("Created ramdisk {name} with size {typed_size}."), &name);
    Ok(())
}
