// SPDX-License-Identifier: Apache-2.0 OR MIT
//! lunard(8), as the program prints it: groff and mandoc have nothing against it.

use std::io::Write;
use std::process::{Command, Stdio};

fn page() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lunard")).arg("--man-page").output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), [].as_slice()));
    String::from_utf8(output.stdout).unwrap()
}

/// What a program prints about the page; nothing where it is not installed.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(page().as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    Some([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
}

#[test]
fn groff_and_mandoc_have_nothing_against_it() {
    match said("groff", &["-man", "-Tutf8", "-ww", "-z", "-K", "utf-8"]) {
        Some(warnings) => assert_eq!(warnings, ""),
        None => println!("skipped: groff is not installed"),
    }
    match said("mandoc", &["-T", "lint", "-W", "warning"]) {
        // No date is meant: the page is that of the program that prints it.
        Some(lint) => {
            let lint: Vec<&str> = lint.lines().filter(|line| !line.contains("cannot parse date")).collect();
            assert_eq!(lint, Vec::<&str>::new());
        }
        None => println!("skipped: mandoc is not installed"),
    }
}

#[test]
fn it_says_how_the_program_is_called_and_what_stands_for_its_options() {
    let page = page().replace("\\-", "-");
    for words in [
        ".SH SYNOPSIS\nlunard [OPTIONS]\n",
        "LUNAR_STATE_DIR, LUNAR_RUNTIME_DIR",
        "at a second one it ends at once",
    ] {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
}

#[test]
fn it_has_every_option_that_help_has() {
    let help = Command::new(env!("CARGO_BIN_EXE_lunard")).arg("--help").output().unwrap();
    let (help, page) = (String::from_utf8(help.stdout).unwrap(), page().replace("\\-", "-"));
    let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let mut count = 0;
    for option in options {
        assert!(page.contains(option), "{option}");
        count += 1;
    }
    assert!(count > 5, "{help}");
}
