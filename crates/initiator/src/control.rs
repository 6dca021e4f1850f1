// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control queue: task management and asynchronous notification (virtio 1.2, 5.6.6.2).
//!
//! Above: `guest`, tests.  Below: `exchange`.
//! Never here: what a device should do with them.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::exchange::{Exchange, Layout, Returned, Token};
use crate::request::LunAddress;
use std::time::Duration;

/// ABORT TASK.
pub const ABORT_TASK: u32 = 0;
/// ABORT TASK SET.
pub const ABORT_TASK_SET: u32 = 1;
/// CLEAR ACA.
pub const CLEAR_ACA: u32 = 2;
/// CLEAR TASK SET.
pub const CLEAR_TASK_SET: u32 = 3;
/// I_T NEXUS RESET.
pub const I_T_NEXUS_RESET: u32 = 4;
/// LOGICAL UNIT RESET.
pub const LOGICAL_UNIT_RESET: u32 = 5;
/// QUERY TASK.
pub const QUERY_TASK: u32 = 6;
/// QUERY TASK SET.
pub const QUERY_TASK_SET: u32 = 7;

const TYPE_TASK_MANAGEMENT: u32 = 0;
const TYPE_NOTIFICATION_QUERY: u32 = 1;
const TYPE_NOTIFICATION_SUBSCRIBE: u32 = 2;

/// What came back for a control request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlAnswer {
    /// Bytes the device says it wrote.
    pub used_len: u32,
    /// The response byte.
    pub response: u8,
    /// The events of an asynchronous notification request; 0 for task management.
    pub events: u32,
}

/// The control queue.
#[derive(Debug)]
pub struct ControlQueue {
    /// The messages and the ring beneath.
    pub exchange: Exchange,
    /// How long an answer may take.
    pub patience: Duration,
    /// Whether requests without a layout of their own use indirect descriptors.
    pub indirect: bool,
}

impl ControlQueue {
    /// Sends control requests over `exchange`.
    #[must_use]
    pub fn new(exchange: Exchange, patience: Duration) -> Self {
        Self { exchange, patience, indirect: true }
    }

    /// Asks for a task management function and waits for it.  `tag` names a task where `subtype` is about one.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] and the other accusations; not for a function that is rejected.
    pub fn task_management(
        &mut self,
        subtype: u32,
        address: LunAddress,
        tag: u64,
    ) -> Result<ControlAnswer, Error> {
        let token = self.start_task_management(subtype, address, tag)?;
        self.wait_for(token)
    }

    /// Asks for a task management function without waiting.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn start_task_management(
        &mut self,
        subtype: u32,
        address: LunAddress,
        tag: u64,
    ) -> Result<Token, Error> {
        let bytes = task_management_bytes(subtype, address, tag);
        self.exchange.start(&bytes, 1, &self.layout())
    }

    /// Asks which asynchronous events the device would report, of those in `events`.
    ///
    /// # Errors
    /// As [`ControlQueue::task_management`].
    pub fn query_notifications(&mut self, address: LunAddress, events: u32) -> Result<ControlAnswer, Error> {
        self.notification(TYPE_NOTIFICATION_QUERY, address, events)
    }

    /// Subscribes to asynchronous events.
    ///
    /// # Errors
    /// As [`ControlQueue::task_management`].
    pub fn subscribe_notifications(
        &mut self,
        address: LunAddress,
        events: u32,
    ) -> Result<ControlAnswer, Error> {
        self.notification(TYPE_NOTIFICATION_SUBSCRIBE, address, events)
    }

    /// Sends any bytes with any room for the answer, and waits for it.
    ///
    /// # Errors
    /// As [`Exchange::start`] and [`Exchange::wait_for`].
    pub fn send(
        &mut self,
        readable: &[u8],
        writable_bytes: usize,
        layout: &Layout,
    ) -> Result<Returned, Error> {
        let token = self.exchange.start(readable, writable_bytes, layout)?;
        self.exchange.wait_for(token, &Deadline::after(self.patience))
    }

    /// Waits for the answer of a control request that was started.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] and the other accusations; [`Error::ShortResponse`].
    pub fn wait_for(&mut self, token: Token) -> Result<ControlAnswer, Error> {
        let returned = self.exchange.wait_for(token, &Deadline::after(self.patience))?;
        self.decode(&returned)
    }

    fn layout(&self) -> Layout {
        Layout { indirect: self.indirect, ..Layout::default() }
    }

    fn notification(&mut self, kind: u32, address: LunAddress, events: u32) -> Result<ControlAnswer, Error> {
        let bytes = notification_bytes(kind, address, events);
        let returned = self.send(&bytes, 5, &self.layout())?;
        self.decode(&returned)
    }

    /// One byte is an answer to task management, five are one to a notification request.
    fn decode(&self, returned: &Returned) -> Result<ControlAnswer, Error> {
        let used_len = returned.used_len;
        let short = Error::ShortResponse {
            queue: self.exchange.ring.index(),
            used_len,
            response_bytes: returned.written.len(),
        };
        if (used_len as usize) < returned.written.len() {
            return Err(short);
        }
        match *returned.written.as_slice() {
            [response] => Ok(ControlAnswer { used_len, response, events: 0 }),
            [a, b, c, d, response] => {
                Ok(ControlAnswer { used_len, response, events: u32::from_le_bytes([a, b, c, d]) })
            }
            _ => Err(short),
        }
    }
}

/// Encodes a task management request.
#[must_use]
pub fn task_management_bytes(subtype: u32, address: LunAddress, tag: u64) -> Vec<u8> {
    let mut bytes = TYPE_TASK_MANAGEMENT.to_le_bytes().to_vec();
    bytes.extend_from_slice(&subtype.to_le_bytes());
    bytes.extend_from_slice(&address.0);
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes
}

fn notification_bytes(kind: u32, address: LunAddress, events: u32) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&address.0);
    bytes.extend_from_slice(&events.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_requests_have_their_fields_where_the_standard_puts_them() {
        let address = LunAddress::peripheral(1, 2);
        assert_eq!(
            task_management_bytes(5, address, 0x0102),
            [0, 0, 0, 0, 5, 0, 0, 0, 1, 1, 0, 2, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(notification_bytes(2, address, 0x50), [2, 0, 0, 0, 1, 1, 0, 2, 0, 0, 0, 0, 0x50, 0, 0, 0]);
    }
}
