// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of commands in flight when a connection, a guest or a process begins or ends.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`, backstores that hang on cue.
//! Never here: a process that is really killed; see `kills`.
//!
//! Two rigs behind one name are two processes, as far as a guest can tell: it shares with them nothing but its
//! memory and its inflight region.  The first is stuck for ever, which is all that a dead one does.

mod support;

use backstore::decorate::{Fate, Judged};
use backstore::{Backstore, IoKind, Ramdisk};
use initiator::dialect::{BaseAfterLoss, RingStep, Step};
use initiator::exchange::Token;
use initiator::raw_channel::{FLAG_NEED_REPLY, FLAG_VERSION};
use initiator::{Command, Dialect, Guest, Options, commands, lun_0};
use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Rig, Unit, until};

const MIB: u64 = 1 << 20;
const ENTRIES: u64 = 128;
/// One queue's part of a region: 16 bytes, and 16 for each entry, to a multiple of 64.
const PART_BYTES: u64 = 2112;
const _: () = assert!((16 + 16 * ENTRIES).next_multiple_of(64) == PART_BYTES);
const REQUESTS: u64 = 2;
const GET_INFLIGHT_FD: u32 = 31;
const SET_INFLIGHT_FD: u32 = 32;
const LOGICAL_UNIT_RESET: u32 = 5;

/// A backstore that tells what it was asked to write, and hangs while its switch is on.
#[derive(Clone, Default)]
struct Watched {
    hangs: Arc<AtomicBool>,
    /// The LBAs, in order.
    writes: Arc<Mutex<Vec<u64>>>,
}

impl Watched {
    fn new(hangs: bool) -> Self {
        Self { hangs: Arc::new(AtomicBool::new(hangs)), ..Self::default() }
    }

    fn unit(&self, below: impl Backstore + 'static) -> Unit {
        let Self { hangs, writes } = self.clone();
        Unit::new(Judged::new(below, move |kind, offset| {
            if let IoKind::Write { .. } = kind {
                writes.lock().unwrap().push(offset / 512);
                return Fate::Hang(Arc::clone(&hangs));
            }
            Fate::Pass
        }))
    }

    fn rig(&self) -> Rig {
        Rig::new(&[self.unit(Ramdisk::new(MIB, false).unwrap())])
    }

    fn written(&self) -> Vec<u64> {
        self.writes.lock().unwrap().clone()
    }

    fn wait_for_writes(&self, count: usize) {
        until("the writes to be under way", || self.written().len() == count);
    }

    fn let_go(&self) {
        self.hangs.store(false, Ordering::SeqCst);
    }
}

/// A name that leads to one process after the other.
struct Name {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Name {
    fn of(rig: &Rig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = Self { path: directory.path().join("name"), _directory: directory };
        name.lead_to(rig);
        name
    }

    fn lead_to(&self, rig: &Rig) {
        let _ = std::fs::remove_file(&self.path);
        std::os::unix::fs::symlink(rig.path(), &self.path).unwrap();
    }

    fn boot(&self, options: Options) -> Guest {
        Guest::boot(&self.path, options).unwrap()
    }
}

fn write(lba: u32) -> Command {
    commands::write_10(lun_0(), lba, 1, &[1; 512])
}

fn start(guest: &mut Guest, command: &Command) -> Token {
    guest.request_queue(0).unwrap().start(command).unwrap()
}

fn must_be_good(guest: &mut Guest, tokens: impl IntoIterator<Item = Token>) {
    for token in tokens {
        let answer = guest.request_queue(0).unwrap().wait_for(token).unwrap();
        assert!(answer.is_good(), "{answer:?}");
    }
}

fn is_answered(guest: &mut Guest) -> bool {
    guest.request_queue(0).unwrap().exchange.ring.has_used()
}

/// Whether nothing is answered for a while.  The length of this sleep is the measurement.
fn is_quiet(guest: &mut Guest) -> bool {
    std::thread::sleep(Duration::from_millis(200));
    !is_answered(guest) && !guest.control().exchange.ring.has_used()
}

fn bytes<const N: usize>(guest: &Guest, offset: u64) -> [u8; N] {
    let mut bytes = [0; N];
    guest.inflight().unwrap().read(offset, &mut bytes).unwrap();
    bytes
}

fn put(guest: &Guest, offset: u64, bytes: &[u8]) {
    guest.inflight().unwrap().write(offset, bytes).unwrap();
}

fn entry(queue: u64, head: u64) -> u64 {
    queue * PART_BYTES + 16 + 16 * head
}

/// The heads of a queue that the region has in flight.
fn in_flight(guest: &Guest, queue: u64) -> Vec<u64> {
    (0..ENTRIES).filter(|&head| bytes::<1>(guest, entry(queue, head)) == [1]).collect()
}

/// Whether a call that is to wait is still waiting after a while; then it is let go.
fn waits(call: impl FnOnce() + Send, let_go: impl FnOnce()) -> bool {
    std::thread::scope(|scope| {
        let calling = scope.spawn(call);
        // The length of this sleep is the measurement.
        std::thread::sleep(Duration::from_millis(200));
        let waited = !calling.is_finished();
        let_go();
        calling.join().unwrap();
        waited
    })
}

#[test]
fn a_new_device_begins_with_nothing_in_flight() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let guest = rig.boot(Options::default());
    let header = bytes::<16>(&guest, REQUESTS * PART_BYTES);
    assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 128, 0, 0, 0, 0, 0]);
    for queue in 0..3 {
        assert_eq!(in_flight(&guest, queue), [0; 0]);
    }
}

