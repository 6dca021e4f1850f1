// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dirty log of a migration, as the front end gives it, changes it and takes it away while rings run.
//!
//! Above: `connection`.
//! Below: `worker`, which has a ring's part of it in force before the message is answered.
//! Never here: marking.
//!
//! Writes are logged while LOG_ALL is acknowledged and there is a log.  QEMU gives the log first, except where it starts
//! a device in the middle of a migration.  A log that does not cover all that would be marked is refused, because a mark
//! that is left out is a page that the guest misses on the other host.

use super::{Closed, Connection, Running, must_be_eventfd};
use crate::logging::Logging;
use crate::worker::{LetterKind, send};
use memory::{DirtyLog, GuestAddress, GuestMemory};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use vhost_user::{LogArea, features};

/// What the front end has said about its dirty log.
#[derive(Default)]
pub(super) struct FrontEndLog {
    log: Option<Arc<DirtyLog>>,
    signal: Option<OwnedFd>,
    /// LOG_ALL is acknowledged.
    wanted: bool,
    /// A ring was started while a log was wanted and there was none.
    has_gaps: bool,
}

impl FrontEndLog {
    /// The log, if it is in force.
    fn in_force(&self) -> Option<&Arc<DirtyLog>> {
        self.log.as_ref().filter(|_| self.wanted)
    }
}

impl Connection {
    /// Follows LOG_ALL.
    pub(super) fn features_acknowledged(&mut self, acked: u64) -> Result<(), Closed> {
        let wanted = acked & features::LOG_ALL != 0;
        if wanted == self.dirty.wanted {
            return Ok(());
        }
        if wanted {
            match &self.dirty.log {
                Some(log) => {
                    if let Err(what) = self.check_log(log) {
                        return self.refuse_log(&what);
                    }
                }
                None if self.rings.iter().any(|ring| ring.running.is_some()) => {
                    return self.refuse_log("writes are to be logged and there is no dirty log");
                }
                None => {}
            }
            self.dirty.wanted = true;
            self.spread_log();
        } else {
            self.dirty.wanted = false;
            self.spread_log();
            // Nobody else has it any more, so this is the end of its mapping.
            self.dirty = FrontEndLog::default();
        }
        Ok(())
    }

    /// Takes a log, perhaps in place of another that is in use.
    pub(super) fn set_log_base(&mut self, area: LogArea) -> Result<(), Closed> {
        let LogArea { bytes, file_offset, file } = area;
        let log = match DirtyLog::map(file.as_fd(), file_offset, bytes) {
            Ok(log) => Arc::new(log),
            Err(error) => return self.refuse_log(&error.to_string()),
        };
        if self.dirty.wanted
            && let Err(what) = self.check_log(&log)
        {
            return self.refuse_log(&what);
        }
        let old = self.dirty.log.replace(Arc::clone(&log));
        self.spread_log();
        drop(old);
        if std::mem::take(&mut self.dirty.has_gaps) {
            log.mark_all(&self.memory);
        }
        Ok(())
    }

    /// Takes the descriptor that is to be told of new marks.
    pub(super) fn set_log_fd(&mut self, signal: OwnedFd) -> Result<(), Closed> {
        must_be_eventfd(&signal)?;
        self.dirty.signal = Some(signal);
        self.spread_log();
        Ok(())
    }

    /// Follows a ring's own flag.
    pub(super) fn log_ring(&mut self, index: u16, used: Option<u64>) -> Result<(), Closed> {
        let Some(running) = self.running(index) else { return Ok(()) };
        if let (Some(log), Some(used)) = (self.dirty.in_force(), used)
            && let Err(what) = covers_ring(log, index, used, running.config.used_bytes())
        {
            return self.refuse_log(&what);
        }
        if let Some(running) = self.rings.get_mut(usize::from(index)).and_then(|slot| slot.running.as_mut()) {
            running.used_log = used;
        }
        if let (Some(running), Some(_)) = (self.running(index), self.dirty.in_force()) {
            self.tell_log(running);
        }
        Ok(())
    }

    /// Whether a memory map may be put in force.
    pub(super) fn check_memory_is_logged(&self, memory: &GuestMemory) -> Result<(), String> {
        self.dirty.in_force().map_or(Ok(()), |log| covers_memory(log, memory))
    }

