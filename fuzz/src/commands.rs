// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One command after the other, well formed as a request and any as a CDB, through a real worker and a whole target.
//!
//! Above: libFuzzer, `tests/commands.rs`.
//! Below: `vhost_scsi::testing`, ramdisks.
//! Never here: what a command is to be answered with.
//!
//! Promised: a command is answered, once; no more is written than its answer says, nor more than the guest gave room
//! for; and no medium changes unless the answer is GOOD, nor one that is out.  What a unit remembers is what is kept of it,
//! and what cannot be kept is not answered with GOOD; a reset leaves what was saved; scarce space is told once.  No block is read
//! or written by a way that does not reach it.

use crate::input::Input;
use crate::memory::{APART, BORDER, Guest, user_address};
use crate::segments::{Deed, Segmented, WAYS};
use crate::units::{self, LUNS, SECOND, Unit, Units};
use ::memory::{GuestAddress, GuestMemory, IoBuf, RegionSpec, UserAddress, View};
use backstore::Space;
use reactor::Submitter;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use target::io::{Io, IoKind, Submitted, Token};
use target::{Crossing, Readiness, Scarcity, Store};
use vhost_scsi::TargetPort;
use vhost_scsi::testing::{Bench, BenchQueue};
use virtqueue::{RingConfig, SplitRing};

/// Commands of one input, at most.
const COMMANDS_MAX: usize = 24;
/// How long a command may take, one that waits for another thread included; it never does without a fault of ours.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rounds after an answer, in which no other may come.
const ROUNDS_AFTER: usize = 3;

const ENTRIES: u16 = 4;
const DESCRIPTORS: u64 = 0;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
const HEADER: u64 = 0x3000;
const RESPONSE: u64 = 0x5000;
const DATA_OUT: u64 = BORDER;
const DATA_IN: u64 = APART;
/// What the guest has room for.
const DATA_OUT_BYTES_MAX: u32 = 0x4000;
const DATA_IN_BYTES_MAX: u32 = 0x2000;
const HEADER_BYTES: u32 = 51;
const RESPONSE_BYTES: u32 = 108;
const RESPONSE_CODE_AT: u64 = 11;
const STATUS_AT: u64 = 10;
const SENSE_AT: u64 = 12;
/// What a byte is that nobody wrote.
const UNTOUCHED: u8 = 0xa6;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const VERSION_1: u64 = 1 << 32;

const SANITIZE: u8 = 0x48;
const EXTENDED_COPY: u8 = 0x83;
/// Sense: the space below has become scarce.
const SCARCE: [u8; 3] = [0x06, 0x38, 0x07];
/// The space below a unit as it may be seen.
const SPACE: Space = Space { total: 1 << 20, available: 1 << 20, used: 0, store: 1 };
const NO_SPACE: Space = Space { available: 0, ..SPACE };

/// Opcodes that a disk may have; any other comes by chance.
const OPCODES: [u8; 62] = [
    0x00, 0x03, 0x04, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x25, 0x28, 0x2a,
    0x2e, 0x2f, 0x34, 0x35, 0x37, 0x41, 0x42, 0x48, 0x4c, 0x4d, 0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5e, 0x5f,
    0x5f, 0x5f, 0x7f, 0x7f, 0x83, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9c, 0x9e,
    0x9e, 0xa0, 0xa3, 0xa3, 0xa4, 0xa8, 0xaa, 0xae, 0xaf, 0xb7, 0x9f,
];

thread_local! {
    static SUBMITTER: RefCell<Submitter> = RefCell::new(reactor::testing::submitter().expect("io_uring"));
}

/// Runs one input.
pub fn run(data: &[u8]) {
    SUBMITTER.with_borrow_mut(|submitter| {
        let guest = Guest::new();
        let mut input = Input::new(data);
        let mut story = Story::new(submitter, &guest);
        for _ in 0..COMMANDS_MAX {
            if input.is_empty() || !story.command(&mut input) {
                break;
            }
        }
        drop(story);
        guest.check();
    });
}

struct Story<'a> {
    submitter: &'a mut Submitter,
    guest: &'a Guest,
    bench: Bench,
    queue: BenchQueue,
    disks: Vec<Store>,
    units: Vec<Unit>,
    segmented: Arc<Segmented>,
    copy: Copy,
    /// What is on each disk.
    media: Vec<Vec<u8>>,
    answered: u16,
    /// How often it is still to be told that space got scarce.
    scarce: usize,
}

