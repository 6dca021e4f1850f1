// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Going on with what another process was removing when it died.
//!
//! Above: `running`, after each commit and when something appears.
//! Below: `target::SanitizeWork`, which does it and keeps how it ended.
//! Never here: a guest.  The work needs none, and a unit says by itself that it is not ready meanwhile.

use super::{SEEK_INTERVAL, state::State};
use model::BackstoreId;
use target::{SanitizeWork, Sanitized};

/// Goes on with what was left behind, each on a thread of its own, which ends with the work.
pub(super) fn go_on(state: &State) {
    for (id, work) in state.left_behind() {
        let name = "sanitize".to_owned();
        let carried = id.clone();
        if let Err(error) = std::thread::Builder::new().name(name).spawn(move || carry_on(&carried, work)) {
            tracing::error!(
                "cannot go on with the SANITIZE of {id}: {error}; it is tried again with the next change"
            );
        }
    }
}

fn carry_on(id: &BackstoreId, work: SanitizeWork) {
    let mut told = false;
    // A ring that runs has the lock too, and shares it; another process does not.
    let _hold = loop {
        if !work.is_wanted() {
            return;
        }
        if let Some(hold) = work.hold() {
            break hold;
        }
        if !told {
            tracing::warn!("the SANITIZE of {id} waits: another process has locked it");
            told = true;
        }
        std::thread::sleep(SEEK_INTERVAL);
    };
    tracing::info!("going on with the SANITIZE of {id} that was under way when the last process ended");
    match work.run() {
        Sanitized::Well => tracing::info!("the SANITIZE of {id} has ended, and it is served again"),
        Sanitized::Badly => {
            tracing::error!("the SANITIZE of {id} has failed: its guests are told so until they try again")
        }
        Sanitized::Gone => {}
    }
}
