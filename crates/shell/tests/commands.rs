// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shell against a daemon made for tests: literal transcripts, one file a command.
//!
//! Above: `cargo test`.  Below: `shell`, through its public names alone.
//! Never here: a socket or a terminal.

mod support;

mod test_apply;
mod test_bookmarks;
mod test_cd;
mod test_clearconfig;
mod test_create;
mod test_delete;
mod test_diff;
mod test_disable;
mod test_eject;
mod test_enable;
mod test_exit;
mod test_get;
mod test_help;
mod test_info;
mod test_load;
mod test_ls;
mod test_pwd;
mod test_refresh;
mod test_resize;
mod test_restoreconfig;
mod test_saveconfig;
mod test_sessions;
mod test_set;
mod test_status;
mod test_version;

mod completion;
mod json;
mod json_page;
mod manual;
mod statements;
mod upstream;
mod walkthrough;

/// A command without tests is not ready: this file names a test file for each, and nothing else.
#[test]
fn every_command_has_its_test_file() {
    let mut commands: Vec<&str> = shell::commands::all().map(|command| command.name).collect();
    commands.dedup();
    let named = include_str!("commands.rs").lines().filter_map(|line| line.strip_prefix("mod test_"));
    let tested: Vec<&str> = named.filter_map(|line| line.strip_suffix(';')).collect();
    assert_eq!(tested, commands);
}