#[test]
fn a_front_end_that_reconnects_has_its_commands_done_again_once_and_in_the_order_of_the_counter() {
    let (dead, next) = (Watched::new(true), Watched::new(false));
    let (first, second) = (dead.rig(), next.rig());
    let name = Name::of(&first);
    let mut guest = name.boot(Options::default());
    let tokens = [9, 5, 7].map(|lba| start(&mut guest, &write(lba)));
    dead.wait_for_writes(3);
    assert_eq!(dead.written(), [9, 5, 7]);
    let heads = in_flight(&guest, REQUESTS);
    assert_eq!(heads.len(), 3);
    // The other way round: by nothing else than the counter could the order be told.
    for &head in &heads {
        let at = entry(REQUESTS, head) + 8;
        let counter = u64::from_le_bytes(bytes(&guest, at));
        put(&guest, at, &(2 - counter).to_le_bytes());
    }
    name.lead_to(&second);
    guest.reconnect().unwrap();
    must_be_good(&mut guest, tokens);
    assert_eq!(next.written(), [7, 5, 9]);
    assert_eq!(in_flight(&guest, REQUESTS), [0; 0]);
}

#[test]
fn a_base_that_the_front_end_makes_up_is_not_believed_while_the_region_lives() {
    // QEMU sends the used index, Cloud Hypervisor the driver's.
    for base_after_loss in [BaseAfterLoss::UsedIndex, BaseAfterLoss::AvailableIndex] {
        let (dead, next) = (Watched::new(true), Watched::new(false));
        let (first, second) = (dead.rig(), next.rig());
        let name = Name::of(&first);
        let dialect = Dialect { base_after_loss, ..Dialect::QEMU };
        let mut guest = name.boot(Options { dialect, ..Options::default() });
        let mut tokens = vec![start(&mut guest, &write(1)), start(&mut guest, &write(2))];
        dead.wait_for_writes(2);
        guest.lose();
        // Offered while nobody was there: neither in the region nor to be forgotten.
        tokens.push(start(&mut guest, &write(3)));
        name.lead_to(&second);
        guest.reconnect().unwrap();
        must_be_good(&mut guest, tokens);
        assert_eq!(next.written(), [1, 2, 3], "{base_after_loss:?}");
    }
}

#[test]
fn commands_run_on_when_the_connection_is_lost_and_their_answers_wait() {
    let watched = Watched::new(true);
    let rig = watched.rig();
    let mut guest = rig.boot(Options::default());
    let token = start(&mut guest, &write(1));
    watched.wait_for_writes(1);
    guest.lose();
    assert!(!is_answered(&mut guest));
    watched.let_go();
    until("the answer to be in the used ring", || is_answered(&mut guest));
    until("the region to know", || in_flight(&guest, REQUESTS).is_empty());
    guest.reconnect().unwrap();
    must_be_good(&mut guest, [token]);
    assert_eq!(watched.written(), [1], "it was done again");
}

