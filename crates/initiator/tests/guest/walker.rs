// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device's side of a split ring, a chain at a time.
//!
//! Above: `device`.  Below: `disk`.
//! Never here: protection from hostile guests.

use crate::device::{Quirk, Regions};
use crate::disk::Disk;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What is known of a ring whether it runs or not.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) entries: u16,
    pub(crate) descriptors: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    pub(crate) next: u16,
    pub(crate) enabled: bool,
    pub(crate) kick: Option<File>,
    pub(crate) call: Arc<Mutex<Option<File>>>,
    pub(crate) worker: Option<Worker>,
}

impl Ring {
    /// Stops the worker, which leaves `next` where it has come to.
    pub(crate) fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop.shutdown(Shutdown::Both).expect("our own socket");
            self.next = worker.thread.join().expect("the worker");
            self.kick = None;
        }
    }
}

/// The thread of a ring that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: UnixStream,
    thread: JoinHandle<u16>,
}

struct Walk {
    index: usize,
    entries: u16,
    descriptors: u64,
    available: u64,
    used: u64,
    next: u16,
    used_next: u16,
    memory: Regions,
    disk: Arc<Disk>,
    event_idx: bool,
    quirk: Quirk,
    call: Arc<Mutex<Option<File>>>,
    connection: UnixStream,
}

/// A chain: its head, the bytes the guest wrote, and where it wants bytes written.
struct Chain {
    head: u16,
    readable: Vec<u8>,
    writable: Vec<(u64, u32)>,
}

impl Worker {
    pub(crate) fn start(
        index: usize,
        ring: &Ring,
        memory: Regions,
        disk: Arc<Disk>,
        event_idx: bool,
        quirk: Quirk,
        connection: UnixStream,
    ) -> Self {
        let (stop, stopped) = UnixStream::pair().expect("a pair");
        let kick = ring.kick.as_ref().expect("a kick").try_clone().expect("a descriptor");
        let mut walk = Walk {
            index,
            entries: ring.entries,
            descriptors: ring.descriptors,
            available: ring.available,
            used: ring.used,
            next: ring.next,
            used_next: 0,
            memory,
            disk,
            event_idx,
            quirk,
            call: Arc::clone(&ring.call),
            connection,
        };
        walk.used_next = walk.u16_at(walk.used + 2);
        let thread = std::thread::spawn(move || {
            loop {
                walk.turn();
                // The event queue also wakes for what the test raises.
                let tick = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                let timeout = (walk.index == 1).then_some(&tick);
                let mut polled = [PollFd::new(&kick, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
                rustix::event::poll(&mut polled, timeout).expect("poll");
                if !polled[1].revents().is_empty() {
                    return walk.next;
                }
                if !polled[0].revents().is_empty() {
                    rustix::io::read(&kick, &mut [0_u8; 8]).expect("an eventfd");
                }
            }
        });
        Self { stop, thread }
    }
}

impl Walk {
    /// Takes and answers all that is there.
    fn turn(&mut self) {
        let before = self.used_next;
        loop {
            while self.u16_at(self.available + 2) != self.next {
                if self.index == 1 && !self.disk.has_event() {
                    break;
                }
                let chain = self.take();
                self.answer(&chain);
            }
            if self.event_idx {
                let event = self.used + 4 + 8 * u64::from(self.entries);
                self.memory.write(event, &self.next.to_le_bytes());
            }
            fence(Ordering::SeqCst);
            let idle = self.u16_at(self.available + 2) == self.next;
            if idle || self.index == 1 {
                break;
            }
        }
        let wanted = if self.event_idx {
            let event = self.u16_at(self.available + 4 + 2 * u64::from(self.entries));
            // virtio 1.2, 2.7.7.2.
            self.used_next.wrapping_sub(event).wrapping_sub(1) < self.used_next.wrapping_sub(before)
        } else {
            self.used_next != before && self.u16_at(self.available) & 1 == 0
        };
        if wanted
            && self.quirk != Quirk::NoInterrupts
            && let Some(call) = &*self.call.lock().unwrap()
        {
            rustix::io::write(call, &1_u64.to_ne_bytes()).expect("an eventfd");
        }
    }

    fn take(&mut self) -> Chain {
        let slot = u64::from(self.next % self.entries);
        let head = self.u16_at(self.available + 4 + 2 * slot);
        self.next = self.next.wrapping_add(1);
        let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
        let mut table = self.descriptors;
        let mut at = u64::from(head);
        loop {
            let mut bytes = [0; 16];
            self.memory.read(table + 16 * at, &mut bytes);
            let address = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
            let flags = u16::from_le_bytes(bytes[12..14].try_into().unwrap());
            if flags & 4 != 0 {
                (table, at) = (address, 0);
                continue;
            }
            if flags & 2 == 0 {
                let start = chain.readable.len();
                chain.readable.resize(start + length as usize, 0);
                self.memory.read(address, &mut chain.readable[start..]);
            } else {
                chain.writable.push((address, length));
            }
            if flags & 1 == 0 {
                return chain;
            }
            at = u16::from_le_bytes(bytes[14..].try_into().unwrap()).into();
        }
    }

    fn answer(&mut self, chain: &Chain) {
        let room: usize = chain.writable.iter().map(|&(_, bytes)| bytes as usize).sum();
        let mut reply = match self.index {
            0 => self.disk.control(&chain.readable),
            1 => self.disk.take_event(),
            _ => self.disk.request(&chain.readable, room),
        };
        match self.quirk {
            Quirk::SwallowOnce if self.index > 1 => return,
            Quirk::CloseOnCommand if chain.readable.get(19) == Some(&0x25) => {
                let _ = self.connection.shutdown(Shutdown::Both);
                return;
            }
            Quirk::ShortResponse => reply.truncate(107),
            // Slow enough for the driver to fall asleep.
            Quirk::NoInterrupts => std::thread::sleep(std::time::Duration::from_millis(20)),
            _ => {}
        }
        assert!(reply.len() <= room, "the tests give room enough");
        let mut rest = reply.as_slice();
        for &(address, bytes) in &chain.writable {
            let (now, later) = rest.split_at(rest.len().min(bytes as usize));
            self.memory.write(address, now);
            rest = later;
        }
        let written = match self.quirk {
            Quirk::UsedTooLong => room + 1,
            _ => reply.len(),
        };
        self.push(chain.head, u32::try_from(written).unwrap());
        if self.quirk == Quirk::AnswerTwice {
            self.push(chain.head, u32::try_from(written).unwrap());
        }
    }

    fn push(&mut self, head: u16, bytes: u32) {
        let slot = self.used + 4 + 8 * u64::from(self.used_next % self.entries);
        self.memory.write(slot, &u32::from(head).to_le_bytes());
        self.memory.write(slot + 4, &bytes.to_le_bytes());
        self.used_next = self.used_next.wrapping_add(1);
        fence(Ordering::SeqCst);
        self.memory.write(self.used + 2, &self.used_next.to_le_bytes());
    }

    fn u16_at(&self, guest: u64) -> u16 {
        let mut bytes = [0; 2];
        self.memory.read(guest, &mut bytes);
        u16::from_le_bytes(bytes)
    }
}
