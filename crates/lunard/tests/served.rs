// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The API over a real socket, on the fake machine, in the test's own process.
//!
//! Above: the tests beside this file.  Below: `common`, the library.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

#[path = "common.rs"]
pub(crate) mod common;

use api::{Client, ClientError};
use common::Plane;
use lunard::machine::fake::FakeMachine;
use lunard::saveconfig::SaveConfig;
use lunard::server::{self, Service};
use lunard::state_driver::Handle;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

/// A daemon without a process.
pub(crate) struct Daemon {
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) plane: Plane,
    pub(crate) service: Service,
    pub(crate) metrics: std::net::SocketAddr,
    pub(crate) thread: Option<JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let plane = Plane::start(&state);
        let service = Service::new(plane.handle.clone(), SaveConfig::new(&state));
        let (ready, started) = channel();
        let (served, runtime_dir) = (service.clone(), scratch.path().to_owned());
        let thread = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            tokio.block_on(async {
                let (api, _name) = server::bind(&runtime_dir).and_then(server::Bound::listen).unwrap();
                let metrics = server::listen_for_metrics("127.0.0.1:0".parse().unwrap()).await.unwrap();
                ready.send(metrics.local_addr().unwrap()).unwrap();
                server::serve(&served, api, Some(metrics)).await;
            });
        });
        let metrics = started.recv().unwrap();
        Self { scratch, plane, service, metrics, thread: Some(thread) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.scratch.path()).unwrap()
    }

    pub(crate) fn machine(&self) -> &Arc<FakeMachine> {
        &self.plane.machine
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.plane.handle
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.scratch.path().join("api.sock")
    }

    /// Sends a request as it stands and returns the whole answer.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        // The daemon may answer and close before it has read all.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        self.raw(
            format!("{method} {path} HTTP/1.1\r\nhost: l\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
    }

    /// Status and body.
    pub(crate) fn answer(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.request(method, path, body);
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.plane.stop();
        self.service.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Status, code and message of what was refused.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String, String) {
    match result.unwrap_err() {
        ClientError::Problem { status, problem } => (status, problem.code, problem.message),
        other => panic!("{other:?}"),
    }
}