impl<'a> Story<'a> {
    fn new(submitter: &'a mut Submitter, guest: &'a Guest) -> Self {
        let Units { map, units, disks, segmented } = Units::new();
        let port = Arc::new(TargetPort::new("naa.5001405000000001".into(), map));
        let mut bench = Bench::new(port);
        let memory = guest.map(true).expect("a good table");
        let user = |address: u64| UserAddress(user_address(address));
        let config = RingConfig {
            entries: ENTRIES,
            desc: user(DESCRIPTORS),
            avail: user(AVAILABLE),
            used: user(USED),
            event_idx: false,
            indirect: false,
            version_1: true,
            next_avail: 0,
        };
        let ring = SplitRing::start(config, Arc::clone(&memory), None).expect("a good ring");
        let queue = bench.start(submitter, 2, ring, memory, VERSION_1, None);
        let copy = Copy::new();
        let media = disks.iter().map(|disk| copy.of(disk, submitter)).collect();
        Self { submitter, guest, bench, queue, disks, units, segmented, copy, media, answered: 0, scarce: 0 }
    }

    /// Has one command done and checks what became of it; returns whether there may be another.
    fn command(&mut self, input: &mut Input<'_>) -> bool {
        let cdb = cdb(input);
        let (out_bytes, in_bytes) = (length(input, DATA_OUT_BYTES_MAX), length(input, DATA_IN_BYTES_MAX));
        let (out_bytes, in_bytes) = match input.below(8) {
            0 => (0, 0),
            1..5 => (out_bytes, 0),
            _ => (0, in_bytes),
        };
        let Headed { header, lun, apart, event } = header(input, &cdb);
        let last = self.units.len() - 1;
        let unit = self.units[apart.map_or(usize::from(lun), |_| last)].clone();
        self.happens(event, &unit);
        let reached = self.segmented.reached(apart);
        self.guest.write(HEADER, &header);
        let parameters = parameters(input, &cdb);
        self.guest.write(DATA_OUT, &parameters);
        self.guest.write(DATA_IN, &vec![UNTOUCHED; DATA_IN_BYTES_MAX as usize]);
        self.guest.write(RESPONSE, &[0; RESPONSE_BYTES as usize]);
        // With UA_INTLCK_CTRL it is told until somebody asks for it.
        let keeps = unit.state.modes().ua_interlock.is_some();
        let (out, failures) = (self.out(), unit.keeper.failures.load(Ordering::SeqCst));
        self.offer(out_bytes, in_bytes);

        let (written, good) = self.answer();
        let after = self.look();
        let before = std::mem::replace(&mut self.media, after);
        let after = &self.media;
        assert!(
            written <= RESPONSE_BYTES + in_bytes,
            "{cdb:02x?}: {written} bytes were written, and there is no room"
        );
        if good {
            let told = written.saturating_sub(RESPONSE_BYTES) as usize;
            let data = self.guest.bytes(DATA_IN, DATA_IN_BYTES_MAX as usize);
            let beyond = data[told..].iter().any(|byte| *byte != UNTOUCHED);
            assert!(!beyond, "{cdb:02x?}: more was written than {told} bytes");
        } else {
            assert!(*after == before, "{cdb:02x?}: a medium has changed, and the answer is not GOOD");
        }
        let data_in = self.guest.bytes(DATA_IN, in_bytes as usize);
        let (good_there, there) = (good && apart.is_some(), after.len() - 1);
        let [before_it, after_it] = [&before, after].map(|media| media[there].as_slice());
        let deed = Deed {
            cdb: &cdb,
            reached: &reached,
            good: good_there,
            before: before_it,
            after: after_it,
            data_in: &data_in,
        };
        deed.check();
        for disk in out {
            assert!(after[disk] == before[disk], "{cdb:02x?}: a medium has changed that is out");
        }
        if good {
            let now = unit.keeper.failures.load(Ordering::SeqCst);
            assert!(now == failures, "{cdb:02x?}: GOOD, and what it changed is not kept");
        } else if self.sense() == SCARCE && !keeps {
            assert!(self.scarce > 0, "{cdb:02x?}: scarce space is told, and there is none, or once more");
            self.scarce -= 1;
        }
        // It goes on when it is answered, if it was told to.
        let ends = cdb[0] == SANITIZE;
        if !ends {
            self.all_is_kept(&cdb);
        }
        !ends
    }

    /// Lets something happen to a unit, or nothing.
    fn happens(&mut self, event: u8, unit: &Unit) {
        match event {
            20 => {
                let before = unit.state.record();
                let outcome = unit.state.reset();
                let after = unit.state.record();
                if outcome.is_ok() {
                    assert_eq!(after.modes, after.saved_modes, "a reset leaves what was saved");
                    assert_eq!((&after.reservations.legacy, after.tray.stopped), (&None, false));
                } else {
                    assert_eq!(before, after, "what cannot be kept does not change");
                }
            }
            21 => {
                unit.keeper.fails.fetch_xor(true, Ordering::SeqCst);
            }
            22 | 23 => {
                let space = if event == 22 { NO_SPACE } else { SPACE };
                let below = Scarcity::default();
                below.see(&space, units::DISK_BYTES);
                let crossing = unit.state.see_space(&[&below]);
                if crossing == Some(Crossing::Scarce) {
                    // By each way.
                    self.scarce += unit.state.nexuses().len();
                }
            }
            24 => self.segmented.happens([0, 4]),
            25 => self.segmented.happens([4, 1]),
            _ => {}
        }
    }

