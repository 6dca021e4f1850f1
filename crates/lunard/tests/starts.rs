// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every way not to start: one line that names the thing and the way out, and nothing changed.
//!
//! Above: nothing.  Below: `daemon`, the program.
//! Never here: what a daemon does that has started.

mod daemon;

use api::ClientError;
use api::v1::Change;
use daemon::{Daemon, NOBODY, as_nobody, is_root, lunard};
use lunard::directories::StateDir;
use lunard::store::Store;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

/// It does not start, says `line` and nothing else, and exits with 1.
fn check_refused(mut command: Command, line: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), format!("lunard: {line}\n"));
    assert_eq!(String::from_utf8(stdout).unwrap(), "");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn one_state_directory_has_one_daemon() {
    let scratch = tempfile::tempdir().unwrap();
    let _first = Daemon::start(scratch.path());
    let mut second = Command::new(env!("CARGO_BIN_EXE_lunard"));
    second.env_clear().arg("--state-dir").arg(scratch.path().join("state"));
    second.arg("--runtime-dir").arg(scratch.path().join("other"));
    let state = scratch.path().join("state");
    check_refused(
        second,
        &format!(
            "the state directory {} is in use by another lunard; stop it, or give this one another --state-dir",
            state.display()
        ),
    );
}

#[test]
fn one_runtime_directory_has_one_daemon() {
    let scratch = tempfile::tempdir().unwrap();
    let first = Daemon::start(scratch.path());
    let mut second = Command::new(env!("CARGO_BIN_EXE_lunard"));
    second.env_clear().env("LUNAR_STATE_DIR", scratch.path().join("other"));
    second.env("LUNAR_RUNTIME_DIR", scratch.path().join("run"));
    let run = scratch.path().join("run");
    check_refused(
        second,
        &format!(
            "the runtime directory {} is in use by another lunard; stop it, or give this one another --runtime-dir",
            run.display()
        ),
    );
    assert!(first.client().version().is_ok(), "the first is still there");
}

#[test]
fn a_wrong_option_is_one_line_that_names_it() {
    let scratch = tempfile::tempdir().unwrap();
    for (words, line) in [
        (&["--foo"][..], "unexpected argument '--foo' found; `lunard --help` lists the options"),
        (
            &["--reactor", "2"],
            "unexpected argument '--reactor' found; a similar argument exists: '--reactors'",
        ),
        (&["junk"], "unexpected argument 'junk' found; `lunard --help` lists the options"),
        (
            &["--reactors", "0"],
            "invalid value '0' for '--reactors <N>': 0 is not in 1..=65535; `lunard --help` lists the options",
        ),
        (
            &["--metrics", "9100"],
            "invalid value '9100' for '--metrics <ADDR:PORT>': it is an address and a port, such as 127.0.0.1:9100 or \
             [::1]:9100; `lunard --help` lists the options",
        ),
    ] {
        let mut command = lunard(scratch.path());
        command.args(words);
        check_refused(command, line);
    }
    assert!(!scratch.path().join("state").exists(), "nothing was begun");
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let database = state.join("lunar.redb");
    std::fs::write(&database, "not a database").unwrap();
    check_refused(
        lunard(scratch.path()),
        &format!(
            "the database {0} is damaged: it is not a database; move it away ({0}) to start empty, or put a copy \
             back; {1}/saveconfig.json may have the configuration",
            database.display(),
            state.display()
        ),
    );
    assert_eq!(std::fs::read_to_string(&database).unwrap(), "not a database");
}

#[test]
fn a_socket_path_too_long_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let run = format!("{}/{}", scratch.path().display(), "r".repeat(100));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
    command.env_clear().arg("--state-dir").arg(scratch.path().join("state")).args(["--runtime-dir", &run]);
    let longest = format!("{run}/vhost/naa.5001405000000000.sock");
    check_refused(
        command,
        &format!(
            "the path of a socket would be too long: {longest} has {} bytes, 107 are possible; choose a \
             --runtime-dir of at most 75 bytes",
            longest.len()
        ),
    );
    assert!(!Path::new(&run).exists());
}

