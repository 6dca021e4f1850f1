// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lunar's daemon: owns the configuration, runs the target, serves the API.
//!
//! Above: `main.rs`, and the tests.  Below: every crate but `shell` and `initiator`.
//! Never here: what a guest's command means.
//!
//! ```text
//!   server, configfs_door ── Handle ──► state_driver ──► wish ──► model
//!                                           │  │
//!                                  store ◄──┘  └──► machine (the running target)
//! ```

pub mod configfs_door; // LIO's tree in the file system
pub mod daemon; // from start to end
pub mod directories; // where
mod growth; // files and devices that become larger
pub mod logging; // one line an event
pub mod machine; // what runs
pub mod man; // the manual page
pub mod metrics;
pub mod options; // what the command line says
mod predecessor; // a daemon that was killed and is not gone yet
pub mod server; // HTTP
pub mod service_manager; // what systemd is told
pub mod start_error; // why there was no start
pub mod state_driver; // the one owner of the configuration
pub mod store; // what is on disk
pub mod watchdog; // whether everybody still answers

pub use translate::{saveconfig, view, wish}; // strangers' words and the model
