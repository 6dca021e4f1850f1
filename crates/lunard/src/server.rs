// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP: which path asks for what.
//!
//! Above: clients on `api.sock`, Prometheus.  Below: `state_driver`'s handle, `saveconfig`, `metrics`.
//! Never here: a decision.
//!
//! Everything is bounded: the connections, the bytes of a request, the changes of a transaction.

mod apply; //    a file that says what is to be
mod document; // what both of them do with one
mod medium; //   in and out
mod restore; //  a whole saveconfig.json at once

use crate::directories;
use crate::machine::{Fault, FaultKind};
use crate::metrics;
use crate::saveconfig::{SaveConfig, backups_wanted};
use crate::start_error::StartError;
use crate::state_driver::{Failure, Handle};
use crate::wish::{Chance, HostChance};
use api::v1::{self, codes};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::OpenApi;
use vhost_scsi::{SocketName, listen_on};

/// The longest body of a request, in bytes: [`v1::CHANGES_MAX`] changes, most of them with long paths.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// The most connections of one socket at a time; the next one waits.
pub const CONNECTIONS_MAX: usize = 128;

/// Who may use the API: its owner and its group.
const API_SOCKET_MODE: u32 = 0o660;

/// What every request is answered from.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Handle,
    saveconfig: Arc<Mutex<SaveConfig>>,
    /// Tells the configurations of this daemon from those of the one before it.
    life: Arc<str>,
    stop: Arc<watch::Sender<bool>>,
    tree: Option<Arc<Path>>,
}

impl Service {
    /// Answers from this configuration.
    #[must_use]
    pub fn new(handle: Handle, saveconfig: SaveConfig) -> Self {
        Self {
            handle,
            saveconfig: Arc::new(Mutex::new(saveconfig)),
            life: HostChance.uuid().into(),
            stop: Arc::new(watch::Sender::new(false)),
            tree: None,
        }
    }

    /// Tells where LIO's tree is mounted, if it is.
    #[must_use]
    pub fn with_tree(self, dir: Option<&Path>) -> Self {
        Self { tree: dir.map(Arc::from), ..self }
    }

    /// Makes [`serve`] return once every request has its answer.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn saveconfig_text(&self) -> String {
        crate::saveconfig::text(&self.handle.model(), &self.handle.live())
    }
}

/// The API's socket, which has its place and is not listened to yet.  Dropped, its name goes.
#[derive(Debug)]
pub struct Bound {
    socket: OwnedFd,
    name: SocketName,
}

/// Binds the API's socket.  A leftover there is replaced, and anything else stays.
///
/// # Errors
/// [`StartError::ApiSocket`].
pub fn bind(runtime_dir: &Path) -> Result<Bound, StartError> {
    let path = directories::api_socket(runtime_dir);
    let bind = || {
        let (socket, name) = SocketName::take(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(API_SOCKET_MODE))?;
        Ok(Bound { socket, name })
    };
    bind().map_err(|source| StartError::ApiSocket { path: path.clone(), source })
}

impl Bound {
    /// Listens.
    ///
    /// # Errors
    /// [`StartError::ApiSocket`].
    pub fn listen(self) -> Result<(UnixListener, SocketName), StartError> {
        let Self { socket, name } = self;
        let listen = || {
            let listener = listen_on(socket)?;
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener =
            listen().map_err(|source| StartError::ApiSocket { path: name.path().to_owned(), source })?;
        Ok((listener, name))
    }
}

/// Listens for Prometheus.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen_for_metrics(at: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(at).await.map_err(|source| StartError::Listen { at: at.to_string(), source })
}

/// Serves until [`Service::stop`].
pub async fn serve(service: &Service, api: UnixListener, metrics: Option<TcpListener>) {
    let api = run(api, routes(service.clone()), service.stop.subscribe());
    let metrics = async {
        if let Some(listener) = metrics {
            run(listener, metrics_routes(service.clone()), service.stop.subscribe()).await;
        }
    };
    tokio::join!(api, metrics);
}

