// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a request was refused.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: the words; whoever refuses has them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A word for programs, such as `target_exists`.  It stays when the message is worded better; new
    /// words may come.
    #[serde(default)]
    pub code: String,
    /// One line that names the thing and what is wrong with it, without a full stop.
    pub message: String,
    /// One line with the way out, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The [`Problem::code`]s that do not come from a refusal of the configuration.
pub mod codes {
    /// The request is no request of this interface: path, method, or JSON.
    pub const BAD_REQUEST: &str = "bad_request";
    /// The request is longer than the daemon reads.
    pub const TOO_LARGE: &str = "too_large";
    /// What was asked for names a thing of the host that cannot be used so.
    pub const CANNOT_PREPARE: &str = "cannot_prepare";
    /// The host failed.
    pub const HOST: &str = "host";
    /// The daemon has enough to do; the same request may succeed later.
    pub const BUSY: &str = "busy";
    /// The daemon is ending.
    pub const STOPPING: &str = "stopping";
    /// The saveconfig.json cannot be read, or something in it cannot be.
    pub const SAVECONFIG: &str = "saveconfig";
    /// The daemon has no saveconfig.json of its own yet.
    pub const NO_SAVECONFIG: &str = "no_saveconfig";
    /// Things of the saveconfig.json are there already.
    pub const RESTORE_CONFLICT: &str = "restore_conflict";
    /// The configuration is not the one that the difference was shown for.
    pub const MOVED: &str = "moved";
    /// A guest would lose what it has.
    pub const GUEST_CONNECTED: &str = "guest_connected";
    /// The saveconfig.json has not what was to be restored from it.
    pub const NOT_IN_SAVECONFIG: &str = "not_in_saveconfig";
}
