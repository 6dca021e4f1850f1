// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the guest whose rings start begins, or goes on with a life that it had before.
//!
//! Above: `connection`, as rings start and at a reset.
//! Below: `port`, which forgets what a guest that begins need not be told.
//! Never here: the ring that starts.  What its driver has offered says nothing: a driver may offer before the device
//! begins (virtio 1.2, 3.1.1), and its first look at the disks comes after.
//!
//! | the first ring of a connection starts | the guest |
//! |---|---|
//! | every ring that was described begins at 0, and there is no inflight region with a life in it | begins |
//! | its inflight region was used: the connection or our process was lost | goes on |
//! | a ring goes on from elsewhere: the guest migrated to here, or its front end has no inflight region | goes on |
//! | **the rings have run over this connection, and start again** | |
//! | as they were: a pause, with a new inflight region or not | goes on |
//! | RESET_DEVICE came, or one that was used begins at 0 | begins |

use super::Connection;
use virtqueue::{Origin, SplitRing};

/// What was before the rings that run now, or run next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Past {
    /// The connection is new.
    #[default]
    Unknown,
    /// The same guest ran rings over this connection.
    Ran,
    /// The guest was reset.
    Reset,
}

impl Connection {
    /// The front end says that the guest was reset.  One that waits for the guest to come, as the destination of a migration
    /// does, resets what it has; the guest runs at another connection, and was not.
    pub(super) fn reset_by_guest(&mut self) {
        if !self.port.runs_for_another(self.client) {
            self.port.guest_was_reset();
        }
        self.past = Past::Reset;
    }

    /// The ring `index` starts.
    pub(super) fn begin_or_go_on(&mut self, index: u16, ring: &SplitRing) {
        // A front end that comes back may have looked where its rings stood while they still ran here; then the place of
        // the ring itself is right, which its inflight region knows, and those of the others are not to be relied on.
        let others = (self.past != Past::Unknown).then(|| self.session.bases());
        let others = others.into_iter().flatten().filter(|(other, _)| *other != index);
        let was_reset = self.port.ring_starts(index, others.chain([(index, ring.next_avail())]));
        if self.rings.iter().any(|ring| ring.running.is_some()) {
            return;
        }
        let elsewhere = self.session.bases().any(|(_, base)| base != 0);
        let past = if was_reset { Past::Reset } else { self.past };
        let goes_on = match past {
            Past::Unknown => elsewhere || matches!(ring.origin(), Origin::Resumed { .. }),
            Past::Ran => true,
            // Cloud Hypervisor keeps a used region over a reset; a snapshot may be loaded after one.
            Past::Reset => elsewhere,
        };
        self.past = Past::Ran;
        if !goes_on {
            self.port.guest_begins();
        }
    }
}