async fn run<L: Listener>(listener: L, routes: Router, mut stop: watch::Receiver<bool>)
where
    L::Addr: std::fmt::Debug + Send + 'static,
{
    let bounded = Bounded { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    let stopped = async move {
        // An error means that the sender is gone, and with it the service.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    // `axum::serve` returns only after the signal: accept errors are waited out.
    let _ = axum::serve(bounded, routes).with_graceful_shutdown(stopped).await;
}

/// What is served, for programs.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Lunar",
        description = "The control interface of lunard.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        version,
        config,
        changes,
        saveconfig,
        saveconfig_now,
        restore::restoreconfig,
        restore::clearconfig,
        apply::apply,
        apply::as_applied,
        medium::medium,
        attributes,
        options
    )
)]
pub struct Description;

/// Every path of the API.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/version", get(version))
        .route("/v1/config", get(config))
        .route("/v1/changes", post(changes))
        .route("/v1/saveconfig", get(saveconfig).post(saveconfig_now))
        .route(
            "/v1/restoreconfig",
            post(restore::restoreconfig).layer(DefaultBodyLimit::max(v1::SAVECONFIG_BYTES_MAX)),
        )
        .route(
            "/v1/apply",
            get(apply::as_applied).post(apply::apply).layer(DefaultBodyLimit::max(v1::SAVECONFIG_BYTES_MAX)),
        )
        .route("/v1/clearconfig", post(restore::clearconfig))
        .route("/v1/medium", post(medium::medium))
        .route("/v1/attributes", get(attributes))
        .route("/v1/options", get(options))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(prometheus))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

/// The one path that is served to the network.
fn metrics_routes(service: Service) -> Router {
    Router::new().route("/metrics", get(prometheus)).fallback(unknown).with_state(service)
}

#[utoipa::path(get, path = "/v1/version", responses((status = 200, body = v1::Version)))]
async fn version(State(service): State<Service>) -> Json<v1::Version> {
    let configfs = service.tree.as_deref().map(|dir| dir.display().to_string());
    Json(v1::Version { version: env!("CARGO_PKG_VERSION").to_owned(), configfs })
}

#[utoipa::path(get, path = "/v1/config", responses((status = 200, body = v1::Config)))]
async fn config(State(service): State<Service>) -> Json<v1::Config> {
    Json(service.handle.config())
}

#[utoipa::path(
    post, path = "/v1/changes", request_body = v1::Changes,
    responses(
        (status = 200, body = v1::Applied, description = "All of it is done and durable"),
        (status = 400, body = v1::Problem, description = "A change is nonsense; nothing is done"),
        (status = 404, body = v1::Problem, description = "A change names what is not there; nothing is done"),
        (status = 409, body = v1::Problem, description = "A change is in the way of what is; nothing is done"),
        (status = 413, body = v1::Problem, description = "The body is too long"),
        (status = 422, body = v1::Problem, description = "A file or device cannot be used so; nothing is done"),
        (status = 500, body = v1::Problem, description = "The host failed; nothing is done"),
        (status = 503, body = v1::Problem, description = "Too busy, or stopping; nothing is done"),
    )
)]
async fn changes(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<v1::Applied>, Answer> {
    let body = body.map_err(|rejection| too_large(&rejection, BODY_BYTES_MAX))?;
    let v1::Changes { changes } = serde_json::from_slice(&body)
        .map_err(|err| Answer::bad_request(format!("the body is not a list of changes: {err}")))?;
    if v1::CHANGES_MAX < changes.len() {
        let (count, most) = (changes.len(), v1::CHANGES_MAX);
        return Err(Answer::bad_request(format!(
            "{count} changes are too many for one transaction of {most}"
        )));
    }
    Ok(Json(service.handle.apply(changes).await?))
}

#[utoipa::path(
    get, path = "/v1/saveconfig",
    responses((status = 200, content_type = "application/json", description = "LIO's saveconfig.json"))
)]
async fn saveconfig(State(service): State<Service>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], service.saveconfig_text()).into_response()
}

