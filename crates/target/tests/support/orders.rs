// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PERSISTENT RESERVE IN and OUT as the tests send and read them.
//!
//! Above: the tests of reservations.  Below: the rig.
//! Never here: what a test claims.

use super::Outcome::{Check, Done};
use super::{OBSERVER, Outcome, Rig};

pub(crate) const REGISTER: u8 = 0;
pub(crate) const RESERVE: u8 = 1;
pub(crate) const RELEASE: u8 = 2;
pub(crate) const CLEAR: u8 = 3;
pub(crate) const PREEMPT: u8 = 4;
pub(crate) const PREEMPT_AND_ABORT: u8 = 5;
pub(crate) const REGISTER_AND_IGNORE: u8 = 6;
pub(crate) const REGISTER_AND_MOVE: u8 = 7;

pub(crate) const READY: &[u8] = &[0x00, 0, 0, 0, 0, 0];
pub(crate) const READ: &[u8] = &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
pub(crate) const WRITE: &[u8] = &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
pub(crate) const RESERVE_6: &[u8] = &[0x16, 0, 0, 0, 0, 0];
pub(crate) const RELEASE_6: &[u8] = &[0x17, 0, 0, 0, 0, 0];
pub(crate) const RESERVE_10: &[u8] = &[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0];
pub(crate) const RELEASE_10: &[u8] = &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(crate) const INVALID_CDB: Outcome = Check(0x05, 0x24, 0x00);
pub(crate) const INVALID_LIST: Outcome = Check(0x05, 0x26, 0x00);
pub(crate) const WRONG_LENGTH: Outcome = Check(0x05, 0x1a, 0x00);

/// A parameter list with flags in byte 20.
pub(crate) fn list(key: u64, action_key: u64, flags: u8) -> Vec<u8> {
    [&key.to_be_bytes()[..], &action_key.to_be_bytes(), &[0, 0, 0, 0, flags, 0, 0, 0]].concat()
}

/// The TransportID of nexus `number`.
pub(crate) fn transport_id(number: u8) -> [u8; 24] {
    let mut id = [0; 24];
    id[0] = 6;
    id[4..12].copy_from_slice(&[0x60, 0x01, 0x40, 0x50, 0, 0, 0, number]);
    id
}

impl Rig {
    pub(crate) fn out(&self, nexus: usize, action: u8, scope_and_type: u8, list: &[u8]) -> Outcome {
        let [.., high, low] = u32::try_from(list.len()).unwrap().to_be_bytes();
        let cdb = [0x5f, action, scope_and_type, 0, 0, 0, 0, high, low, 0];
        self.send_with(nexus, 0, &cdb, list).0
    }

    pub(crate) fn register(&self, nexus: usize, key: u64) {
        assert_eq!(self.out(nexus, REGISTER_AND_IGNORE, 0, &list(0, key, 0)), Done);
    }

    pub(crate) fn reserve(&self, nexus: usize, key: u64, kind: u8) -> Outcome {
        self.out(nexus, RESERVE, kind, &list(key, 0, 0))
    }

    pub(crate) fn read(&self, action: u8) -> Vec<u8> {
        self.send_with(OBSERVER, 0, &[0x5e, action, 0, 0, 0, 0, 0, 0x10, 0, 0], &[]).1
    }

    pub(crate) fn generation(&self) -> u8 {
        self.read(0)[3]
    }

    /// The keys, by their last bytes.
    pub(crate) fn keys(&self) -> Vec<u8> {
        self.read(0)[8..].chunks(8).map(|key| key[7]).collect()
    }

    /// The last byte of the key, and the type.
    pub(crate) fn held(&self) -> Option<(u8, u8)> {
        let data = self.read(1);
        (data.len() > 8).then(|| (data[15], data[21]))
    }

    /// What waits to be told to a nexus, whether it may look or not.
    pub(crate) fn attentions_of(&self, nexus: usize) -> Vec<Outcome> {
        let next = || {
            let sense = self.attentions(nexus).first()?;
            self.attentions(nexus).clear(sense);
            Some(Check(sense.key as u8, sense.asc, sense.ascq))
        };
        std::iter::from_fn(next).collect()
    }

    /// Everything that a nexus is told now.
    pub(crate) fn told(&self, nexus: usize) -> Vec<Outcome> {
        std::iter::from_fn(|| Some(self.send(nexus, READY)).filter(|told| *told != Done)).collect()
    }
}
