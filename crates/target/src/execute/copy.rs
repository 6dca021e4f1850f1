// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies between units that the target makes by itself: EXTENDED COPY (LID1), and what became of them.  SPC-4.
//!
//! Above: `execute`.
//! Below: the kernel, where both are files; else memory of the device's own.
//! Never here: bytes of parameter lists; units that this nexus does not reach.

use super::access::segments_by_now;
use super::block::ready;
use super::unmap::bytes_of;
use super::{
    Decision, Place, ScriptPlan, done, done_with, give, good_with, overrun, read_list, refuse_step, sanitize,
};
use crate::admission::is_kept_out;
use crate::alua::Alua;
use crate::copies::{CopyRecord, NotBegun};
use crate::logical_unit::Store;
use crate::lun_map::{Group, Mapping};
use crate::script::{Claim, Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::{BackstoreError, IoKind};
use exec::snapshot::Cached;
use memory::{SCRATCH_BYTES, Scratch};
use scsi::copy::{self, CopyList, LIST_BYTES_MAX, Segment};
use scsi::{BlockCount, CopyResults, ExtendedCopy, Lba, Lun, Sense};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// What the kernel copies at once, in bytes: how long an abort waits for.
const KERNEL_BYTES_MAX: u64 = 16 << 20;

/// EXTENDED COPY (LID1).
///
/// All of the list is looked at before anything is copied.
pub(super) fn extended_copy<'a>(
    group: &'a Group,
    mapping: &'a Mapping,
    command: &ExtendedCopy,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    ready(&mapping.unit)?;
    if command.list_bytes == 0 {
        return Ok(done(buffers));
    }
    let bytes = usize::try_from(command.list_bytes).unwrap_or(usize::MAX);
    if bytes > LIST_BYTES_MAX {
        return Err(Sense::PARAMETER_LIST_LENGTH_ERROR);
    }
    let Some(list) = read_list(buffers, bytes) else { return Ok(overrun()) };
    let list = copy::parse(&list)?;
    let copies = mapping.unit.state.copies();
    let record = match list.identifier.map(|list| copies.begin(group.nexus().name(), list)).transpose() {
        Ok(record) => record,
        Err(NotBegun::SameIdentifier) => return Err(Sense::OPERATION_IN_PROGRESS),
        Err(NotBegun::TooMany) => return Ok(Decision::Answer(Answer::task_set_full(buffers.bytes()))),
    };
    let legs = match legs(group, mapping, &list) {
        Ok(legs) => legs,
        Err(sense) => {
            end(record, &Answer::check_condition(sense, buffers.bytes()));
            return Err(sense);
        }
    };
    let good = good_with(bytes, buffers);
    let Some(first) = legs.front() else {
        end(record, &good);
        return Ok(done_with(bytes, buffers));
    };
    let (from, to) = (first.from.place, first.to.place);
    let memory = None;
    let residual = good.residual;
    let mut unflushed: Vec<Store> = Vec::new();
    for leg in &legs {
        if unflushed.iter().all(|store| store.id != leg.to.store.id) {
            unflushed.push(leg.to.store.clone());
        }
    }
    let copier = Copier {
        legs,
        unflushed,
        by_kernel: true,
        claimed: false,
        flushes: false,
        reads: 0,
        writes: 0,
        memory,
        record,
        residual,
    };
    let plan = ScriptPlan::new(copier, Some(to.store));
    Ok(Decision::Script(ScriptPlan { elsewhere: vec![to, from], ..plan }))
}

/// RECEIVE COPY STATUS (LID1) and RECEIVE COPY FAILURE DETAILS (LID1).
pub(super) fn results<'a>(
    group: &Group,
    mapping: &Mapping,
    command: &CopyResults,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let allocation_bytes = u64::from(command.allocation_bytes);
    let taken = allocation_bytes.min(buffers.data_in.bytes());
    let copies = mapping.unit.state.copies();
    let data = copies.results(group.nexus().name(), command, taken, mapping.sense_format())?;
    Ok(give(&data, allocation_bytes, buffers))
}

