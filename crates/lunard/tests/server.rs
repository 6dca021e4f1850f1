// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The API over a real socket, on the fake machine: what the client sees, and what strangers get.

mod served;

use api::Client;
use api::v1::{Change, Kind, Outcome, Version};
use lunard::server::{self, BODY_BYTES_MAX, CONNECTIONS_MAX};
use served::common::{block, fileio, id, map, ramdisk, set_option, set_parameter, target};
use served::{Daemon, refused};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::channel;

const WWN: &str = "naa.500140568720f76f";

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
        let (answered, word, message) = refused(client.apply(vec![wish]));
        assert_eq!((answered, word.as_str()), (status, code), "{message}");
    }
    let hint = client.apply(vec![ramdisk("a")]).unwrap_err().hint();
    assert_eq!(hint.as_deref(), Some("choose another name, or delete it: `/backstores/ramdisk delete a`"));
}

#[test]
fn a_daemon_that_stops_says_so() {
    let mut daemon = Daemon::start();
    daemon.plane.stop();
    let (status, code, message) = refused(daemon.client().apply(vec![ramdisk("a")]));
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
fn what_a_stranger_sent_is_not_repeated_without_end() {
    let daemon = Daemon::start();
    let long = "x".repeat(300_000);
    for body in [
        format!(r#"{{"changes":[{{"change":"{long}"}}]}}"#),
        format!(r#"{{"changes":[{{"change":"delete_target","wwn":"a","{long}":1}}]}}"#),
        format!(r#"{{"{long}":[]}}"#),
    ] {
        let (status, text) = daemon.answer("POST", "/v1/changes", &body);
        assert_eq!((status, text.len() < 8192), (400, true), "{} bytes", text.len());
        assert!(text.contains("xxx…"), "{text}");
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
    let applied = client.apply(vec![target(wwn), set_option(wwn, "num_queues", "0x4")]);
    assert_eq!(applied.unwrap().results[1], api::v1::Outcome::OptionSet { value: "4".to_owned() });
    let options = client.config().unwrap().targets[0].options.clone();
    // The same names that the table explains.
    let names: Vec<&String> = options.keys().collect();
    assert_eq!(names, table.iter().map(|row| &row.name).collect::<Vec<_>>());
    assert_eq!((options["num_queues"].as_str(), options["seg_max"].as_str()), ("4", "126"));
    for (option, value, status, code) in
        [("num_queues", "255", 400, "option_value"), ("queues", "1", 404, "no_such_option")]
    {
        let err = client.apply(vec![set_option(wwn, option, value)]).unwrap_err();
        let api::ClientError::Problem { status: answered, problem } = err else { panic!("{err:?}") };
        assert_eq!((answered, problem.code.as_str()), (status, code));
    }
}

#[test]
fn a_parameter_of_a_target_is_set_and_read_back_and_bad_ones_are_refused() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let (wwn, name) = ("naa.500140568720f76f", "cmd_completion_affinity");
    client.apply(vec![target(wwn)]).unwrap();
    let shown = || client.config().unwrap().targets[0].parameters.clone();
    assert_eq!(shown(), [(name.to_owned(), "-1".to_owned())].into());
    let applied = client.apply(vec![set_parameter(wwn, name, "-0x2")]).unwrap();
    assert_eq!(applied.results, [api::v1::Outcome::AttributeSet { value: "-2".to_owned() }]);
    assert_eq!(shown(), [(name.to_owned(), "-2".to_owned())].into());
    for (parameter, value, status, code) in [
        (name, "-3", 400, "parameter_value"),
        // A number of a CPU, which no machine that runs this has.
        (name, "8191", 400, "parameter_value"),
        ("default_submit_type", "0", 404, "no_such_parameter"),
    ] {
        let err = client.apply(vec![set_parameter(wwn, parameter, value)]).unwrap_err();
        let api::ClientError::Problem { status: answered, problem } = err else { panic!("{err:?}") };
        assert_eq!((answered, problem.code.as_str()), (status, code), "{parameter}={value}");
    }
    assert_eq!(shown(), [(name.to_owned(), "-2".to_owned())].into());
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
        "lunar_target_socket_missing{wwn=\"naa.500140568720f76f\"} 0",
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
fn a_socket_that_was_left_behind_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let listen = |directory: &Path| {
        tokio.block_on(async { server::bind(directory).and_then(server::Bound::listen).map(drop) })
    };
    drop(UnixListener::bind(scratch.path().join("api.sock")).unwrap());
    listen(scratch.path()).unwrap();
    assert!(!scratch.path().join("api.sock").exists(), "its name goes with it");
    let err = listen(&scratch.path().join("nowhere")).unwrap_err();
    let expected =
        format!("cannot bind {}/nowhere/api.sock: No such file or directory", scratch.path().display());
    assert_eq!(err.to_string(), expected);
}
