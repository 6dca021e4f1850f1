// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The thread and its loop.
//!
//! Above: `lunard`, which starts one for each core it may use.
//! Below: `submitter`.
//! Never here: a lock that is contended, or a call that blocks anywhere but in the one sleep.

use crate::poll_budget::PollBudget;
use crate::submitter::{Arrival, Submitter};
use crate::{Post, Work};
use exec::mailbox::{Receiver, Wake, mailbox};
use io_uring::IoUring;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Entries that may be queued in one round before a system call in between.
const SUBMISSIONS_MAX: u32 = 256;
/// Completions the ring keeps; the kernel keeps any more by itself.
const COMPLETIONS_MAX: u32 = 4096;
/// Completions taken in one round, so that a busy disk cannot keep the rings waiting.
const COMPLETIONS_A_ROUND: usize = 256;
/// Messages taken in one round, so that a front end that never stops talking cannot either.
const MAIL_A_ROUND: usize = 64;
/// The stack of a reactor thread in bytes.  The loop is flat.
const STACK_BYTES: usize = 512 * 1024;

/// Why a reactor did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel or its administrator forbids io_uring.
    #[error(
        "io_uring is not permitted here ({0}); set the sysctl kernel.io_uring_disabled to 0, or allow io_uring_setup in the seccomp profile"
    )]
    Forbidden(io::Error),
    /// The kernel is too old.
    #[error("io_uring of this kernel lacks what Lunar needs ({0}); Linux 6.1 or newer is required")]
    TooOld(io::Error),
    /// Anything else.
    #[error("cannot start a reactor: {0}")]
    Other(#[from] io::Error),
}

/// A running reactor.
pub struct Handle<W: Work> {
    post: Post<W>,
    _thread: JoinHandle<()>,
}

impl<W: Work> Handle<W> {
    /// How to reach it.
    pub fn post(&self) -> &Post<W> {
        &self.post
    }
}

struct EventfdWake(Arc<OwnedFd>);

impl Wake for EventfdWake {
    fn wake(&self) {
        // It cannot fail but by a full counter, and then the owner is about to wake anyway.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// Starts a thread called `name` whose work is what `make` returns.  `make` runs on that thread and is given
/// the way to reach it.
///
/// # Errors
/// [`StartError`] when the kernel gives no io_uring or no thread.
pub fn spawn<W: Work>(
    name: String,
    make: impl FnOnce(Post<W>) -> W + Send + 'static,
) -> Result<Handle<W>, StartError> {
    let mail_eventfd =
        Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?);
    let (post, receiver) = mailbox(Box::new(EventfdWake(Arc::clone(&mail_eventfd))));
    let (started, start) = mpsc::channel();
    let own_post = post.clone();
    let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
        // The ring belongs to the thread that made it (IORING_SETUP_SINGLE_ISSUER).
        match build_ring() {
            Ok(ring) => {
                let _ = started.send(Ok(()));
                let submitter = Submitter::new(ring);
                Loop {
                    submitter,
                    receiver,
                    mail_eventfd,
                    work: make(own_post),
                    budget: PollBudget::default(),
                }
                .run();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    match start.recv() {
        Ok(Ok(())) => Ok(Handle { post, _thread: thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Other(io::Error::other("the reactor thread ended at once"))),
    }
}

pub(crate) fn build_ring() -> Result<IoUring, StartError> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS_MAX)
        .build(SUBMISSIONS_MAX)
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => StartError::Forbidden(error),
            Some(Errno::INVAL) => StartError::TooOld(error),
            _ => StartError::Other(error),
        })
}

struct Loop<W: Work> {
    submitter: Submitter,
    receiver: Receiver<W::Mail>,
    mail_eventfd: Arc<OwnedFd>,
    work: W,
    budget: PollBudget,
}

impl<W: Work> Loop<W> {
    /// Runs for the life of the process: a reactor has nothing to say at the end, because the process may
    /// be killed at any point and nothing may be lost by it.
    fn run(mut self) -> ! {
        self.watch_mail();
        let mut last_work = Instant::now();
        loop {
            if self.round() {
                last_work = Instant::now();
                continue;
            }
            if last_work.elapsed() < self.budget.get() {
                std::hint::spin_loop();
                continue;
            }
            self.sleep(last_work);
            last_work = Instant::now();
        }
    }