#[test]
fn a_guest_reset_drains_what_is_in_flight_first() {
    for resets in [true, false] {
        let watched = Watched::new(true);
        let rig = watched.rig();
        let mut guest = rig.boot(Options::default());
        start(&mut guest, &write(1));
        watched.wait_for_writes(1);
        let reset = || if resets { guest.reset().unwrap() } else { drop(guest.stop().unwrap()) };
        assert!(waits(reset, || watched.let_go()), "answered with a write in flight");
        if !resets {
            assert!(is_answered(&mut guest));
            guest.forget_all();
        }
        guest.start().unwrap();
        assert!(guest.execute(&write(2)).unwrap().is_good());
        assert_eq!(watched.written(), [1, 2]);
    }
}

#[test]
fn a_guest_reset_alone_gives_back_what_reserve_took_and_no_registration() {
    // Told by RESET_DEVICE, and seen by rings that begin anew.
    for is_told in [true, false] {
        let unit = Unit::ramdisk(MIB);
        let state = Arc::clone(&unit.state);
        let is_reserved = || state.record().reservations.legacy.is_some();
        let rig = Rig::new(&[unit]);
        let mut guest = rig.boot(Options::default());
        assert!(guest.execute(&Command::new(lun_0(), &[0x16, 0, 0, 0, 0, 0])).unwrap().is_good());
        assert!(is_reserved());
        guest.stop().unwrap();
        guest.start().unwrap();
        assert!(is_reserved(), "a pause is no reset");
        guest.reconnect().unwrap();
        assert!(guest.execute(&commands::test_unit_ready(lun_0())).unwrap().is_good());
        assert!(is_reserved(), "a connection that is lost and comes back is none");
        if is_told {
            guest.reset().unwrap();
        } else {
            guest.stop().unwrap();
            guest.forget_all();
        }
        guest.start().unwrap();
        assert!(guest.execute(&commands::test_unit_ready(lun_0())).unwrap().is_good());
        assert!(!is_reserved());
        let mut list = vec![0; 24];
        list[15] = 0xa;
        let register = Command::new(lun_0(), &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0]).data_out(list);
        assert!(guest.execute(&register).unwrap().is_good());
        guest.reset().unwrap();
        guest.start().unwrap();
        assert_eq!(state.record().reservations.registrations.len(), 1);
    }
}

#[test]
fn a_front_end_that_waits_for_a_guest_to_come_does_not_reset_the_guest_that_runs() {
    let unit = Unit::ramdisk(MIB);
    let state = Arc::clone(&unit.state);
    let rig = Rig::new(&[unit]);
    let mut guest = rig.boot(Options::default());
    assert!(guest.execute(&Command::new(lun_0(), &[0x16, 0, 0, 0, 0, 0])).unwrap().is_good());
    // The destination of a migration resets its machine before the guest comes.
    let mut destination = Guest::connect(rig.path(), Options::default()).unwrap();
    destination.run(&[Step::AckFeatures, Step::AddStatus(8)]).unwrap();
    destination.connection().unwrap().reset_device().unwrap();
    // Whatever follows is answered after that was done.
    destination.connection().unwrap().features().unwrap();
    assert!(state.record().reservations.legacy.is_some());
    assert!(guest.execute(&commands::test_unit_ready(lun_0())).unwrap().is_good());
    // With nobody who runs it is the guest's own.
    guest.stop().unwrap();
    drop(guest);
    destination.connection().unwrap().reset_device().unwrap();
    until("the end of what was reserved", || {
        destination.connection().unwrap().reset_device().unwrap();
        destination.connection().unwrap().features().unwrap();
        state.record().reservations.legacy.is_none()
    });
}

#[test]
fn a_reset_of_the_logical_unit_ends_what_is_in_flight_as_reset() {
    let watched = Watched::new(true);
    let rig = watched.rig();
    let mut guest = rig.boot(Options::default());
    let token = start(&mut guest, &write(1));
    watched.wait_for_writes(1);
    let reset = guest.control().start_task_management(LOGICAL_UNIT_RESET, lun_0(), 0).unwrap();
    assert!(is_quiet(&mut guest));
    watched.let_go();
    assert_eq!(guest.control().wait_for(reset).unwrap().response, 0);
    assert_eq!(guest.request_queue(0).unwrap().wait_for(token).unwrap().response, 4);
}