/// Notes the end of a copy that its initiator may ask for.
fn end(record: Option<CopyRecord>, answer: &Answer) {
    if let Some(record) = record {
        record.ended(answer);
    }
}

/// What all segments of a list move.
fn legs(group: &Group, asked: &Mapping, list: &CopyList) -> Result<VecDeque<Leg>, Sense> {
    let mut legs = VecDeque::new();
    for (number, segment) in (1..).zip(&list.segments) {
        let end = |index: u16, named_at: u16| -> Result<(Lun, &Mapping), Sense> {
            const NOT_REACHABLE: Sense = Sense::COPY_TARGET_DEVICE_NOT_REACHABLE;
            let target = list.targets.get(usize::from(index));
            let name = target.ok_or(NOT_REACHABLE.at_copy(true, named_at))?;
            named(group, *name).ok_or(NOT_REACHABLE.at_copy(false, copy::target_at(index)))
        };
        let leg = end(segment.source, copy::SOURCE_AT).and_then(|source| {
            let destination = end(segment.destination, copy::DESTINATION_AT)?;
            leg(number, asked, source, destination, segment)
        });
        legs.extend(leg.map_err(|sense| sense.in_segment(number - 1))?);
    }
    let Some(first) = legs.front() else { return Ok(legs) };
    let (from, to) = (first.from.place, first.to.place);
    // A third unit would be out of sight of whoever waits for what is under way on it.
    let is_known = |end: &End| [from, to].contains(&end.place);
    if !legs.iter().all(|leg| is_known(&leg.from) && is_known(&leg.to)) {
        return Err(Sense::TOO_MANY_TARGET_DESCRIPTORS);
    }
    Ok(legs)
}

/// The unit of that name, if it takes part in copies.
fn named(group: &Group, name: Option<[u8; 16]>) -> Option<(Lun, &Mapping)> {
    let name = name?;
    let takes_part = |(_, mapping): &(Lun, &Mapping)| mapping.unit.media.third_party_copy;
    let is_it = |(_, mapping): &(Lun, &Mapping)| scsi::vpd::naa_of(&mapping.unit.identity) == name;
    group.mappings().filter(takes_part).find(is_it)
}

/// What one segment moves, of a copy that `asked` is asked for; `None` where that is nothing.
fn leg(
    number: u16,
    asked: &Mapping,
    (from_lun, from): (Lun, &Mapping),
    (to_lun, to): (Lun, &Mapping),
    segment: &Segment,
) -> Result<Option<Leg>, Sense> {
    let (source, destination) = (&*from.unit, &*to.unit);
    // Whatever another unit answers, it is not the one that was asked.
    let failed = |target| Sense::THIRD_PARTY_DEVICE_FAILURE.at_copy(false, copy::target_at(target));
    let source_store = ready(source).map_err(|_| failed(segment.source))?;
    let destination_store = ready(destination).map_err(|_| failed(segment.destination))?;
    if to.refuses_writes() {
        let is_asked = asked.unit.state.id() == destination.state.id();
        return Err(if is_asked { Sense::WRITE_PROTECTED } else { failed(segment.destination) });
    }
    let mut from = End::new(from_lun, from, source_store, segment.source);
    let mut to = End::new(to_lun, to, destination_store, segment.destination);
    let has_source = from.reaches(segment.source_first, segment.blocks) && !from.bars(READ_10);
    if !has_source || sanitize::pending(source).is_some() {
        return Err(failed(segment.source));
    }
    let has_destination = to.reaches(segment.destination_first, segment.blocks) && !to.bars(WRITE_10);
    if !has_destination || sanitize::pending(destination).is_some() {
        return Err(failed(segment.destination));
    }
    // DC has a say only where blocks differ in length, and they may not.
    if source.geometry.block_bytes != destination.geometry.block_bytes {
        return Err(Sense::COPY_ABORTED);
    }
    let behind = |first_at| move |_| Sense::COPY_ABORTED.at_copy(true, first_at);
    let (read, written) = (segment.source_first, segment.destination_first);
    source.geometry.check(read, segment.blocks).map_err(behind(copy::SOURCE_FIRST_AT))?;
    destination.geometry.check(written, segment.blocks).map_err(behind(copy::DESTINATION_FIRST_AT))?;
    let read = bytes_of(&source.geometry, read, segment.blocks);
    let written = bytes_of(&destination.geometry, written, segment.blocks);
    let first = written.start;
    Ok((!read.is_empty()).then_some(Leg { number, from, read, to, written, first }))
}

