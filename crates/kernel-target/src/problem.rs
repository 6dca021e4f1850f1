// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What went wrong, in the form in which `lunard` says it.
//!
//! Above: `target`.  Below: the errors of the other files, of `model` and of `translate`.
//! Never here: a decision.

use crate::files::Fault;
use api::v1::{self, codes};
use model::Refusal;
use translate::saveconfig::{DocumentError, ReadError, RestoreError, WriteError};

/// The way out of a file that is refused.
pub(crate) const NOTHING: &str = "nothing was changed; see to the file";

/// A problem that becomes a [`v1::Problem`].
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) v1::Problem);

impl Problem {
    pub(crate) fn new(code: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self(v1::Problem { code: code.to_owned(), message: message.into(), hint })
    }
}

impl From<Problem> for v1::Problem {
    fn from(Problem(problem): Problem) -> Self {
        problem
    }
}

impl From<Fault> for Problem {
    fn from(Fault { message, hint }: Fault) -> Self {
        Self::new(codes::CANNOT_PREPARE, message, hint)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string(), Some(refusal.hint()))
    }
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        match &error {
            DocumentError::Malformed(_) => {
                Self::new(codes::SAVECONFIG, error.to_string(), Some(NOTHING.to_owned()))
            }
            DocumentError::NotThere(_) => Self::new(codes::NOT_IN_SAVECONFIG, error.to_string(), None),
        }
    }
}

impl From<RestoreError> for Problem {
    fn from(error: RestoreError) -> Self {
        let message = error.to_string();
        match error {
            RestoreError::Conflict { .. } => {
                let hint = "nothing was changed; clear_existing=true replaces what is there".to_owned();
                Self::new(codes::RESTORE_CONFLICT, message, Some(hint))
            }
            RestoreError::NoStorageObject { .. } => {
                Self::new(codes::SAVECONFIG, message, Some(NOTHING.to_owned()))
            }
            RestoreError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::Missing { .. } => codes::NO_SAVECONFIG,
            ReadError::TooLong { .. } => codes::TOO_LARGE,
            ReadError::Host { .. } => codes::HOST,
        };
        Self::new(code, error.to_string(), None)
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        Self::new(codes::HOST, error.to_string(), None)
    }
}
