// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `POST /v1/medium`: the medium of a backstore goes out, or comes in.
//!
//! Above: clients.  Below: `state_driver`'s handle.
//! Never here: who keeps a medium in.
//!
//! It is what a unit remembers, as a reservation is, and no part of the configuration: guests move it too.

use super::{Answer, BODY_BYTES_MAX, Service, too_large};
use crate::state_driver::Failure;
use api::v1;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Json;

#[utoipa::path(
    post, path = "/v1/medium", request_body = v1::MoveMedium,
    responses(
        (status = 200, body = v1::Moved, description = "It is there, and durably so"),
        (status = 400, body = v1::Problem, description = "The body is nonsense"),
        (status = 404, body = v1::Problem, description = "There is no such backstore"),
        (status = 422, body = v1::Problem, description = "It has no removable medium, or a guest keeps it in"),
        (status = 500, body = v1::Problem, description = "It cannot be kept; nothing is done"),
    )
)]
pub(super) async fn medium(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::Moved>, Answer> {
    let body = body.map_err(|rejection| too_large(&rejection, BODY_BYTES_MAX))?;
    let v1::MoveMedium { id, loaded, force } = serde_json::from_slice(&body)
        .map_err(|err| Answer::bad_request(format!("the body is not a wish for a medium: {err}")))?;
    let backstore = translate::wish::backstore_id(&id).map_err(Failure::Refused)?;
    service.handle.model().backstore(&backstore).map_err(Failure::Refused)?;
    // The disk with the records of units is waited for; the socket goes on being served.
    let handle = service.handle.clone();
    let moved = tokio::task::spawn_blocking(move || handle.move_medium(&backstore, loaded, force));
    match moved.await {
        Ok(Ok(())) => Ok(Json(v1::Moved { loaded })),
        Ok(Err(fault)) => Err(Failure::Fault(fault).into()),
        Err(err) => Err(Answer::host(err.to_string())),
    }
}
