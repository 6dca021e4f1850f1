// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A way into the kernel without the loop around it, for tests that run a `Work` by hand.
//!
//! Above: `vhost-scsi`'s `testing`.
//! Below: `submitter`.
//! Never here: anything that the product uses.

use crate::StartError;
use crate::looping::build_ring;
use crate::submitter::{Arrival, Event, Submitter};

/// Makes a way into the kernel for this thread.
///
/// # Errors
/// As [`crate::spawn`].
pub fn submitter() -> Result<Submitter, StartError> {
    Ok(Submitter::new(build_ring()?))
}

/// Hands over what is queued and returns what has been completed, without waiting.
pub fn exchange(submitter: &mut Submitter) -> Vec<Event> {
    let waits = submitter.is_pending() || submitter.ring.submission().taskrun();
    if waits && submitter.ring.submit().is_ok() {
        submitter.handed_over();
    }
    let mut events = Vec::new();
    for entry in submitter.ring.completion() {
        if let Arrival::ForWork(event) = Submitter::arrival(entry.user_data(), entry.result(), entry.flags())
        {
            events.push(event);
        }
    }
    events
}
