// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Space: UNMAP and GET LBA STATUS.  SBC-3, logical block provisioning.
//!
//! Above: `execute`.
//! Below: the unit's backstore, which knows its holes.
//! Never here: bytes of parameter lists.

use super::access::Segments;
use super::block::ready;
use super::{Decision, done, give, good_with, overrun, read_list, refuse_at, script};
use crate::logical_unit::{LogicalUnit, Store};
use crate::script::{Claim, Helper, Outcome, Reply, Script, Step};
use crate::task::{Answer, Buffers};
use backstore::{Backstore, BackstoreError, IoKind};
use scsi::lba_status::{self, Extent};
use scsi::{BlockCount, Geometry, GetLbaStatus, Lba, Sense, Unmap, unmap};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Extents of one answer.
const EXTENTS_MAX: usize = 1024;
/// Times that the medium is asked for one answer; neighbours of one kind make one extent.
const LOOKS_MAX: usize = 8192;

/// UNMAP.
pub(super) fn unmap<'a>(
    unit: &'a LogicalUnit,
    command: &Unmap,
    (refuses_writes, segments): (bool, Option<&Segments<'_>>),
    buffers: &mut Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    if command.list_bytes == 0 {
        return Ok(done(buffers));
    }
    let Some(list) = read_list(buffers, usize::from(command.list_bytes)) else { return Ok(overrun()) };
    let extents = unmap::parse(&list)?;
    let descriptors_max = usize::try_from(unit.media.unmap_descriptors_max).unwrap_or(usize::MAX);
    if extents.len() > descriptors_max {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    // MAXIMUM UNMAP LBA COUNT is that of the whole command.
    let total: u64 = extents.iter().map(|extent| extent.blocks.0).fold(0, u64::saturating_add);
    if total > u64::from(unit.media.unmap_blocks_max) {
        return Err(Sense::INVALID_FIELD_IN_PARAMETER_LIST);
    }
    if refuses_writes && total > 0 {
        return Err(Sense::WRITE_PROTECTED);
    }
    let mut ranges = VecDeque::new();
    for extent in extents {
        unit.geometry.check(extent.first, extent.blocks)?;
        segments.map_or(Ok(()), |segments| segments.reach(extent.first, extent.blocks))?;
        if extent.blocks.0 > 0 {
            ranges.push_back(bytes_of(&unit.geometry, extent.first, extent.blocks));
        }
    }
    let answer = good_with(usize::from(command.list_bytes), buffers);
    if ranges.is_empty() {
        return Ok(Decision::Answer(answer));
    }
    Ok(script(store, GiveUp { store: store.clone(), ranges, claimed: 0..0, answer }))
}

/// Where blocks lie in their backstore.  The caller has checked them, so that nothing overflows.
pub(super) fn bytes_of(geometry: &Geometry, first: Lba, blocks: BlockCount) -> Range<u64> {
    let block = u64::from(geometry.block_bytes);
    let start = first.0.saturating_mul(block);
    start..start.saturating_add(blocks.0.saturating_mul(block))
}

/// How much of `range` a medium gives up at once: its beginning.
pub(super) fn at_once(store: &Store, range: &Range<u64>) -> u64 {
    let bytes = range.end - range.start;
    match store.backstore.abilities().discard {
        Some(discard) if discard.bytes_max > 0 => bytes.min(discard.bytes_max),
        _ => bytes,
    }
}

/// Gives up one range after the other.
pub(super) struct GiveUp {
    pub(super) store: Store,
    pub(super) ranges: VecDeque<Range<u64>>,
    pub(super) claimed: Range<u64>,
    pub(super) answer: Answer,
}

impl Script for GiveUp {
    fn next(&mut self, last: Outcome, _: &mut Buffers) -> Step {
        match last {
            Outcome::Io { result: Err(error), .. } => {
                return refuse_at(error, self.answer.residual);
            }
            Outcome::Io { .. } | Outcome::Claimed => {}
            _ => self.claimed = 0..0,
        }
        if self.claimed.is_empty() {
            let Some(range) = self.ranges.pop_front() else { return Step::Done(self.answer) };
            self.claimed = range.clone();
            return Step::Claim(Claim { store: self.store.clone(), range, exclusive: false });
        }
        let offset = self.claimed.start;
        let bytes = at_once(&self.store, &self.claimed);
        self.claimed.start += bytes;
        let (store, kind) = (self.store.clone(), IoKind::Discard { bytes });
        Step::Io { store, kind, offset, buffer: memory::IoBuf::new() }
    }
}

/// GET LBA STATUS: what the medium itself says.
pub(super) fn get_lba_status<'a>(
    unit: &'a LogicalUnit,
    command: &GetLbaStatus,
    buffers: &Buffers,
) -> Result<Decision<'a>, Sense> {
    let store = ready(unit)?;
    // An address behind the last one asks about nothing.
    unit.geometry.check(command.first, BlockCount(1))?;
    let allocation_bytes = u64::from(command.allocation_bytes).min(buffers.data_in.bytes());
    if !unit.media.provisioning().is_managed() {
        let blocks = BlockCount(unit.geometry.blocks.0 - command.first.0);
        let whole = Extent { first: command.first, blocks, mapped: true };
        return Ok(give(&lba_status::build(&[whole]), u64::from(command.allocation_bytes), buffers));
    }
    let look = Look {
        store: store.clone(),
        geometry: unit.geometry,
        first: command.first,
        extents_max: lba_status::extents_in(allocation_bytes).min(EXTENTS_MAX),
        allocation_bytes: u64::from(command.allocation_bytes),
        seen: Arc::default(),
    };
    Ok(script(store, look))
}

