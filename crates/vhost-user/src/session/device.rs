// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages about the device as a whole: features, status, configuration space, reset.
//!
//! Above: `session`.
//! Below: `features`.
//! Never here: which fields the configuration space has.

use super::{Refusal, Session, Undo};
use crate::features::{self, ProtocolFeatures};
use crate::message::{ConfigWrite, Request};
use crate::{Effect, Remark, Reply};

impl Session {
    /// Sets the virtio features.  Rings go on as they are.
    pub(super) fn set_features(&mut self, acked: u64) -> Result<Vec<Effect>, Refusal> {
        let unknown = acked & !self.offer.features;
        let bits = unknown & features::NEVER_TOLERATED;
        if bits != 0 {
            return Err(Refusal::FeaturesNotOffered { bits });
        }
        let mut effects = Vec::new();
        let news = unknown & !self.remarked.features;
        if news != 0 {
            self.remarked.features |= news;
            effects.push(Effect::Remark(Remark::FeaturesNeverOffered { bits: news }));
        }
        self.pending.undo = Undo::Features(std::mem::replace(&mut self.features, acked));
        effects.push(Effect::Features { acked });
        if acked & features::PROTOCOL_FEATURES == 0 {
            effects.extend(self.enable_all_rings());
        }
        Ok(effects)
    }

    pub(super) fn set_protocol_features(&mut self, acked: u64) -> Result<Vec<Effect>, Refusal> {
        let bits = acked & !self.offer.protocol_features.bits();
        if bits != 0 {
            return Err(Refusal::ProtocolFeaturesNotOffered { bits });
        }
        self.protocol_features = ProtocolFeatures::from_bits_truncate(acked);
        Ok(Vec::new())
    }

    pub(super) fn set_status(&mut self, status: u8) -> Vec<Effect> {
        self.status = status;
        vec![Effect::SetStatus(status)]
    }

    /// Reads the configuration space.  What is not there reads as 0: Cloud Hypervisor ends the guest when this fails.
    pub(super) fn get_config(&self, offset: u32, bytes: u32, flags: u32) -> Vec<Effect> {
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(bytes).unwrap_or(0);
        let there = self.offer.config.iter().copied().skip(skip);
        let data: Vec<u8> = there.chain(std::iter::repeat(0)).take(take).collect();
        let reply = Reply::to(Request::GET_CONFIG).u32(offset).u32(bytes).u32(flags).data(&data);
        vec![Effect::Reply(reply)]
    }

    pub(super) fn set_config(&mut self, write: ConfigWrite) -> Result<Vec<Effect>, Refusal> {
        let outside = Refusal::ConfigRange { offset: write.offset, bytes: write.data.len() };
        let start = usize::try_from(write.offset).map_err(|_| outside)?;
        let end = start.checked_add(write.data.len()).ok_or(outside)?;
        let before = self.offer.config.clone();
        let field = self.offer.config.get_mut(start..end).ok_or(outside)?;
        field.copy_from_slice(&write.data);
        self.pending.undo = Undo::Config(before);
        Ok(vec![Effect::WriteConfig(write)])
    }

    /// Brings the device to its first state.
    ///
    /// QEMU sends this after it stopped the rings, at each reset of the guest, and then describes only the rings
    /// again: memory and features stay.
    pub(super) fn reset_device(&mut self) -> Vec<Effect> {
        let mut effects = self.reset_rings();
        self.status = 0;
        effects.push(Effect::ResetDevice);
        effects
    }
}
