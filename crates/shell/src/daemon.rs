// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the shell asks of `lunard`.
//!
//! Above: the commands.  Below: the client of `api`, or a fake in the tests.
//! Never here: the transport.

use crate::failure::{Failure, codes};
use api::{Client, ClientError, v1};

/// The way to `lunard`.
///
/// Every call may block for as long as the daemon needs; none is repeated by the shell.
pub trait Api {
    /// The name of who answers.
    fn name(&self) -> &'static str {
        "lunard"
    }
    /// The version of who answers.
    fn version(&self) -> Result<v1::Version, ApiError>;
    /// The whole configuration and what is known of the running target.
    fn config(&self) -> Result<v1::Config, ApiError>;
    /// Makes one transaction: all of it, or nothing.
    fn apply(&self, changes: v1::Changes) -> Result<v1::Applied, ApiError>;
    /// Writes LIO's saveconfig.json where the daemon keeps it.
    fn save(&self, options: &v1::SaveOptions) -> Result<v1::Saved, ApiError>;
    /// LIO's saveconfig.json as it would be written now.
    fn saveconfig(&self) -> Result<String, ApiError>;
    /// The configuration as a file that `apply` takes, in TOML.
    fn file_to_apply(&self) -> Result<String, ApiError> {
        let message = "the kernel's target is not written in TOML".to_owned();
        let hint = Some(
            "give a name that does not end in .toml: saveconfig.json is taken by `apply` too".to_owned(),
        );
        Err(ApiError::Refused(v1::Problem { code: v1::codes::BAD_REQUEST.to_owned(), message, hint }))
    }
    /// Makes what a saveconfig.json says, or the daemon's own where there is no document: all of it, or nothing.
    fn restore(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, ApiError>;
    /// Makes everything as a file says, or says what that would change: all of it, or nothing.
    fn apply_file(&self, _document: Vec<u8>, _options: &v1::ApplyOptions) -> Result<v1::Compared, ApiError> {
        let message = "a file cannot be applied here".to_owned();
        Err(ApiError::Refused(v1::Problem { code: v1::codes::BAD_REQUEST.to_owned(), message, hint: None }))
    }
    /// Takes the medium of a backstore out, or puts it in.
    fn move_medium(&self, _wish: &v1::MoveMedium) -> Result<(), ApiError> {
        let message = "no medium can be taken out here".to_owned();
        Err(ApiError::Refused(v1::Problem { code: v1::codes::BAD_REQUEST.to_owned(), message, hint: None }))
    }
    /// Takes the whole configuration away, or nothing.
    fn clear(&self) -> Result<v1::Cleared, ApiError>;
    /// What is known of the attributes beside their values.
    fn attributes(&self) -> Result<v1::AttributeTable, ApiError>;
    /// What is known of the options of targets beside their values.
    fn options(&self) -> Result<v1::OptionTable, ApiError>;
    /// What is there besides, and only looked at: other fabrics of the kernel.  `lunard` has none.
    fn foreign(&self) -> Result<Vec<Foreign>, ApiError> {
        Ok(Vec::new())
    }
}

/// Something that is shown, and is nothing that any command works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where it is in the tree, such as `/iscsi/iqn.2003-01.org.example:x`.
    pub path: String,
    /// What `ls` shows in brackets.
    pub summary: String,
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request was refused, and nothing changed.
    #[error("{}", .0.message)]
    Refused(v1::Problem),
    /// The daemon was not reached, or the conversation failed.
    #[error("{message}")]
    Unreached {
        /// One line.
        message: String,
        /// The way out.
        hint: Option<String>,
    },
}

impl From<ClientError> for ApiError {
    fn from(error: ClientError) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        match error {
            ClientError::Problem { problem, .. } => Self::Refused(problem),
            ClientError::NoDaemon { .. }
            | ClientError::PermissionDenied { .. }
            | ClientError::PathTooLong { .. }
            | ClientError::NoAnswer { .. } => Self::Unreached { message, hint },
        }
    }
}

impl Api for Client {
    fn version(&self) -> Result<v1::Version, ApiError> {
        Ok(Client::version(self)?)
    }

    fn config(&self) -> Result<v1::Config, ApiError> {
        Ok(Client::config(self)?)
    }

    fn apply(&self, changes: v1::Changes) -> Result<v1::Applied, ApiError> {
        Ok(Client::apply(self, changes.changes)?)
    }

    fn save(&self, options: &v1::SaveOptions) -> Result<v1::Saved, ApiError> {
        Ok(Client::saveconfig(self, options)?)
    }

    fn saveconfig(&self) -> Result<String, ApiError> {
        Ok(Client::saveconfig_text(self)?)
    }

    fn file_to_apply(&self) -> Result<String, ApiError> {
        Ok(Client::file_to_apply(self)?)
    }

    fn restore(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, ApiError> {
        Ok(Client::restoreconfig(self, document, options)?)
    }

    fn apply_file(&self, document: Vec<u8>, options: &v1::ApplyOptions) -> Result<v1::Compared, ApiError> {
        Ok(Client::apply_file(self, document, options)?)
    }

    fn move_medium(&self, wish: &v1::MoveMedium) -> Result<(), ApiError> {
        Ok(Client::move_medium(self, wish)?)
    }

    fn clear(&self) -> Result<v1::Cleared, ApiError> {
        Ok(Client::clearconfig(self)?)
    }

    fn attributes(&self) -> Result<v1::AttributeTable, ApiError> {
        Ok(Client::attributes(self)?)
    }

    fn options(&self) -> Result<v1::OptionTable, ApiError> {
        Ok(Client::options(self)?)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(problem) => refusal(problem),
            ApiError::Unreached { message, hint } => {
                Failure { message, hint, ..Failure::new("").code(codes::UNREACHED) }
            }
        }
    }
}

/// A refusal in targetcli's words where it has any.  Those name nothing; the hint then does.
fn refusal(problem: v1::Problem) -> Failure {
    let v1::Problem { code, message, hint } = problem;
    let words = match code.as_str() {
        "name_characters" if message.contains("/, newline or spaces/tabs") => {
            "A storage object's name cannot contain  /, newline or spaces/tabs"
        }
        "wwn_invalid" => "WWN not valid as: naa",
        "target_exists" => "This Target already exists in configFS",
        "tpg_exists" => "This TPG already exists in configFS",
        "lun_exists" => "This LUN already exists in configFS",
        _ => return Failure { code: code.into(), message, hint },
    };
    // Two messages start with these words; what they name follows.
    let named = match code.as_str() {
        "name_characters" | "wwn_invalid" => message.rsplit(": ").next().unwrap_or(&message),
        _ => &message,
    };
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Failure::new(words).hint(format!("{named}{hint}")).code(code)
}
