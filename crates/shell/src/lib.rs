// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The shell: targetcli's tree, grammar and commands.
//!
//! Above: `lunar`, which owns the terminal and prints.  Below: [`Api`], the way to `lunard`.
//! Never here: printing, reading a terminal, or a rule about the configuration.  `lunard` decides; the
//! shell asks, and puts the answer in targetcli's words.
//!
//! A line becomes words and a [`grammar::Statement`]; the configuration, asked for once a statement, becomes
//! a [`tree::Tree`]; the statement's path picks a node, the node's place and the command's name pick a
//! [`command::Command`] from one table, from which help and completion come too.

mod alua; //        ALUA in targetcli's words
mod arguments; //   words bound to a command's parameters
pub mod command; // the table's row
pub mod commands; // one file a command
mod complete; //    the Tab key
mod daemon; //      what is asked of `lunard`
mod difference; //  what a file changes, as `diff` shows it
mod draw; //        the tree as `ls` shows it
pub mod failure; // one line that says what is wrong, and a hint
pub mod grammar; // text -> words -> statement
mod json; //        nodes for programs
mod outline; //     the tree for one who picks a node
pub mod path; //    where a node is
pub mod report; //  a reply for programs
mod savefile; //    a saveconfig.json of the user's own
mod screen; //      width and colour
mod session; //     one statement after another
mod settings; //    `get global`, bookmarks
pub mod size; //    `16M` and `16.0MiB`
pub mod tree; //    the configuration as nodes
pub mod wwn; //     the spellings of a target's name

pub use complete::{Candidate, CandidateKind, Completion};
pub use daemon::{Api, ApiError, Foreign};
pub use failure::Failure;
pub use outline::{Outline, OutlineLine, Pick};
pub use screen::{Mode, Screen};
pub use session::{Ask, Environment, Reply, Shell};
pub use settings::{Keeper, Kept, SETTINGS, Setting, SettingKind};
