// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines of the log between those who say them and the one thread that writes them.
//!
//! Above: `logging`, and through `tracing` every thread.  Below: nothing.
//! Never here: what a line says, and where it goes.
//!
//! Whoever says a line never waits for who reads it: a reactor that did would hold up guests for a pipe that is full.  What
//! finds no room is counted, and the count is told where those lines would have been.
//!
//! `tracing-appender` has such a thread too.  Where its queue is full at the end it says so by `println!`, which waits for the
//! same reader, and nobody tells in the log how many lines are not there.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait to be written, in bytes; as much again may be under way.  Ten thousand lines or so: more than are said
/// at once by a start that finds every disk missing, of which the thread writes most meanwhile.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How much memory is kept for the lines to come when all are written, in bytes.
const KEPT_BYTES: usize = 16 << 10;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    more: Condvar,
    /// There is nothing to write any more.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines that found no room after `text`.
    lost: u64,
    /// Whether something that was taken is not written yet.
    is_writing: bool,
}

impl Lines {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a line written, or several, that end with a newline; without room none of it.  Never waits for the reader.
    pub(super) fn put(&self, text: &[u8]) {
        let mut waiting = self.waiting();
        // Once one is lost so are the next, until the rest is taken: the gap is in one place.
        if waiting.lost > 0 || waiting.text.len() + text.len() > WAITING_BYTES_MAX {
            waiting.lost += 1;
            drop(waiting);
            // Where nothing waits, the count alone is to be told.
            self.more.notify_one();
            return;
        }
        waiting.text.extend_from_slice(text);
        drop(waiting);
        self.more.notify_one();
    }

    /// Has the last words written, behind all that waits and whatever the room: they say why there are no more.
    pub(super) fn put_last(&self, text: &[u8]) {
        self.waiting().text.extend_from_slice(text);
        self.more.notify_one();
    }

    /// Waits until all is written that was said before, for `patience` at most.
    pub(super) fn settle(&self, patience: Duration) {
        let is_left =
            |waiting: &mut Waiting| waiting.is_writing || !waiting.text.is_empty() || waiting.lost > 0;
        let _ = self.settled.wait_timeout_while(self.waiting(), patience, is_left);
    }

    /// Writes what comes to `out`, for ever.  `notice` is the line that says how many lines are not there: it is written once
    /// the next can be, and again after that until it was.
    pub(super) fn write_to(&self, out: &mut impl Write, notice: impl Fn(u64) -> Vec<u8>) -> ! {
        let (mut text, mut lost) = (Vec::new(), 0);
        loop {
            lost += self.take(&mut text);
            let failed = write_lines(out, &text);
            lost += failed;
            if lost > 0 && failed == 0 && write_lines(out, &notice(lost)) == 0 {
                lost = 0;
            }
            text.clear();
            text.shrink_to(KEPT_BYTES);
        }
    }

    /// Waits for lines and takes them all, in place of `text`, which was written.  Returns how many were lost after them.
    fn take(&self, text: &mut Vec<u8>) -> u64 {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        if waiting.text.is_empty() {
            self.settled.notify_all();
        }
        let is_empty = |waiting: &mut Waiting| waiting.text.is_empty() && waiting.lost == 0;
        let mut waiting = self.more.wait_while(waiting, is_empty).unwrap_or_else(PoisonError::into_inner);
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.text, text);
        std::mem::take(&mut waiting.lost)
    }
}

