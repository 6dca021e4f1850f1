// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What requests with a document in their body have in common: reading it, and telling what came of it.
//!
//! Above: `apply`, `restore`.  Below: `saveconfig`.
//! Never here: what a document means, or what is done with it.

use super::Answer;
use crate::saveconfig::DocumentError;
use api::v1::{self, codes};
use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::StatusCode;

/// The hint where a document is to blame.
pub(super) const NOTHING: &str = "nothing was changed; see to the file";

/// The options and the body of a request, or what is wrong with them.
pub(super) fn request<T>(
    options: Result<Query<T>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(T, Bytes), Answer> {
    let Query(options) = options.map_err(|rejection| Answer::bad_request(rejection.body_text()))?;
    let body = body.map_err(|rejection| super::too_large(&rejection, v1::SAVECONFIG_BYTES_MAX))?;
    Ok((options, body))
}

/// Does what takes long where nobody waits for it.
pub(super) async fn on_another_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Answer> + Send + 'static,
) -> Result<T, Answer> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|err| Err(Answer::host(err.to_string())))
}

/// What a document made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) storage_objects: u64,
    pub(super) targets: u64,
    /// What the administrator should know.
    pub(super) notes: Vec<String>,
}

impl Made {
    /// Counts what a transaction has made.
    pub(super) fn of(applied: v1::Applied) -> Self {
        let mut made = Self::default();
        for outcome in applied.results {
            match outcome {
                v1::Outcome::BackstoreCreated { notes, .. } => {
                    made.storage_objects += 1;
                    made.notes.extend(notes);
                }
                v1::Outcome::TargetCreated { .. } => made.targets += 1,
                v1::Outcome::TpgCreated { .. }
                | v1::Outcome::LunMapped { .. }
                | v1::Outcome::AttributeSet { .. }
                | v1::Outcome::OptionSet { .. }
                | v1::Outcome::AluaGroupCreated { .. }
                | v1::Outcome::AclLunMapped { .. }
                | v1::Outcome::Done => {}
            }
        }
        made
    }
}

impl From<DocumentError> for Answer {
    fn from(error: DocumentError) -> Self {
        let message = error.to_string();
        match error {
            DocumentError::Malformed(_) => {
                Self::new(StatusCode::BAD_REQUEST, codes::SAVECONFIG, message, Some(NOTHING.to_owned()))
            }
            DocumentError::NotThere(_) => {
                Self::new(StatusCode::NOT_FOUND, codes::NOT_IN_SAVECONFIG, message, None)
            }
        }
    }
}
