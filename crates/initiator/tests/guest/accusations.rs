// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that breaks a rule is found out, by name.

use crate::device::{Device, Personality, Quirk};
use crate::{SHORT, UNIT, boot};
use initiator::{Error, Guest, Options, commands};
use std::time::Duration;

/// What a device that is well answers within; it is waited for in full where an answer or an interrupt does not come.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

fn broken(quirk: Quirk) -> Device {
    Device::start(Personality { quirk, ..Personality::default() })
}

fn inquiry_of(quirk: Quirk) -> Error {
    let device = broken(quirk);
    let mut guest = boot(&device, Options::default());
    guest.execute(&commands::inquiry(UNIT, 36)).expect_err("the device is broken")
}

#[test]
fn a_command_that_is_swallowed() {
    let device = broken(Quirk::SwallowOnce);
    let mut guest = boot(&device, Options::default());
    guest.request_queue(0).unwrap().patience = SHORT;
    let error = guest.execute(&commands::inquiry(UNIT, 36)).expect_err("the device is broken");
    assert!(matches!(error, Error::NotAnswered { queue: 2, in_flight: 1, .. }), "{error:?}");
}

#[test]
fn an_interrupt_that_does_not_come() {
    let device = broken(Quirk::NoInterrupts);
    let mut guest = boot(&device, Options::default());
    // The answer is there by then, however slow the device, and only the interrupt is not.
    guest.request_queue(0).unwrap().patience = ANSWERED_WITHIN;
    // However slow the device, an answer may be there before the driver sleeps: one command need not show it.
    let found = (0..10).any(|_| {
        let outcome = guest.execute(&commands::inquiry(UNIT, 36));
        assert!(matches!(outcome, Ok(_) | Err(Error::NotSignalled { queue: 2 })), "{outcome:?}");
        outcome.is_err()
    });
    assert!(found, "ten commands were answered without an interrupt");
}

#[test]
fn an_answer_given_twice() {
    let device = broken(Quirk::AnswerTwice);
    let mut guest = boot(&device, Options::default());
    let queue = guest.request_queue(0).unwrap();
    let first = queue.execute(&commands::inquiry(UNIT, 36));
    // Two used elements for one chain: seen at once, or with the next command.
    let second = queue.execute(&commands::inquiry(UNIT, 36));
    let found = |outcome: &Result<_, Error>| {
        matches!(outcome, Err(Error::NotInFlight { .. } | Error::UsedIndexJumped { .. }))
    };
    assert!(found(&first) || found(&second), "{first:?} {second:?}");
}

#[test]
fn a_length_beyond_the_buffers() {
    let error = inquiry_of(Quirk::UsedTooLong);
    assert!(matches!(error, Error::UsedTooLong { used_len: 145, writable_bytes: 144, .. }), "{error:?}");
}

#[test]
fn a_response_that_is_not_whole() {
    let error = inquiry_of(Quirk::ShortResponse);
    assert!(matches!(error, Error::ShortResponse { used_len: 107, response_bytes: 108, .. }), "{error:?}");
}

#[test]
fn a_refusal_says_of_what() {
    let device = broken(Quirk::RefuseMemory);
    let error = Guest::boot(device.path(), Options::default()).expect_err("memory is refused");
    assert_eq!(error.to_string(), "the back end refused ADD_MEM_REG");
}

#[test]
fn a_reply_that_does_not_come_ends_the_waiting() {
    let device = broken(Quirk::HangOnBase);
    let mut guest = boot(&device, Options::default().patience(ANSWERED_WITHIN));
    let error = guest.stop().expect_err("the device hangs");
    assert!(matches!(error, Error::NoReply { message: "GET_VRING_BASE", .. }), "{error:?}");
}

#[test]
fn a_connection_that_is_closed_under_a_command() {
    let device = broken(Quirk::CloseOnCommand);
    let mut guest = boot(&device, Options::default());
    let error = guest.capacity(UNIT).expect_err("the device is gone");
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
}

#[test]
fn too_few_queues_and_nobody_there() {
    let device = Device::start(Personality { queues: 3, ..Personality::default() });
    let error =
        Guest::boot(device.path(), Options::default().request_queues(2)).expect_err("three are too few");
    assert!(matches!(error, Error::TooFewQueues { offered: 3, wanted: 4 }), "{error:?}");
    let nowhere = device.path().with_extension("none");
    let error = Guest::connect(&nowhere, Options::default().patience(SHORT)).expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}