#[test]
fn a_reset_of_the_logical_unit_that_a_dead_process_took_ends_what_it_took_too() {
    let (dead, next) = (Watched::new(true), Watched::new(true));
    let (first, second) = (dead.rig(), next.rig());
    let name = Name::of(&first);
    let mut guest = name.boot(Options::default());
    let token = start(&mut guest, &write(1));
    dead.wait_for_writes(1);
    let reset = guest.control().start_task_management(LOGICAL_UNIT_RESET, lun_0(), 0).unwrap();
    until("the reset to be taken", || in_flight(&guest, 0).len() == 1);
    name.lead_to(&second);
    guest.reconnect().unwrap();
    next.wait_for_writes(1);
    assert!(is_quiet(&mut guest));
    next.let_go();
    assert_eq!(guest.control().wait_for(reset).unwrap().response, 0);
    // Done again, and ended by the reset that was done again after it.
    assert_eq!(guest.request_queue(0).unwrap().wait_for(token).unwrap().response, 4);
    assert_eq!(in_flight(&guest, 0), [0; 0]);
}

/// What keeps the processes of [`held_back`] where they are.
type Stage = (Rig, Rig, Name, tempfile::TempDir);

/// A process that died with a write in flight, the next one, whose file a stranger has locked, and its guest.
fn held_back() -> (Stage, Watched, Guest, Token, File) {
    let (stage, next, guest, tokens, stranger) = held_back_with(1);
    (stage, next, guest, tokens[0], stranger)
}

/// The same with more writes, to the LBAs from 1 on.
fn held_back_with(writes: u32) -> (Stage, Watched, Guest, Vec<Token>, File) {
    let (dead, next) = (Watched::new(true), Watched::new(false));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let create = Some(backstore::NewFile { bytes: MIB, sparse: true });
    let options = backstore::FileOptions { path: path.clone(), create, write_back: true };
    let first = dead.rig();
    let second = Rig::new(&[next.unit(backstore::FileStore::open(&options).unwrap())]);
    let stranger = File::options().read(true).write(true).open(&path).unwrap();
    flock(&stranger, FlockOperation::NonBlockingLockExclusive).unwrap();
    let name = Name::of(&first);
    let mut guest = name.boot(Options::default());
    let tokens = (1..=writes).map(|lba| start(&mut guest, &write(lba))).collect();
    dead.wait_for_writes(writes as usize);
    name.lead_to(&second);
    guest.reconnect().unwrap();
    ((first, second, name, directory), next, guest, tokens, stranger)
}

#[test]
fn a_ring_is_held_back_while_another_has_the_lock_and_its_front_end_is_answered() {
    let (_stage, next, mut guest, token, stranger) = held_back();
    let reset = guest.control().start_task_management(LOGICAL_UNIT_RESET, lun_0(), 0).unwrap();
    // The monitor of the virtual machine would hang with whoever waits for this.
    assert_eq!(guest.connection().unwrap().queue_count().unwrap(), 256);
    assert!(is_quiet(&mut guest));
    assert_eq!(next.written(), [0; 0]);
    assert_eq!(in_flight(&guest, REQUESTS).len(), 1);
    drop(stranger);
    assert_eq!(guest.control().wait_for(reset).unwrap().response, 0);
    assert!(is_answered(&mut guest), "the reset was answered before what it resets");
    must_be_good_or_reset(&mut guest, token);
    assert_eq!(next.written(), [1]);
}

/// QEMU's manners, but for the enabling of rings, which a test does by itself.
const NOTHING_ENABLED: Dialect = Dialect {
    start: &[
        Step::AckFeatures,
        Step::Inflight,
        Step::MemorySlotsOrTable,
        Step::Rings(&[RingStep::Num, RingStep::Base, RingStep::Address, RingStep::Kick, RingStep::Call]),
    ],
    ..Dialect::QEMU
};

#[test]
fn a_lock_that_is_free_between_the_starts_of_two_rings_lets_both_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let rig = Rig::new(&[Unit::file(&path, MIB, true)]);
    // The lock is looked at every 20 ms as well, and then there is nothing to be seen.
    for _ in 0..5 {
        let stranger = File::options().read(true).write(true).open(&path).unwrap();
        flock(&stranger, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut guest = rig.boot(Options::default().dialect(NOTHING_ENABLED));
        guest.connection().unwrap().enable_ring(0, true).unwrap();
        drop(stranger);
        guest.connection().unwrap().enable_ring(2, true).unwrap();
        let abort = guest.control().start_task_management(0, lun_0(), 4711).unwrap();
        assert!(guest.execute(&write(1)).unwrap().is_good());
        assert_eq!(guest.control().wait_for(abort).unwrap().response, 0);
        guest.stop().unwrap();
    }
}