    /// What a ring is to have that is about to start, and whose used ring is logged at `used`.
    pub(super) fn logging_of_new_ring(
        &mut self,
        index: u16,
        used: Option<u64>,
        used_bytes: u64,
    ) -> Result<Option<Logging>, String> {
        self.dirty.has_gaps |= self.dirty.wanted && self.dirty.log.is_none();
        if let (Some(log), Some(used)) = (self.dirty.in_force(), used) {
            covers_ring(log, index, used, used_bytes)?;
        }
        Ok(self.logging(used))
    }

    fn logging(&self, used: Option<u64>) -> Option<Logging> {
        let log = Arc::clone(self.dirty.in_force()?);
        // Without a descriptor to spare the marks are there all the same.
        let signal = self.dirty.signal.as_ref().and_then(|signal| signal.try_clone().ok());
        Some(Logging { log, used: used.map(GuestAddress), signal, line: Arc::clone(&self.line) })
    }

    /// Checks that a log covers all that would be marked in it.
    fn check_log(&self, log: &DirtyLog) -> Result<(), String> {
        covers_memory(log, &self.memory)?;
        for (index, ring) in (0_u16..).zip(&self.rings) {
            if let Some(running) = &ring.running
                && let Some(used) = running.used_log
            {
                covers_ring(log, index, used, running.config.used_bytes())?;
            }
        }
        Ok(())
    }

    /// Has the log as it is now in force on every ring that runs, and returns when it is.
    fn spread_log(&self) {
        for running in self.rings.iter().filter_map(|ring| ring.running.as_ref()) {
            self.tell_log(running);
        }
    }

    fn tell_log(&self, running: &Running) {
        let (done, answer) = mpsc::channel();
        let logging = self.logging(running.used_log).map(Box::new);
        send(&running.post, LetterKind::SetLogging { key: running.key, logging, done });
        let _ = answer.recv();
    }

    fn refuse_log(&mut self, what: &str) -> Result<(), Closed> {
        self.warn(what);
        Ok(self.session.failed()?)
    }
}

fn covers_memory(log: &DirtyLog, memory: &GuestMemory) -> Result<(), String> {
    let (bytes, covered, end) = (log.bytes(), log.covered_end(), memory.end());
    if end <= covered {
        return Ok(());
    }
    Err(format!(
        "the dirty log of {bytes} bytes covers guest addresses below {covered:#x}, \
         and the guest's memory ends at {end:#x}"
    ))
}

fn covers_ring(log: &DirtyLog, index: u16, used: u64, used_bytes: u64) -> Result<(), String> {
    let (bytes, covered) = (log.bytes(), log.covered_end());
    if used.checked_add(used_bytes).is_some_and(|end| end <= covered) {
        return Ok(());
    }
    Err(format!(
        "the dirty log of {bytes} bytes covers guest addresses below {covered:#x}, \
         and the used ring of ring {index} is logged at {used:#x} with {used_bytes} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::{covers_memory, covers_ring};
    use memory::{DirtyLog, GuestAddress, GuestMemory, RegionSpec, UserAddress};
    use std::os::fd::AsFd;

    fn memfd(bytes: u64) -> std::os::fd::OwnedFd {
        let file = rustix::fs::memfd_create("dirty-log", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, bytes).unwrap();
        file
    }

    #[test]
    fn a_refusal_names_the_numbers() {
        let log = DirtyLog::map(memfd(16).as_fd(), 0, 16).unwrap();
        let memory = |bytes| {
            let (guest, user) = (GuestAddress(0x1000), UserAddress(0x1000));
            let region = RegionSpec { guest, user, bytes, file_offset: 0, file: memfd(bytes) };
            GuestMemory::from_regions(vec![region]).unwrap()
        };
        assert_eq!(covers_memory(&log, &memory(0x7_f000)), Ok(()));
        let text = "the dirty log of 16 bytes covers guest addresses below 0x80000, \
                    and the guest's memory ends at 0x80001";
        assert_eq!(covers_memory(&log, &memory(0x7_f001)), Err(text.to_owned()));
        assert_eq!(covers_ring(&log, 2, 0x7_fffa, 6), Ok(()));
        let text = "the dirty log of 16 bytes covers guest addresses below 0x80000, \
                    and the used ring of ring 2 is logged at 0x7fffb with 6 bytes";
        assert_eq!(covers_ring(&log, 2, 0x7_fffb, 6), Err(text.to_owned()));
        assert!(covers_ring(&log, 2, u64::MAX, 6).is_err());
    }
}