/// Asks the medium where its holes are.
struct Look {
    store: Store,
    geometry: Geometry,
    first: Lba,
    extents_max: usize,
    allocation_bytes: u64,
    seen: Arc<OnceLock<Result<Vec<Extent>, BackstoreError>>>,
}

impl Script for Look {
    fn next(&mut self, last: Outcome, buffers: &mut Buffers) -> Step {
        match last {
            Outcome::Told(Ok(_)) => {
                let extents = match self.seen.get() {
                    Some(Ok(extents)) => extents.as_slice(),
                    Some(Err(error)) => return refuse_at(*error, buffers.bytes()),
                    None => &[],
                };
                let data = lba_status::build(extents);
                match give(&data, self.allocation_bytes, buffers) {
                    Decision::Answer(answer) => Step::Done(answer),
                    _ => Step::Done(Answer::good()),
                }
            }
            Outcome::Told(Err(sense)) => Step::Done(Answer::check_condition(sense, buffers.bytes())),
            _ => {
                let (backstore, seen) = (Arc::clone(&self.store.backstore), Arc::clone(&self.seen));
                let (geometry, first, extents_max) = (self.geometry, self.first, self.extents_max);
                let work = move |reply: Reply| {
                    let _ = seen.set(look(&*backstore, &geometry, first, extents_max));
                    reply.tell(Ok(0));
                };
                Step::Ask { helper: Helper::Medium(self.store.id), work: Box::new(work) }
            }
        }
    }
}

/// The extents from `first` on, in whole blocks: one that is only partly a hole is mapped.
fn look(
    backstore: &dyn Backstore,
    geometry: &Geometry,
    first: Lba,
    extents_max: usize,
) -> Result<Vec<Extent>, BackstoreError> {
    let block = u64::from(geometry.block_bytes.max(1));
    let end = geometry.blocks.0;
    let (mut extents, mut at): (Vec<Extent>, u64) = (Vec::new(), first.0);
    for _ in 0..LOOKS_MAX {
        if at >= end {
            break;
        }
        let seen = backstore.extent(at * block)?;
        let whole = if seen.mapped { seen.end.div_ceil(block) } else { seen.end / block };
        let (next, mapped) = if whole > at { (whole.min(end), seen.mapped) } else { (at + 1, true) };
        // A descriptor counts in 32 bits.
        let next = next.min(at.saturating_add(u64::from(u32::MAX)));
        let is_full = extents.len() == extents_max;
        match extents.last_mut() {
            Some(extent) if extent.mapped == mapped && next - extent.first.0 <= u64::from(u32::MAX) => {
                extent.blocks.0 = next - extent.first.0;
            }
            _ if is_full => break,
            _ => extents.push(Extent { first: Lba(at), blocks: BlockCount(next - at), mapped }),
        }
        at = next;
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstore::{Channel, Geometry as Shape};

    /// Holes of 1000 bytes and data of 1000 bytes in turn.
    struct Striped(Shape);

    impl Backstore for Striped {
        fn geometry(&self) -> &Shape {
            &self.0
        }
        fn channel(&self, _: u32) -> Box<dyn Channel> {
            unreachable!("nothing is read here")
        }
        fn extent(&self, offset: u64) -> Result<backstore::Extent, BackstoreError> {
            let stripe = offset / 1000;
            Ok(backstore::Extent { end: (stripe + 1) * 1000, mapped: stripe % 2 == 1 })
        }
    }

    #[test]
    fn a_block_that_is_partly_a_hole_is_mapped() {
        let shape = Shape {
            bytes: 4096,
            block_bytes: 512,
            physical_block_bytes: 512,
            alignment_bytes: 0,
            io_min_bytes: 512,
            io_opt_bytes: 0,
            read_only: false,
            write_cache: false,
            rotational: false,
        };
        let geometry =
            Geometry { blocks: BlockCount(8), block_bytes: 512, physical_exponent: 0, lowest_aligned: 0 };
        let extent = |first, blocks, mapped| Extent { first: Lba(first), blocks: BlockCount(blocks), mapped };
        let seen = look(&Striped(shape.clone()), &geometry, Lba(0), 10).unwrap();
        assert_eq!(seen, [extent(0, 1, false), extent(1, 3, true), extent(4, 1, false), extent(5, 3, true)]);
        let seen = look(&Striped(shape), &geometry, Lba(2), 1).unwrap();
        assert_eq!(seen, [extent(2, 2, true)]);
    }
}
