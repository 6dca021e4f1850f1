// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole daemon in a process of its own: start, end, crash.

mod daemon;

use api::v1::{BackstoreId, Change, CreateBackstore, Kind};
use api::{Client, ClientError};
use daemon::{Daemon, NOBODY, as_nobody, is_root, lunard, ramdisk};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_daemon_starts_answers_and_ends() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    daemon.client().apply(vec![ramdisk("a")]).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.notified(), "STOPPING=1");
    let (status, log) = daemon.ended();
    assert_eq!(status, Some(0), "{log}");
    assert!(!scratch.path().join("run/api.sock").exists());
    let err = Client::connect(&scratch.path().join("run")).unwrap_err();
    assert!(matches!(err, ClientError::NoDaemon { .. }), "{err:?}");
}

#[test]
fn a_request_that_never_ends_does_not_keep_it_from_ending() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    let mut half = UnixStream::connect(scratch.path().join("run/api.sock")).unwrap();
    half.write_all(b"POST /v1/changes HTTP/1.1\r\nhost: l\r\ncontent-length: 100\r\n\r\n{").unwrap();
    assert!(daemon.client().version().is_ok(), "it has read the half by now");
    assert_eq!(daemon.end("TERM").0, Some(0));
}

#[test]
fn an_interrupt_ends_it_too() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(Daemon::start(scratch.path()).end("INT").0, Some(0));
}

#[test]
fn what_was_answered_survives_a_kill() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    for name in ["a", "b", "c"] {
        daemon
            .client()
            .apply(vec![ramdisk(name), Change::CreateTarget { wwn: None, tpgs: vec![1] }])
            .unwrap();
    }
    let before = daemon.client().config().unwrap();
    assert_eq!(daemon.end("KILL").0, None);
    let daemon = Daemon::start(scratch.path());
    assert_eq!(daemon.client().config().unwrap(), before);
    let (_, log) = daemon.end("TERM");
    assert!(log.contains("restored 3 storage objects and 3 targets"), "{log}");
}

#[test]
fn the_log_is_one_line_an_event() {
    let scratch = tempfile::tempdir().unwrap();
    let (_, log) = Daemon::start(scratch.path()).end("TERM");
    let words = |line: &str| line.split_once(" INFO ").map(|(_, words)| words.trim().to_owned());
    let mut events = log.lines().map(|line| words(line).expect("time, level, words"));
    let serving = format!("serving {}/run/api.sock", scratch.path().display());
    for expected in ["restored 0 storage objects and 0 targets", &serving, "stopping", "stopped"] {
        assert!(events.any(|event| event == expected), "{expected} is not, or not in order, in\n{log}");
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let (ended, pipe) = std::io::pipe().unwrap();
    drop(ended);
    for (number, log) in [full(), Stdio::from(pipe)].into_iter().enumerate() {
        let daemon = Daemon::start_logging(scratch.path(), lunard(scratch.path()), log);
        daemon.client().apply(vec![ramdisk(&format!("r{number}"))]).unwrap();
        assert_eq!(daemon.client().config().unwrap().backstores.len(), 1 + number);
        assert_eq!(daemon.end("TERM").0, Some(0));
    }
    let mut refused = lunard(scratch.path());
    refused.args(["--socket-group", "no-such-group"]);
    assert_eq!(refused.stderr(full()).status().unwrap().code(), Some(1));
}

#[test]
fn files_are_private_and_directories_let_the_group_through() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    daemon.client().saveconfig(&api::v1::SaveOptions::default()).unwrap();
    for (path, mode) in [
        ("state", 0o700),
        ("state/lunar.redb", 0o600),
        ("state/saveconfig.json", 0o600),
        ("run", 0o710),
        ("run/vhost", 0o710),
        ("run/api.sock", 0o660),
    ] {
        let found = std::fs::metadata(scratch.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{path}: {found:o}");
    }
}

/// Sends a message without payload and returns the 8 bytes of its answer.
fn ask(front_end: &mut UnixStream, request: u32) -> u64 {
    front_end.write_all(&[request, 1, 0].map(u32::to_ne_bytes).concat()).unwrap();
    let mut answer = [0; 20];
    front_end.read_exact(&mut answer).unwrap();
    u64::from_ne_bytes(answer[12..].try_into().unwrap())
}

#[test]
fn options_change_while_no_front_end_is_connected_and_outlive_the_daemon() {
    const GET_QUEUE_NUM: u32 = 17;
    const WWN: &str = "naa.5001405000000001";
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    let socket = scratch.path().join("run/vhost").join(format!("{WWN}.sock"));
    let set = |value: &str| Change::SetOption {
        wwn: WWN.to_owned(),
        option: "num_queues".to_owned(),
        value: value.to_owned(),
    };
    daemon.client().apply(vec![Change::CreateTarget { wwn: Some(WWN.to_owned()), tpgs: vec![1] }]).unwrap();
    let mut front_end = UnixStream::connect(&socket).unwrap();
    assert_eq!(ask(&mut front_end, GET_QUEUE_NUM), 256);
    let err = daemon.client().apply(vec![set("4")]).unwrap_err();
    let ClientError::Problem { status, problem } = err else { panic!("{err:?}") };
    assert_eq!((status, problem.code.as_str()), (422, "cannot_prepare"));
    assert_eq!(
        problem.message,
        "the options of target naa.5001405000000001 cannot change while a front end is connected"
    );
    let hint = "shut the guest down or unplug the device first; one that has left is waited for until its disks have answered \
                what it began";
    assert_eq!(problem.hint.as_deref(), Some(hint));
    // To say what is so already changes nothing.
    daemon.client().apply(vec![set("0")]).unwrap();
    front_end.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(front_end.read(&mut [0; 1]).unwrap(), 0, "the daemon has let go of the connection");
    while daemon.client().config().unwrap().targets[0].connected {
        std::thread::yield_now();
    }
    daemon.client().apply(vec![set("4")]).unwrap();
    assert_eq!(ask(&mut UnixStream::connect(&socket).unwrap(), GET_QUEUE_NUM), 6);
    assert_eq!(daemon.end("KILL").0, None);
    let daemon = Daemon::start(scratch.path());
    assert_eq!(ask(&mut UnixStream::connect(&socket).unwrap(), GET_QUEUE_NUM), 6);
    assert_eq!(daemon.client().config().unwrap().targets[0].options["num_queues"], "4");
}

#[test]
fn an_idle_daemon_does_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    daemon.client().apply(vec![ramdisk("a"), Change::CreateTarget { wwn: None, tpgs: vec![1] }]).unwrap();
    // Whatever follows the answer, such as a thread that ends, is over when two looks agree.
    let mut before = switches(daemon.child.id());
    let settled = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut before, switches(daemon.child.id())) == before
    });
    assert!(settled.take(300).any(|same| same), "it never comes to rest");
    let before = switches(daemon.child.id());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(switches(daemon.child.id()), before, "times that a thread was put on a processor");
}