#[test]
fn a_runtime_directory_that_cannot_be_made_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("run"), "in the way").unwrap();
    let Output { status, stderr, .. } = lunard(scratch.path()).output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    let start =
        format!("lunard: cannot use the runtime directory {}/run: File exists; ", scratch.path().display());
    assert!(line.starts_with(&start), "{line}");
    assert_eq!((line.lines().count(), status.code()), (1, Some(1)));
}

#[test]
fn what_is_in_the_place_of_the_api_socket_is_named_and_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("run/api.sock");
    let daemon = Daemon::start(scratch.path());
    let wwn = "naa.5001405000000001".to_owned();
    daemon.client().apply(vec![Change::CreateTarget { wwn: Some(wwn), tpgs: vec![1] }]).unwrap();
    assert_eq!(daemon.end("TERM").0, Some(0));
    std::fs::create_dir(&place).unwrap();
    let line = format!("cannot bind {}: what is there is no socket; move it away", place.display());
    // Where a guest's socket was left behind it is there still: nobody was let in.
    let guest = scratch.path().join("run/vhost/naa.5001405000000001.sock");
    drop(UnixListener::bind(&guest).unwrap());
    let left = std::fs::symlink_metadata(&guest).unwrap().ino();
    let refused = |line: &str| {
        check_refused(lunard(scratch.path()), line);
        assert_eq!(std::fs::symlink_metadata(&guest).unwrap().ino(), left);
    };
    refused(&line);
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "needed").unwrap();
    refused(&line);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "needed");
    std::fs::remove_file(&place).unwrap();
    symlink("/nonexistent", &place).unwrap();
    refused(&line);
    assert!(place.is_symlink());
    std::fs::remove_file(&place).unwrap();
    let listening = UnixListener::bind(&place).unwrap();
    refused(&format!(
        "cannot bind {}: Address already in use; another process listens there; stop it, or use another --runtime-dir",
        place.display()
    ));
    // What nobody listens to any more was left behind.
    drop(listening);
    assert_eq!(Daemon::start(scratch.path()).end("TERM").0, Some(0));
    assert!(!place.exists());
    // Nor is it deleted at the end, when it came there meanwhile.
    let daemon = Daemon::start(scratch.path());
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "needed").unwrap();
    assert_eq!(daemon.end("TERM").0, Some(0));
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "needed");
}

#[test]
fn a_socket_that_another_user_left_is_taken_over_and_one_where_he_listens_is_not() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (state, run) = (scratch.path().join("state"), scratch.path().join("run"));
    for directory in [&state, &run] {
        std::fs::create_dir(directory).unwrap();
        chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let place = run.join("api.sock");
    let listening = UnixListener::bind(&place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o660)).unwrap();
    let command = || {
        let mut command = as_nobody(scratch.path());
        command.arg("--state-dir").arg(&state).arg("--runtime-dir").arg(&run);
        command
    };
    check_refused(
        command(),
        &format!(
            "cannot bind {}: Address already in use; another process listens there; stop it, or use another --runtime-dir",
            place.display()
        ),
    );
    drop(listening);
    let daemon = Daemon::start_command(scratch.path(), command());
    assert!(daemon.client().version().is_ok());
    assert_eq!(daemon.end("TERM").0, Some(0));
    assert!(!place.exists());
}

#[test]
fn a_state_directory_of_somebody_else_names_the_user_who_would_do() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let mut command = as_nobody(scratch.path());
    command.arg("--state-dir").arg(&state).arg("--runtime-dir").arg(scratch.path().join("run"));
    check_refused(
        command,
        &format!(
            "cannot write to the state directory {}: Permission denied; it is of user root, group root, mode 0755: \
             run as that user, or choose another --state-dir",
            state.display()
        ),
    );
}

