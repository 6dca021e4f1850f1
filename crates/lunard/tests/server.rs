// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The API over a real socket, on the fake machine: what the client sees, and what strangers get.

mod common;

use api::v1::{ApplyOptions, Change, Config, Kind, Outcome, RestoreOptions, Version};
use api::{Client, ClientError};
use common::{Plane, block, fileio, id, map, ramdisk, target};
use lunard::machine::fake::FakeMachine;
use lunard::saveconfig::SaveConfig;
use lunard::server::{self, BODY_BYTES_MAX, CONNECTIONS_MAX, Service};
use lunard::state_driver::Handle;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

const WWN: &str = "naa.500140568720f76f";

/// A daemon without a process.
struct Daemon {
    scratch: tempfile::TempDir,
    plane: Plane,
    service: Service,
    metrics: std::net::SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let plane = Plane::start(&state);
        let service = Service::new(plane.handle.clone(), SaveConfig::new(&state));
        let (ready, started) = channel();
        let (served, runtime_dir) = (service.clone(), scratch.path().to_owned());
        let thread = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            tokio.block_on(async {
                let api = server::listen(&runtime_dir).unwrap();
                let metrics = server::listen_for_metrics("127.0.0.1:0".parse().unwrap()).await.unwrap();
                ready.send(metrics.local_addr().unwrap()).unwrap();
                server::serve(&served, api, Some(metrics)).await;
            });
        });
        let metrics = started.recv().unwrap();
        Self { scratch, plane, service, metrics, thread: Some(thread) }
    }

    fn client(&self) -> Client {
        Client::connect(self.scratch.path()).unwrap()
    }

    fn machine(&self) -> &Arc<FakeMachine> {
        &self.plane.machine
    }

    fn handle(&self) -> &Handle {
        &self.plane.handle
    }

    fn socket(&self) -> std::path::PathBuf {
        self.scratch.path().join("api.sock")
    }

    /// Sends a request as it stands and returns the whole answer.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        // The daemon may answer and close before it has read all.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        self.raw(
            format!("{method} {path} HTTP/1.1\r\nhost: l\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
    }

    /// Status and body.
    fn answer(&self, method: &str, path: &str, body: &str) -> (u16, String) {
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

fn problem(result: Result<api::v1::Applied, ClientError>) -> (u16, String, String) {
    match result.unwrap_err() {
        ClientError::Problem { status, problem } => (status, problem.code, problem.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_client_does_the_walkthrough() {
    let daemon = Daemon::start();
    let client = daemon.client();
    assert_eq!(client.version().unwrap(), Version { version: "0.1.0".to_owned(), configfs: None });
    client.apply(vec![block("disk0", "/dev/sda")]).unwrap();
    client.apply(vec![target(WWN)]).unwrap();
    let mapped = client.apply(vec![map(WWN, None, Kind::Block, "disk0")]).unwrap();
    assert_eq!(mapped.results, [Outcome::LunMapped { lun: 0 }]);
    let config = client.config().unwrap();
    assert_eq!(config, daemon.handle().config());
    assert_eq!(config.targets[0].tpgs[0].luns[0].backstore, id(Kind::Block, "disk0"));
}

#[test]
fn the_socket_is_for_the_owner_and_the_group() {
    let daemon = Daemon::start();
    assert_eq!(std::fs::metadata(daemon.socket()).unwrap().permissions().mode() & 0o7777, 0o660);
}

#[test]
fn a_refusal_says_whose_fault_it_is() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.machine().remove_path("/dev/gone");
    client.apply(vec![ramdisk("a")]).unwrap();
    for (wish, status, code) in [
        (ramdisk("a b"), 400, "name_characters"),
        (Change::DeleteBackstore { id: id(Kind::Block, "a") }, 404, "no_such_backstore"),
        (ramdisk("a"), 409, "backstore_exists"),
        (block("disk0", "/dev/gone"), 422, "cannot_prepare"),
        (fileio("f0", "/srv/new", None), 422, "cannot_prepare"),
    ] {
        let (answered, word, message) = problem(client.apply(vec![wish]));
        assert_eq!((answered, word.as_str()), (status, code), "{message}");
    }
    let hint = client.apply(vec![ramdisk("a")]).unwrap_err().hint();
    assert_eq!(hint.as_deref(), Some("choose another name, or delete it: `/backstores/ramdisk delete a`"));
}

#[test]
fn a_daemon_that_stops_says_so() {
    let mut daemon = Daemon::start();
    daemon.plane.stop();
    let (status, code, message) = problem(daemon.client().apply(vec![ramdisk("a")]));
    assert_eq!((status, code.as_str(), message.as_str()), (503, "stopping", "lunard is stopping"));
}

#[test]
fn a_hung_disk_does_not_keep_anybody_from_looking() {
    let daemon = Daemon::start();
    daemon.machine().hang("/dev/hung");
    let client = daemon.client();
    let slow = std::thread::spawn(move || client.apply(vec![block("slow", "/dev/hung")]).map(|_| ()));
    daemon.machine().wait_until_hung(1);
    let client = daemon.client();
    assert_eq!(client.config().unwrap().backstores, []);
    client.apply(vec![ramdisk("quick")]).unwrap();
    assert_eq!(client.config().unwrap().backstores.len(), 1);
    daemon.machine().release("/dev/hung");
    slow.join().unwrap().unwrap();
    assert_eq!(client.config().unwrap().backstores.len(), 2);
}

#[test]
fn a_caller_who_hangs_up_takes_the_change_back() {
    let daemon = Daemon::start();
    daemon.machine().hang("/dev/hung");
    let body =
        r#"{"changes":[{"change":"create_backstore","kind":"block","name":"slow","path":"/dev/hung"}]}"#;
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    write!(stream, "POST /v1/changes HTTP/1.1\r\nhost: l\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    daemon.machine().wait_until_hung(1);
    drop(stream);
    // The daemon sees the end of the connection before it accepts and answers the next one.
    assert_eq!(daemon.client().config().unwrap().backstores, []);
    daemon.machine().release("/dev/hung");
    daemon.machine().wait_until_undone(1);
    assert_eq!(daemon.client().config().unwrap().backstores, []);
}

#[test]
fn strangers_get_problems_in_json() {
    let daemon = Daemon::start();
    for (method, path, body, status, message) in [
        ("GET", "/", "", 404, "there is nothing at /"),
        ("GET", "/v1/nothing", "", 404, "there is nothing at /v1/nothing"),
        ("DELETE", "/v1/config", "", 405, "/v1/config does not take DELETE"),
        ("POST", "/v1/changes", "", 400, "the body is not a list of changes: EOF while parsing a value"),
        ("POST", "/v1/changes", "[]", 400, "the body is not a list of changes: invalid length 0"),
        ("POST", "/v1/changes", r#"{"changes":[{"change":"x"}]}"#, 400, "unknown variant `x`"),
        ("POST", "/v1/changes", "\u{0}\u{1}", 400, "the body is not a list of changes: expected value"),
    ] {
        let (answered, text) = daemon.answer(method, path, body);
        assert_eq!(answered, status, "{method} {path}: {text}");
        let problem: api::v1::Problem = serde_json::from_str(&text).unwrap();
        assert!(problem.message.contains(message), "{}", problem.message);
        assert_eq!(problem.code, "bad_request");
    }
}

#[test]
fn what_is_too_much_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let many = |count: usize| {
        let change = r#"{"change":"create_target"}"#;
        format!(r#"{{"changes":[{}]}}"#, vec![change; count].join(","))
    };
    let (status, text) = daemon.answer("POST", "/v1/changes", &many(4097));
    assert_eq!(status, 400);
    assert!(text.contains("4097 changes are too many for one transaction of 4096"), "{text}");
    assert!(daemon.handle().model().targets().is_empty());
    let (status, _) = daemon.answer("POST", "/v1/changes", &many(4096));
    assert_eq!(status, 200);
    assert_eq!(daemon.handle().model().targets().len(), 4096);

    let answer = daemon.request("POST", "/v1/changes", &" ".repeat(BODY_BYTES_MAX + 1));
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(r#""code":"too_large""#), "{answer}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let daemon = Daemon::start();
    let (status, text) = daemon.answer("POST", "/v1/changes", &"[".repeat(1_000_000));
    assert_eq!(status, 400, "{text}");
}

#[test]
fn connections_beyond_the_room_wait_for_a_place() {
    let daemon = Daemon::start();
    let mut idle: Vec<UnixStream> =
        (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
    // An answer on the last of them shows that all were accepted, in order.
    let last = idle.last_mut().unwrap();
    last.write_all(b"GET /v1/version HTTP/1.1\r\nhost: l\r\n\r\n").unwrap();
    assert_ne!(last.read(&mut [0; 16]).unwrap(), 0);
    let socket = daemon.socket();
    let (answered, answer) = channel();
    let waiting = std::thread::spawn(move || {
        let client = Client::connect(socket.parent().unwrap()).unwrap();
        answered.send(client.version().unwrap()).unwrap();
    });
    // Both of its connections (one to look, one to ask) need a place.
    assert!(answer.try_recv().is_err());
    idle.truncate(CONNECTIONS_MAX - 1);
    assert_eq!(answer.recv().unwrap().version, "0.1.0");
    waiting.join().unwrap();
}

#[test]
fn the_description_names_every_path_and_nothing_dangles() {
    let daemon = Daemon::start();
    let (status, text) = daemon.answer("GET", "/openapi.json", "");
    assert_eq!(status, 200);
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let paths = description["paths"].as_object().unwrap();
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let served = [
        "get /v1/apply",
        "get /v1/attributes",
        "get /v1/config",
        "get /v1/options",
        "get /v1/saveconfig",
        "get /v1/version",
        "post /v1/apply",
        "post /v1/changes",
        "post /v1/clearconfig",
        "post /v1/medium",
        "post /v1/restoreconfig",
        "post /v1/saveconfig",
    ];
    assert_eq!(described.iter().map(String::as_str).collect::<Vec<_>>(), served);
    for path in described {
        let (method, path) = path.split_once(' ').unwrap();
        let (body, answer) = match path {
            "/v1/restoreconfig" => ("{}", 200),
            "/v1/medium" => (r#"{"kind":"ramdisk","name":"nobody","loaded":true}"#, 404),
            _ => (r#"{"changes":[]}"#, 200),
        };
        let (status, _) = daemon.answer(&method.to_uppercase(), path, body);
        assert_eq!(status, answer, "{method} {path}");
    }
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
    for name in
        ["Change", "Config", "Problem", "Outcome", "Backstore", "AttributeTable", "OptionTable", "Saved"]
    {
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn options_are_explained_set_and_read_back() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let table = client.options().unwrap().options;
    let shown: Vec<(&str, &str, &str)> =
        table.iter().map(|row| (row.name.as_str(), row.values.as_str(), row.default.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("cmd_per_lun", "1 to 32768", "128"),
            ("max_sectors", "8 to 65535", "65535"),
            ("num_queues", "0 to 254", "0"),
            ("seg_max", "1 to 1024", "126"),
            ("virtqueue_size", "3 to 32768", "32768"),
        ]
    );
    let wwn = "naa.500140568720f76f";
    let applied = client.apply(vec![common::target(wwn), common::set_option(wwn, "num_queues", "0x4")]);
    assert_eq!(applied.unwrap().results[1], api::v1::Outcome::OptionSet { value: "4".to_owned() });
    let options = client.config().unwrap().targets[0].options.clone();
    // The same names that the table explains.
    let names: Vec<&String> = options.keys().collect();
    assert_eq!(names, table.iter().map(|row| &row.name).collect::<Vec<_>>());
    assert_eq!((options["num_queues"].as_str(), options["seg_max"].as_str()), ("4", "126"));
    for (option, value, status, code) in
        [("num_queues", "255", 400, "option_value"), ("queues", "1", 404, "no_such_option")]
    {
        let err = client.apply(vec![common::set_option(wwn, option, value)]).unwrap_err();
        let api::ClientError::Problem { status: answered, problem } = err else { panic!("{err:?}") };
        assert_eq!((answered, problem.code.as_str()), (status, code));
    }
}

#[test]
fn attributes_are_explained() {
    let daemon = Daemon::start();
    let attributes = daemon.client().attributes().unwrap().attributes;
    let names: Vec<&str> = attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "block_size",
            "emulate_3pc",
            "emulate_caw",
            "emulate_dpo",
            "emulate_fua_read",
            "emulate_fua_write",
            "emulate_model_alias",
            "emulate_pr",
            "emulate_removable",
            "emulate_rsoc",
            "emulate_tas",
            "emulate_tpu",
            "emulate_tpws",
            "emulate_ua_intlck_ctrl",
            "emulate_write_cache",
            "enforce_pr_isids",
            "force_pr_aptpl",
            "hw_block_size",
            "hw_max_sectors",
            "hw_queue_depth",
            "is_nonrot",
            "max_unmap_block_desc_count",
            "max_unmap_lba_count",
            "max_write_same_len",
            "optimal_sectors",
            "physical_block_size",
            "queue_depth",
            "unmap_granularity",
            "unmap_granularity_alignment",
            "unmap_zeroes_data"
        ]
    );
    let row = |name: &str| attributes.iter().find(|row| row.name == name).expect("it is listed");
    let cache = row("emulate_write_cache");
    assert_eq!(cache.values, "0 or 1");
    assert_eq!(cache.settable_on, [Kind::Fileio, Kind::Ramdisk]);
    assert!(!cache.frozen_while_exported);
    assert_eq!(row("hw_block_size").settable_on, []);
    // The same names that every backstore shows.
    daemon.client().apply(vec![ramdisk("a")]).unwrap();
    let shown = daemon.client().config().unwrap().backstores.remove(0).attributes;
    assert_eq!(shown.keys().map(String::as_str).collect::<Vec<_>>(), names);
}

#[test]
fn the_saved_file_is_what_is_shown() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.apply(vec![ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    let saved = client.saveconfig(&api::v1::SaveOptions::default()).unwrap();
    assert!(saved.path.ends_with("/state/saveconfig.json"), "{}", saved.path);
    assert_eq!(std::fs::read_to_string(&saved.path).unwrap(), client.saveconfig_text().unwrap());
    let backup = daemon.scratch.path().join("state/backup");
    std::fs::write(&backup, "in the way").unwrap();
    let err = client.saveconfig(&api::v1::SaveOptions::default()).unwrap_err();
    assert!(matches!(err, ClientError::Problem { status: 500, .. }), "{err:?}");
    assert!(err.to_string().starts_with(&format!("cannot write {}", backup.display())), "{err}");
}

/// By targetcli 2.1.53 on Linux 6.1.
const FILE: &[u8] = include_bytes!("fixtures/lio-6.1-saveconfig.json");

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String, String) {
    match result.unwrap_err() {
        ClientError::Problem { status, problem } => (status, problem.code, problem.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_file_is_restored_as_one_transaction() {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.machine().put_file("/tmp/d.img", 16_777_216);
    let restored = client.restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()).unwrap();
    assert_eq!((restored.path, restored.storage_objects, restored.targets), (None, 2, 1));
    // The file has the size that it should have, so that there is nothing to say of it.
    assert_eq!(restored.notes.len(), 1);
    assert!(restored.notes[0].starts_with("attributes of block/disk1"), "{:?}", restored.notes);
    let config = client.config().unwrap();
    assert_eq!(config.targets[0].tpgs[0].luns[0].alias, "41ec07eb12");
    let before = client.saveconfig_text().unwrap();

    let (status, code, message) =
        refused(client.restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()));
    assert_eq!((status, code.as_str()), (409, "restore_conflict"));
    assert!(message.starts_with("storageobject 'block:disk1' exist not restoring; "), "{message}");
    let options = RestoreOptions { clear_existing: true, ..RestoreOptions::default() };
    client.restoreconfig(Some(FILE.to_vec()), &options).unwrap();
    assert_eq!(client.saveconfig_text().unwrap(), before);
}

#[test]
fn a_file_of_another_size_than_saved_keeps_its_own_and_it_is_told() {
    let daemon = Daemon::start();
    daemon.machine().put_file("/tmp/d.img", 1_048_576);
    let restored = daemon.client().restoreconfig(Some(FILE.to_vec()), &RestoreOptions::default()).unwrap();
    assert_eq!(restored.notes[1], "/tmp/d.img exists, using its size (1048576 bytes) instead");
}

#[test]
fn the_daemons_own_file_needs_no_body() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let path = daemon.scratch.path().join("state/saveconfig.json").display().to_string();
    let missing = refused(client.restoreconfig(None, &RestoreOptions::default()));
    assert_eq!(missing, (404, "no_saveconfig".to_owned(), format!("Restore file {path} not found")));
    client.apply(vec![ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    let before = client.config().unwrap();
    client.saveconfig(&api::v1::SaveOptions::default()).unwrap();
    let cleared = client.clearconfig().unwrap();
    assert_eq!((cleared.storage_objects, cleared.targets, cleared.kept_things), (1, 1, 0));
    assert_eq!(client.config().unwrap(), Config::default());
    let restored = client.restoreconfig(None, &RestoreOptions::default()).unwrap();
    assert_eq!(restored.path, Some(path));
    assert_eq!(client.config().unwrap(), before);
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.apply(vec![ramdisk("a")]).unwrap();
    let before = client.config().unwrap();
    daemon.machine().remove_path("/dev/vda");
    let clear = RestoreOptions { clear_existing: true, ..RestoreOptions::default() };
    let one = RestoreOptions { storage_object: Some("nosuch".to_owned()), ..clear.clone() };
    let cut = &FILE[..FILE.len() / 2];
    for (file, options, status, code) in [
        (FILE, &clear, 422, "cannot_prepare"),
        (FILE, &one, 404, "not_in_saveconfig"),
        (cut, &clear, 400, "saveconfig"),
        (b"{\"targets\": [], \"targets\": []}", &clear, 400, "saveconfig"),
        (b"\x1f\x8b\x08", &clear, 400, "saveconfig"),
    ] {
        let (answered, word, message) = refused(client.restoreconfig(Some(file.to_vec()), options));
        assert_eq!((answered, word.as_str()), (status, code), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert_eq!(client.config().unwrap(), before);
    }
    let (status, text) = daemon.answer("POST", "/v1/restoreconfig?clear_existing=maybe", "{}");
    assert_eq!(status, 400, "{text}");
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let daemon = Daemon::start();
    let answer = daemon.request("POST", "/v1/restoreconfig", &" ".repeat(100 << 20));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("the body is longer than 67108864 bytes"), "{answer}");
    // Twice what other requests may have is no matter.
    let long = [FILE, &vec![b' '; 16 << 20]].concat();
    daemon.client().restoreconfig(Some(long), &RestoreOptions::default()).unwrap();
    let path = daemon.scratch.path().join("state/saveconfig.json");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let (status, code, message) = refused(daemon.client().restoreconfig(None, &RestoreOptions::default()));
    assert_eq!((status, code.as_str()), (413, "too_large"));
    assert_eq!(message, format!("{} is longer than 67108864 bytes", path.display()));
}

#[test]
fn metrics_tell_what_is() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client.apply(vec![ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    let _ = client.apply(vec![ramdisk("a")]);
    let (status, text) = daemon.answer("GET", "/metrics", "");
    assert_eq!(status, 200);
    for line in [
        "lunar_build_info{version=\"0.1.0\"} 1",
        "lunar_storage_objects{kind=\"ramdisk\"} 1",
        "lunar_storage_objects{kind=\"block\"} 0",
        "lunar_targets 1",
        "lunar_tpgs 1",
        "lunar_luns 1",
        "lunar_changes_done_total 1",
        "lunar_changes_refused_total 1",
        "lunar_changes_failed_total 0",
        "lunar_storage_object_size_bytes{kind=\"ramdisk\",name=\"a\"} 1048576",
        "lunar_storage_object_missing{kind=\"ramdisk\",name=\"a\"} 0",
        "lunar_target_connected{wwn=\"naa.500140568720f76f\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_network_gets_metrics_alone() {
    let daemon = Daemon::start();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(daemon.metrics).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: l\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/metrics").starts_with("HTTP/1.1 200 "));
    for path in ["/v1/config", "/v1/changes", "/v1/version", "/openapi.json", "/"] {
        assert!(get(path).starts_with("HTTP/1.1 404 "), "{path}");
    }
}

#[test]
fn the_configuration_is_written_as_a_file_that_is_so() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let file = "[ramdisk.r0]\nsize = \"1M\"\n[ramdisk.r0.alua.near]\ntg_pt_gp_id = 4\npreferred = 1\n\
                [vhost.\"naa.500140568720f76f\".tpg1]\n\
                lun0 = { backstore = \"ramdisk/r0\", alua_tg_pt_gp_name = \"near\" }\n";
    client.apply_file(file.as_bytes().to_vec(), &ApplyOptions::default()).unwrap();
    let text = client.file_to_apply().unwrap();
    assert!(text.starts_with("scope = [\"*\"]\n\n[ramdisk.\"r0\"]\nsize = 1048576\nwwn = \""), "{text}");
    let group = "\n[ramdisk.\"r0\".alua.\"near\"]\ntg_pt_gp_id = 4\npreferred = 1\n";
    assert!(text.contains(group), "{text}");
    let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    assert_eq!(client.apply_file(text.into_bytes(), &look).unwrap().differences, []);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let listen = |directory: &Path| tokio.block_on(async { server::listen(directory).map(drop) });
    listen(scratch.path()).unwrap();
    listen(scratch.path()).unwrap();
    let err = listen(&scratch.path().join("nowhere")).unwrap_err();
    let expected =
        format!("cannot listen on {}/nowhere/api.sock: No such file or directory", scratch.path().display());
    assert_eq!(err.to_string(), expected);
}

#[test]
fn a_file_is_compared_and_then_applied_to_what_it_was_compared_with() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let file = b"[ramdisk.r0]\nsize = \"1M\"\n[vhost.\"naa.500140568720f76f\".tpg1]\nlun0 = \"ramdisk/r0\"\n";
    let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let shown = client.apply_file(file.to_vec(), &look).unwrap();
    assert_eq!((shown.applied, shown.differences.len()), (false, 4));
    assert_eq!(client.config().unwrap(), Config::default());
    // Somebody else comes first.
    client.apply(vec![ramdisk("r1")]).unwrap();
    let make = |generation: &str| ApplyOptions {
        generation: Some(generation.to_owned()),
        ..ApplyOptions::default()
    };
    let moved = refused(client.apply_file(file.to_vec(), &make(&shown.generation)));
    let message = "the configuration has changed since the difference was shown".to_owned();
    assert_eq!(moved, (409, "moved".to_owned(), message));
    assert_eq!(client.config().unwrap().targets, []);
    let shown = client.apply_file(file.to_vec(), &look).unwrap();
    let made = client.apply_file(file.to_vec(), &make(&shown.generation)).unwrap();
    assert_eq!((made.applied, made.differences), (true, shown.differences));
    assert_eq!(client.config().unwrap().targets[0].tpgs[0].luns[0].backstore, id(Kind::Ramdisk, "r0"));
    // Once more there is nothing to do.
    assert_eq!(client.apply_file(file.to_vec(), &ApplyOptions::default()).unwrap().differences, []);
}

#[test]
fn a_guest_loses_nothing_by_a_file_unless_it_is_forced() {
    let daemon = Daemon::start();
    let client = daemon.client();
    client
        .apply(vec![ramdisk("r0"), ramdisk("r1"), target(WWN), map(WWN, Some(0), Kind::Ramdisk, "r0")])
        .unwrap();
    daemon.machine().connect(&model::Wwn::parse(WWN).unwrap());
    let whole = b"scope = [\"*\"]\n".to_vec();
    let without_lun = b"[vhost.\"naa.500140568720f76f\".tpg1]\n".to_vec();
    let message = "the guests of target naa.500140568720f76f are connected and would lose what they have";
    for file in [&whole, &without_lun] {
        let refusal = refused(client.apply_file(file.clone(), &ApplyOptions::default()));
        assert_eq!(refusal, (409, "guest_connected".to_owned(), message.to_owned()));
        let look = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
        assert_eq!(client.apply_file(file.clone(), &look).unwrap().guests_lose, [WWN]);
    }
    // A LUN more is nothing lost.
    let more =
        b"[vhost.\"naa.500140568720f76f\".tpg1]\nlun0 = \"ramdisk/r0\"\nlun1 = \"ramdisk/r1\"\n".to_vec();
    assert_eq!(client.apply_file(more, &ApplyOptions::default()).unwrap().guests_lose, Vec::<String>::new());
    let force = ApplyOptions { force: true, ..ApplyOptions::default() };
    assert!(client.apply_file(whole, &force).unwrap().applied);
    assert_eq!(client.config().unwrap(), Config::default());
}

#[test]
fn a_file_that_cannot_be_applied_is_one_clear_error() {
    let daemon = Daemon::start();
    let client = daemon.client();
    for (file, message) in [
        ("{", "the file ends too early, at line 1 column 1"),
        ("[fileio.x]\npath = 1\n", "path of [fileio.x] is 1, not text"),
        (
            "scope = [\"disk*\"]",
            "the scope has 'disk*', which no name can be; one is fileio/disk0, naa.5001405000000001, fileio/db-* or *",
        ),
        (
            "[ramdisk.\"a b\"]\nsize = 1",
            "A storage object's name cannot contain /, newline or spaces/tabs: 'a b'",
        ),
    ] {
        let refusal = refused(client.apply_file(file.as_bytes().to_vec(), &ApplyOptions::default()));
        assert_eq!((refusal.0, refusal.1.as_str()), (400, "saveconfig"), "{file}");
        assert_eq!(refusal.2, message);
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert_eq!(refused(client.apply_file(deep.into_bytes(), &ApplyOptions::default())).0, 400);
    assert_eq!(daemon.answer("POST", "/v1/apply?dry_run=perhaps", "").0, 400);
    assert_eq!(client.config().unwrap(), Config::default());
}
