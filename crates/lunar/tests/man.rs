// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Manual pages: they have all that `help` has, and man has nothing against them.
//!
//! Above: `cargo test`.  Below: the built `lunar`, man and mandoc where they are installed.
//! Never here: a sentence of a page.

use crate::support::lunar;
use std::io::Write;
use std::process::{Command, Stdio};

const PAGES: [&str; 3] = ["lunar", "lunar-apply", "lunar-saveconfig"];

/// What a program says of a page on standard input; nothing where it is not installed.
fn said(program: &str, arguments: &[&str], page: &str) -> Option<(String, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(page.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some((text(output.stdout), text(output.stderr)))
}

#[test]
fn man_and_mandoc_have_nothing_against_a_page() {
    for name in PAGES {
        let page = lunar(&["man", name]);
        assert_eq!((page.status, page.err.as_str()), (0, ""));
        match said("groff", &["-man", "-Tutf8", "-ww", "-z", "-K", "utf-8"], &page.out) {
            Some((_, warnings)) => assert_eq!(warnings, "", "{name}"),
            None => println!("skipped: groff is not installed"),
        }
        match said("mandoc", &["-T", "lint", "-W", "warning"], &page.out) {
            // No date is meant: a page is that of the program that prints it.
            Some((lint, _)) => {
                let lint: Vec<&str> =
                    lint.lines().filter(|line| !line.contains("cannot parse date")).collect();
                assert_eq!(lint, Vec::<&str>::new(), "{name}");
            }
            None => println!("skipped: mandoc is not installed"),
        }
    }
}

#[test]
fn the_page_of_the_program_has_every_command_and_every_option() {
    let page = lunar(&["man"]).out.replace("\\-", "-");
    for command in shell::commands::all() {
        assert!(page.contains(command.summary), "{}: {}", command.name, command.summary);
        assert!(page.contains(command.syntax().trim_end()), "{}", command.syntax());
    }
    for option in ["--runtime-dir", "--json", "--transport", "--qemu-version", "--memory"] {
        assert!(page.contains(option), "{option}");
    }
    for text in
        ["bash (GNU Bash), zsh (The Z shell)", "vhost-user if left out.", "\\fB--pci\\fR \\fIADDRESS\\fR"]
    {
        assert!(page.contains(text), "{text}: values and their names are told\n{page}");
    }
    assert!(page.contains("lunar completions"), "the tools have their usage");
    assert!(!page.contains("lunar complete "), "what is hidden stays so");
}

#[test]
fn the_pages_of_formats_are_those_of_the_manual() {
    let page = lunar(&["man", "lunar-apply"]).out;
    assert!(
        page.contains("lunar\\-apply \\- a file of what backstores, targets and LUNs are to be"),
        "{page}"
    );
    assert!(page.contains("lun0 = \"block/logs\""), "{page}");
    assert!(!page.contains("](") && !page.contains("**"), "{page}");
}