#[utoipa::path(
    post, path = "/v1/saveconfig",
    params(("backups" = Option<u32>, Query, description = "How many earlier versions are kept")),
    responses(
        (status = 200, body = v1::Saved), (status = 400, body = v1::Problem), (status = 500, body = v1::Problem)
    )
)]
async fn saveconfig_now(
    State(service): State<Service>,
    options: Result<Query<v1::SaveOptions>, QueryRejection>,
) -> Result<Json<v1::Saved>, Answer> {
    let Query(options) = options.map_err(|rejection| Answer::bad_request(rejection.body_text()))?;
    // Writing waits for the disk; the socket goes on being served.
    let written = tokio::task::spawn_blocking(move || {
        let saveconfig = service.saveconfig.lock().unwrap_or_else(PoisonError::into_inner);
        saveconfig.write(&service.saveconfig_text(), backups_wanted(&options))
    });
    match written.await {
        Ok(Ok(saved)) => Ok(Json(saved)),
        Ok(Err(err)) => Err(Answer::host(err.to_string())),
        Err(err) => Err(Answer::host(err.to_string())),
    }
}

#[utoipa::path(get, path = "/v1/attributes", responses((status = 200, body = v1::AttributeTable)))]
async fn attributes() -> Json<v1::AttributeTable> {
    Json(translate::tables::attributes())
}

#[utoipa::path(get, path = "/v1/options", responses((status = 200, body = v1::OptionTable)))]
async fn options() -> Json<v1::OptionTable> {
    Json(translate::tables::options())
}

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

async fn prometheus(State(service): State<Service>) -> Response {
    let text = metrics::text(&service.handle);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn unknown(uri: axum::http::Uri) -> Answer {
    let mut answer = Answer::bad_request(format!("there is nothing at {}", uri.path()));
    answer.status = StatusCode::NOT_FOUND;
    answer.problem.hint = Some("GET /openapi.json describes what is served".to_owned());
    answer
}

async fn unknown_method(method: axum::http::Method, uri: axum::http::Uri) -> Answer {
    let mut answer = Answer::bad_request(format!("{} does not take {method}", uri.path()));
    answer.status = StatusCode::METHOD_NOT_ALLOWED;
    answer
}

/// Why a request has no better answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    problem: v1::Problem,
}

impl Answer {
    fn new(status: StatusCode, code: &str, message: String, hint: Option<String>) -> Self {
        Self { status, problem: v1::Problem { code: code.to_owned(), message, hint } }
    }

    fn bad_request(message: String) -> Self {
        let message = api::both_ends(&message).into_owned();
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_REQUEST, message, None)
    }

    fn host(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::HOST, message, None)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

fn too_large(rejection: &BytesRejection, bytes_max: usize) -> Answer {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is longer than {bytes_max} bytes");
        return Answer::new(StatusCode::PAYLOAD_TOO_LARGE, codes::TOO_LARGE, message, None);
    }
    Answer::bad_request(rejection.body_text())
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        match failure {
            Failure::Refused(refusal) => {
                let status = if refusal.is_absence() {
                    StatusCode::NOT_FOUND
                } else if refusal.is_conflict() {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::BAD_REQUEST
                };
                Self::new(status, refusal.code(), message, Some(refusal.hint()))
            }
            Failure::Moved => {
                let hint = "nothing was changed; look at the difference once more".to_owned();
                Self::new(StatusCode::CONFLICT, codes::MOVED, message, Some(hint))
            }
            Failure::Restore(error) => error.into(),
            Failure::Fault(Fault { hint, kind, message, errno: _ }) => match kind {
                FaultKind::Caller => {
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, codes::CANNOT_PREPARE, message, hint)
                }
                FaultKind::Host => Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::HOST, message, hint),
            },
            Failure::Save(_) => {
                let hint = "nothing was changed; see to the file system of the state directory".to_owned();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::HOST, message, Some(hint))
            }
            Failure::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::BUSY, message, None),
            Failure::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::STOPPING, message, None),
        }
    }
}

/// A listener that takes no more connections than there is room for.
struct Bounded<L> {
    listener: L,
    room: Arc<Semaphore>,
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Guest<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed; without a permit there is only waiting, for good.
        let Ok(place) = Arc::clone(&self.room).acquire_owned().await else {
            return std::future::pending().await;
        };
        let (io, address) = self.listener.accept().await;
        (Guest { io, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection, and the room that it takes.
struct Guest<I> {
    io: I,
    _place: OwnedSemaphorePermit,
}

impl<I: AsyncRead + Unpin> AsyncRead for Guest<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guest<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
