// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Tab key of bash, zsh and fish, pressed in the real shells; and what `lunar complete` hands them.
//!
//! Above: `cargo test`.  Below: the built `lunar`, a daemon made for tests, shells that are installed.
//! Never here: what the interactive shell offers; `shell` has those tests.

use crate::support::Daemon;
use std::os::unix::fs::PermissionsExt;

const WWN: &str = "naa.500140568720f76f";

/// What is offered for a line, as bash wants it: quoted, and with a space where the word is whole.
#[track_caller]
fn check(daemon: &Daemon, line: &str, expected: &[&str]) {
    let run = daemon.lunar(&["complete", "bash", line]);
    assert_eq!((run.status, run.err.as_str()), (0, ""), "{line}");
    assert_eq!(run.out.lines().collect::<Vec<_>>(), expected, "{line:?}");
}

#[test]
fn words_of_the_tree_and_of_the_program_are_offered() {
    let daemon = Daemon::start();
    check(&daemon, "lunar /vh", &["/vhost/"]);
    check(&daemon, "lunar b", &["backstores/", "bind ", "bookmarks "]);
    check(&daemon, "lunar q", &["qemu "]);
    check(&daemon, "lunar --j", &["--json "]);
    check(&daemon, "lunar --json -e /vhost sta", &["status "]);
    check(&daemon, "lunar /backstores/fileio delete ", &["disk0 ", "name=", "save="]);
    check(&daemon, "lunar ls path=/b", &["path=/backstores/"]);
    check(&daemon, "lunar apply --d", &["--dry-run "]);
    check(&daemon, "lunar qemu ", &[&format!("{WWN} ")]);
    check(&daemon, "lunar qemu --tr", &["--transport "]);
    check(&daemon, "lunar qemu --transport ", &["vhost ", "vhost-user "]);
    check(&daemon, "lunar completions z", &["zsh "]);
    check(&daemon, "lunar man lunar-", &["lunar-apply ", "lunar-saveconfig "]);
    check(&daemon, "lunar --runtime-dir ", &[]);
    check(&daemon, "lunar comple", &["completions "]);
}

#[test]
fn the_first_word_may_be_a_tool() {
    let daemon = Daemon::start();
    let run = daemon.lunar(&["complete", "bash", "lunar "]);
    let offered: Vec<&str> = run.out.lines().collect();
    for tool in
        ["bind ", "completions ", "import-lio ", "libvirt ", "man ", "qemu ", "run ", "ls ", "/", "vhost/"]
    {
        assert!(offered.contains(&tool), "{tool} is not among {offered:?}");
    }
    // The shell that asks would put the names of files in its place.
    assert!(!offered.iter().any(|word| word.contains('*')), "{offered:?}");
    check(&daemon, "lunar help q", &["qemu "]);
    check(&daemon, "lunar help co", &["completions "]);
    check(&daemon, "lunar help ap", &["apply "]);
}

#[test]
fn the_command_of_run_is_a_program_of_the_host() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().expect("a directory");
    for (name, mode) in [("targetx-ctl", 0o755), ("targetx-no-program", 0o644)] {
        let path = directory.path().join(name);
        std::fs::write(&path, "").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    }
    let path = directory.path().display().to_string();
    let offered = |line: &str| daemon.lunar_with(&["complete", "bash", line], ("PATH", &path)).out;
    assert_eq!(offered("lunar run -- targetx"), "targetx-ctl \n");
    assert_eq!(offered("lunar run targetx"), "targetx-ctl \n");
    assert_eq!(offered("lunar run --tree /x -- targetx"), "targetx-ctl \n");
    // What its arguments may be, the shell that asks may know.
    assert_eq!(offered("lunar run -- targetx-ctl targetx"), "");
    assert_eq!(offered("lunar run -- targetx-ctl --t"), "");
    assert_eq!(offered("lunar run --t"), "--tools-dir \n--tree \n");
}

#[test]
fn another_runtime_directory_on_the_line_is_another_daemon() {
    let daemon = Daemon::start();
    check(&daemon, "lunar --runtime-dir /nonexistent qemu ", &[]);
    // No target is below it there.
    check(&daemon, "lunar --runtime-dir=/nonexistent /vh", &["/vhost "]);
}

#[test]
fn names_of_the_host_are_quoted_for_the_line_they_go_into() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["a $(x).img", "a\nb.img"] {
        std::fs::write(directory.path().join(name), "").expect("made");
    }
    let at = directory.path().display();
    let line = format!("lunar /backstores/fileio create x {at}/a");
    // The one with a line's end in it could not be told from two names.
    check(&daemon, &line, &[&format!("{at}/a\\ \\$\\(x\\).img ")]);
    let zsh = daemon.lunar(&["complete", "zsh", &line]);
    assert_eq!(zsh.out, format!("{at}/a $(x).img \n"));
    let fish = daemon.lunar(&["complete", "fish", "lunar /vhost sta"]);
    assert_eq!(fish.out, "status\n");
}

#[test]
fn bash_gets_what_follows_where_it_ends_a_word() {
    let daemon = Daemon::start();
    let run = daemon.lunar(&["complete", "bash", "lunar ls path=/b", "/b"]);
    assert_eq!(run.out, "/backstores/\n");
    let run = daemon.lunar(&["complete", "bash", "lunar ls path=", ""]);
    assert_eq!(run.out.lines().next(), Some("backstores/"), "{}", run.out);
}

/// Types a line with the Tab key in it; what comes of the line shows that both words were completed.
fn press_tab(program: &str, arguments: &[&str], first: &str) {
    if !std::path::Path::new("/usr/bin").join(program).exists() {
        println!("skipped: {program} is not installed");
        return;
    }
    let daemon = Daemon::start();
    let mut terminal = daemon.other_on_terminal(program, arguments);
    terminal.write(first);
    terminal.write("echo rea\"\"dy\n");
    terminal.expect("ready\r\n");
    terminal.write("lunar /vh\t sta\t\n");
    terminal.expect("Status for /vhost: Targets: 1");
    terminal.write("lunar ls path=/vh\t depth=1 --json\n");
    terminal.expect("\"path\":\"/vhost\",\"summary\"");
    terminal.write("lunar qemu --transport vhost naa.\t\n");
    terminal.expect("-device vhost-scsi-pci,wwpn=naa.500140568720f76f");
    terminal.write("exit\n");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn the_tab_key_of_bash_completes() {
    press_tab("bash", &["--norc", "--noprofile", "-i"], "source <(lunar completions bash)\n");
}

#[test]
fn the_tab_key_of_zsh_completes() {
    press_tab(
        "zsh",
        &["-f", "-i"],
        "autoload -U compinit && compinit -D -u && source <(lunar completions zsh)\n",
    );
}

#[test]
fn the_tab_key_of_fish_completes() {
    press_tab("fish", &["--no-config", "-i"], "lunar completions fish | source\n");
}
