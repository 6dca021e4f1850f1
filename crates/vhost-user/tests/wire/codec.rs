// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lengths and counts: what each message must have, and nothing else.
//!
//! Above: `main`.
//! Below: `caller`, the crate's `decode` and `Receiver`.
//! Never here: what a message does.

use crate::caller::{devices, message, u32s, u64s};
use vhost_user::codec::decode;
use vhost_user::{Header, Received, Receiver, Request, WireError};

/// Each message with a payload of fixed length: request, length, file descriptors.
const FIXED: &[(u32, usize, usize)] = &[
    (1, 0, 0),
    (2, 8, 0),
    (3, 0, 0),
    (4, 0, 0),
    (6, 16, 1),
    (7, 0, 1),
    (8, 8, 0),
    (9, 40, 0),
    (10, 8, 0),
    (11, 8, 0),
    (12, 8, 1),
    (13, 8, 1),
    (14, 8, 1),
    (15, 0, 0),
    (16, 8, 0),
    (17, 0, 0),
    (18, 8, 0),
    (21, 0, 1),
    (34, 0, 0),
    (36, 0, 0),
    (37, 40, 1),
    (38, 40, 0),
    (39, 8, 0),
    (40, 0, 0),
];

fn reason(request: u32, payload: &[u8], fds: usize) -> Option<WireError> {
    let header = Header { request: Request(request), need_reply: false, payload_bytes: payload.len() };
    decode(header, payload, devices(fds)).err().map(|malformed| malformed.reason)
}

/// A payload with nothing wrong in it but perhaps its length: an area must not be empty.
fn sensible(request: u32, length: usize) -> Vec<u8> {
    let mut payload = vec![0; length];
    if let Some(byte) = payload.get_mut(if request == 37 { 16 } else { 0 }) {
        *byte = 1;
    }
    payload
}

#[test]
fn message_of_any_other_length_is_malformed() {
    for &(request, bytes, fds) in FIXED {
        for length in 0..=64 {
            let wrong = reason(request, &sensible(request, length), fds);
            let expected = WireError::PayloadLength { bytes: length };
            assert_eq!(
                wrong == Some(expected),
                length != bytes,
                "request {request}, {length} bytes: {wrong:?}"
            );
        }
    }
}

#[test]
fn message_that_needs_a_file_takes_exactly_one() {
    for &(request, bytes, _) in FIXED.iter().filter(|message| message.2 == 1) {
        let payload = sensible(request, bytes);
        for count in [0, 2, 3] {
            assert_eq!(
                reason(request, &payload, count),
                Some(WireError::FdCount { count }),
                "request {request}"
            );
        }
        assert_eq!(reason(request, &payload, 1), None, "request {request}");
    }
}

#[test]
fn files_nobody_asked_for_are_closed() {
    for &(request, bytes, fds) in FIXED {
        if fds == 0 {
            assert_eq!(reason(request, &vec![0; bytes], 3), None, "request {request}");
        }
    }
}

#[test]
fn more_than_32_files_are_malformed() {
    assert_eq!(reason(3, &[], 32), None);
    assert_eq!(reason(3, &[], 33), Some(WireError::FdCount { count: 33 }));
}

#[test]
fn payload_of_another_length_than_the_header_says_is_malformed() {
    let header = Header { request: Request(2), need_reply: true, payload_bytes: 8 };
    let malformed = decode(header, &[0; 7], Vec::new()).unwrap_err();
    assert_eq!(
        malformed.to_string(),
        "SET_FEATURES: a payload of 7 bytes has not the length of this message"
    );
    assert_eq!(malformed.header, header);
}

#[test]
fn memory_table_has_the_length_of_its_count() {
    for (count, length, wrong) in [(1, 40, false), (1, 39, true), (1, 41, true), (2, 40, true), (1, 72, true)]
    {
        let mut payload = u32s(&[count, 0]);
        (0..count).for_each(|_| payload.extend(u64s(&[0, 1, 0, 0])));
        payload.resize(length, 0);
        let expected = wrong.then_some(WireError::PayloadLength { bytes: length });
        assert_eq!(
            reason(5, &payload, usize::try_from(count).unwrap()),
            expected,
            "{count} regions in {length} bytes"
        );
    }
}

