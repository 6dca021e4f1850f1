// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SCSI commands over a request queue (virtio 1.2, 5.6.6.1).
//!
//! Above: `guest`, tests.  Below: `exchange`.
//! Never here: what a CDB means.  `commands` has the common ones; a test writes its own bytes.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::exchange::{Exchange, Layout, Returned, Token};
use std::time::Duration;

/// Bytes of a request's header without protection information.
pub const HEADER_BYTES: usize = 51;
/// Bytes of the CDB field within it.
pub const CDB_BYTES: usize = 32;
/// Bytes of a response with the default sense size.
pub const RESPONSE_BYTES: usize = 108;
/// Bytes of its sense field.
pub const SENSE_BYTES: usize = 96;

/// The eight bytes that address a unit in requests and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LunAddress(pub [u8; 8]);

impl LunAddress {
    /// The well-known unit that only answers REPORT LUNS.
    pub const REPORT_LUNS: Self = Self([0xc1, 0x01, 0, 0, 0, 0, 0, 0]);

    /// Addresses a unit as Linux does: flat whatever the LUN, which is below 16384.
    #[must_use]
    pub fn unit(target: u8, lun: u16) -> Self {
        let [high, low] = lun.to_be_bytes();
        Self([1, target, 0x40 | high & 0x3f, low, 0, 0, 0, 0])
    }

    /// Addresses a unit by a peripheral LUN, as SeaBIOS does.
    #[must_use]
    pub fn peripheral(target: u8, lun: u8) -> Self {
        Self([1, target, 0, lun, 0, 0, 0, 0])
    }
}

/// LUN 0 of the target port group with tag 1: the unit of who asks for no other.
#[must_use]
pub fn lun_0() -> LunAddress {
    LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0])
}

/// One SCSI command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Whom it is for.
    pub address: LunAddress,
    /// Its CDB, padded with zeroes to 32 bytes; what goes beyond is cut off.
    pub cdb: Vec<u8>,
    /// What the device reads.
    pub data_out: Vec<u8>,
    /// How much the device may write.
    pub data_in_bytes: usize,
    /// 0 simple, 1 ordered, 2 head of queue, 3 ACA.
    pub task_attribute: u8,
    /// The tag; the queue numbers commands that have none.
    pub tag: Option<u64>,
    /// The cuts and places of its descriptors; by default the header, the response and the data have one each.
    pub layout: Option<Layout>,
}

impl Command {
    /// Makes a simple command without data.
    #[must_use]
    pub fn new(address: LunAddress, cdb: &[u8]) -> Self {
        Self {
            address,
            cdb: cdb.to_vec(),
            data_out: Vec::new(),
            data_in_bytes: 0,
            task_attribute: 0,
            tag: None,
            layout: None,
        }
    }

    /// Gives the device `data` to read.
    #[must_use]
    pub fn data_out(self, data: impl Into<Vec<u8>>) -> Self {
        Self { data_out: data.into(), ..self }
    }

    /// Gives the device room for `bytes`.
    #[must_use]
    pub fn data_in(self, bytes: usize) -> Self {
        Self { data_in_bytes: bytes, ..self }
    }

    /// Sets the tag.
    #[must_use]
    pub fn tag(self, tag: u64) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Sets the task attribute.
    #[must_use]
    pub fn task_attribute(self, attribute: u8) -> Self {
        Self { task_attribute: attribute, ..self }
    }

    /// Sets one byte of the CDB.
    #[must_use]
    pub fn cdb_byte(mut self, index: usize, value: u8) -> Self {
        if index >= self.cdb.len() {
            self.cdb.resize(index + 1, 0);
        }
        self.cdb[index] = value;
        self
    }

    /// Sets the cuts and places of the descriptors.  Readable bytes are header and data-out, writable bytes are
    /// response and data-in.
    #[must_use]
    pub fn layout(self, layout: Layout) -> Self {
        Self { layout: Some(layout), ..self }
    }

