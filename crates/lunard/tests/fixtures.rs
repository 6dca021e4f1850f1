// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of LIO's tools, as a kernel and two versions of targetcli wrote them.
//!
//! Above: the tests of saveconfig.json.  Below: the files.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

use serde_json::Value;

pub(crate) const LIO_6_1: &str = include_str!("fixtures/lio-6.1-saveconfig.json");
pub(crate) const TARGETCLI_2: &str = include_str!("fixtures/targetcli-2.1.53-saveconfig.json");
pub(crate) const TARGETCLI_3: &str = include_str!("fixtures/targetcli-3.0.2-saveconfig.json");

/// The fixture with some of its members otherwise.
pub(crate) fn edited(text: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(text).unwrap();
    edit(&mut value);
    value.to_string()
}
