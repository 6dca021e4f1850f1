// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the shell asks of `lunard`.
//!
//! Above: the commands.  Below: the client of `api`, or a fake in the tests.
//! Never here: the transport.

use crate::failure::Failure;
use api::v1;

/// The way to `lunard`.
///
/// Every call may block for as long as the daemon needs; none is repeated by the shell.
pub trait Api {
    /// Who answers.
    fn version(&self) -> Result<v1::Version, ApiError>;
    /// The whole configuration and what is known of the running target.
    fn config(&self) -> Result<v1::Config, ApiError>;
    /// Makes one transaction: all of it, or nothing.
    fn apply(&self, changes: v1::Changes) -> Result<v1::Applied, ApiError>;
    /// Writes LIO's saveconfig.json where the daemon keeps it.
    fn save(&self) -> Result<v1::Saved, ApiError>;
    /// LIO's saveconfig.json as it would be written now.
    fn saveconfig(&self) -> Result<String, ApiError>;
    /// What is known of the attributes beside their values.
    fn attributes(&self) -> Result<v1::AttributeTable, ApiError>;
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody listens there.
    #[error("lunard is not running: nothing listens on {socket}")]
    NotRunning {
        /// The socket that was tried.
        socket: String,
    },
    /// The request was refused, and nothing changed.
    #[error("{}", .0.message)]
    Refused(v1::Problem),
    /// The daemon is there, but the conversation failed.
    #[error("{0}")]
    Broken(String),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        match error {
            ApiError::NotRunning { .. } => {
                Failure::new(message).hint("start it: systemctl start lunard, or run lunard")
            }
            ApiError::Refused(problem) => refusal(problem),
            ApiError::Broken(_) => Failure::new(message),
        }
    }
}

/// A refusal in targetcli's words where it has any.  Those often name nothing; the hint then does.
fn refusal(problem: v1::Problem) -> Failure {
    let words = match problem.code.as_str() {
        "name_characters" => "A storage object's name cannot contain  /, newline or spaces/tabs",
        "wwn_invalid" => "WWN not valid as: naa",
        "target_exists" => "This Target already exists in configFS",
        "tpg_exists" => "This TPG already exists in configFS",
        "lun_exists" => "This LUN already exists in configFS",
        _ => return Failure { message: problem.message, hint: problem.hint },
    };
    let hint = match problem.hint {
        Some(hint) => format!("{}: {hint}", problem.message),
        None => problem.message,
    };
    Failure::new(words).hint(hint)
}
