// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which attributes and options there are.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: a value of one.

use super::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of every attribute that a backstore can list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttributeTable {
    /// Ordered by name.
    pub attributes: Vec<AttributeInfo>,
    /// What is known of the attributes of an ALUA group, ordered by name.
    #[serde(default)]
    pub alua: Vec<OptionInfo>,
    /// What is known of who a backstore can say that it is, ordered by name.
    #[serde(default)]
    pub identity: Vec<OptionInfo>,
}

/// What is known of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttributeInfo {
    /// Its name, such as `emulate_fua_write`.
    pub name: String,
    /// One or two lines for the administrator, without a full stop at the end.
    pub help: String,
    /// The values that it takes with logical blocks of 512 bytes, in words, such as `0 or 1`.
    pub values: String,
    /// On which kinds it can be set; nowhere if it is read-only.
    pub settable_on: Vec<Kind>,
    /// Whether it can change only while no LUN shows the backstore.
    pub frozen_while_exported: bool,
}

/// What is known of every option of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptionTable {
    /// Ordered by name.
    pub options: Vec<OptionInfo>,
}

/// What is known of one option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptionInfo {
    /// Its name, such as `num_queues`.
    pub name: String,
    /// One or two lines for the administrator, without a full stop at the end.
    pub help: String,
    /// The values that it takes, in words, such as `0 to 254`.
    pub values: String,
    /// Its value where nobody set one.
    pub default: String,
}
