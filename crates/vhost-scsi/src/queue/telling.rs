// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event queue: news into the guest's buffers.
//!
//! Above: `worker`, which brings the news.  Below: `events` for the bytes.
//! Never here: what happened.
//!
//! Buffers stay in the ring until there is something to say, and what there is to say waits for buffers.

use super::{BATCH_MAX, Common, Queue};
use crate::events::{EVENT_BYTES, Pending, encode};
use target::io::Submitter;

/// Bytes of the field `event`, without which a buffer says nothing.
const CODE_BYTES: usize = 4;

impl Queue {
    /// Takes news for the guest, as far as it wants to hear them.
    pub(crate) fn announce(&mut self, mut pending: Pending) {
        pending.retain_for(self.features);
        self.untold.append(pending);
    }

    /// Fills as many buffers as there are news; returns whether there was anything to do.
    pub(super) fn tell(&mut self, common: &mut Common, submitter: &mut Submitter) -> bool {
        let mut heads = [0; BATCH_MAX];
        let wanted = self.untold.buffers().min(BATCH_MAX);
        let count = match self.ring.pop_batch(&mut heads[..wanted]) {
            Ok(count) => count,
            Err(error) => {
                self.break_off(error, submitter);
                return true;
            }
        };
        self.signs.note_if(count > 0);
        for &head in heads.iter().take(count) {
            self.looked_at += 1;
            self.fill(head, common);
        }
        count > 0
    }

    fn fill(&mut self, head: u16, common: &mut Common) {
        let (mut readable, mut writable) = (common.list(), common.list());
        let room = match self.ring.chain(head, &self.view, &mut readable, &mut writable) {
            Ok(()) => usize::try_from(writable.bytes()).unwrap_or(usize::MAX),
            Err(_) => 0,
        };
        let bytes = if room >= EVENT_BYTES {
            let event = self.untold.next();
            Some(encode(event, std::mem::take(&mut self.untold.missed)))
        } else {
            // The event does not fit, and that it was missed may.
            self.untold.next();
            self.untold.missed = room < CODE_BYTES;
            (room >= CODE_BYTES).then(|| encode(None, true))
        };
        let written = bytes.map_or(0, |bytes| writable.copy_from(0, &bytes[..room.min(EVENT_BYTES)]));
        writable.truncate(written as u64);
        self.push(head, u32::try_from(written).unwrap_or(0), &[&writable]);
        common.give_back_all([readable, writable]);
    }
}
