// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lunar's control interface as JSON over HTTP on a Unix socket.
//!
//! Above: `shell` and `lunar`, which call the client, and `lunard`, which serves these types.
//! Below: nothing of Lunar.
//! Never here: the model.  These types are a promise to strangers; the model may change.

pub mod v1;
