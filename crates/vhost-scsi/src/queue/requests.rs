// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chains that ask for commands, on their queue.
//!
//! Above: the queue, which takes them from its ring.
//! Below: `request`, `response`, `target`; the channels into backstores.
//! Never here: how a command goes on once it is begun.

use super::claims::written_by;
use super::{Common, Head, Queue, Task, token_number};
use crate::quiesce::TaskName;
use crate::request::{self, NoRequest, Request};
use crate::response::{self, ResponseCode};
use memory::IoBuf;
use scsi::Address;
use std::sync::Arc;
use target::io::{Io, IoKind, Submitted, Submitter, Token};
use target::{Buffers, Decision, Failure, IoPlan, LunMap, NexusNumber, StoreName, Way};
use virtqueue::crash::{self, Point};

impl Queue {
    /// Takes one request.  Returns the bytes that were moved before this returned.
    pub(super) fn take_request(
        &mut self,
        index: u32,
        Head { number: head, again }: Head,
        map: &LunMap,
        common: &mut Common,
        submitter: &mut Submitter,
    ) -> u64 {
        let (mut readable, mut writable, mut response) = (common.list(), common.list(), common.list());
        if self.ring.chain(head, &self.view, &mut readable, &mut writable).is_err() {
            // A chain that is no request has no place for an answer.
            self.push(head, 0, &[]);
            common.give_back_all([readable, writable, response]);
            return 0;
        }
        let request = match request::parse(self.features, &mut readable, &mut writable, &mut response) {
            Ok(request) => request,
            Err(refusal) => {
                let written = match refusal {
                    NoRequest::Unanswerable => 0,
                    NoRequest::Refused(code) => response::refuse(code, 0, &response),
                };
                return self.push_response(head, written, [readable, writable, response], common);
            }
        };
        if again && !target::may_repeat(&request.cdb) {
            // Whether it was done nobody knows, and nothing else would be true.
            let buffer_bytes = readable.bytes().saturating_add(writable.bytes());
            let written = response::refuse(ResponseCode::Aborted, buffer_bytes, &response);
            return self.push_response(head, written, [readable, writable, response], common);
        }
        let mut buffers = request::data(readable, writable);
        let address = Address::decode(&request.lun);
        let way = map.way(address);
        match target::execute(way, address, request.attribute, &request.cdb, &mut buffers) {
            Decision::Answer(answer) => {
                let written = response::answer(&answer, || way.sense_format(), &response);
                // No more than was written: a guest may give any room, and marking all of it would take its time.
                buffers.data_in.truncate(answer.data_in_bytes);
                self.push(head, written, &[&buffers.data_in, &response]);
                common.give_back_all([buffers.data_in, buffers.data_out, response]);
                answer.data_in_bytes
            }
            Decision::NoTarget => {
                let written = response::refuse(ResponseCode::BadTarget, 0, &response);
                self.push_response(head, written, [buffers.data_in, buffers.data_out, response], common)
            }
            Decision::Io(plan) => {
                let name = self.name(way, address, &request, plan.store.name());
                self.take_io(index, (head, name), &plan, (buffers, response), common, submitter)
            }
            Decision::Script(plan) => {
                let store = plan.store.unwrap_or(StoreName::NONE);
                let name = self.name(way, address, &request, store);
                self.begin_steps(index, (head, name), plan, (buffers, response), common, submitter);
                0
            }
        }
    }

    /// Takes a command of one I/O.  Returns the bytes that were moved before this returned.
    fn take_io(
        &mut self,
        index: u32,
        (head, name): (u16, TaskName),
        plan: &IoPlan<'_>,
        (buffers, response): (Buffers, IoBuf),
        common: &mut Common,
        submitter: &mut Submitter,
    ) -> u64 {
        let buffer_bytes = buffers.data_in.bytes().saturating_add(buffers.data_out.bytes());
        let (buffer, other) = match plan.kind {
            IoKind::Read => (buffers.data_in, buffers.data_out),
            kind if kind.sends() => (buffers.data_out, buffers.data_in),
            _ => (IoBuf::new(), buffers.data_in),
        };
        common.give_back(other);
        let number = common.next_task();
        let answer = plan.answer;
        let (is_flush, is_read) = (plan.kind == IoKind::Flush, plan.kind == IoKind::Read);
        let kind = plan.store.kind(plan.kind);
        let syncs = kind == IoKind::Flush || kind.is_durable_write();
        let losses = syncs.then(|| (plan.store.id, Arc::clone(&plan.store.losses)));
        let task = Task {
            head,
            name,
            number,
            answer,
            response,
            buffer_bytes,
            ends_as: None,
            losses,
            is_flush,
            is_read,
            failure: Failure::of(plan.store, plan.kind, false),
            writes: written_by(plan, &buffer),
            steps: None,
        };
        if !task.writes.range.is_empty() && !plan.store.exclusions.is_empty() {
            self.begin_later(index, task, (plan.store, plan.kind), buffer, common, submitter);
            return 0;
        }
        self.begin(index, task, plan, buffer, common, submitter)
    }

    fn name(&self, way: Way<'_>, address: Address, request: &Request, store: StoreName) -> TaskName {
        // Nothing but a unit leads to I/O.
        let (target, lun) = match address {
            Address::Unit { target, lun } => (target, lun),
            Address::ReportLunsWellKnown { .. } | Address::Invalid => (0, scsi::Lun::default()),
        };
        let (unit, nexus) = match way {
            Way::Unit(group, mapping) => (mapping.unit.state.id(), group.nexus().number()),
            Way::Absent(_) | Way::WellKnown(_) | Way::NoTarget => (0, NexusNumber::default()),
        };
        let lun = lun.get();
        TaskName {
            client: self.client,
            port: self.port.id,
            target,
            lun,
            tag: request.tag,
            store,
            unit,
            nexus,
            code: scsi::opcode::code_of(&request.cdb),
        }
    }

    /// Begins the I/O of a task.  Returns the bytes that were moved before this returned.
    fn begin(
        &mut self,
        index: u32,
        task: Task,
        plan: &IoPlan<'_>,
        buffer: IoBuf,
        common: &mut Common,
        submitter: &mut Submitter,
    ) -> u64 {
        let bytes = buffer.bytes();
        let key = self.tasks.insert(task);
        let token = Token::new(token_number(index, key));
        let io = Io { kind: plan.store.kind(plan.kind), offset: plan.offset, buffer };
        let channel = common.channels.of(plan.store);
        crash::pass(Point::Submitting);
        let submitted = common.channels.submit(channel, submitter, io, token);
        crash::pass(Point::Submitted);
        match submitted {
            Submitted::Queued => 0,
            Submitted::Done(completed) => {
                self.finish(index, completed, common, submitter);
                bytes
            }
        }
    }
}