/// The reset may come before the write has ended, or after.
fn must_be_good_or_reset(guest: &mut Guest, token: Token) {
    let answer = guest.request_queue(0).unwrap().wait_for(token).unwrap();
    assert!(answer.is_good() || answer.response == 4, "{answer:?}");
}

#[test]
fn a_guest_reset_before_the_fence_waits_for_it_and_for_what_a_dead_process_took() {
    // A read of the dead process may still write into memory that the guest is about to use otherwise.
    // More than are taken at once, so that some are left when the stop comes.
    let (_stage, next, mut guest, tokens, stranger) = held_back_with(120);
    let stop = || assert_eq!(guest.connection().unwrap().take_ring_base(2).unwrap(), 120);
    assert!(waits(stop, || drop(stranger)), "answered before the fence");
    assert_eq!(next.written(), (1..=120).collect::<Vec<u64>>());
    assert_eq!(in_flight(&guest, REQUESTS), [0; 0]);
    must_be_good(&mut guest, tokens);
}

#[test]
fn a_front_end_that_leaves_before_the_fence_loses_nothing() {
    let (_stage, next, mut guest, token, stranger) = held_back();
    guest.lose();
    guest.reconnect().unwrap();
    assert_eq!(in_flight(&guest, REQUESTS).len(), 1);
    drop(stranger);
    must_be_good(&mut guest, [token]);
    assert_eq!(next.written(), [1]);
}

/// Offers a request that nobody has looked at, and says in the region that a process took it.
fn offer_as_taken(guest: &mut Guest, queue: u64, command: &Command) -> Token {
    let exchange = guest.request_queue(0).unwrap();
    let token = exchange.stage(command).unwrap();
    let ring = &exchange.exchange.ring;
    let slot = u64::from(ring.available_index().wrapping_sub(1)) % ENTRIES;
    let at = ring.addresses().available.plus(4 + 2 * slot);
    let mut head = [0; 2];
    guest.memory().read(at, &mut head).unwrap();
    put(guest, entry(queue, u64::from(u16::from_le_bytes(head))), &[1]);
    token
}

#[test]
fn a_command_that_must_not_be_done_twice_ends_as_aborted() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    let once = Command::new(lun_0(), &[0xc1, 0, 0, 0, 0, 0]);
    // Taken for the first time it is executed, which for this one means that it is refused.
    assert_eq!(guest.execute(&once).unwrap().check_condition(), Some([0x05, 0x20, 0x00]));
    guest.lose();
    let tokens =
        [offer_as_taken(&mut guest, REQUESTS, &once), offer_as_taken(&mut guest, REQUESTS, &write(3))];
    guest.reconnect().unwrap();
    let [once_again, written] = tokens;
    let answer = guest.request_queue(0).unwrap().wait_for(once_again).unwrap();
    assert_eq!((answer.response, answer.status, answer.sense.len()), (2, 0, 0));
    must_be_good(&mut guest, [written]);
    // And the next one is a first time again.
    assert_eq!(guest.execute(&once).unwrap().check_condition(), Some([0x05, 0x20, 0x00]));
}

#[test]
fn a_buffer_for_events_that_a_dead_process_took_says_that_one_may_have_been_missed() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = rig.boot(Options::default());
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    guest.lose();
    put(&guest, entry(1, 0), &[1]);
    guest.reconnect().unwrap();
    assert!(guest.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
    guest.events().repost = false;
    let event = guest.events().next_event(Duration::from_secs(30)).unwrap().expect("an event");
    assert_eq!((event.event, event.missed, event.reason), (0, true, 0));
    assert_eq!(guest.events().next_event(Duration::from_millis(200)).unwrap(), None);
    assert_eq!(guest.stop().unwrap()[1], 1, "the queue goes on behind it");
    assert_eq!(in_flight(&guest, 1), [0; 0]);
}

