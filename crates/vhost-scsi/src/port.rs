// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all connections of one target share.
//!
//! Above: `lunard` publishes maps; `connection` claims; workers read.
//! Below: `exec`'s snapshots.
//! Never here: sockets.

use crate::announcer::Announcer;
use crate::config_space::DeviceOffer;
use crate::events::{self, Event, Happened};
use crate::holds::Holds;
use crate::log_budget::LogBudget;
use exec::snapshot::Published;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;
use target::LunMap;

/// A target as its connections see it.
pub struct TargetPort {
    /// Unique for the life of the process.
    pub(crate) id: u64,
    wwn: String,
    map: Published<LunMap>,
    connections: AtomicUsize,
    claim: Mutex<Claim>,
    device: Mutex<DeviceOffer>,
    released: Condvar,
    /// How its guest hears of what changes.
    pub(crate) announcer: Announcer,
    /// Where each ring stood when it was stopped last.
    stopped_at: Mutex<BTreeMap<u16, u16>>,
    /// What is locked while its rings run.
    pub(crate) holds: Holds,
    /// What the target's front ends and guests can have logged.
    pub(crate) log: LogBudget,
}

/// Who may run rings: one connection at a time, because the rings of two guests know nothing of each other.
type Claim = Option<Holder>;

struct Holder {
    client: u64,
    socket: UnixStream,
}

impl Holder {
    /// Whether the holder's front end has gone, so that its rings will stop.
    fn is_leaving(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().intersects(gone)
    }
}

impl TargetPort {
    /// A target called `wwn` with the LUNs of `map`.
    pub fn new(wwn: String, map: LunMap) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            wwn,
            map: Published::new(map),
            connections: AtomicUsize::new(0),
            claim: Mutex::new(Claim::default()),
            device: Mutex::new(DeviceOffer::default()),
            released: Condvar::new(),
            announcer: Announcer::default(),
            stopped_at: Mutex::default(),
            holds: Holds::default(),
            log: LogBudget::new(Instant::now()),
        }
    }

    /// The target's name.
    pub fn wwn(&self) -> &str {
        &self.wwn
    }

    /// The number that a [`crate::Scope`] knows it by.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The LUNs, as they are published.
    pub fn map(&self) -> &Published<LunMap> {
        &self.map
    }

    /// Offers this to front ends that connect from now on.
    pub fn offer(&self, device: DeviceOffer) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = device;
    }

    /// What a front end that connects now is offered.
    pub(crate) fn device(&self) -> DeviceOffer {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the guest that a unit has not the size any more that it had when the guest last saw it, be it through
    /// another process.
    pub fn tell_of_capacity(&self, target: u8, lun: scsi::Lun) {
        let news = [Event { target, lun, happened: Happened::CapacityChanged }];
        let map = self.map.load();
        events::establish(&news, &map, &map);
        self.announcer.announce(news.to_vec());
    }

    /// Front ends connected now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Claims the right to run rings for `client`, whose front end is at `socket`.  Waits for a holder whose
    /// front end has gone; returns `false` when there is one that stays.
    pub(crate) fn claim(&self, client: u64, socket: &UnixStream) -> io::Result<bool> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*claim {
                None => {
                    *claim = Some(Holder { client, socket: socket.try_clone()? });
                    return Ok(true);
                }
                Some(holder) if holder.client == client => return Ok(true),
                // Asked of the socket itself: a virtual machine that starts again at once may be here before
                // the end of the old one has been noticed.
                Some(holder) if holder.is_leaving() => {
                    claim = self.released.wait(claim).unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) => return Ok(false),
            }
        }
    }

    /// Takes note of where a ring stood when it was stopped.
    pub(crate) fn ring_stopped(&self, index: u16, next_avail: u16) {
        self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner).insert(index, next_avail);
    }

    /// The ring `index` starts; `bases` is where rings begin, as far as that is known.  One that had been used and begins
    /// anew is that of a guest that was reset: returns whether there is any.  Blocks as
    /// [`guest_was_reset`](Self::guest_was_reset) does.
    pub(crate) fn ring_starts(&self, index: u16, bases: impl Iterator<Item = (u16, u16)>) -> bool {
        let begins_anew = {
            let mut stopped_at = self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner);
            let was_used = |ring| stopped_at.get(&ring).is_some_and(|stopped| *stopped != 0);
            let begins_anew = { bases }.any(|(ring, base)| base == 0 && was_used(ring));
            stopped_at.remove(&index);
            begins_anew
        };
        if begins_anew {
            self.guest_was_reset();
        }
        begins_anew
    }

    /// A guest begins: it is about to look around, and needs not to be told what it finds anyway.
    pub(crate) fn guest_begins(&self) {
        events::forget(&self.map.load());
        self.announcer.forget();
    }

    /// The guest gives back what it took with RESERVE and PREVENT, finds its disks started, and begins anew.  Blocks, if
    /// there is any such thing, as the disk with the records of units does.
    pub(crate) fn guest_was_reset(&self) {
        self.stopped_at.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.guest_begins();
        for (tag, group) in self.map.load().groups() {
            if group.nexus_loss().by_reset().is_err()
                && let Some(suppressed) = self.log.spend(Instant::now())
            {
                let target = self.wwn();
                tracing::error!(
                    target,
                    tag,
                    suppressed,
                    "what a guest reserved stays reserved after its reset"
                );
            }
        }
    }

    /// Whether another client runs rings, whose front end has not gone.
    pub(crate) fn runs_for_another(&self, client: u64) -> bool {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim.as_ref().is_some_and(|holder| holder.client != client && !holder.is_leaving())
    }

    /// All rings of `client` have stopped.
    pub(crate) fn release(&self, client: u64) {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.as_ref().is_some_and(|holder| holder.client == client) {
            // Before anyone else may run rings here, who then takes locks of his own.
            self.holds.let_go();
            *claim = None;
            self.released.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TargetPort;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use target::LunMap;

    fn port() -> Arc<TargetPort> {
        Arc::new(TargetPort::new("naa.5001405000000001".into(), LunMap::default()))
    }

    #[test]
    fn one_client_runs_rings_at_a_time() {
        let port = port();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert!(port.claim(1, &ours).unwrap());
        assert!(port.claim(1, &ours).unwrap());
        assert!(!port.claim(2, &ours).unwrap());
        port.release(2);
        assert!(!port.claim(2, &ours).unwrap());
        port.release(1);
        assert!(port.claim(2, &ours).unwrap());
    }

    #[test]
    fn a_newcomer_waits_for_a_client_whose_front_end_has_gone() {
        let port = port();
        let (first, first_front_end) = UnixStream::pair().unwrap();
        let (second, _second_front_end) = UnixStream::pair().unwrap();
        assert!(port.claim(1, &first).unwrap());
        drop(first_front_end);
        let waiting = std::thread::spawn({
            let port = Arc::clone(&port);
            move || port.claim(2, &second).unwrap()
        });
        port.release(1);
        assert!(waiting.join().unwrap());
        assert!(!port.claim(3, &first).unwrap());
    }
}