/// How often the threads of a process were put on a processor.
fn switches(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |path: PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        counts.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    threads.map(|thread| of_thread(thread.unwrap().path())).sum()
}

#[test]
fn a_full_disk_refuses_changes_loses_nothing_and_is_over_when_there_is_room() {
    let scratch = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    // The limit is in blocks of 512 bytes: little more than the database has from its beginning.
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 2100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lunard")]);
    limited
        .arg("--state-dir")
        .arg(scratch.path().join("state"))
        .arg("--runtime-dir")
        .arg(scratch.path().join("run"));
    let daemon = Daemon::start_command(scratch.path(), limited);
    let client = daemon.client();
    let mut fits = 0;
    let refused = loop {
        let changes = (0..500).map(|n| ramdisk(&format!("r{fits}-{n}"))).collect();
        match client.apply(changes) {
            Ok(_) => fits += 1,
            Err(err) => break err,
        }
        assert!(fits < 100, "the limit is never met");
    };
    let ClientError::Problem { status: 500, problem } = &refused else { panic!("{refused:?}") };
    assert_eq!(problem.code, "host");
    let database = scratch.path().join("state/lunar.redb");
    assert_eq!(problem.message, format!("cannot write {}: I/O error: File too large", database.display()));
    assert_eq!(client.config().unwrap().backstores.len(), 500 * fits);

    let pid = daemon.child.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().unwrap().success());
    client.apply(vec![ramdisk("fits-again")]).unwrap();
    let shown = client.config().unwrap();
    assert_eq!(shown.backstores.len(), 500 * fits + 1);
    daemon.end("KILL");
    let restarted = Daemon::start(scratch.path());
    assert_eq!(restarted.client().config().unwrap(), shown);
}

#[test]
fn a_daemon_needs_no_root() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for directory in ["state", "run"] {
        let path = scratch.path().join(directory);
        std::fs::create_dir(&path).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = as_nobody(scratch.path());
    command.arg("--state-dir").arg(scratch.path().join("state"));
    command.arg("--runtime-dir").arg(scratch.path().join("run"));
    // Nobody has to reach the socket of the service manager, which this test makes as root.
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let daemon = Daemon::start_command(scratch.path(), command);
    assert!(daemon.client().version().is_ok());
}