    /// The disks that no command can have.
    fn out(&self) -> Vec<usize> {
        let out = self.units.iter().filter(|unit| unit.state.readiness() != Readiness::Ready);
        out.filter_map(|unit| unit.disk).collect()
    }

    /// What each unit remembers is what a process would find that came next.
    fn all_is_kept(&self, cdb: &[u8; 32]) {
        for unit in &self.units {
            assert_eq!(unit.keeper.kept(), *unit.state.record(), "{cdb:02x?}: what is shown is not kept");
        }
    }

    /// Sense key, code and qualifier of what was answered last.
    fn sense(&self) -> [u8; 3] {
        let bytes = self.guest.bytes(RESPONSE + SENSE_AT, 14);
        // Bytes 1 to 3 of descriptors, 2, 12 and 13 of the fixed layout.  SPC-4, sense data.
        if bytes[0] & 0x7f >= 0x72 {
            [bytes[1] & 0x0f, bytes[2], bytes[3]]
        } else {
            [bytes[2] & 0x0f, bytes[12], bytes[13]]
        }
    }

    /// Offers one chain.
    fn offer(&self, out_bytes: u32, in_bytes: u32) {
        let mut buffers = vec![(HEADER, HEADER_BYTES, 0)];
        if out_bytes > 0 {
            buffers.push((DATA_OUT, out_bytes, 0));
        }
        buffers.push((RESPONSE, RESPONSE_BYTES, WRITE));
        if in_bytes > 0 {
            buffers.push((DATA_IN, in_bytes, WRITE));
        }
        for (index, (address, bytes, flags)) in (0_u16..).zip(&buffers) {
            let last = usize::from(index) + 1 == buffers.len();
            let (flags, next) = if last { (*flags, 0) } else { (flags | NEXT, index + 1) };
            let word = u128::from(*address)
                | u128::from(*bytes) << 64
                | u128::from(flags) << 96
                | u128::from(next) << 112;
            self.guest.write(DESCRIPTORS + 16 * u64::from(index), &word.to_le_bytes());
        }
        let place = AVAILABLE + 4 + 2 * u64::from(self.answered % ENTRIES);
        self.guest.write(place, &[0, 0]);
        self.guest.write(AVAILABLE + 2, &self.answered.wrapping_add(1).to_le_bytes());
    }

    /// Waits for the answer.  Returns how many bytes were written, and whether the status is GOOD.
    fn answer(&mut self) -> (u32, bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.guest.u16(USED + 2) == self.answered {
            assert!(Instant::now() < deadline, "no answer comes");
            if !self.bench.round(self.submitter) {
                self.bench.wake_due(self.submitter);
                std::thread::yield_now();
            }
        }
        for _ in 0..ROUNDS_AFTER {
            self.bench.round(self.submitter);
        }
        let entry = USED + 4 + 8 * u64::from(self.answered % ENTRIES);
        self.answered = self.answered.wrapping_add(1);
        assert_eq!(self.guest.u16(USED + 2), self.answered, "a command was answered twice");
        let written = self.guest.bytes(entry + 4, 4);
        let written = u32::from_le_bytes(written.try_into().expect("four bytes"));
        let byte = |at| self.guest.bytes(RESPONSE + at, 1)[0];
        (written, byte(RESPONSE_CODE_AT) == 0 && byte(STATUS_AT) == 0)
    }

    /// What is on each disk now.
    fn look(&mut self) -> Vec<Vec<u8>> {
        self.disks.iter().map(|disk| self.copy.of(disk, self.submitter)).collect()
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let owed = self.bench.finish(self.submitter, self.queue, ROUNDS_AFTER);
            assert_eq!(owed, Some(0), "all is answered");
        }
    }
}

/// Memory to read a disk into.
struct Copy {
    file: std::fs::File,
    view: View,
}

impl Copy {
    fn new() -> Self {
        let file = crate::memory::memory_file(units::DISK_BYTES);
        let spec = RegionSpec {
            guest: GuestAddress(0),
            user: UserAddress(0x1000),
            bytes: units::DISK_BYTES,
            file_offset: 0,
            file: file.try_clone().expect("a descriptor").into(),
        };
        let memory = GuestMemory::from_regions(vec![spec]).expect("a good table");
        Self { file, view: View::new(Arc::new(memory)) }
    }