#[test]
fn configuration_payload_repeats_its_length() {
    for request in [24, 25] {
        for (says, carries, wrong) in
            [(4, 4, false), (4, 3, true), (4, 5, true), (0, 0, false), (u32::MAX, 4, true)]
        {
            let mut payload = u32s(&[0, says, 0]);
            payload.resize(12 + carries, 0);
            let expected = wrong.then_some(WireError::PayloadLength { bytes: 12 + carries });
            assert_eq!(reason(request, &payload, 0), expected, "request {request}: {says} of {carries}");
        }
    }
}

#[test]
fn inflight_payload_is_20_or_24_bytes() {
    for length in 0..=32 {
        let mut payload = u64s(&[1, 0]);
        payload.extend([1, 0, 1, 0]);
        payload.resize(length, 0);
        let wrong = reason(31, &payload, 0);
        assert_eq!(wrong.is_some(), length != 20 && length != 24, "{length} bytes: {wrong:?}");
    }
}

#[test]
fn vring_flags_beyond_index_and_no_fd_are_malformed() {
    for request in [12, 13, 14] {
        for value in [0x200, 0x1_0000, 1 << 63] {
            assert_eq!(reason(request, &u64s(&[value]), 1), Some(WireError::Value { value }));
        }
        assert_eq!(reason(request, &u64s(&[0x1ff]), 0), None);
        // A file that comes although the message says that none does is closed.
        assert_eq!(reason(request, &u64s(&[0x1ff]), 1), None);
    }
}

#[test]
fn enable_is_0_or_1() {
    assert_eq!(reason(18, &u32s(&[0, 2]), 0), Some(WireError::Value { value: 2 }));
}

#[test]
fn parts_of_a_ring_are_aligned() {
    for (desc, used, avail, address) in [(8, 0, 0, 8), (0, 2, 0, 2), (0, 0, 1, 1)] {
        let mut payload = u32s(&[0, 0]);
        payload.extend(u64s(&[desc, used, avail, 0]));
        assert_eq!(reason(9, &payload, 0), Some(WireError::RingAlignment { address }));
    }
    let mut payload = u32s(&[0, 0]);
    payload.extend(u64s(&[16, 4, 2, 1]));
    assert_eq!(reason(9, &payload, 0), None);
}

#[test]
fn receiver_puts_a_message_together_from_single_bytes() {
    let bytes = message(21, &[]).into_iter().chain(message(2, &u64s(&[5])));
    let mut receiver = Receiver::new();
    let mut requests = Vec::new();
    for (at, byte) in bytes.enumerate() {
        receiver.space()[0] = byte;
        let fds = devices(usize::from(at == 0));
        match receiver.received(1, fds).unwrap() {
            Received::Partial => assert!(!receiver.is_idle()),
            Received::Message(message) => {
                assert!(receiver.is_idle());
                requests.push((at, message.request.0));
            }
            Received::Malformed(malformed) => panic!("{malformed}"),
        }
    }
    assert_eq!(requests, [(11, 21), (31, 2)]);
}

#[test]
fn receiver_never_asks_for_bytes_of_the_next_message() {
    let mut receiver = Receiver::new();
    assert_eq!(receiver.space().len(), 12);
    receiver.space()[..12].copy_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    assert!(matches!(receiver.received(12, Vec::new()), Ok(Received::Partial)));
    assert_eq!(receiver.space().len(), 8);
    // Nor does it believe that more came than it had room for.
    assert!(matches!(receiver.received(usize::MAX, Vec::new()), Ok(Received::Message(_))));
    assert_eq!(receiver.space().len(), 12);
}

#[test]
fn receiver_goes_on_after_a_malformed_message() {
    let mut receiver = Receiver::new();
    for _ in 0..2 {
        receiver.space()[..12].copy_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        let Ok(Received::Malformed(malformed)) = receiver.received(12, Vec::new()) else {
            panic!("not malformed")
        };
        assert_eq!(malformed.reason, WireError::PayloadLength { bytes: 0 });
    }
}

#[test]
fn receiver_gives_up_on_a_stream_that_is_not_ours() {
    let mut receiver = Receiver::new();
    receiver.space().copy_from_slice(b"GET / HTTP/1");
    assert!(matches!(receiver.received(12, Vec::new()), Err(WireError::Version { flags: 0x5448_202f })));
    let mut receiver = Receiver::new();
    assert!(matches!(receiver.received(1, devices(33)), Err(WireError::FdCount { count: 33 })));
}
