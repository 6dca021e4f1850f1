// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration space of a virtio-scsi device (virtio 1.2, 5.6.4), and what else a target's device is to a
//! front end.
//!
//! Above: `connection`; `lunard`, which knows what the administrator set.  Below: nothing.
//! Never here: QEMU's, which keeps one of its own and never asks.

use std::num::NonZeroU16;

/// The most queues of a device: control, event, and as many request queues as vhost-user has indices for.
pub(crate) const QUEUES_MAX: u16 = 256;
/// Queues before the first request queue: control and event.
const OTHER_QUEUES: u16 = 2;
const EVENT_BYTES: u32 = 16;
const SENSE_BYTES: u32 = 96;
const CDB_BYTES: u32 = 32;
const CHANNEL_MAX: u16 = 0;
const TARGET_MAX: u16 = 255;
const LUN_MAX: u32 = 16383;

/// What a target's device offers, where targets may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOffer {
    /// Request queues: what a front end is told, and the most it may have.  Where none is set it is told of one,
    /// which every front end can give, and may have as many as there are indices for.
    pub request_queues: Option<NonZeroU16>,
    /// Most entries of a ring.
    pub queue_entries_max: u16,
    /// Data segments of a command, a hint: `seg_max`.
    pub segments_max: u32,
    /// The largest transfer in sectors of 512 bytes, a hint: `max_sectors`.
    pub sectors_max: u32,
    /// The queue depth of a unit, a hint: `cmd_per_lun`.
    pub commands_per_lun: u32,
}

impl Default for DeviceOffer {
    /// As QEMU tells its guests, and as much as there can be.
    fn default() -> Self {
        Self {
            request_queues: None,
            queue_entries_max: virtqueue::QUEUE_ENTRIES_MAX,
            segments_max: 126,
            sectors_max: 0xffff,
            commands_per_lun: 128,
        }
    }
}

impl DeviceOffer {
    /// Queues of all kinds that a front end may have.
    pub(crate) fn queues(&self) -> u16 {
        let all = |requests: NonZeroU16| requests.get().saturating_add(OTHER_QUEUES).min(QUEUES_MAX);
        self.request_queues.map_or(QUEUES_MAX, all)
    }

    /// The 36 bytes.
    pub(crate) fn config_space(&self) -> Vec<u8> {
        let told = self.queues() - OTHER_QUEUES;
        let request_queues = self.request_queues.map_or(1, |_| u32::from(told));
        let mut bytes = Vec::with_capacity(36);
        for word in [
            request_queues,
            self.segments_max,
            self.sectors_max,
            self.commands_per_lun,
            EVENT_BYTES,
            SENSE_BYTES,
            CDB_BYTES,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(CHANNEL_MAX.to_le_bytes());
        bytes.extend(TARGET_MAX.to_le_bytes());
        bytes.extend(LUN_MAX.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceOffer;
    use std::num::NonZeroU16;

    #[test]
    fn the_space_has_the_layout_of_the_standard() {
        assert_eq!(
            DeviceOffer::default().config_space(),
            [
                1, 0, 0, 0, 126, 0, 0, 0, 0xff, 0xff, 0, 0, 128, 0, 0, 0, 16, 0, 0, 0, 96, 0, 0, 0, 32, 0, 0,
                0, 0, 0, 255, 0, 0xff, 0x3f, 0, 0
            ]
        );
    }

    #[test]
    fn what_is_set_is_told_and_is_the_most_there_may_be() {
        let offer = |count| DeviceOffer { request_queues: NonZeroU16::new(count), ..DeviceOffer::default() };
        for (count, told, queues) in [(0, 1, 256), (1, 1, 3), (4, 4, 6), (254, 254, 256), (65535, 254, 256)] {
            assert_eq!((offer(count).config_space()[0], offer(count).queues()), (told, queues), "{count}");
        }
        let offer = DeviceOffer {
            request_queues: NonZeroU16::new(4),
            queue_entries_max: 128,
            segments_max: 0x203,
            sectors_max: 0x405,
            commands_per_lun: 0x607,
        };
        assert_eq!(offer.config_space()[..16], [4, 0, 0, 0, 3, 2, 0, 0, 5, 4, 0, 0, 7, 6, 0, 0]);
    }
}