    /// All bytes of a disk.
    fn of(&self, disk: &Store, submitter: &mut Submitter) -> Vec<u8> {
        let mut buffer = IoBuf::new();
        let bytes = u32::try_from(units::DISK_BYTES).expect("a small disk");
        buffer.push(&self.view, GuestAddress(0), bytes).expect("mapped");
        let io = Io { kind: IoKind::Read, offset: 0, buffer };
        let Submitted::Done(completed) = disk.backstore.channel(0).submit(submitter, io, Token::new(0))
        else {
            panic!("a ramdisk answers at once")
        };
        completed.token.redeem();
        completed.result.expect("a ramdisk can be read");
        let mut all = vec![0; bytes as usize];
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut all, 0).expect("a memory file");
        all
    }
}

/// A CDB: any, and more often one with small numbers where addresses and lengths are.
fn cdb(input: &mut Input<'_>) -> [u8; 32] {
    let mut cdb = [0; 32];
    cdb[0] = if input.rarely(16) { input.u8() } else { input.pick(&OPCODES) };
    if input.rarely(4) {
        let rest = input.bytes(31);
        cdb[1..1 + rest.len()].copy_from_slice(rest);
        return cdb;
    }
    cdb[1] = if input.flag() { 0 } else { input.u8() };
    match cdb[0] {
        0x7f => {
            cdb[7] = 0x18;
            cdb[9] = input.pick(&[0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x00]);
            cdb[10] = if input.flag() { 0 } else { input.u8() };
            (cdb[19], cdb[31]) = (input.u8(), input.below(5));
        }
        // Of 6 bytes.
        0x00..0x20 => (cdb[2], cdb[3], cdb[4]) = (input.u8(), input.below(64), input.u8()),
        // Of 10.
        0x20..0x60 => {
            (cdb[2], cdb[5]) = (if input.rarely(8) { input.u8() } else { 0 }, input.u8());
            (cdb[7], cdb[8]) = (input.below(2), input.u8());
        }
        // Of 16.
        0x80..0xa0 => {
            cdb[9] = input.u8();
            (cdb[11], cdb[12], cdb[13]) = (input.below(2), input.below(2), input.u8());
        }
        // Of 12.
        _ => {
            (cdb[2], cdb[5]) = (input.u8(), input.u8());
            (cdb[8], cdb[9]) = (input.below(2), input.u8());
        }
    }
    cdb
}

/// A header, and what is chosen with it.
struct Headed {
    header: [u8; HEADER_BYTES as usize],
    /// To which LUN it goes.
    lun: u8,
    /// The same, where it is one of the unit that is reached in parts.
    apart: Option<u8>,
    /// What happens before.
    event: u8,
}

fn header(input: &mut Input<'_>, cdb: &[u8; 32]) -> Headed {
    let mut header = [0; HEADER_BYTES as usize];
    let (target, choice) = (input.pick(&[1, 1, 1, 1, SECOND, 0]), input.u8());
    let (lun, event) = (choice % LUNS, choice / LUNS);
    // The rest of the second lead nowhere.
    let apart = (target == SECOND && lun < WAYS).then_some(lun);
    header[..4].copy_from_slice(&[1, target, 0x40, lun]);
    header[16] = input.below(4);
    header[19..].copy_from_slice(cdb);
    Headed { header, lun, apart, event }
}

fn length(input: &mut Input<'_>, max: u32) -> u32 {
    let length = match input.below(6) {
        0 => u32::from(input.u8()),
        1 => 24,
        2 => u32::from(input.u16()),
        _ => 512 * u32::from(input.below(17)),
    };
    length.min(max)
}

/// What is in the data-out: a parameter list, or blocks.
fn parameters(input: &mut Input<'_>, cdb: &[u8; 32]) -> Vec<u8> {
    let mut bytes = if cdb[0] == EXTENDED_COPY && input.flag() {
        copy_list(input)
    } else {
        let length = match input.below(4) {
            0 => 0,
            1 => 24,
            _ => usize::from(input.u8()),
        };
        input.bytes(length).to_vec()
    };
    bytes.resize(DATA_OUT_BYTES_MAX as usize, input.pick(&[0, 0, 1, 0x5a]));
    bytes
}

/// A parameter list that copies some blocks, from one unit to another or the same.  SPC-4, EXTENDED COPY (LID1).
fn copy_list(input: &mut Input<'_>) -> Vec<u8> {
    let mut list = vec![0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    for _ in 0..2 {
        list.extend([0xe4, 0, 0, 0, 1, 3, 0, 16]);
        list.extend(units::name(input.below(12)));
        list.extend([0; 8]);
    }
    list.extend([2, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, input.below(80)]);
    for _ in 0..2 {
        list.extend([0, 0, 0, 0, 0, 0, 0, input.u8()]);
    }
    list
}
