// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The medium of a backstore: in, or out.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: who keeps it in.

use super::BackstoreId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the medium of a backstore is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveMedium {
    /// Whose.
    #[serde(flatten)]
    pub id: BackstoreId,
    /// True: in, and started if a guest has stopped it.  False: out.
    pub loaded: bool,
    /// Whether it goes out although a guest keeps it in.
    #[serde(default)]
    pub force: bool,
}

/// Where the medium of a backstore is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    /// Whether it is in.
    pub loaded: bool,
}