/// A small file system of its own, unmounted at the end.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// `None` where nobody may mount.
    fn new(at: &'a Path) -> Option<Self> {
        if !is_root() {
            eprintln!("skipped: only root can mount");
            return None;
        }
        std::fs::create_dir(at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=4M,mode=755", "tmpfs", text(at)]);
        Some(Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", &[text(self.0)]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn directories_are_made_however_many_are_missing() {
    let scratch = tempfile::tempdir().unwrap();
    let (state, run) = (scratch.path().join("a/b/state"), scratch.path().join("c/d/run"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
    command.env_clear().arg("--state-dir").arg(&state).arg("--runtime-dir").arg(&run);
    let daemon = Daemon::start_command(scratch.path(), command);
    assert!(state.join("lunar.redb").is_file() && run.join("api.sock").exists());
    assert_eq!(daemon.end("TERM").0, Some(0));
}

#[test]
fn without_a_home_a_user_has_to_say_where() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    check_refused(as_nobody(scratch.path()), "there is no state directory; give --state-dir");
}

#[test]
fn one_directory_is_not_for_both() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    symlink(&state, scratch.path().join("run")).unwrap();
    check_refused(
        lunard(scratch.path()),
        &format!(
            "the state directory and the runtime directory are both {}; give one of them another, by --state-dir or \
             --runtime-dir",
            state.display()
        ),
    );
}

#[test]
fn a_file_system_that_cannot_be_written_is_said_to_be_so_and_no_other_user_is_sent() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("mounted");
    let Some(_mounted) = Mounted::new(&at) else { return };
    let state = at.join("state");
    std::fs::create_dir(&state).unwrap();
    run("mount", &["-o", "remount,ro", text(&at)]);
    for state in [state, at.join("missing")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
        command.env_clear().arg("--state-dir").arg(&state);
        command.arg("--runtime-dir").arg(scratch.path().join("run"));
        check_refused(
            command,
            &format!(
                "cannot write to the state directory {}: Read-only file system; mount the file system writable, or \
                 choose another --state-dir",
                state.display()
            ),
        );
    }
}

#[test]
fn a_full_disk_is_said_to_be_so_and_nothing_half_done_is_left_of_a_database_or_a_change() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("mounted");
    let Some(_mounted) = Mounted::new(&at) else { return };
    let state = at.join("state");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lunard"));
        command.env_clear().arg("--state-dir").arg(&state);
        command.arg("--runtime-dir").arg(scratch.path().join("run"));
        command
    };
    let full = at.join("full");
    std::fs::write(&full, vec![7; 5 << 20]).unwrap_err();
    let database = state.join("lunar.redb.new");
    check_refused(
        start(),
        &format!("cannot open the database {}: No space left on device; make room there", database.display()),
    );
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    std::fs::remove_file(&full).unwrap();
    let daemon = Daemon::start_command(scratch.path(), start());
    daemon.client().apply(vec![daemon::ramdisk("r0")]).unwrap();
    assert_eq!(daemon.end("TERM").0, Some(0));
    // What is there is served.
    std::fs::write(&full, vec![7; 5 << 20]).unwrap_err();
    let daemon = Daemon::start_command(scratch.path(), start());
    let client = daemon.client();
    assert_eq!(client.config().unwrap().backstores.len(), 1);
    // Nothing of a change that cannot be kept.
    let made = (1..)
        .find(|made| {
            let many = (0..500).map(|n| daemon::ramdisk(&format!("r{made}-{n}"))).collect();
            let Err(ClientError::Problem { problem, .. }) = client.apply(many) else { return false };
            let message =
                format!("cannot write {}/lunar.redb: I/O error: No space left on device", state.display());
            assert_eq!(problem.message, message);
            true
        })
        .unwrap();
    let config = client.config().unwrap();
    assert_eq!(config.backstores.len(), 1 + 500 * (made - 1));
    std::fs::remove_file(&full).unwrap();
    client.apply(vec![daemon::ramdisk("fits-again")]).unwrap();
    daemon.end("KILL");
    let daemon = Daemon::start_command(scratch.path(), start());
    assert_eq!(daemon.client().config().unwrap().backstores.len(), config.backstores.len() + 1);
}

