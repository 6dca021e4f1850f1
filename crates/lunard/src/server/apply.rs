// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Applying a file over HTTP: the difference, and making it so.
//!
//! Above: `server`'s routes.  Below: `document`, `saveconfig`, the owner's handle.
//! Never here: what a file means.
//!
//! The difference is that of one configuration, which has a name.  Whoever was shown it gives the name back, and gets
//! what was shown, or nothing.

use super::document::{Made, on_another_thread, request};
use super::{Answer, Service};
use crate::saveconfig::{Apply, Comparison, Document};
use crate::wish::{Generation, HostChance, Wishes};
use api::v1::{self, codes};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use std::hash::{DefaultHasher, Hash, Hasher};

#[utoipa::path(
    post, path = "/v1/apply",
    params(
        ("dry_run" = Option<bool>, Query, description = "Whether to say only what would be done"),
        ("force" = Option<bool>, Query, description = "Whether connected guests may lose what goes"),
        ("generation" = Option<String>, Query, description = "The configuration that the difference was shown for"),
    ),
    request_body(
        content = String, content_type = "application/json",
        description = "A saveconfig.json of LIO or of Lunar, or the form that people write, in TOML",
    ),
    responses(
        (status = 200, body = v1::Compared, description = "Everything is as the file says, or would be"),
        (status = 400, body = v1::Problem, description = "The file is damaged, or something in it cannot be"),
        (status = 409, body = v1::Problem, description = "A guest is connected, or the configuration has changed"),
        (status = 413, body = v1::Problem, description = "The file is too long"),
        (status = 422, body = v1::Problem, description = "A file or device cannot be used so; nothing is done"),
    )
)]
pub(super) async fn apply(
    State(service): State<Service>,
    options: Result<Query<v1::ApplyOptions>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::Compared>, Answer> {
    let (options, body) = request(options, body)?;
    let asked = (service.clone(), options.clone());
    let look = move || Look::at(&asked.0, &body, &asked.1);
    let Look { apply, generation, shown, mut compared, is_so } = on_another_thread(look).await?;
    if options.dry_run {
        return Ok(Json(compared));
    }
    if !options.force && !compared.guests_lose.is_empty() {
        return Err(in_use(&compared));
    }
    if !is_so {
        let wishes = Wishes::Apply { apply: Box::new(apply), generation, shown: Some(Box::new(shown)) };
        compared.notes.extend(Made::of(service.handle.ask(wishes).await?).notes);
    }
    compared.applied = true;
    Ok(Json(compared))
}

#[utoipa::path(
    get, path = "/v1/apply",
    responses((
        status = 200, content_type = "application/toml",
        description = "The configuration as a file that makes it, in TOML",
    ))
)]
pub(super) async fn as_applied(State(service): State<Service>) -> Response {
    let text = crate::saveconfig::by_hand(&service.handle.model());
    ([(header::CONTENT_TYPE, "application/toml")], text).into_response()
}

/// What was found out before anything is done.
struct Look {
    apply: Apply,
    generation: Generation,
    shown: Comparison,
    compared: v1::Compared,
    /// Whether there is nothing to do.
    is_so: bool,
}

impl Look {
    fn at(service: &Service, body: &[u8], options: &v1::ApplyOptions) -> Result<Self, Answer> {
        let mut document = Document::read_wanted(body, &mut HostChance)?;
        let (model, generation) = service.handle.snapshot();
        let live = service.handle.live();
        document.leave_to_media(&model, &live);
        let apply = Apply::new(document, options.force);
        let draft = apply.draft(&model, &mut HostChance)?;
        let shown = apply.compare(&model, &draft);
        let name = name_of(service, generation, &shown);
        if options.generation.as_ref().is_some_and(|given| *given != name) {
            return Err(crate::state_driver::Failure::Moved.into());
        }
        let Comparison { differences, taken_from, losses } = shown.clone();
        let is_connected = |wwn: &model::Wwn| live.targets.get(wwn).is_some_and(|target| target.connected);
        let goes = |(wwn, target): &(&model::Wwn, &model::Target)| {
            let stays = draft.model.targets().get(*wwn);
            stays.is_none_or(|stays| target.tpgs.keys().any(|tag| !stays.tpgs.contains_key(tag)))
        };
        let gone = model.targets().iter().filter(goes).map(|(wwn, _)| wwn);
        let losing = taken_from.keys().chain(gone);
        let mut guests_lose: Vec<String> =
            losing.filter(|wwn| is_connected(wwn)).map(ToString::to_string).collect();
        guests_lose.sort();
        guests_lose.dedup();
        let (mut notes, applied) = (apply.notes(), false);
        notes.extend(losses);
        let compared = v1::Compared { generation: name, applied, differences, guests_lose, notes };
        Ok(Self { apply, generation, shown, compared, is_so: draft.changes.is_empty() })
    }
}

/// What a difference is called: guests change the configuration too, without another generation.
fn name_of(service: &Service, generation: Generation, shown: &Comparison) -> String {
    let mut digest = DefaultHasher::new();
    // Only this process reads it again.
    format!("{shown:?}").hash(&mut digest);
    format!("{}-{}-{:016x}", service.life, generation.0, digest.finish())
}

fn in_use(compared: &v1::Compared) -> Answer {
    let targets = compared.guests_lose.join(" ");
    let noun = if compared.guests_lose.len() == 1 { "target" } else { "targets" };
    let message = format!("the guests of {noun} {targets} are connected and would lose what they have");
    let hint = "nothing was changed; shut them down first, or force it: --force".to_owned();
    Answer::new(StatusCode::CONFLICT, codes::GUEST_CONNECTED, message, Some(hint))
}