/// One segment, in bytes: what is left of it.
struct Leg {
    /// Which of the list, counted from 1.
    number: u16,
    from: End,
    read: Range<u64>,
    to: End,
    written: Range<u64>,
    /// Where `written` began.
    first: u64,
}

impl Leg {
    /// The end at which the nexus may not copy the next piece now, of at most so many bytes.
    fn barred(&mut self, bytes_max: u64) -> Option<&End> {
        let piece = |left: &Range<u64>| left.start..left.end.min(left.start.saturating_add(bytes_max));
        if self.from.bars_at(READ_10, &piece(&self.read)) {
            return Some(&self.from);
        }
        let written = piece(&self.written);
        self.to.bars_at(WRITE_10, &written).then_some(&self.to)
    }

    /// What is sensed of a failure here, when `in_doubt` of the bytes that count as written may not be there.  SPC-4, errors
    /// detected during processing of segment descriptors.
    fn failed(&self, sense: Sense, in_doubt: u64) -> Sense {
        let sense = sense.in_segment(self.number.saturating_sub(1));
        let start = self.written.start.saturating_sub(in_doubt);
        if start <= self.first {
            return sense;
        }
        let block_bytes = u64::from(self.to.mapping.unit.geometry.block_bytes).max(1);
        sense.with_information(self.written.end.saturating_sub(start).div_ceil(block_bytes))
    }
}

/// A unit that is copied from or to.
struct End {
    /// Which CSCD descriptor of the list names it.
    target: u16,
    place: Place,
    store: Store,
    /// With the gate before it.
    mapping: Mapping,
    /// Which of its blocks are reached: a map of LUNs that comes while it is copied from says so to others.
    alua: Cached<Alua>,
}

const READ_10: u8 = 0x28;
const WRITE_10: u8 = 0x2a;

impl End {
    fn new(lun: Lun, mapping: &Mapping, store: &Store, target: u16) -> Self {
        let place = Place { lun: lun.get(), unit: mapping.unit.state.id(), store: store.name() };
        let alua = Cached::new(mapping.unit.state.published_alua());
        Self { target, place, store: store.clone(), mapping: mapping.clone(), alua }
    }

    /// What is sensed of a failure of this unit.
    fn at(&self, sense: Sense) -> Sense {
        sense.at_copy(false, copy::target_at(self.target))
    }

    /// Whether the nexus may not do there now what the command of that operation code does.
    fn bars(&self, code: u8) -> bool {
        is_kept_out(self.mapping.attentions.gate(), code)
    }

    /// Whether the nexus reaches these blocks now, where some are reached otherwise than others.
    fn reaches(&mut self, first: Lba, blocks: BlockCount) -> bool {
        let unit = &self.mapping.unit;
        self.alua.refresh(unit.state.published_alua());
        // What is not on the medium is another failure.
        let is_there = unit.geometry.check(first, blocks).is_ok();
        let segments = segments_by_now(&self.mapping, self.mapping.attentions.gate().load(), self.alua.get());
        segments.is_none_or(|segments| !is_there || segments.reach(first, blocks).is_ok())
    }