#[test]
fn a_region_of_a_newer_program_is_refused_and_left_alone() {
    let (dead, next) = (Watched::new(true), Watched::new(false));
    let (first, second) = (dead.rig(), next.rig());
    let name = Name::of(&first);
    let mut guest = name.boot(Options::default());
    let token = start(&mut guest, &write(1));
    dead.wait_for_writes(1);
    let version = REQUESTS * PART_BYTES + 8;
    put(&guest, version, &[2, 0]);
    let before = bytes::<2112>(&guest, REQUESTS * PART_BYTES);
    name.lead_to(&second);
    // Whether the front end is told depends on what it asked to have acknowledged.
    let _ = guest.reconnect();
    assert_eq!(next.written(), [0; 0]);
    assert_eq!(bytes::<2112>(&guest, REQUESTS * PART_BYTES), before);
    put(&guest, version, &[1, 0]);
    guest.reconnect().unwrap();
    must_be_good(&mut guest, [token]);
    assert_eq!(next.written(), [1]);
}

#[test]
fn a_region_full_of_nonsense_is_begun_anew_and_the_ring_goes_by_its_base() {
    let (dead, next) = (Watched::new(true), Watched::new(false));
    let (first, second) = (dead.rig(), next.rig());
    let name = Name::of(&first);
    let mut guest = name.boot(Options::default());
    let tokens = [1, 2].map(|lba| start(&mut guest, &write(lba)));
    dead.wait_for_writes(2);
    put(&guest, entry(REQUESTS, 0), &[0xa5; 16 * 128]);
    name.lead_to(&second);
    guest.reconnect().unwrap();
    must_be_good(&mut guest, tokens);
    assert_eq!(next.written(), [1, 2]);
    assert_eq!(in_flight(&guest, REQUESTS), [0; 0]);
}

/// `mmap_size`, `mmap_offset`, `num_queues`, `queue_size`; some front ends pad it to 24 bytes.
fn description(mmap_size: u64, queues: u16, entries: u16, length: usize) -> Vec<u8> {
    let mut payload = mmap_size.to_ne_bytes().to_vec();
    payload.extend(0_u64.to_ne_bytes());
    payload.extend(queues.to_ne_bytes());
    payload.extend(entries.to_ne_bytes());
    payload.resize(length, 0);
    payload
}

#[test]
fn both_lengths_of_an_inflight_description_are_understood() {
    for length in [20, 24] {
        let rig = Rig::new(&[Unit::ramdisk(MIB)]);
        let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
        let raw = guest.connection().unwrap().raw();
        raw.send(GET_INFLIGHT_FD, FLAG_VERSION, &description(0, 3, 128, length), &[]).unwrap();
        let reply = raw.receive().unwrap();
        assert_eq!((reply.request, reply.fds.len()), (GET_INFLIGHT_FD, 1), "{length}");
        assert_eq!(reply.payload.len(), length);
        let size = u64::from_ne_bytes(reply.payload[..8].try_into().unwrap());
        assert_eq!(size, 3 * PART_BYTES);
        let payload = description(size, 3, 128, length);
        raw.send(SET_INFLIGHT_FD, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[reply.fds[0].as_fd()]).unwrap();
        assert_eq!(raw.receive().unwrap().as_u64(), Some(0), "{length}");
    }
}

#[test]
fn a_region_that_is_too_short_is_refused_and_the_next_front_end_served() {
    let rig = Rig::new(&[Unit::ramdisk(MIB)]);
    let mut guest = Guest::connect(rig.path(), Options::default()).unwrap();
    let file = memfd_create("short", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 4096).unwrap();
    let raw = guest.connection().unwrap().raw();
    let payload = description(4096, 3, 128, 20);
    raw.send(SET_INFLIGHT_FD, FLAG_VERSION | FLAG_NEED_REPLY, &payload, &[file.as_fd()]).unwrap();
    assert_ne!(raw.receive().unwrap().as_u64(), Some(0));
    // Without an acknowledgement the refusal is the end of the connection.
    raw.send(SET_INFLIGHT_FD, FLAG_VERSION, &payload, &[file.as_fd()]).unwrap();
    assert!(raw.wait_closed(Duration::from_secs(30)).unwrap());
    let mut next = rig.boot(Options::default());
    assert!(next.execute(&commands::inquiry(lun_0(), 36)).unwrap().is_good());
}
