// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How to ask `lunard`: a client that waits for each answer.
//!
//! Above: `shell` and `lunar`.  Below: HTTP/1.1 on the daemon's Unix socket.
//! Never here: words for the administrator beyond what reaching the daemon takes.
//!
//! Each request has a connection of its own: nothing goes stale while a shell waits for its next line.

use crate::owner::Owner;
use crate::v1;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// The name of the daemon's socket in the runtime directory.
pub const SOCKET_NAME: &str = "api.sock";

/// The longest path that a socket can have, in bytes: `sun_path` without its terminator.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest answer that is read, in bytes.  The largest configuration there can be fits.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// Asks one daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no lunard is running at {}", socket.display())]
    NoDaemon {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// The kernel keeps us out.
    #[error("permission denied to talk to lunard at {}", socket.display())]
    PermissionDenied {
        /// Where it listens.
        socket: PathBuf,
        /// Who may: the owner of the socket, or of the directory that hides it.
        user: Option<String>,
        /// Whose members may too, if the socket says so.
        group: Option<String>,
    },
    /// The socket's path does not fit its address.
    #[error(
        "the path of the socket is too long: {} has {} bytes, {SOCKET_PATH_BYTES_MAX} are possible",
        socket.display(), socket.as_os_str().len()
    )]
    PathTooLong {
        /// The path.
        socket: PathBuf,
    },
    /// The daemon refused, and said why.
    #[error("{}", problem.message)]
    Problem {
        /// The HTTP status: 4xx if the request is at fault, 5xx if the host is.
        status: u16,
        /// Why.
        problem: v1::Problem,
    },
    /// The daemon went away, or is none.
    #[error("lunard at {} did not answer: {what}", socket.display())]
    NoAnswer {
        /// Where it was asked.
        socket: PathBuf,
        /// What happened instead.
        what: String,
    },
}

impl ClientError {
    /// The way out, in one line without a full stop, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDaemon { .. } => Some(
                "start it with `lunard`; if it runs elsewhere, name its \
                 --runtime-dir"
                    .to_owned(),
            ),
            Self::PermissionDenied { user, group, .. } => {
                let user = user.as_deref().unwrap_or("root");
                let group = group.as_ref().map(|group| format!(" or a member of group {group}"));
                Some(format!("become user {user}{}", group.unwrap_or_default()))
            }
            Self::PathTooLong { .. } => Some("choose a shorter --runtime-dir".to_owned()),
            Self::Problem { problem, .. } => problem.hint.clone(),
            Self::NoAnswer { .. } => Some("its log on standard error says why, if it ended".to_owned()),
        }
    }

    /// The [`v1::Problem::code`], if the daemon refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }
}