/// Whether guests were last told of another boot of the host than the one before; they are told of that now.
fn lost_power(state: &Path) -> bool {
    let state_dir = StateDir::claim(state).unwrap();
    let store = Store::open(&state_dir).unwrap();
    let _closing = store.closing();
    let units = store.units_of("the boot before").unwrap();
    units.boot.note();
    units.lost_power
}

#[test]
fn a_start_that_fails_leaves_it_to_the_next_to_tell_of_a_restart_of_the_host() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    drop(Daemon::start(scratch.path()));
    assert!(lost_power(&state));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut failing = lunard(scratch.path());
    failing.arg("--metrics").arg(taken.local_addr().unwrap().to_string());
    let Output { status, stderr, .. } = failing.output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8(stderr).unwrap().contains("cannot listen on "));
    assert!(!lost_power(&state), "it has been noted");
    drop(Daemon::start(scratch.path()));
    assert!(lost_power(&state), "it could not be noted");
}

#[test]
fn a_restart_of_the_host_that_cannot_be_noted_is_one_line_and_disks_are_served() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    drop(Daemon::start(scratch.path()));
    assert!(lost_power(&state));
    // The limit is in blocks of 512 bytes: the beginning of the database can be written, and nothing in it.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lunard")]);
    limited.arg("--state-dir").arg(&state).arg("--runtime-dir").arg(scratch.path().join("run"));
    let daemon = Daemon::start_command(scratch.path(), limited);
    assert!(daemon.client().config().is_ok());
    let (_, log) = daemon.end("TERM");
    let line = format!(
        "WARN cannot note in {}/lunar.redb that the host has restarted: I/O error: File too large; make room there, or guests \
         are told of it once more when lunard restarts\n",
        state.display()
    );
    assert!(log.contains(&line) && log.matches("cannot").count() == 1, "{log}");
    assert!(!lost_power(&state), "it could not be noted");
    let (_, log) = Daemon::start(scratch.path()).end("TERM");
    assert!(!log.contains("cannot"), "{log}");
    assert!(lost_power(&state), "it has been noted");
}

#[test]
fn a_database_that_is_a_link_to_what_is_not_mounted_is_no_empty_one() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let database = state.join("lunar.redb");
    symlink(scratch.path().join("elsewhere/lunar.redb"), &database).unwrap();
    check_refused(
        lunard(scratch.path()),
        &format!(
            "cannot open the database {}: it is a link that leads to no file; mount the file system that it is on; or \
             remove the link to start empty",
            database.display()
        ),
    );
    assert!(database.is_symlink());
}

#[test]
fn a_database_that_is_no_file_is_said_to_be_none() {
    let scratch = tempfile::tempdir().unwrap();
    let database = scratch.path().join("state/lunar.redb");
    std::fs::create_dir_all(&database).unwrap();
    check_refused(
        lunard(scratch.path()),
        &format!("cannot open the database {}: it is no file", database.display()),
    );
}

#[test]
fn a_database_of_somebody_else_names_the_user_who_would_do() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (_, log) = Daemon::start(scratch.path()).end("TERM");
    assert!(log.contains("stopped"), "{log}");
    for directory in ["state", "run"] {
        chown(scratch.path().join(directory), Some(NOBODY), None).unwrap();
    }
    let mut command = as_nobody(scratch.path());
    command.arg("--state-dir").arg(scratch.path().join("state"));
    command.arg("--runtime-dir").arg(scratch.path().join("run"));
    let database = scratch.path().join("state/lunar.redb");
    check_refused(
        command,
        &format!(
            "cannot open the database {}: Permission denied; it is of user root, group root, mode 0600: run as that user",
            database.display()
        ),
    );
}