    /// Encodes the device-readable bytes.
    #[must_use]
    pub fn readable(&self, tag: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.data_out.len());
        bytes.extend_from_slice(&self.address.0);
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&[self.task_attribute, /* prio */ 0, /* crn */ 0]);
        bytes.extend(self.cdb.iter().copied().chain(std::iter::repeat(0)).take(CDB_BYTES));
        bytes.extend_from_slice(&self.data_out);
        bytes
    }

    fn default_layout(&self) -> Layout {
        let cut = |at: usize, data: usize| if data == 0 { Vec::new() } else { vec![at] };
        Layout {
            readable_cuts: cut(HEADER_BYTES, self.data_out.len()),
            writable_cuts: cut(RESPONSE_BYTES, self.data_in_bytes),
            ..Layout::default()
        }
    }
}

/// What came back for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bytes the device says it wrote: response and data.
    pub used_len: u32,
    /// The virtio-scsi response byte; 0 is "the status is valid".
    pub response: u8,
    /// The SCSI status.
    pub status: u8,
    /// The status qualifier.
    pub status_qualifier: u16,
    /// Bytes not transferred.
    pub residual: u32,
    /// The sense, as long as the response says, at most 96 bytes.
    pub sense: Vec<u8>,
    /// The sense length as the response has it.
    pub sense_len: u32,
    /// The data the device says it wrote.
    pub data_in: Vec<u8>,
    /// The whole data-in buffer; what the device left alone holds [`crate::exchange::FILL`].
    pub buffer: Vec<u8>,
}

impl Answer {
    /// Decodes the device-writable bytes of a command on `queue`.
    ///
    /// # Errors
    /// [`Error::ShortResponse`] if the device says it wrote less than a response.
    pub fn decode(queue: u16, used_len: u32, written: &[u8]) -> Result<Self, Error> {
        let short = Error::ShortResponse { queue, used_len, response_bytes: RESPONSE_BYTES };
        let Some((response, buffer)) = written.split_at_checked(RESPONSE_BYTES) else { return Err(short) };
        let Some(data_bytes) = (used_len as usize).checked_sub(RESPONSE_BYTES) else { return Err(short) };
        let le32 = |at: usize| {
            u32::from_le_bytes([response[at], response[at + 1], response[at + 2], response[at + 3]])
        };
        let sense_len = le32(0);
        let sense_bytes = (sense_len as usize).min(SENSE_BYTES);
        Ok(Self {
            used_len,
            response: response[11],
            status: response[10],
            status_qualifier: u16::from_le_bytes([response[8], response[9]]),
            residual: le32(4),
            sense: response[12..12 + sense_bytes].to_vec(),
            sense_len,
            data_in: buffer[..data_bytes.min(buffer.len())].to_vec(),
            buffer: buffer.to_vec(),
        })
    }

    /// Returns whether the command reached its unit and ended GOOD.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.response == 0 && self.status == 0
    }

    /// Returns sense key, ASC and ASCQ of a CHECK CONDITION, from fixed or descriptor sense.
    #[must_use]
    pub fn check_condition(&self) -> Option<[u8; 3]> {
        if self.response != 0 || self.status != 0x02 {
            return None;
        }
        match (self.sense.first()? & 0x7f, self.sense.as_slice()) {
            (0x70 | 0x71, [_, _, key, ..]) => Some([key & 0xf, *self.sense.get(12)?, *self.sense.get(13)?]),
            (0x72 | 0x73, [_, key, asc, ascq, ..]) => Some([key & 0xf, *asc, *ascq]),
            _ => None,
        }
    }

    /// Returns the answer if it is good.
    ///
    /// # Errors
    /// [`Error::Command`] with the name given.
    pub fn good(self, command: &'static str) -> Result<Self, Error> {
        if self.is_good() {
            return Ok(self);
        }
        Err(Error::Command { command, response: self.response, status: self.status, sense: self.sense })
    }
}

/// One request queue.
#[derive(Debug)]
pub struct RequestQueue {
    /// The messages and the ring beneath.
    pub exchange: Exchange,
    /// How long a command may take.
    pub patience: Duration,
    /// Whether commands without a layout of their own use indirect descriptors.
    pub indirect: bool,
    next_tag: u64,
}

