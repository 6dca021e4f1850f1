// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options of a target, as the fabric takes them.
//!
//! Above: `state`.  Below: `vhost-scsi`.
//! Never here: whether an option may have its value.

use model::{OptionKey, TargetOptions};
use std::num::NonZeroU16;
use vhost_scsi::DeviceOffer;

/// What a front end is offered and told.
pub(super) fn offer(options: &TargetOptions) -> DeviceOffer {
    let number = |key| options.get(key);
    let default = DeviceOffer::default();
    DeviceOffer {
        request_queues: u16::try_from(number(OptionKey::NumQueues)).ok().and_then(NonZeroU16::new),
        queue_entries_max: u16::try_from(number(OptionKey::VirtqueueSize))
            .unwrap_or(default.queue_entries_max),
        segments_max: number(OptionKey::SegMax),
        sectors_max: number(OptionKey::MaxSectors),
        commands_per_lun: number(OptionKey::CmdPerLun),
    }
}