    /// One round; returns whether there was anything to do.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for _ in 0..MAIL_A_ROUND {
            let Some(mail) = self.receiver.take() else { break };
            self.work.mail(&mut self.submitter, mail);
            busy = true;
        }
        busy |= self.work.poll(&mut self.submitter);
        busy |= self.take_completions();
        self.run_timers();
        self.work.publish(&mut self.submitter);
        // Last, so that the notifications of this round leave with it.
        if self.submitter.is_pending() || self.submitter.ring.submission().taskrun() {
            self.enter(0, None);
        }
        busy
    }

    fn take_completions(&mut self) -> bool {
        let mut busy = false;
        for _ in 0..COMPLETIONS_A_ROUND {
            // One at a time, because what it leads to may queue more and needs the ring for that.
            let Some(entry) = self.submitter.ring.completion().next() else { break };
            busy = true;
            match Submitter::arrival(entry.user_data(), entry.result(), entry.flags()) {
                Arrival::ForWork(event) => self.work.event(&mut self.submitter, event),
                Arrival::Mail { again: true } => self.watch_mail(),
                Arrival::Mail { again: false } | Arrival::Nothing => {}
            }
        }
        busy
    }

    fn run_timers(&mut self) {
        let Some(deadline) = self.work.deadline() else { return };
        let now = Instant::now();
        if deadline <= now {
            self.work.expired(&mut self.submitter, now);
        }
    }

    /// Sleeps until there is something to do; there has been nothing since `idle_since`.
    fn sleep(&mut self, idle_since: Instant) {
        if !self.receiver.park() {
            return;
        }
        if self.work.arm() {
            self.receiver.unpark();
            self.work.disarm();
            return;
        }
        let start = Instant::now();
        let timeout = self.work.deadline().map(|deadline| deadline.saturating_duration_since(start));
        self.enter(1, timeout);
        self.receiver.unpark();
        self.work.disarm();
        self.budget.waited(idle_since.elapsed());
    }

    /// Hands over what is queued, lets the kernel run what it deferred, and waits for `want` completions.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) {
        let timespec = timeout.map(io_uring::types::Timespec::from);
        let mut args = io_uring::types::SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        let submitter = self.submitter.ring.submitter();
        let result = if want == 0 { submitter.submit() } else { submitter.submit_with_args(want, &args) };
        match result {
            Ok(_) => self.submitter.handed_over(),
            // ETIME: the timer.  EINTR: a signal.  EBUSY and EAGAIN: completions first, which come next.
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {}
                _ => panic!("io_uring_enter failed in a way that it never may: {error}"),
            },
        }
    }

    fn watch_mail(&mut self) {
        // SAFETY: the loop owns the eventfd and never ends.
        unsafe { self.submitter.watch_mail(self.mail_eventfd.as_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::spawn;
    use crate::{Event, IoTag, KickTag, Post, Submitter, Work, opcode, types};
    use rustix::event::{EventfdFlags, eventfd};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::sync::{Arc, mpsc};
    use std::time::{Duration, Instant};

    const PATIENCE: Duration = Duration::from_secs(10);

    enum Mail {
        Watch(Arc<OwnedFd>, KickTag),
        Unwatch(KickTag),
        KickAndUnwatch(Arc<OwnedFd>, KickTag),
        Nop(IoTag),
        Notify(Arc<OwnedFd>),
        Timer(Duration),
    }

    struct Recorder {
        report: mpsc::Sender<String>,
        kept: Vec<Arc<OwnedFd>>,
        timer: Option<Instant>,
    }

    impl Work for Recorder {
        type Mail = Mail;
        fn mail(&mut self, submitter: &mut Submitter, mail: Mail) {
            match mail {
                // SAFETY: `kept` keeps the descriptor open.
                Mail::Watch(fd, tag) => unsafe {
                    submitter.watch(fd.as_fd(), tag);
                    self.kept.push(fd);
                    self.report.send("watching".into()).unwrap();
                },
                Mail::Unwatch(tag) => submitter.unwatch(tag),
                Mail::KickAndUnwatch(fd, tag) => {
                    rustix::io::write(&*fd, &1_u64.to_ne_bytes()).unwrap();
                    submitter.unwatch(tag);
                }
                // SAFETY: a no-op points at nothing.
                Mail::Nop(tag) => unsafe { submitter.push_io(opcode::Nop::new().build(), tag) },
                // SAFETY: `kept` keeps the descriptor open.
                Mail::Notify(fd) => unsafe {
                    submitter.notify(fd.as_fd());
                    self.kept.push(fd);
                },
                Mail::Timer(after) => self.timer = Some(Instant::now() + after),
            }
        }
        fn poll(&mut self, _: &mut Submitter) -> bool {
            false
        }
        fn event(&mut self, _: &mut Submitter, event: Event) {
            self.report.send(format!("{event:?}")).unwrap();
        }
        fn publish(&mut self, _: &mut Submitter) {}
        fn arm(&mut self) -> bool {
            false
        }
        fn disarm(&mut self) {}
        fn deadline(&self) -> Option<Instant> {
            self.timer
        }
        fn expired(&mut self, _: &mut Submitter, _: Instant) {
            self.timer = None;
            self.report.send("expired".into()).unwrap();
        }
    }

    fn start() -> (super::Handle<Recorder>, mpsc::Receiver<String>) {
        start_as("test")
    }

    fn start_as(name: &str) -> (super::Handle<Recorder>, mpsc::Receiver<String>) {
        let (report, reports) = mpsc::channel();
        let make = move |_: Post<Recorder>| Recorder { report, kept: Vec::new(), timer: None };
        (spawn(name.into(), make).unwrap(), reports)
    }

    fn an_eventfd() -> Arc<OwnedFd> {
        Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap())
    }

    #[test]
    fn a_sleeping_reactor_takes_mail_and_reports_io() {
        let (reactor, reports) = start();
        for operation in 0..600 {
            reactor.post().send(Mail::Nop(IoTag { channel: 3, operation })).ok().unwrap();
        }
        for operation in 0..600 {
            assert_eq!(
                reports.recv_timeout(PATIENCE).unwrap(),
                format!("Io(IoTag {{ channel: 3, operation: {operation} }}, 0)")
            );
        }
    }

    #[test]
    fn a_kick_is_an_event_each_time_without_anyone_reading_it() {
        let (reactor, reports) = start();
        let kick = an_eventfd();
        reactor.post().send(Mail::Watch(Arc::clone(&kick), KickTag { key: 5, generation: 9 })).ok().unwrap();
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "watching");
        for _ in 0..3 {
            rustix::io::write(&*kick, &1_u64.to_ne_bytes()).unwrap();
            assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "Kicked(KickTag { key: 5, generation: 9 })");
        }
        reactor.post().send(Mail::Unwatch(KickTag { key: 5, generation: 9 })).ok().unwrap();
        assert_eq!(
            reports.recv_timeout(PATIENCE).unwrap(),
            "KickEnded(KickTag { key: 5, generation: 9 }, -125)"
        );
    }

    #[test]
    fn a_kick_at_the_moment_of_the_end_does_not_keep_the_watch() {
        let (reactor, reports) = start();
        let kick = an_eventfd();
        let tag = KickTag { key: 5, generation: 9 };
        reactor.post().send(Mail::Watch(Arc::clone(&kick), tag)).ok().unwrap();
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "watching");
        reactor.post().send(Mail::KickAndUnwatch(kick, tag)).ok().unwrap();
        while !reports.recv_timeout(PATIENCE).unwrap().starts_with("KickEnded") {}
    }

    #[test]
    fn a_notification_that_cannot_be_taken_is_not_kept() {
        let (reactor, _reports) = start();
        let call = an_eventfd();
        rustix::io::write(&*call, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        reactor.post().send(Mail::Notify(Arc::clone(&call))).ok().unwrap();
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            std::thread::yield_now();
        }
        let mut count = [0; 8];
        rustix::io::read(&*call, &mut count).unwrap();
        let mut poll = [rustix::event::PollFd::new(&*call, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
        assert_eq!(rustix::event::poll(&mut poll, Some(&timeout)).unwrap(), 0, "it was written later");
    }

    #[test]
    fn a_descriptor_that_cannot_be_polled_ends_at_once() {
        let (reactor, reports) = start();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(writer);
        reactor.post().send(Mail::Watch(Arc::new(reader), KickTag { key: 1, generation: 1 })).ok().unwrap();
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "watching");
        let first = reports.recv_timeout(PATIENCE).unwrap();
        assert!(first.starts_with("Kick"), "{first}");
    }

    #[test]
    fn a_notification_reaches_the_eventfd() {
        let (reactor, _reports) = start();
        let call = an_eventfd();
        reactor.post().send(Mail::Notify(Arc::clone(&call))).ok().unwrap();
        let mut poll = [rustix::event::PollFd::new(&*call, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut poll, Some(&timeout)).unwrap(), 1);
        let mut count = [0; 8];
        rustix::io::read(&*call, &mut count).unwrap();
        assert_eq!(count, [1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_timer_ends_the_sleep() {
        let (reactor, reports) = start();
        reactor.post().send(Mail::Timer(Duration::from_millis(20))).ok().unwrap();
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), "expired");
    }

    #[test]
    fn an_idle_reactor_uses_no_cpu() {
        let (reactor, reports) = start_as("at-rest");
        reactor.post().send(Mail::Nop(IoTag { channel: 0, operation: 0 })).ok().unwrap();
        reports.recv_timeout(PATIENCE).unwrap();
        let fd = types::Fd(an_eventfd().as_raw_fd());
        assert!(fd.0 >= 0);
        let before = busy_ticks();
        // An interval to measure over, not a wait for something to happen.
        std::thread::sleep(Duration::from_millis(500));
        assert!(busy_ticks() - before <= 2, "ticks: {}", busy_ticks() - before);
    }

    /// User and system time of the thread called `at-rest`, in clock ticks.
    fn busy_ticks() -> u64 {
        let mut ticks = 0;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
            let Some((_, after)) = stat.split_once("(at-rest) ") else { continue };
            let fields: Vec<&str> = after.split(' ').collect();
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
        ticks
    }
}
