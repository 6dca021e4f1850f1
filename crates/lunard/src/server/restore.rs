// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Restoring and clearing the configuration over HTTP.
//!
//! Above: `server`'s routes.  Below: `document`, `saveconfig`, the owner's handle.
//! Never here: what a saveconfig.json means.

use super::document::{Made, NOTHING, on_another_thread, request};
use super::{Answer, Service};
use crate::saveconfig::{Document, ReadError, Restore, RestoreError};
use crate::wish::{HostChance, Wishes};
use api::v1::{self, codes};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Json;
use std::path::PathBuf;
use std::sync::PoisonError;

#[utoipa::path(
    post, path = "/v1/restoreconfig",
    params(
        ("clear_existing" = Option<bool>, Query, description = "Whether what is there goes first"),
        ("target" = Option<String>, Query, description = "Only this target, and what its LUNs show"),
        ("storage_object" = Option<String>, Query, description = "Only this storage object"),
    ),
    request_body(
        content = Option<String>, content_type = "application/json",
        description = "A saveconfig.json of LIO or of Lunar; without one, the daemon's own is restored",
    ),
    responses(
        (status = 200, body = v1::Restored, description = "All of it is done and durable"),
        (status = 400, body = v1::Problem, description = "The file is damaged, or something in it cannot be"),
        (status = 404, body = v1::Problem, description = "There is no such file, or it has not what is asked for"),
        (status = 409, body = v1::Problem, description = "Things of the file are there already; nothing is done"),
        (status = 413, body = v1::Problem, description = "The file is too long"),
        (status = 422, body = v1::Problem, description = "A file or device cannot be used so; nothing is done"),
    )
)]
pub(super) async fn restoreconfig(
    State(service): State<Service>,
    options: Result<Query<v1::RestoreOptions>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::Restored>, Answer> {
    let (options, body) = request(options, body)?;
    let reader = (service.clone(), options.clone());
    let (path, document) = on_another_thread(move || read(&reader.0, &body, &reader.1)).await?;
    let mut notes = document.notes();
    let wishes = Wishes::Restore(Box::new(Restore::new(document, options)));
    let made = Made::of(service.handle.ask(wishes).await?);
    notes.extend(made.notes);
    let path = path.map(|path| path.display().to_string());
    Ok(Json(v1::Restored { path, storage_objects: made.storage_objects, targets: made.targets, notes }))
}

#[utoipa::path(
    post, path = "/v1/clearconfig",
    responses(
        (status = 200, body = v1::Cleared, description = "All of it is done and durable"),
        (status = 422, body = v1::Problem, description = "A guest is connected; nothing is done"),
    )
)]
pub(super) async fn clearconfig(State(service): State<Service>) -> Result<Json<v1::Cleared>, Answer> {
    let before = service.handle.model();
    service.handle.ask(Wishes::Clear).await?;
    let count = |things: usize| u64::try_from(things).unwrap_or(u64::MAX);
    Ok(Json(v1::Cleared {
        storage_objects: count(before.backstores().len()),
        targets: count(before.targets().len()),
        kept_things: count(before.foreign().things().len()),
    }))
}

/// Reads the document, or the daemon's own, with its path.
fn read(
    service: &Service,
    body: &[u8],
    options: &v1::RestoreOptions,
) -> Result<(Option<PathBuf>, Document), Answer> {
    // Writing and reading at once would be no harm; two large documents at once are a lot of memory.
    let saveconfig = service.saveconfig.lock().unwrap_or_else(PoisonError::into_inner);
    if !body.is_empty() {
        return Ok((None, Document::read(body, options, &mut HostChance)?));
    }
    let text = saveconfig.read()?;
    Ok((Some(saveconfig.path()), Document::read(&text, options, &mut HostChance)?))
}

impl From<ReadError> for Answer {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Missing { .. } => {
                let hint = "`saveconfig` writes it; a file elsewhere is named after the command".to_owned();
                Self::new(StatusCode::NOT_FOUND, codes::NO_SAVECONFIG, message, Some(hint))
            }
            ReadError::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, codes::TOO_LARGE, message, Some(NOTHING.to_owned()))
            }
            ReadError::Host { .. } => Self::host(message),
        }
    }
}

impl From<RestoreError> for Answer {
    fn from(error: RestoreError) -> Self {
        let message = error.to_string();
        match error {
            RestoreError::Conflict { .. } => {
                let hint = "nothing was changed; clear_existing=true replaces what is there".to_owned();
                Self::new(StatusCode::CONFLICT, codes::RESTORE_CONFLICT, message, Some(hint))
            }
            RestoreError::NoStorageObject { .. } => {
                Self::new(StatusCode::BAD_REQUEST, codes::SAVECONFIG, message, Some(NOTHING.to_owned()))
            }
            RestoreError::Refused(refusal) => crate::state_driver::Failure::Refused(refusal).into(),
        }
    }
}
