// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns answers into the bytes of a response (virtio 1.2, 5.6.6.1).
//!
//! Above: `queue`.  Below: `scsi` for the sense.
//! Never here: rings.

use memory::IoBuf;
use scsi::SenseFormat;
use target::{Answer, Ended};

/// Bytes of a response: a header of 12 and 96 of sense.
pub(crate) const RESPONSE_BYTES: usize = 108;
const SENSE_AT: usize = 12;

/// What the transport says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ResponseCode {
    /// The command has a SCSI status.
    Ok = 0,
    /// The CDB asks for more data than the buffers hold.
    Overrun = 1,
    /// ABORT TASK ended it.
    Aborted = 2,
    /// There is no such target.
    BadTarget = 3,
    /// A reset ended it.
    Reset = 4,
    /// The request makes no sense.
    Failure = 9,
}

/// Answers with a response code alone.
pub(crate) fn refuse(code: ResponseCode, residual: u64, response: &IoBuf) -> u32 {
    let mut bytes = [0; RESPONSE_BYTES];
    bytes[4..8].copy_from_slice(&saturated(residual).to_le_bytes());
    bytes[11] = code as u8;
    send(&bytes, response, 0)
}

/// Answers with what a command came to; sense, if there is any, in the `format` that the unit is set to.
pub(crate) fn answer(answer: &Answer, format: impl FnOnce() -> SenseFormat, response: &IoBuf) -> u32 {
    let (status, sense) = match answer.ended {
        Ended::Overrun => return refuse(ResponseCode::Overrun, answer.residual, response),
        Ended::Status(status, sense) => (status, sense),
    };
    let mut bytes = [0; RESPONSE_BYTES];
    bytes[4..8].copy_from_slice(&saturated(answer.residual).to_le_bytes());
    bytes[10] = status as u8;
    bytes[11] = ResponseCode::Ok as u8;
    if let Some(sense) = sense {
        let encoded = sense.encode(format());
        // The true length, not the room: what is behind it is not sense.
        bytes[..4].copy_from_slice(&saturated(encoded.len() as u64).to_le_bytes());
        bytes[SENSE_AT..SENSE_AT + encoded.len()].copy_from_slice(&encoded);
    }
    send(&bytes, response, answer.data_in_bytes)
}

/// Writes the response; returns how many bytes of the chain's writable part have been written in all.
fn send(bytes: &[u8; RESPONSE_BYTES], response: &IoBuf, data_in_bytes: u64) -> u32 {
    let written = response.copy_from(0, bytes) as u64;
    saturated(written.saturating_add(data_in_bytes))
}

fn saturated(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
