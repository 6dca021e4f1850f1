// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands that have waited for long, as the wire has them.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: what is long.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Commands of a guest to one LUN, the oldest of which has waited for 20 seconds or more.  As of the last look, which may
/// be ten seconds ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// The number that the guest sees: with an access control list for the nexus, the one there.
    pub lun: u16,
    /// What the standard calls the oldest, such as `WRITE (10)`.
    pub command: String,
    /// How long the oldest has waited, at least, in seconds.
    pub seconds: u64,
    /// How many were under way since the look before, the oldest included.
    pub commands: u64,
}
