// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a front end may say: messages that often make sense, some that never do, and the places to cut them.
//!
//! Above: `vhost_user`, `connection`.
//! Below: nothing; the numbers are those of the standard, written down once more.
//! Never here: descriptors themselves, only what kind they are.

use crate::input::Input;
use crate::memory::{region, user_address};

/// A kind of file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The guest's memory.
    Memory,
    /// A memory file of its own, for a region of requests in flight or a log.
    Area,
    /// An eventfd.
    Event,
    /// A pipe's end.
    Pipe,
    /// A socket.
    Socket,
    /// A folder.
    Folder,
    /// `/dev/null`.
    Null,
    /// The guest's memory, for reading only.
    ReadOnly,
}

const KINDS: [Kind; 8] = [
    Kind::Memory,
    Kind::Area,
    Kind::Event,
    Kind::Pipe,
    Kind::Socket,
    Kind::Folder,
    Kind::Null,
    Kind::ReadOnly,
];

/// Bytes that go out at once, with what comes along.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) kinds: Vec<Kind>,
}

/// Descriptors with one message, at most: the bound of the kernel.
const FDS_MAX: u8 = 253;

/// The next message, in one piece or more.
pub(crate) fn message(input: &mut Input<'_>) -> Vec<Piece> {
    if input.rarely(32) {
        // No message at all.
        let length = usize::from(input.u8());
        return vec![Piece { bytes: input.bytes(length).to_vec(), kinds: kinds(input, 3) }];
    }
    let (request, payload, mut fds) = body(input);
    if input.rarely(16) {
        let most = if input.rarely(8) { FDS_MAX } else { 5 };
        fds = kinds(input, most);
    }
    let mut flags = 1_u32 | if input.rarely(4) { 0 } else { 8 };
    if input.rarely(64) {
        flags = input.u32();
    }
    let mut length = u32::try_from(payload.len()).expect("a short payload");
    if input.rarely(32) {
        length = if input.flag() { input.u32() } else { length ^ 8 };
    }
    let mut bytes: Vec<u8> = [request, flags, length].iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(payload);
    cut(input, bytes, fds)
}

/// The message that makes refusals survivable: protocol features that are offered, acknowledgements among them.
pub(crate) fn protocol_features() -> Piece {
    let mut bytes: Vec<u8> = [16_u32, 1, 8].iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(0x1_b209_u64.to_le_bytes());
    Piece { bytes, kinds: Vec::new() }
}

fn cut(input: &mut Input<'_>, bytes: Vec<u8>, kinds: Vec<Kind>) -> Vec<Piece> {
    if !input.rarely(8) {
        return vec![Piece { bytes, kinds }];
    }
    let at = usize::from(input.u8()) % (bytes.len() + 1);
    let (first, second) = bytes.split_at(at);
    let (mut early, mut late) = (kinds, Vec::new());
    if input.flag() {
        std::mem::swap(&mut early, &mut late);
    }
    vec![Piece { bytes: first.to_vec(), kinds: early }, Piece { bytes: second.to_vec(), kinds: late }]
}