    /// The same of both, of these bytes.
    fn bars_at(&mut self, code: u8, bytes: &Range<u64>) -> bool {
        let block_bytes = u64::from(self.mapping.unit.geometry.block_bytes).max(1);
        let (first, end) = (bytes.start / block_bytes, bytes.end.div_ceil(block_bytes));
        self.bars(code) || !self.reaches(Lba(first), BlockCount(end.saturating_sub(first)))
    }
}

/// Copies one segment after the other.
struct Copier {
    legs: VecDeque<Leg>,
    /// Where something is copied to: flushed one after the other, the last things.
    unflushed: Vec<Store>,
    /// Whether the kernel is asked first.
    by_kernel: bool,
    /// Whether the blocks of the first leg are claimed.
    claimed: bool,
    /// Whether all is copied, and a flush is under way.
    flushes: bool,
    /// Bytes that are being read, where they go through memory; 0 while they are written.
    reads: u64,
    /// Bytes that are being written from there.
    writes: u64,
    memory: Option<Scratch>,
    /// What the initiator may ask for.
    record: Option<CopyRecord>,
    residual: u64,
}

impl Script for Copier {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        let step = self.step(last);
        if let Step::Done(answer) = &step {
            end(self.record.take(), answer);
        }
        step
    }
}

impl Copier {
    fn step(&mut self, last: Outcome) -> Step {
        match last {
            Outcome::Begun => {
                self.begin_segment();
                return Step::Memory;
            }
            Outcome::Memory(Some(memory)) => self.memory = Some(memory),
            Outcome::Claimed => self.claimed = true,
            Outcome::Told(Ok(0)) => self.by_kernel = false,
            Outcome::Told(Ok(bytes)) => {
                self.moved(bytes);
                self.note(|record| record.written(bytes));
            }
            Outcome::Told(Err(sense)) => return self.refuse(sense, 0),
            Outcome::Io { result: Err(error), .. } => return self.failed(&error),
            Outcome::Io { .. } if self.flushes => return self.flush(),
            Outcome::Io { buffer, .. } if self.reads > 0 => {
                drop(buffer);
                return self.write();
            }
            Outcome::Io { .. } => {
                let bytes = std::mem::take(&mut self.writes);
                self.note(|record| record.written(bytes));
            }
            _ => return self.refuse(Sense::INTERNAL_TARGET_FAILURE, 0),
        }
        self.go_on()
    }

    fn begin_segment(&self) {
        if let Some(leg) = self.legs.front() {
            self.note(|record| record.segment_begun(leg.number));
        }
    }

    fn note(&self, what: impl FnOnce(&CopyRecord)) {
        if let Some(record) = &self.record {
            what(record);
        }
    }

    /// Notes that so many bytes are where they belong.
    fn moved(&mut self, bytes: u64) {
        let Some(leg) = self.legs.front_mut() else { return };
        leg.read.start = leg.read.start.saturating_add(bytes).min(leg.read.end);
        leg.written.start = leg.written.start.saturating_add(bytes).min(leg.written.end);
    }

    fn go_on(&mut self) -> Step {
        let Some(leg) = self.legs.front_mut() else {
            return Step::Done(Answer { residual: self.residual, ..Answer::good() });
        };
        if leg.read.is_empty() {
            if self.legs.len() == 1 {
                self.flushes = true;
                return self.flush();
            }
            self.legs.pop_front();
            self.begin_segment();
            (self.claimed, self.by_kernel) = (false, true);
            return self.go_on();
        }
        if !self.claimed {
            let (store, range) = (leg.to.store.clone(), leg.written.clone());
            return Step::Claim(Claim { store, range, exclusive: false });
        }
        // Who was fenced since the last piece copies no more.
        let piece_bytes = if self.by_kernel { KERNEL_BYTES_MAX } else { u64::from(SCRATCH_BYTES) };
        if let Some(end) = leg.barred(piece_bytes) {
            let sense = end.at(Sense::THIRD_PARTY_DEVICE_FAILURE);
            return self.refuse(sense, 0);
        }
        if self.by_kernel
            && let Some(step) = ask_kernel(leg)
        {
            return step;
        }
        self.by_kernel = false;
        let Some(memory) = &self.memory else {
            return self.refuse(Sense::INTERNAL_TARGET_FAILURE, 0);
        };
        self.reads = (leg.read.end - leg.read.start).min(u64::from(SCRATCH_BYTES));
        let (store, offset, buffer) = (leg.from.store.clone(), leg.read.start, memory.list(self.reads));
        Step::Io { store, kind: IoKind::Read, offset, buffer }
    }