/// Writes each line by itself, as a reader of lines likes it, and returns how many could not be written.
fn write_lines(out: &mut impl Write, text: &[u8]) -> u64 {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| u64::from(out.write_all(line).is_err())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, ErrorKind};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Long enough for a machine that is busy.
    const LONG: Duration = Duration::from_secs(60);

    /// Somewhere to write, where the test says what comes of each write.
    struct Reader {
        asked: Sender<String>,
        answers: Receiver<io::Result<()>>,
    }

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(String::from_utf8_lossy(text).into_owned());
            // A test that has ended wants nothing more.
            self.answers.recv().unwrap_or(Ok(()))?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lines, what the reader is given and has to answer, and what is told.
    struct Scene {
        lines: Arc<Lines>,
        written: Receiver<String>,
        answer: Sender<io::Result<()>>,
    }

    fn scene() -> Scene {
        let lines = Arc::new(Lines::default());
        let (asked, written) = channel();
        let (answer, answers) = channel();
        let theirs = Arc::clone(&lines);
        std::thread::spawn(move || {
            theirs.write_to(&mut Reader { asked, answers }, |lost| format!("{lost} lost\n").into_bytes())
        });
        Scene { lines, written, answer }
    }

    impl Scene {
        fn next(&self) -> String {
            self.written.recv_timeout(LONG).expect("something is written")
        }
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_told_of_where_they_would_have_been() {
        let scene = scene();
        scene.lines.put(b"first\n");
        assert_eq!(scene.next(), "first\n");
        // The reader reads no more: a mebibyte waits.
        let long = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..1024 {
            scene.lines.put(&long);
        }
        for _ in 0..7 {
            scene.lines.put(b"no room\n");
        }
        // Those, what was held back, and the word about what is not there.
        for _ in 0..1026 {
            scene.answer.send(Ok(())).unwrap();
        }
        for _ in 0..1024 {
            assert_eq!(scene.next().as_bytes(), long);
        }
        assert_eq!(scene.next(), "7 lost\n");
        scene.lines.put(b"last\n");
        assert_eq!(scene.next(), "last\n");
    }

    #[test]
    fn a_line_that_is_too_long_by_itself_is_counted_and_last_words_find_room() {
        let scene = scene();
        for _ in 0..2 {
            scene.answer.send(Ok(())).unwrap();
        }
        scene.lines.put(&vec![b'x'; (1 << 20) + 1]);
        assert_eq!(scene.next(), "1 lost\n");
        scene.lines.put(b"next\n");
        assert_eq!(scene.next(), "next\n");
        // Nobody reads, and there is no room.
        scene.lines.put(b"held\n");
        assert_eq!(scene.next(), "held\n");
        scene.lines.put(&vec![b'y'; 1 << 20]);
        scene.lines.put(b"lost\n");
        scene.lines.put_last(b"\nwhy\n");
        for _ in 0..4 {
            scene.answer.send(Ok(())).unwrap();
        }
        assert_eq!(scene.next().len(), (1 << 20) + 1);
        assert_eq!(scene.next(), "why\n");
        assert_eq!(scene.next(), "1 lost\n");
    }

    #[test]
    fn lines_that_cannot_be_written_are_told_of_when_the_next_can() {
        let scene = scene();
        for (line, answer) in
            [("a\n", Err(ErrorKind::StorageFull)), ("b\n", Err(ErrorKind::StorageFull)), ("c\n", Ok(()))]
        {
            scene.answer.send(answer.map_err(io::Error::from)).unwrap();
            scene.lines.put(line.as_bytes());
            assert_eq!(scene.next(), line);
            if line != "c\n" {
                scene.lines.settle(LONG);
            }
        }
        scene.answer.send(Ok(())).unwrap();
        assert_eq!(scene.next(), "2 lost\n");
    }

    #[test]
    fn a_word_about_lost_lines_that_cannot_be_written_is_said_again() {
        let scene = scene();
        let full = || Err(io::Error::from(ErrorKind::StorageFull));
        scene.answer.send(full()).unwrap();
        scene.lines.put(b"a\n");
        assert_eq!(scene.next(), "a\n");
        scene.lines.settle(LONG);
        for (line, notice) in [("b\n", full()), ("c\n", Ok(()))] {
            scene.answer.send(Ok(())).unwrap();
            scene.answer.send(notice).unwrap();
            scene.lines.put(line.as_bytes());
            assert_eq!(scene.next(), line);
            assert_eq!(scene.next(), "1 lost\n", "what could not be said is still true");
            scene.lines.settle(LONG);
        }
        scene.answer.send(Ok(())).unwrap();
        scene.lines.put(b"d\n");
        assert_eq!(scene.next(), "d\n");
        scene.lines.settle(LONG);
        assert!(scene.written.try_recv().is_err(), "once it was said it is over");
    }

    #[test]
    fn an_end_waits_for_what_is_being_written_and_for_a_reader_that_stopped_no_longer_than_it_may() {
        let scene = scene();
        scene.lines.put(b"last\n");
        assert_eq!(scene.next(), "last\n");
        let begun = std::time::Instant::now();
        scene.lines.settle(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20), "it was not written yet");
        scene.answer.send(Ok(())).unwrap();
        scene.lines.settle(LONG);
        assert!(begun.elapsed() < LONG);
    }
}
