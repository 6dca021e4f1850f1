// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parameter data of PERSISTENT RESERVE IN and OUT.  SPC-4.
//!
//! Above: `target`, which knows who is registered.
//! Below: `field`.
//! Never here: what follows from a key.

use crate::Sense;
use crate::field::{Block, Fields};

/// The parameter list of every service action but those that name other initiators.
const LIST_BYTES: usize = 24;
/// The longest list that is read: more TransportIDs than a target has initiators.
pub const LIST_BYTES_MAX: u32 = 8 * 1024;
/// A TransportID of SAS.
const TRANSPORT_ID_BYTES: usize = 24;
/// PROTOCOL IDENTIFIER of SAS, whose names (`naa.`) all our ports carry.
const SERIAL_ATTACHED_SCSI: u8 = 6;

/// A parameter list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// RESERVATION KEY.
    pub key: u64,
    /// SERVICE ACTION RESERVATION KEY.
    pub action_key: u64,
    /// APTPL: registrations are to outlast the loss of power.
    pub outlasts_power: bool,
    /// ALL_TG_PT: the registration is with every target port.
    pub all_target_ports: bool,
    /// SPEC_I_PT: the initiator ports named here are to be registered too.
    pub initiators: Option<Vec<String>>,
}

/// The parameter list of REGISTER AND MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveList {
    /// RESERVATION KEY.
    pub key: u64,
    /// SERVICE ACTION RESERVATION KEY.
    pub action_key: u64,
    /// APTPL.
    pub outlasts_power: bool,
    /// UNREG: the nexus that asks is to be unregistered.
    pub unregister: bool,
    /// RELATIVE TARGET PORT IDENTIFIER of the nexus to move to.
    pub relative_port: u16,
    /// The initiator port of the nexus to move to.
    pub initiator: String,
}

impl List {
    /// The RESERVATION KEY of a list of any service action, if it is long enough to be one.
    #[must_use]
    pub fn key_of(list: &[u8]) -> Option<u64> {
        split(list).ok().map(|(fixed, _)| fixed.be64::<0>())
    }

    /// Reads a list.
    ///
    /// # Errors
    /// PARAMETER LIST LENGTH ERROR, or INVALID FIELD IN PARAMETER LIST for a TransportID that no initiator of ours has.
    pub fn parse(list: &[u8]) -> Result<Self, Sense> {
        let (fixed, rest) = split(list)?;
        let parsed = Self {
            key: fixed.be64::<0>(),
            action_key: fixed.be64::<8>(),
            outlasts_power: fixed.bit::<20, 0>(),
            all_target_ports: fixed.bit::<20, 2>(),
            initiators: None,
        };
        if !fixed.bit::<20, 3>() {
            return if rest.is_empty() { Ok(parsed) } else { Err(Sense::PARAMETER_LIST_LENGTH_ERROR) };
        }
        let (length, ids) = rest.split_first_chunk::<4>().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
        if usize::try_from(u32::from_be_bytes(*length)) != Ok(ids.len()) {
            return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
        }
        let ids = ids.chunks(TRANSPORT_ID_BYTES).map(initiator_of).collect::<Result<_, _>>()?;
        Ok(Self { initiators: Some(ids), ..parsed })
    }
}

impl MoveList {
    /// Reads a list.
    ///
    /// # Errors
    /// As [`List::parse`].
    pub fn parse(list: &[u8]) -> Result<Self, Sense> {
        let (fixed, id) = split(list)?;
        if usize::try_from(fixed.be32::<20>()) != Ok(id.len()) {
            return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
        }
        Ok(Self {
            key: fixed.be64::<0>(),
            action_key: fixed.be64::<8>(),
            unregister: fixed.bit::<17, 1>(),
            outlasts_power: fixed.bit::<17, 0>(),
            relative_port: fixed.be16::<18>(),
            initiator: initiator_of(id)?,
        })
    }
}

fn split(list: &[u8]) -> Result<(Fields<'_, LIST_BYTES>, &[u8]), Sense> {
    let (fixed, rest) = list.split_first_chunk().ok_or(Sense::PARAMETER_LIST_LENGTH_ERROR)?;
    Ok((Fields(fixed), rest))
}

