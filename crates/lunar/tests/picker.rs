// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Picking a node on the whole screen: keys, sizes, and where there is no screen.
//!
//! Above: `cargo test`.  Below: the built `lunar`, a daemon made for tests, a terminal.
//! Never here: what else `cd` does; `shell` has those tests.

use crate::support::{Daemon, Terminal};

/// The whole screen is taken, and given back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

const DOWN: &str = "\u{1b}[B";
const UP: &str = "\u{1b}[A";
const PAGE_DOWN: &str = "\u{1b}[6~";
const PAGE_UP: &str = "\u{1b}[5~";
const HOME: &str = "\u{1b}[H";
const END: &str = "\u{1b}[F";

/// A shell that stands at a node and shows the tree, in which that node is marked.
fn picking(daemon: &Daemon, from: &str, marked: &str) -> Terminal {
    let mut terminal = daemon.terminal();
    terminal.expect("/> ");
    terminal.write(&format!("cd {from}\r"));
    terminal.expect(&format!("{from}> "));
    open(&mut terminal, marked);
    terminal
}

fn open(terminal: &mut Terminal, marked: &str) {
    terminal.write("cd\r");
    terminal.expect(TAKEN);
    terminal.expect(&format!("\u{1b}[7m{marked} "));
}

/// Presses a key, after which another line is marked.
#[track_caller]
fn press(terminal: &mut Terminal, key: &str, marked: &str) {
    terminal.write(key);
    terminal.expect(&format!("\u{1b}[7m{marked} "));
}

fn leave(mut terminal: Terminal) {
    terminal.write("exit\r");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn arrows_and_page_keys_move_and_enter_goes_there() {
    let daemon = Daemon::start();
    let mut terminal = picking(&daemon, "/vhost", "  o- vhost");
    press(&mut terminal, UP, "  | o- ramdisk");
    press(&mut terminal, UP, "  | |   o- alua");
    press(&mut terminal, DOWN, "  | o- ramdisk");
    press(&mut terminal, HOME, "o- /");
    press(&mut terminal, UP, "o- /");
    press(&mut terminal, DOWN, "  o- backstores");
    press(&mut terminal, END, "          o- lun0");
    press(&mut terminal, DOWN, "          o- lun0");
    // A page is what the screen has beside the line of the keys: five lines.
    terminal.resize(80, 6);
    terminal.expect("\u{1b}[6;1Harrows");
    press(&mut terminal, PAGE_UP, "      | o- luns");
    press(&mut terminal, PAGE_UP, "      | o- acls");
    press(&mut terminal, PAGE_DOWN, "      | o- luns");
    press(&mut terminal, HOME, "o- /");
    press(&mut terminal, DOWN, "  o- backstores");
    press(&mut terminal, DOWN, "  | o- block");
    terminal.write("\r");
    terminal.expect(GIVEN_BACK);
    terminal.expect("/backstores/block> ");
    // It is a visit like others.
    terminal.write("cd <\r");
    terminal.expect("Taking you back to /vhost.");
    leave(terminal);
}

#[test]
fn escape_q_and_control_c_stay() {
    let daemon = Daemon::start();
    for key in ["\u{1b}", "q", "\u{3}"] {
        let mut terminal = picking(&daemon, "/vhost", "  o- vhost");
        press(&mut terminal, UP, "  | o- ramdisk");
        terminal.write(key);
        terminal.expect(GIVEN_BACK);
        terminal.expect("/vhost> ");
        leave(terminal);
    }
}

#[test]
fn keys_without_a_meaning_have_none() {
    let daemon = Daemon::start();
    let mut terminal = picking(&daemon, "/vhost", "  o- vhost");
    // A letter, a function key, Ctrl-Z, a letter of two bytes.
    terminal.write("x\u{1b}[15~\u{1a}ü");
    press(&mut terminal, UP, "  | o- ramdisk");
    terminal.write("q");
    terminal.expect("/vhost> ");
    leave(terminal);
}

#[test]
fn any_size_will_do_and_another_one_is_taken_at_once() {
    let daemon = Daemon::start();
    let mut terminal = picking(&daemon, "/vhost", "  o- vhost");
    // The line is as wide as the screen, and nothing takes its last letter away.
    terminal.resize(40, 24);
    terminal
        .expect("\u{1b}[8;1H\u{1b}[K\u{1b}[7m  o- vhost ................ [Targets: 1]\u{1b}[0m\u{1b}[9;1H");
    // One row of one column: the marked line alone, cut by the terminal.
    terminal.resize(1, 1);
    terminal.expect("\u{1b}[1;1H\u{1b}[K\u{1b}[7m  o- vhost  [Targets: 1]\u{1b}[0m");
    press(&mut terminal, UP, "  | o- ramdisk");
    terminal.resize(200, 50);
    terminal.expect("\u{1b}[7m  | o- ramdisk ..");
    terminal.expect("arrows and page keys move, Enter goes there, q stays");
    terminal.resize(0, 0);
    terminal.expect("\u{1b}[7m  | o- ramdisk ..");
    terminal.write("q");
    terminal.expect("/vhost> ");
    leave(terminal);
}

#[test]
fn a_terminal_that_goes_ends_the_picker_and_the_shell() {
    let daemon = Daemon::start();
    let terminal = picking(&daemon, "/vhost", "  o- vhost");
    terminal.hang_up();
}

#[test]
fn so_does_one_that_goes_in_the_middle_of_a_key() {
    let daemon = Daemon::start();
    for key in ["\u{1b}", "\u{1b}[", "\u{1b}O"] {
        let mut terminal = picking(&daemon, "/vhost", "  o- vhost");
        // Once the line of another node is drawn, the key after it is next.
        press(&mut terminal, UP, "  | o- ramdisk");
        terminal.write(key);
        terminal.hang_up();
    }
}

#[test]
fn where_there_is_no_screen_it_goes_to_the_root_and_says_so() {
    let daemon = Daemon::start();
    let said = "No terminal to pick a node on: going to /.\n/\n";
    daemon.lunar_reads(&[], "cd /vhost\ncd\npwd\n").check(0, said, "");
    daemon.lunar(&["cd /vhost\ncd\npwd"]).check(0, said, "");
    let mut terminal = daemon.terminal_called("dumb");
    terminal.expect("/> ");
    terminal.write("cd /vhost\rcd\r");
    terminal.expect("No terminal to pick a node on: going to /.\r\n");
    leave(terminal);
}
