// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client where there is no daemon, or one that does not behave.

use api::{Client, ClientError, v1};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{JoinHandle, spawn};

/// Answers one connection with nothing and every later one with `answer`.
fn serve(runtime_dir: &Path, answer: &'static [u8]) -> JoinHandle<()> {
    let listener = UnixListener::bind(runtime_dir.join("api.sock")).unwrap();
    spawn(move || {
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn nobody_listens_where_there_is_no_socket() {
    let scratch = tempfile::tempdir().unwrap();
    let err = Client::connect(scratch.path()).unwrap_err();
    assert!(matches!(err, ClientError::NoDaemon { .. }), "{err:?}");
    assert_eq!(err.to_string(), format!("no lunard is running at {}/api.sock", scratch.path().display()));
    let hint = err.hint().unwrap();
    assert!(hint.contains("start it with `lunard`"), "{hint}");
}

#[test]
fn nobody_listens_on_a_socket_that_was_left_behind() {
    let scratch = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(scratch.path().join("api.sock")).unwrap());
    assert!(matches!(Client::connect(scratch.path()), Err(ClientError::NoDaemon { .. })));
}

#[test]
fn a_path_that_does_not_fit_is_refused_before_it_is_tried() {
    let path = format!("/tmp/{}", "r".repeat(100));
    let err = Client::connect(Path::new(&path)).unwrap_err();
    assert_eq!(
        err.to_string(),
        format!("the path of the socket is too long: {path}/api.sock has 114 bytes, 107 are possible")
    );
    assert_eq!(err.hint().as_deref(), Some("choose a shorter --runtime-dir"));
}

#[test]
fn a_refusal_is_passed_on_in_full() {
    let scratch = tempfile::tempdir().unwrap();
    let server = serve(
        scratch.path(),
        b"HTTP/1.1 409 Conflict\r\ncontent-length: 64\r\n\r\n\
          {\"code\":\"target_exists\",\"message\":\"it is there\",\"hint\":\"choose\"} ",
    );
    let err = Client::connect(scratch.path()).unwrap().apply(vec![]).unwrap_err();
    assert_eq!(err.to_string(), "it is there");
    assert_eq!(err.hint().as_deref(), Some("choose"));
    assert_eq!(err.code(), Some("target_exists"));
    assert!(matches!(err, ClientError::Problem { status: 409, .. }), "{err:?}");
    server.join().unwrap();
}

#[test]
fn an_answer_may_say_more_than_this_version_knows() {
    let scratch = tempfile::tempdir().unwrap();
    let server = serve(
        scratch.path(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 37\r\n\r\n{\"version\":\"9.9.9\",\"uptime_days\":400}",
    );
    let version = Client::connect(scratch.path()).unwrap().version().unwrap();
    assert_eq!(version, v1::Version { version: "9.9.9".to_owned(), configfs: None });
    server.join().unwrap();
}

#[test]
fn a_daemon_that_dies_or_talks_nonsense_gave_no_answer() {
    for answer in [
        b"".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{\"a\":",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno\n",
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let server = serve(scratch.path(), answer);
        let err = Client::connect(scratch.path()).unwrap().config().unwrap_err();
        assert!(matches!(err, ClientError::NoAnswer { .. }), "{err:?}");
        server.join().unwrap();
    }
}