/// The name in a TransportID.  SPC-4, TransportID for initiator ports using SAS.
fn initiator_of(id: &[u8]) -> Result<String, Sense> {
    let id: &[u8; TRANSPORT_ID_BYTES] = id.try_into().map_err(|_| Sense::INVALID_FIELD_IN_PARAMETER_LIST)?;
    let id = Fields(id);
    if id.bits::<0, 7, 6>() != 0 || id.bits::<0, 3, 0>() != SERIAL_ATTACHED_SCSI {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    Ok(format!("naa.{:016x}", id.be64::<4>()))
}

/// The number in the name of an initiator port, by which its TransportID knows it.  A name that is no number of 64 bits has 0.
#[must_use]
pub fn number_of(initiator: &str) -> u64 {
    let digits = initiator.strip_prefix("naa.").unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default()
}

/// The TransportID of an initiator port.
#[must_use]
pub fn transport_id(initiator: &str) -> [u8; TRANSPORT_ID_BYTES] {
    Block::new().bits::<0, 3, 0>(SERIAL_ATTACHED_SCSI).be64::<4>(number_of(initiator)).done()
}

/// READ KEYS.
#[must_use]
pub fn keys(generation: u32, keys: &[u64]) -> Vec<u8> {
    with_header(generation, keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

/// READ RESERVATION: the key of the holder, 0 where all registrants hold it, and the type.
#[must_use]
pub fn reservation(generation: u32, held: Option<(u64, u8)>) -> Vec<u8> {
    let body =
        held.map(|(key, kind)| Block::<16>::new().be64::<0>(key).bits::<13, 3, 0>(kind).done().to_vec());
    with_header(generation, body.unwrap_or_default())
}

/// REPORT CAPABILITIES: all that SPC-4 has but REPLACE LOST RESERVATION.
#[must_use]
pub fn capabilities(outlasts_power: bool) -> [u8; 8] {
    Block::<8>::new()
        .be16::<0>(8)
        .bit::<2, 4>(true) // CRH: RESERVE and RELEASE of a registrant are GOOD.
        .bit::<2, 3>(true) // SIP_C: SPEC_I_PT.
        .bit::<2, 2>(true) // ATP_C: ALL_TG_PT.
        .bit::<2, 0>(true) // PTPL_C: APTPL.
        .bit::<3, 7>(true) // TMV: the mask of types is valid.
        .bits::<3, 6, 4>(1) // ALLOW COMMANDS: TEST UNIT READY passes every reservation.
        .bit::<3, 0>(outlasts_power) // PTPL_A.
        .byte::<4>(0xea) // WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX.
        .byte::<5>(0x01) // EX_AC_AR.
        .done()
}

/// One registration of READ FULL STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullStatus<'a> {
    /// RESERVATION KEY.
    pub key: u64,
    /// ALL_TG_PT.
    pub all_target_ports: bool,
    /// The type of the reservation, if this registrant holds it.
    pub holds: Option<u8>,
    /// RELATIVE TARGET PORT IDENTIFIER.
    pub relative_port: u16,
    /// The initiator port.
    pub initiator: &'a str,
}

/// READ FULL STATUS.
#[must_use]
pub fn full_status<'a>(generation: u32, all: impl Iterator<Item = FullStatus<'a>>) -> Vec<u8> {
    let mut body = Vec::new();
    for status in all {
        let id = transport_id(status.initiator);
        let descriptor = Block::<24>::new()
            .be64::<0>(status.key)
            .bit::<12, 1>(status.all_target_ports)
            .bit::<12, 0>(status.holds.is_some())
            .bits::<13, 3, 0>(status.holds.unwrap_or_default())
            .be16::<18>(status.relative_port)
            .be32::<20>(24)
            .done();
        body.extend(descriptor);
        body.extend(id);
    }
    with_header(generation, body)
}

/// PRGENERATION and ADDITIONAL LENGTH.
fn with_header(generation: u32, body: Vec<u8>) -> Vec<u8> {
    let mut answer = generation.to_be_bytes().to_vec();
    answer.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    answer.extend(body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAS: [u8; 24] =
        [6, 0, 0, 0, 0x60, 1, 0x40, 0x5f, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn list(flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut list =
            vec![0, 0, 0, 0, 0, 0, 0x0a, 0xaa, 0, 0, 0, 0, 0, 0, 0x0b, 0xbb, 0, 0, 0, 0, flags, 0, 0, 0];
        list.extend(rest);
        list
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, Sense>) -> [u8; 3] {
        let sense = result.unwrap_err();
        [sense.key as u8, sense.asc, sense.ascq]
    }

    #[test]
    fn a_list_has_two_keys_and_three_flags() {
        let plain = List { key: 0xaaa, action_key: 0xbbb, ..List::default() };
        assert_eq!(List::parse(&list(0, &[])), Ok(plain.clone()));
        assert_eq!(List::parse(&list(0x01, &[])), Ok(List { outlasts_power: true, ..plain.clone() }));
        assert_eq!(List::parse(&list(0x04, &[])), Ok(List { all_target_ports: true, ..plain.clone() }));
        let named = [&[0, 0, 0, 48][..], &SAS, &SAS].concat();
        let initiators = Some(vec!["naa.6001405fffffff01".to_owned(); 2]);
        assert_eq!(List::parse(&list(0x08, &named)), Ok(List { initiators, ..plain }));
    }

    #[test]
    fn a_list_of_the_wrong_length_is_refused() {
        let length_error = [0x05, 0x1a, 0x00];
        assert_eq!(refused(List::parse(&[0; 23])), length_error);
        assert_eq!(refused(List::parse(&list(0, &[0]))), length_error);
        assert_eq!(refused(List::parse(&list(0x08, &[0, 0, 0]))), length_error);
        assert_eq!(refused(List::parse(&list(0x08, &[0, 0, 0, 24]))), length_error);
        assert_eq!(refused(List::parse(&list(0x08, &[0, 0, 0, 1, 6]))), [0x05, 0x26, 0x00]);
    }

    #[test]
    fn a_transport_id_of_another_protocol_is_refused() {
        for first in [0x00, 0x05, 0x45, 0x46, 0x0f] {
            let mut id = SAS;
            id[0] = first;
            let named = [&[0, 0, 0, 24][..], &id].concat();
            assert_eq!(refused(List::parse(&list(0x08, &named))), [0x05, 0x26, 0x00], "{first:02x}");
        }
    }

    #[test]
    fn a_list_of_register_and_move_names_a_nexus() {
        let mut bytes = list(0, &SAS);
        bytes[17] = 0x03;
        bytes[18..20].copy_from_slice(&[1, 2]);
        bytes[20..24].copy_from_slice(&[0, 0, 0, 24]);
        let expected = MoveList {
            key: 0xaaa,
            action_key: 0xbbb,
            outlasts_power: true,
            unregister: true,
            relative_port: 0x0102,
            initiator: "naa.6001405fffffff01".to_owned(),
        };
        assert_eq!(MoveList::parse(&bytes), Ok(expected));
        bytes[23] = 25;
        assert_eq!(refused(MoveList::parse(&bytes)), [0x05, 0x26, 0x00]);
        assert_eq!(refused(MoveList::parse(&bytes[..20])), [0x05, 0x1a, 0x00]);
    }

    #[test]
    fn what_is_read_has_a_generation_and_a_length() {
        assert_eq!(
            keys(3, &[0xaaa, 0xbbb]),
            [0, 0, 0, 3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x0a, 0xaa, 0, 0, 0, 0, 0, 0, 0x0b, 0xbb]
        );
        assert_eq!(reservation(3, None), [0, 0, 0, 3, 0, 0, 0, 0]);
        assert_eq!(
            reservation(3, Some((0xaaa, 5))),
            [0, 0, 0, 3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x0a, 0xaa, 0, 0, 0, 0, 0, 5, 0, 0]
        );
        assert_eq!(capabilities(false), [0, 8, 0x1d, 0x90, 0xea, 0x01, 0, 0]);
        assert_eq!(capabilities(true), [0, 8, 0x1d, 0x91, 0xea, 0x01, 0, 0]);
    }

    #[test]
    fn full_status_names_port_and_initiator_of_each() {
        let status = FullStatus {
            key: 0xaaa,
            all_target_ports: true,
            holds: Some(5),
            relative_port: 0x0102,
            initiator: "naa.6001405fffffff01",
        };
        let answer = full_status(7, [status].into_iter());
        assert_eq!(answer[..8], [0, 0, 0, 7, 0, 0, 0, 48]);
        let head = [0, 0, 0, 0, 0, 0, 0x0a, 0xaa, 0, 0, 0, 0, 3, 5, 0, 0, 0, 0, 1, 2, 0, 0, 0, 24];
        assert_eq!(answer[8..32], head);
        assert_eq!(answer[32..], SAS);
    }
}