impl RequestQueue {
    /// Sends commands over `exchange`.
    #[must_use]
    pub fn new(exchange: Exchange, patience: Duration) -> Self {
        let queue = u64::from(exchange.ring.index());
        Self { exchange, patience, indirect: true, next_tag: queue << 48 }
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] and the other accusations; not for a command that fails.
    pub fn execute(&mut self, command: &Command) -> Result<Answer, Error> {
        let token = self.start(command)?;
        self.wait_for(token)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn start(&mut self, command: &Command) -> Result<Token, Error> {
        let token = self.stage(command)?;
        self.kick()?;
        Ok(token)
    }

    /// Makes a command available without a kick, to send several in one batch.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn stage(&mut self, command: &Command) -> Result<Token, Error> {
        let tag = command.tag.unwrap_or(self.next_tag);
        self.next_tag = self.next_tag.wrapping_add(1);
        let writable_bytes = RESPONSE_BYTES + command.data_in_bytes;
        let fallback = || Layout { indirect: self.indirect, ..command.default_layout() };
        let layout = command.layout.clone().unwrap_or_else(fallback);
        self.exchange.stage(&command.readable(tag), writable_bytes, &layout)
    }

    /// Kicks if the device wants it; returns whether it did.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn kick(&mut self) -> Result<bool, Error> {
        self.exchange.ring.kick()
    }

    /// Waits for any answer.
    ///
    /// # Errors
    /// As [`RequestQueue::execute`].
    pub fn wait_any(&mut self) -> Result<(Token, Answer), Error> {
        let returned = self.exchange.wait_any(&Deadline::after(self.patience))?;
        Ok((returned.token, self.decode(&returned)?))
    }

    /// Waits for one answer; others are kept.
    ///
    /// # Errors
    /// As [`RequestQueue::execute`].
    pub fn wait_for(&mut self, token: Token) -> Result<Answer, Error> {
        let returned = self.exchange.wait_for(token, &Deadline::after(self.patience))?;
        self.decode(&returned)
    }

    /// Returns how many commands the device holds.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.exchange.in_flight()
    }

    fn decode(&self, returned: &Returned) -> Result<Answer, Error> {
        Answer::decode(self.exchange.ring.index(), returned.used_len, &returned.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_fields_where_the_standard_puts_them() {
        let command =
            Command::new(LunAddress::unit(3, 300), &[0x28, 1, 2]).task_attribute(2).data_out([9, 8]);
        let bytes = command.readable(0x1122_3344_5566_7788);
        assert_eq!(bytes.len(), 53);
        assert_eq!(bytes[..8], [1, 3, 0x41, 0x2c, 0, 0, 0, 0]);
        assert_eq!(bytes[8..16], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!(bytes[16..22], [2, 0, 0, 0x28, 1, 2]);
        assert_eq!(bytes[22..51], [0; 29]);
        assert_eq!(bytes[51..], [9, 8]);
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let mut written = vec![0; 108];
        written[0] = 18;
        written[4..8].copy_from_slice(&[0x10, 2, 0, 0]);
        written[8] = 7;
        written[10] = 2;
        written[12..30].copy_from_slice(&[0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0]);
        written.extend_from_slice(&[1, 2, 3, 0xa5]);
        let answer = Answer::decode(2, 111, &written).expect("whole");
        assert_eq!((answer.response, answer.status, answer.residual), (0, 2, 0x210));
        assert_eq!((answer.status_qualifier, answer.sense.len()), (7, 18));
        assert_eq!(answer.check_condition(), Some([5, 0x25, 0]));
        assert_eq!((answer.data_in, answer.buffer), (vec![1, 2, 3], vec![1, 2, 3, 0xa5]));
    }

    #[test]
    fn descriptor_sense_is_read_too_and_a_short_response_is_an_accusation() {
        let mut written = vec![0; 108];
        written[..4].copy_from_slice(&[0xff, 0xff, 0, 0]);
        written[10] = 2;
        written[12..16].copy_from_slice(&[0x72, 0x0b, 0x44, 0x01]);
        let answer = Answer::decode(2, 108, &written).expect("whole");
        assert_eq!((answer.sense.len(), answer.check_condition()), (96, Some([0x0b, 0x44, 1])));
        assert!(matches!(Answer::decode(2, 107, &written), Err(Error::ShortResponse { used_len: 107, .. })));
    }
}