fn kinds(input: &mut Input<'_>, most: u8) -> Vec<Kind> {
    let count = input.below(most + 1);
    let kind = input.pick(&KINDS);
    (0..count).map(|_| kind).collect()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

/// The right kind, mostly.
fn mostly(input: &mut Input<'_>, kind: Kind) -> Kind {
    if input.rarely(8) { input.pick(&KINDS) } else { kind }
}

/// Request, payload, descriptors.
fn body(input: &mut Input<'_>) -> (u32, Vec<u8>, Vec<Kind>) {
    let ring = u32::from(if input.rarely(16) { input.u8() } else { input.below(4) });
    match input.below(32) {
        0 => (8, words(&[ring, entries(input)]), vec![]),
        1..4 => (9, addresses(input, ring), vec![]),
        4 => (10, words(&[ring, if input.rarely(4) { input.u32() } else { 0 }]), vec![]),
        5..7 => (11, words(&[ring, 0]), vec![]),
        7..11 => {
            let request = input.pick(&[12_u32, 12, 13, 14]);
            let none = input.rarely(8);
            let kinds = if none { vec![] } else { vec![mostly(input, Kind::Event)] };
            (request, longs(&[u64::from(ring) | if none { 0x100 } else { 0 }]), kinds)
        }
        11..14 => (18, words(&[ring, u32::from(!input.rarely(4))]), vec![]),
        14..16 => {
            let features = if input.rarely(4) { input.u64() } else { 0x1_7100_0006 };
            (2, longs(&[features]), vec![])
        }
        16 => (16, longs(&[if input.rarely(2) { input.u64() } else { 0x1_b209 }]), vec![]),
        17..19 => memory_table(input),
        19 => {
            let request = input.pick(&[37_u32, 38]);
            let at = input.below(3);
            (
                request,
                longs(&[0]).into_iter().chain(described(input, at)).collect(),
                vec![mostly(input, Kind::Memory)],
            )
        }
        20..23 => inflight(input),
        23 => {
            let length = usize::from(input.below(48));
            let mut payload = words(&[
                u32::from(input.below(48)),
                u32::try_from(length).unwrap_or(0),
                input.below(3).into(),
            ]);
            payload.resize(12 + length, input.u8());
            (input.pick(&[24, 25]), payload, vec![])
        }
        24 => (6, longs(&[u64::from(input.u16()), input.below(3).into()]), vec![mostly(input, Kind::Area)]),
        25 => (input.pick(&[7, 21]), vec![], vec![mostly(input, Kind::Socket)]),
        26 => (39, longs(&[if input.rarely(8) { input.u64() } else { input.u8().into() }]), vec![]),
        27 => (34, vec![], vec![]),
        _ => {
            let request =
                if input.rarely(2) { input.u8().into() } else { input.pick(&[1, 3, 4, 15, 17, 36, 40]) };
            (request, vec![], vec![])
        }
    }
}

fn entries(input: &mut Input<'_>) -> u32 {
    if input.rarely(8) { input.u32() } else { input.pick(&[1_u32, 2, 3, 8, 64, 128]) }
}

/// The parts of a ring: where they are by default, anywhere in the guest, or nowhere.
fn addresses(input: &mut Input<'_>, ring: u32) -> Vec<u8> {
    let base = 0x1000 * u64::from(ring % 4);
    let parts = [base, base + 0x800, base + 0x400].map(|part| match input.below(16) {
        0 => input.u64(),
        1 => user_address(u64::from(input.u16())) & !0xf,
        _ => user_address(part),
    });
    let mut payload = words(&[ring, u32::from(input.rarely(4))]);
    payload.extend(longs(&[parts[0], parts[1], parts[2], u64::from(input.u8()) << 12]));
    payload
}

/// Guest address, bytes, front end's address and place in the file of a region: as it is, or as it is not.
fn described(input: &mut Input<'_>, at: u8) -> Vec<u8> {
    let (guest, bytes, file_offset, user) = region(usize::from(at));
    let mut fields = [guest, bytes, user, file_offset];
    if input.rarely(4) {
        let field = usize::from(input.below(4));
        fields[field] = match input.below(4) {
            0 => input.u64(),
            1 => 0,
            2 => u64::MAX - u64::from(input.u8()),
            _ => fields[field].wrapping_add(u64::from(input.u16())),
        };
    }
    longs(&fields)
}

fn memory_table(input: &mut Input<'_>) -> (u32, Vec<u8>, Vec<Kind>) {
    let count = if input.rarely(8) { input.below(33) } else { input.pick(&[3, 3, 2, 1]) };
    let mut payload = words(&[count.into(), 0]);
    for at in 0..count {
        payload.extend(described(input, at % 3));
    }
    let kind = mostly(input, Kind::Memory);
    (5, payload, vec![kind; usize::from(count)])
}

fn inflight(input: &mut Input<'_>) -> (u32, Vec<u8>, Vec<Kind>) {
    let request = input.pick(&[31_u32, 32]);
    let bytes = if input.rarely(4) { input.u64() } else { 0x4000 };
    let offset = if input.rarely(4) { input.u64() } else { 0 };
    let mut payload = longs(&[bytes, offset]);
    let queues = if input.rarely(8) { input.u16() } else { 3 };
    let entries = if input.rarely(8) { input.u16() } else { 128 };
    payload.extend(queues.to_le_bytes());
    payload.extend(entries.to_le_bytes());
    if input.flag() {
        payload.extend([0; 4]);
    }
    (request, payload, if request == 32 { vec![mostly(input, Kind::Area)] } else { vec![] })
}