impl Client {
    /// A client of the daemon that serves `runtime_dir`, once it is seen to listen.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`], [`ClientError::PermissionDenied`], [`ClientError::PathTooLong`] or
    /// [`ClientError::NoAnswer`].
    pub fn connect(runtime_dir: &Path) -> Result<Self, ClientError> {
        let socket = runtime_dir.join(SOCKET_NAME);
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(ClientError::PathTooLong { socket });
        }
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime =
            runtime.map_err(|err| ClientError::NoAnswer { socket: socket.clone(), what: err.to_string() })?;
        let client = Self { socket, runtime };
        client.runtime.block_on(client.open())?;
        Ok(client)
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/version`.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn version(&self) -> Result<v1::Version, ClientError> {
        self.get("/version")
    }

    /// `GET /v1/config`.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn config(&self) -> Result<v1::Config, ClientError> {
        self.get("/config")
    }

    /// `GET /v1/attributes`.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn attributes(&self) -> Result<v1::AttributeTable, ClientError> {
        self.get("/attributes")
    }

    /// `GET /v1/options`.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn options(&self) -> Result<v1::OptionTable, ClientError> {
        self.get("/options")
    }

    /// `POST /v1/changes`: all of `changes` happen, or none.
    ///
    /// # Errors
    /// Every [`ClientError`]; with [`ClientError::Problem`] nothing has changed.
    pub fn apply(&self, changes: Vec<v1::Change>) -> Result<v1::Applied, ClientError> {
        self.post("/changes", &v1::Changes { changes })
    }

    /// `POST /v1/saveconfig`: the daemon writes its saveconfig.json.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn saveconfig(&self, options: &v1::SaveOptions) -> Result<v1::Saved, ClientError> {
        let query = serde_urlencoded::to_string(options).map_err(|err| self.no_answer(&err))?;
        let body = self.ask(Method::POST, &format!("/saveconfig?{query}"), Bytes::new())?;
        self.read(&body)
    }

    /// `GET /v1/saveconfig`: the text that the daemon would write.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn saveconfig_text(&self) -> Result<String, ClientError> {
        let body = self.ask(Method::GET, "/saveconfig", Bytes::new())?;
        String::from_utf8(body.into()).map_err(|err| self.no_answer(&err))
    }

    /// `GET /v1/apply`: the configuration as a file that makes it, in TOML.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub fn file_to_apply(&self) -> Result<String, ClientError> {
        let body = self.ask(Method::GET, "/apply", Bytes::new())?;
        String::from_utf8(body.into()).map_err(|err| self.no_answer(&err))
    }

    /// `POST /v1/restoreconfig`: the things of a saveconfig.json come to be, all or none; those of the daemon's
    /// own where there is no `document`.
    ///
    /// # Errors
    /// Every [`ClientError`]; with [`ClientError::Problem`] nothing has changed.
    pub fn restoreconfig(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, ClientError> {
        let query = serde_urlencoded::to_string(options).map_err(|err| self.no_answer(&err))?;
        let body = document.unwrap_or_default().into();
        let answer = self.ask(Method::POST, &format!("/restoreconfig?{query}"), body)?;
        self.read(&answer)
    }

    /// `POST /v1/apply`: everything becomes as a file says, or nothing; with [`v1::ApplyOptions::dry_run`] it is only
    /// told what would.
    ///
    /// # Errors
    /// Every [`ClientError`]; with [`ClientError::Problem`] nothing has changed.
    pub fn apply_file(
        &self,
        document: Vec<u8>,
        options: &v1::ApplyOptions,
    ) -> Result<v1::Compared, ClientError> {
        let query = serde_urlencoded::to_string(options).map_err(|err| self.no_answer(&err))?;
        let answer = self.ask(Method::POST, &format!("/apply?{query}"), document.into())?;
        self.read(&answer)
    }

    /// `POST /v1/medium`: the medium of a backstore goes out, or comes in.
    ///
    /// # Errors
    /// Every [`ClientError`]; with [`ClientError::Problem`] nothing has changed.
    pub fn move_medium(&self, wish: &v1::MoveMedium) -> Result<(), ClientError> {
        self.post::<v1::Moved>("/medium", wish).map(|_| ())
    }

    /// `POST /v1/clearconfig`: the whole configuration goes.
    ///
    /// # Errors
    /// Every [`ClientError`]; with [`ClientError::Problem`] nothing has changed.
    pub fn clearconfig(&self) -> Result<v1::Cleared, ClientError> {
        let answer = self.ask(Method::POST, "/clearconfig", Bytes::new())?;
        self.read(&answer)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.ask(Method::GET, path, Bytes::new())?;
        self.read(&body)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|err| self.no_answer(&err))?;
        let answer = self.ask(Method::POST, path, body.into())?;
        self.read(&answer)
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|err| self.no_answer(&err))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let (status, answer) = self.runtime.block_on(self.exchange(method, path, body))?;
        if status.is_success() {
            return Ok(answer);
        }
        match serde_json::from_slice::<v1::Problem>(&answer) {
            Ok(problem) => Err(ClientError::Problem { status: status.as_u16(), problem }),
            Err(_) => Err(self.no_answer(&status)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = TokioIo::new(self.open().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|err| self.no_answer(&err))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", v1::PREFIX))
            .header(header::HOST, "lunar")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|err| self.no_answer(&err))?;
        let response = sender.send_request(request).await.map_err(|err| self.no_answer(&err))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|err| self.no_answer(&err))?.to_bytes();
        drop(sender);
        connection.abort();
        Ok((status, body))
    }

    async fn open(&self) -> Result<UnixStream, ClientError> {
        let socket = self.socket.clone();
        UnixStream::connect(&self.socket).await.map_err(|err| match err.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                ClientError::NoDaemon { socket }
            }
            io::ErrorKind::PermissionDenied => permission_denied(socket),
            _ => ClientError::NoAnswer { socket, what: err.to_string() },
        })
    }

    fn no_answer(&self, what: &dyn std::fmt::Display) -> ClientError {
        ClientError::NoAnswer { socket: self.socket.clone(), what: what.to_string() }
    }
}

/// The bit that lets members of a socket's group connect.
const GROUP_WRITE: u32 = 0o020;

fn permission_denied(socket: PathBuf) -> ClientError {
    // Where a directory hides the socket, its group may pass, but who knows whether that is enough.
    let group =
        Owner::of(&socket).ok().filter(|owner| owner.mode & GROUP_WRITE != 0).map(|owner| owner.group);
    let user = Owner::of_nearest(&socket).map(|owner| owner.user);
    ClientError::PermissionDenied { socket, user, group }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn who_may_not_connect_is_told_who_may() {
        let scratch = tempfile::tempdir().unwrap();
        let socket = scratch.path().join("api.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let owner = Owner::of(&socket).unwrap();
        for (mode, hint) in [
            (0o660, format!("become user {} or a member of group {}", owner.user, owner.group)),
            (0o600, format!("become user {}", owner.user)),
        ] {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(mode)).unwrap();
            let err = permission_denied(socket.clone());
            assert_eq!(
                err.to_string(),
                format!("permission denied to talk to lunard at {}", socket.display())
            );
            assert_eq!(err.hint(), Some(hint));
        }
    }
}
