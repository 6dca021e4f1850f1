// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Standard output or standard error that nobody takes: no panic, and an exit status that says so.
//!
//! Above: `program`.  Below: `support`.
//! Never here: what is written where somebody does.

use super::support::{Daemon, Left, Stream};

/// What the program may be asked for that it writes to standard output, each with what it reads.
const WRITTEN: [(&[&str], &str); 21] = [
    (&["--help"], ""),
    (&["--version"], ""),
    (&["-h"], ""),
    (&["help"], ""),
    (&["qemu", "--help"], ""),
    (&["man"], ""),
    (&["--json", "man"], ""),
    (&["completions", "bash"], ""),
    (&["--json", "completions", "zsh"], ""),
    (&["complete", "bash", "lunar /"], ""),
    (&["qemu", "naa.500140568720f76f"], ""),
    (&["--json", "qemu", "naa.500140568720f76f"], ""),
    (&["libvirt", "naa.500140568720f76f"], ""),
    (&["ls"], ""),
    (&["--json", "ls"], ""),
    (&["/", "help"], ""),
    (&["version"], ""),
    (&[], "ls\npwd\n"),
    (&["--json"], "ls\n"),
    (&["sessions"], ""),
    (&["/vhost status\npwd"], ""),
];

/// What fails and says why on standard error.
const REFUSED: [(&[&str], &str); 10] = [
    (&["--no-such-option"], ""),
    (&["qemu"], ""),
    (&["completions", "csh"], ""),
    (&["/nosuch", "ls"], ""),
    (&["pwd 'x"], ""),
    (&["qemu", "naa.5001405000000009"], ""),
    (&["libvirt", "nonsense"], ""),
    (&[], "/nosuch ls\n"),
    (&["--root", "/nonexistent", "ls"], ""),
    (&["import-lio", "--root", "/nonexistent"], ""),
];

/// The same for a program, on standard output.
const REFUSED_JSON: [(&[&str], &str); 5] = [
    (&["--json", "--no-such-option"], ""),
    (&["--json", "qemu"], ""),
    (&["--json", "/nosuch", "ls"], ""),
    (&["--json", "pwd 'x"], ""),
    (&["--json", "qemu", "naa.5001405000000009"], ""),
];

#[test]
fn output_whose_reader_has_gone_is_a_failure_and_no_panic() {
    let daemon = Daemon::start();
    for (arguments, input) in WRITTEN.iter().chain(&REFUSED_JSON) {
        let left = daemon.lunar_left(arguments, input, Left { out: Stream::Gone, err: Stream::Read });
        assert_eq!((left.status, left.err.as_str()), (1, ""), "{arguments:?}");
    }
}

#[test]
fn errors_whose_reader_has_gone_change_nothing_of_the_rest() {
    let daemon = Daemon::start();
    for (arguments, input) in WRITTEN.iter().chain(&REFUSED).chain(&REFUSED_JSON) {
        let whole = daemon.lunar_reads(arguments, input);
        let left = daemon.lunar_left(arguments, input, Left { out: Stream::Read, err: Stream::Gone });
        assert_eq!((left.status, left.out), (whole.status, whole.out), "{arguments:?}");
    }
    let left = daemon.lunar_left(&[], "/nosuch ls\npwd\n", Left { out: Stream::Read, err: Stream::Gone });
    assert_eq!((left.status, left.out.as_str()), (1, "/\n"), "the lines after it are run");
}

#[test]
fn neither_is_taken_and_the_status_is_left() {
    let daemon = Daemon::start();
    let both = |stream: fn() -> Stream| Left { out: stream(), err: stream() };
    for (arguments, input) in WRITTEN.iter().chain(&REFUSED).chain(&REFUSED_JSON) {
        assert_eq!(daemon.lunar_left(arguments, input, both(|| Stream::Gone)).status, 1, "{arguments:?}");
        let whole = daemon.lunar_reads(arguments, input).status;
        assert_eq!(
            daemon.lunar_left(arguments, input, both(|| Stream::Closed)).status,
            whole,
            "{arguments:?}"
        );
    }
}

#[test]
fn output_that_finds_no_room_is_a_failure_and_said_to_be_so() {
    let daemon = Daemon::start();
    for (arguments, input) in WRITTEN.iter().chain(&REFUSED_JSON) {
        let left = daemon.lunar_left(arguments, input, Left { out: Stream::Full, err: Stream::Read });
        let said = "cannot write to standard output: No space left on device\n";
        assert_eq!((left.status, left.err.as_str()), (1, said), "{arguments:?}");
        assert_eq!(
            daemon.lunar_left(arguments, input, Left { out: Stream::Full, err: Stream::Full }).status,
            1
        );
    }
}