#[test]
fn a_file_passes_from_one_backstore_to_another_in_one_transaction() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    let fileio = |name: &str| {
        Change::CreateBackstore(CreateBackstore::Fileio {
            name: name.to_owned(),
            path: scratch.path().join("disk").display().to_string(),
            size_bytes: Some(1 << 20),
            write_back: None,
            sparse: None,
            unit_serial: None,
        })
    };
    let delete = |name: &str| Change::DeleteBackstore {
        id: BackstoreId { kind: Kind::Fileio, name: name.to_owned() },
    };
    let client = daemon.client();
    client.apply(vec![fileio("first")]).unwrap();
    client.apply(vec![delete("first"), fileio("second")]).unwrap();
    let names: Vec<String> = client.config().unwrap().backstores.into_iter().map(|it| it.id.name).collect();
    assert_eq!(names, ["second"]);
    // And it is let go of with its last owner.
    client.apply(vec![delete("second")]).unwrap();
    client.apply(vec![fileio("third")]).unwrap();
    assert_eq!(client.config().unwrap().backstores[0].size_bytes, 1 << 20);
}

#[test]
fn a_file_and_a_ramdisk_grow_in_place() {
    let scratch = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(scratch.path());
    let file = scratch.path().join("disk");
    let fileio = Change::CreateBackstore(CreateBackstore::Fileio {
        name: "file".to_owned(),
        path: file.to_str().unwrap().to_owned(),
        size_bytes: Some(1 << 20),
        write_back: None,
        sparse: None,
        unit_serial: None,
    });
    let client = daemon.client();
    client.apply(vec![fileio, ramdisk("memory")]).unwrap();
    let id = |kind, name: &str| BackstoreId { kind, name: name.to_owned() };
    let resize =
        |id: BackstoreId, size_bytes| client.apply(vec![Change::Resize { id, size_bytes, shrink: false }]);
    resize(id(Kind::Fileio, "file"), 3 << 20).unwrap();
    resize(id(Kind::Ramdisk, "memory"), 5 << 20).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 3_145_728);
    let sizes = || client.config().unwrap().backstores.iter().map(|one| one.size_bytes).collect::<Vec<_>>();
    assert_eq!(sizes(), [3_145_728, 5_242_880]);
    let refused = resize(id(Kind::Fileio, "file"), 3_146_000).unwrap_err().to_string();
    assert!(refused.contains("cannot have 3146000 bytes"), "{refused}");
    let refused = resize(id(Kind::Fileio, "file"), 1 << 20).unwrap_err().to_string();
    assert!(refused.contains("storage object fileio/file has 3145728 bytes and cannot shrink"), "{refused}");
    assert_eq!(sizes(), [3_145_728, 5_242_880]);
    // Both are as large for the next daemon.
    daemon.end("TERM");
    let daemon = Daemon::start(scratch.path());
    let sizes: Vec<_> =
        daemon.client().config().unwrap().backstores.iter().map(|one| one.size_bytes).collect();
    assert_eq!(sizes, [3_145_728, 5_242_880]);
}

#[test]
fn a_file_that_grows_is_noticed_and_one_that_is_cut_is_told_of() {
    let scratch = tempfile::tempdir().unwrap();
    let written = scratch.path().join("log");
    let to = Stdio::from(std::fs::File::create(&written).unwrap());
    let daemon = Daemon::start_logging(scratch.path(), lunard(scratch.path()), to);
    let path = scratch.path().join("disk");
    let fileio = Change::CreateBackstore(CreateBackstore::Fileio {
        name: "file".to_owned(),
        path: path.to_str().unwrap().to_owned(),
        size_bytes: Some(1 << 20),
        write_back: None,
        sparse: None,
        unit_serial: None,
    });
    let client = daemon.client();
    client.apply(vec![fileio]).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(2 << 20).unwrap();
    let size = || client.config().unwrap().backstores[0].size_bytes;
    eventually("it is not noticed", || size() == 2_097_152);
    // What guests were shown stays as large as it was.
    file.set_len(1 << 20).unwrap();
    let log = || std::fs::read_to_string(&written).unwrap();
    eventually("it is not told of", || log().contains("was cut"));
    assert_eq!(size(), 2_097_152);
    // And is told of once, though it is looked at every other second.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(size(), 2_097_152);
    assert_eq!(daemon.end("TERM").0, Some(0));
    let log = log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("was cut")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("fileio/file was cut to 1048576 bytes: guests see 2097152"), "{log}");
}

