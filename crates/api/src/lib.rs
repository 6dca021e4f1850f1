// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lunar's control interface as JSON over HTTP on a Unix socket.
//!
//! Above: `shell` and `lunar`, which call the client, and `lunard`, which serves these types.
//! Below: nothing of Lunar.
//! Never here: the model.  These types are a promise to strangers; the model may change.

pub mod v1; // the wire

mod client; // how to ask
mod owner; // who may ask
mod places; // where to ask
mod usage; // lines that say what is wrong

pub use client::{Client, ClientError, SOCKET_NAME, SOCKET_PATH_BYTES_MAX};
pub use owner::{Owner, group_name, user_name};
pub use places::{absolute, default_runtime_dir, default_state_dir};
pub use usage::{both_ends, one_line};
