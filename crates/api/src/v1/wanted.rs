// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A backstore that is to be, on the wire.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: a rule.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backstore that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CreateBackstore {
    /// A block device.
    Block {
        /// The name.
        name: String,
        /// The device, kept as typed.
        path: String,
        /// Whether to refuse writes; the device decides where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read_only: Option<bool>,
        /// The unit serial number; made up where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit_serial: Option<String>,
    },
    /// A file.
    Fileio {
        /// The name.
        name: String,
        /// The file, absolute, kept as typed.
        path: String,
        /// The size in bytes of a file that is to be created.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
        /// Whether the page cache is a write cache; true where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write_back: Option<bool>,
        /// Whether a new file is sparse; true where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sparse: Option<bool>,
        /// The unit serial number; made up where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit_serial: Option<String>,
    },
    /// Memory.
    Ramdisk {
        /// The name.
        name: String,
        /// The size in bytes; rounded up to whole pages.
        size_bytes: u64,
        /// Whether to keep nothing.
        #[serde(default)]
        nullio: bool,
        /// The unit serial number; made up where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit_serial: Option<String>,
    },
}
