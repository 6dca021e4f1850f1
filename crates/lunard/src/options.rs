// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the command line and the environment say.
//!
//! Above: `main`.  Below: `clap`.
//! Never here: whether it can be done.

use crate::start_error::StartError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serve SCSI disks to KVM guests over vhost-user
///
/// Keeps its configuration in the state directory and its sockets in the runtime directory.
/// Everything else is set with `lunar`.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "lunard", version)]
pub struct Options {
    /// Where the configuration is kept [default: /var/lib/lunar for root, else $XDG_STATE_HOME/lunar]
    #[arg(long, value_name = "DIR", env = "LUNAR_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where the sockets are [default: /run/lunar for root, else $XDG_RUNTIME_DIR/lunar]
    #[arg(long, value_name = "DIR", env = "LUNAR_RUNTIME_DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// The group that may connect to guests' sockets [default: kvm, where it exists]
    #[arg(long, value_name = "GROUP")]
    pub socket_group: Option<String>,

    /// Serve /metrics, and nothing else, at this address too
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub metrics: Option<SocketAddr>,

    /// Mount LIO's configfs tree on this directory, for LIO's own tools
    #[arg(long, value_name = "DIR")]
    pub configfs: Option<PathBuf>,

    /// Threads that move guests' data [default: one a processor, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub reactors: Option<u16>,

    /// Print the manual page, and do nothing else
    #[arg(long)]
    pub man_page: bool,
}

/// An address to serve at.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it is an address and a port, such as 127.0.0.1:9100 or [::1]:9100")
}

/// The most reactors that are started where nobody says how many.
const REACTORS_DEFAULT_MAX: usize = 4;

impl Options {
    /// The state directory.
    ///
    /// # Errors
    /// [`StartError::NoDirectory`].
    pub fn state_dir(&self) -> Result<PathBuf, StartError> {
        let given = self.state_dir.clone().or_else(api::default_state_dir);
        given.map(api::absolute).ok_or(StartError::NoDirectory { what: "state" })
    }

    /// The runtime directory.
    ///
    /// # Errors
    /// [`StartError::NoDirectory`].
    pub fn runtime_dir(&self) -> Result<PathBuf, StartError> {
        let given = self.runtime_dir.clone().or_else(api::default_runtime_dir);
        given.map(api::absolute).ok_or(StartError::NoDirectory { what: "runtime" })
    }

    /// How many threads move guests' data.
    #[must_use]
    pub fn reactors(&self) -> u16 {
        let of_host = || {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            u16::try_from(processors.min(REACTORS_DEFAULT_MAX)).unwrap_or(1)
        };
        self.reactors.unwrap_or_else(of_host)
    }
}