    /// What the kernel copied is in its cache, whatever the units' own writes do; and segments may go both ways.
    fn flush(&mut self) -> Step {
        let Some(store) = self.unflushed.pop() else {
            return Step::Done(Answer { residual: self.residual, ..Answer::good() });
        };
        Step::Io { store, kind: IoKind::Flush, offset: 0, buffer: memory::IoBuf::new() }
    }

    fn write(&mut self) -> Step {
        let bytes = std::mem::take(&mut self.reads);
        let (Some(leg), Some(memory)) = (self.legs.front_mut(), &self.memory) else {
            return refuse_step(Sense::INTERNAL_TARGET_FAILURE, self.residual);
        };
        // The read may have taken its time.
        let written = leg.written.start..leg.written.start.saturating_add(bytes);
        if leg.to.bars_at(WRITE_10, &written) {
            let sense = leg.to.at(Sense::THIRD_PARTY_DEVICE_FAILURE);
            return self.refuse(sense, 0);
        }
        let (store, offset, buffer) = (leg.to.store.clone(), leg.written.start, memory.list(bytes));
        self.moved(bytes);
        self.writes = bytes;
        Step::Io { store, kind: IoKind::Write { durable: false }, offset, buffer }
    }

    /// An I/O of ours failed.
    fn failed(&self, error: &BackstoreError) -> Step {
        let sense = sense_of(error);
        let Some(leg) = self.legs.front() else { return refuse_step(sense, self.residual) };
        if self.flushes {
            // Of what was not flushed, nothing is there for certain; and it may be what another segment wrote.
            return self.refuse(sense, u64::MAX);
        }
        let end = if self.reads > 0 { &leg.from } else { &leg.to };
        self.refuse(end.at(sense), self.writes)
    }

    /// The end of a copy that stops in the segment that is under way.
    fn refuse(&self, sense: Sense, in_doubt: u64) -> Step {
        let sense = self.legs.front().map_or(sense, |leg| leg.failed(sense, in_doubt));
        refuse_step(sense, self.residual)
    }
}

fn sense_of(error: &BackstoreError) -> Sense {
    match error {
        // As with a write: the guest can make room and try again.
        BackstoreError::NoSpace => Sense::SPACE_ALLOCATION_FAILED,
        _ => Sense::THIRD_PARTY_DEVICE_FAILURE,
    }
}

/// Has the kernel copy the beginning of a leg, where both ends are files.  It shares their blocks where it can, and says 0
/// where it cannot copy between these.
fn ask_kernel(leg: &Leg) -> Option<Step> {
    let (from, to) = (&leg.from.store, &leg.to.store);
    from.backstore.regular_file()?;
    to.backstore.regular_file()?;
    let helper = Helper::Medium(to.id);
    let (from, to) = (Arc::clone(&from.backstore), Arc::clone(&to.backstore));
    let (at, into) = (leg.read.start, leg.written.start);
    let bytes = (leg.read.end - at).min(KERNEL_BYTES_MAX);
    let work = move |reply: Reply| {
        let copied = backstore::copy_by_kernel((&*from, at), (&*to, into), bytes);
        // Which of the two it was is not known.
        reply.tell(copied.map_err(|error| sense_of(&error)));
    };
    Some(Step::Ask { helper, work: Box::new(work) })
}