/// Waits for what must come; a machine that has other work takes its time.
fn eventually(otherwise: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{otherwise}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_in_the_place_of_a_socket_stops_that_target_alone_and_until_it_has_gone() {
    let wwn = |number: u8| format!("naa.500140500000000{number}");
    let scratch = tempfile::tempdir().unwrap();
    let place = |number: u8| scratch.path().join("run/vhost").join(format!("{}.sock", wwn(number)));
    let daemon = Daemon::start(scratch.path());
    let targets = (1..=4).map(|number| Change::CreateTarget { wwn: Some(wwn(number)), tpgs: vec![1] });
    daemon.client().apply(targets.collect()).unwrap();
    assert_eq!(daemon.end("TERM").0, Some(0));
    // A directory, a file that somebody needs, a link that leads nowhere.
    std::fs::create_dir(place(1)).unwrap();
    std::fs::write(place(2), "needed").unwrap();
    std::os::unix::fs::symlink("/nonexistent", place(3)).unwrap();
    let daemon = Daemon::start(scratch.path());
    assert!(UnixStream::connect(place(4)).is_ok());
    assert_eq!(daemon.client().config().unwrap().targets.len(), 4);
    assert_eq!(std::fs::read_to_string(place(2)).unwrap(), "needed");
    assert!(place(1).is_dir() && place(3).is_symlink());
    // At every door.
    let faults = || {
        let targets = daemon.client().config().unwrap().targets;
        targets.into_iter().map(|target| target.socket_fault).collect::<Vec<_>>()
    };
    let no_socket =
        |number| format!("cannot bind {}: what is there is no socket; move it away", place(number).display());
    assert_eq!(faults(), [Some(no_socket(1)), Some(no_socket(2)), Some(no_socket(3)), None]);
    let mut api = UnixStream::connect(scratch.path().join("run/api.sock")).unwrap();
    api.write_all(b"GET /metrics HTTP/1.1\r\nHost: lunard\r\nConnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    api.read_to_string(&mut metrics).unwrap();
    for (number, without) in [(1, 1), (2, 1), (3, 1), (4, 0)] {
        let line = format!("lunar_target_socket_missing{{wwn=\"{}\"}} {without}", wwn(number));
        assert!(metrics.lines().any(|said| said == line), "{line} is not in\n{metrics}");
    }
    // It is the reason of now, not of then.
    let beside = scratch.path().join("run/somebody");
    let listening = UnixListener::bind(&beside).unwrap();
    // The place, which is looked at each second, is never free between the two.
    renameat_with(CWD, &beside, CWD, place(1), RenameFlags::EXCHANGE).unwrap();
    std::fs::remove_dir(&beside).unwrap();
    let somebody = format!(
        "cannot bind {}: Address already in use; another process listens there; stop it, or use another --runtime-dir",
        place(1).display()
    );
    eventually("somebody listens", || faults()[0].as_ref() == Some(&somebody));
    drop(listening);
    std::fs::rename(place(2), scratch.path().join("kept")).unwrap();
    for number in [1, 2] {
        eventually(&format!("{number} is not served"), || UnixStream::connect(place(number)).is_ok());
    }
    // Who connects may be earlier than the word that he can.
    eventually("it is still said to have no socket", || faults() == [None, None, Some(no_socket(3)), None]);
    // Whoever asks for it anew hears why not.
    daemon.client().apply(vec![Change::DeleteTarget { wwn: wwn(3) }]).unwrap();
    let again = Change::CreateTarget { wwn: Some(wwn(3)), tpgs: vec![1] };
    let Err(ClientError::Problem { problem, .. }) = daemon.client().apply(vec![again]) else { panic!() };
    let in_the_way = format!("cannot bind {}: what is there is no socket", place(3).display());
    assert_eq!(
        (problem.message.as_str(), problem.hint.as_deref()),
        (in_the_way.as_str(), Some("move it away"))
    );
    let (status, log) = daemon.end("TERM");
    assert_eq!(status, Some(0));
    for number in [1, 2, 3] {
        let line = format!(
            " WARN target {} has no socket: cannot bind {}: what is there is no socket; move it away; it is served when it \
             can be",
            wwn(number),
            place(number).display()
        );
        assert_eq!(log.lines().filter(|said| said.ends_with(&line)).count(), 1, "{log}");
    }
    assert_eq!(log.matches("has its socket and is served").count(), 2, "{log}");
    assert!(place(3).is_symlink() && !place(1).exists());
}
