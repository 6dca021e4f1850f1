// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells the service manager that the daemon lives, as long as each of its threads that matter answers.
//!
//! Above: `daemon`, where the service manager asks for it.  Below: the threads' own mailboxes.
//! Never here: a disk.  Whoever waits for one without being stuck answers all the same, or is excused.
//!
//! A thread is asked through its mailbox and answers from its loop, so a thread that sleeps is woken, and one that
//! goes round in its loop without looking at its mail is found out too.  Who has not answered is not asked again.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tracing::warn;

/// One thread that has to answer.
pub struct Probe {
    name: String,
    ask: Box<dyn Fn(Sender<()>) + Send>,
    excused: Box<dyn Fn() -> bool + Send>,
    answer: Option<Receiver<()>>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Probe {
    /// A thread called `name`, which `ask` makes answer.
    pub fn new(name: impl Into<String>, ask: impl Fn(Sender<()>) + Send + 'static) -> Self {
        Self { name: name.into(), ask: Box::new(ask), excused: Box::new(|| false), answer: None }
    }

    /// While `excused` says so it need not answer.
    #[must_use]
    pub fn excused(self, excused: impl Fn() -> bool + Send + 'static) -> Self {
        Self { excused: Box::new(excused), ..self }
    }

    fn ask(&mut self) {
        if self.answer.is_none() {
            let (sender, answer) = mpsc::channel();
            (self.ask)(sender);
            self.answer = Some(answer);
        }
    }

    /// Whether it has answered by then.
    fn lives(&mut self, until: Instant) -> bool {
        let Some(answer) = &self.answer else { return false };
        match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(()) => {
                self.answer = None;
                true
            }
            Err(RecvTimeoutError::Timeout) => (self.excused)(),
            // It threw the question away.  It is asked again.
            Err(RecvTimeoutError::Disconnected) => {
                self.answer = None;
                (self.excused)()
            }
        }
    }
}

/// The watch, as long as this lives.
#[derive(Debug)]
pub struct Watchdog {
    _ends: Sender<()>,
}

/// Begins to watch, on a thread of its own.  `alive` is called at once and then twice in every `timeout`, unless
/// somebody does not answer.
///
/// # Errors
/// Those of starting a thread.
pub fn start(
    timeout: Duration,
    probes: Vec<Probe>,
    alive: impl FnMut() + Send + 'static,
) -> io::Result<Watchdog> {
    let (ends, end) = mpsc::channel();
    Builder::new().name("watchdog".to_owned()).spawn(move || watch(timeout / 2, probes, &end, alive))?;
    Ok(Watchdog { _ends: ends })
}

fn watch(interval: Duration, mut probes: Vec<Probe>, end: &Receiver<()>, mut alive: impl FnMut()) {
    let mut told: Vec<String> = Vec::new();
    loop {
        let tick = Instant::now() + interval;
        probes.iter_mut().for_each(Probe::ask);
        let silent: Vec<String> =
            probes.iter_mut().filter_map(|probe| (!probe.lives(tick)).then(|| probe.name.clone())).collect();
        if end.try_recv() == Err(TryRecvError::Disconnected) {
            return;
        }
        if silent.is_empty() {
            alive();
        } else if silent != told {
            warn!(
                "no sign of life from {}: the service manager is told nothing until there is",
                silent.join(", ")
            );
        }
        told = silent;
        if end.recv_timeout(tick.saturating_duration_since(Instant::now())) != Err(RecvTimeoutError::Timeout)
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Probe, start};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::{Duration, Instant};

    const TIMEOUT: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Longer than any watchdog that works is silent.
    const SILENCE: Duration = Duration::from_millis(400);

    fn prompt() -> Probe {
        Probe::new("prompt", |answer| answer.send(()).unwrap())
    }

    /// A reactor whose loop has stopped: it keeps what it is asked.
    fn stuck() -> (Probe, Arc<Mutex<Vec<mpsc::Sender<()>>>>) {
        let mail = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mail);
        (Probe::new("reactor-1", move |answer| kept.lock().unwrap().push(answer)), mail)
    }

    fn signs(probes: Vec<Probe>) -> (super::Watchdog, mpsc::Receiver<()>) {
        let (sender, signs) = mpsc::channel();
        let watchdog = start(TIMEOUT, probes, move || {
            let _ = sender.send(());
        });
        (watchdog.unwrap(), signs)
    }

    /// Whether the signs end.
    fn cease(signs: &mpsc::Receiver<()>) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if signs.recv_timeout(SILENCE).is_err() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_sign_comes_at_once_and_then_again_and_again() {
        let (_watchdog, signs) = signs(vec![prompt(), prompt()]);
        for _ in 0..4 {
            signs.recv_timeout(PATIENCE).unwrap();
        }
    }

    #[test]
    fn no_sign_comes_while_one_of_many_is_stuck_and_it_is_asked_once() {
        let (stuck, mail) = stuck();
        let (_watchdog, signs) = signs(vec![prompt(), stuck, prompt()]);
        assert!(signs.recv_timeout(SILENCE).is_err());
        assert_eq!(mail.lock().unwrap().len(), 1);
        // It goes on, and so do the signs, as long as it answers.
        mail.lock().unwrap().pop().unwrap().send(()).unwrap();
        signs.recv_timeout(PATIENCE).unwrap();
        assert!(cease(&signs));
        assert_eq!(mail.lock().unwrap().len(), 1);
    }

    #[test]
    fn whoever_throws_the_question_away_has_not_answered() {
        let (_watchdog, signs) = signs(vec![Probe::new("gone", drop)]);
        assert!(signs.recv_timeout(SILENCE).is_err());
    }

    #[test]
    fn whoever_waits_for_a_disk_is_excused_for_as_long_as_it_does() {
        let (stuck, _mail) = stuck();
        let saves = Arc::new(AtomicBool::new(true));
        let excuse = Arc::clone(&saves);
        let (_watchdog, signs) = signs(vec![stuck.excused(move || excuse.load(Ordering::SeqCst))]);
        signs.recv_timeout(PATIENCE).unwrap();
        saves.store(false, Ordering::SeqCst);
        assert!(cease(&signs));
    }

    #[test]
    fn the_watch_ends_with_its_value() {
        let (watchdog, signs) = signs(vec![prompt()]);
        signs.recv_timeout(PATIENCE).unwrap();
        drop(watchdog);
        let mut last = signs.recv_timeout(PATIENCE);
        while last.is_ok() {
            last = signs.recv_timeout(PATIENCE);
        }
        assert_eq!(last, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
