// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Picking a node of the tree on the whole screen: what `cd` without a path does on a terminal.
//!
//! Above: `interactive`.  Below: `crossterm`, which draws; the terminal.
//! Never here: how a line of the tree looks, or what follows from a choice.

mod keys; // what a terminal sends, and what it means

use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{QueueableCommand, cursor};
use keys::Keys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::termios::tcgetwinsize;
use shell::{Outline, OutlineLine};
use std::io::{self, Write};

/// What is written below the tree.
const KEYS: &str = "arrows and page keys move, Enter goes there, q stays";

/// The fewest rows of a screen that has room for [`KEYS`].
const ROWS_WITH_KEYS: usize = 3;

/// What a terminal is taken for that does not know its size: columns and rows.
const SIZE: (u16, u16) = (80, 24);

/// How long no key is waited for before the size of the screen is looked at again, in nanoseconds.
const LOOK_AGAIN_NANOSECONDS: i64 = 100_000_000;

/// How long the next byte of a key is waited for, in nanoseconds; after that, ESC was the key.
const REST_OF_A_KEY_NANOSECONDS: i64 = 50_000_000;

/// Shows the lines, the one at `start` marked, until one is chosen.  Returns its place, or nothing where it was left.
///
/// # Errors
/// The terminal cannot be read or written; it is as it was before.
pub(crate) fn pick(outline: &Outline<'_>, start: usize) -> io::Result<Option<usize>> {
    let screen = Screen::take()?;
    let picked = follow_keys(outline, start);
    drop(screen);
    picked
}

/// The whole screen, until it is dropped.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on it is given back.
        let screen = Self;
        let mut out = io::stdout().lock();
        out.queue(EnterAlternateScreen)?.queue(cursor::Hide)?.queue(DisableLineWrap)?;
        out.flush()?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let restore = || -> io::Result<()> {
            let mut out = io::stdout().lock();
            out.queue(EnableLineWrap)?.queue(cursor::Show)?.queue(LeaveAlternateScreen)?;
            out.flush()
        };
        // A terminal that has gone needs neither.
        let _ = restore();
        let _ = disable_raw_mode();
    }
}

fn follow_keys(outline: &Outline<'_>, start: usize) -> io::Result<Option<usize>> {
    let mut size = size();
    let mut lines = outline(size.0);
    let mut view = View { at: start.min(lines.len().saturating_sub(1)), top: 0, rows: size.1.into() };
    // Once on a clean screen; then line over line, so that nothing flickers.
    view.draw(&lines, true)?;
    let mut keys = Keys::default();
    loop {
        match next(&mut keys)? {
            Turn::Nothing if size == self::size() => continue,
            Turn::Nothing => {
                size = self::size();
                lines = outline(size.0);
                view.rows = size.1.into();
                view.draw(&lines, true)?;
            }
            Turn::Step(Step::Move(to)) => {
                view.go(to, lines.len());
                view.draw(&lines, false)?;
            }
            Turn::Step(Step::Choose) => return Ok(Some(view.at)),
            Turn::Step(Step::Leave) | Turn::Gone => return Ok(None),
        }
    }
}

/// Columns and rows as they are now.
fn size() -> (u16, u16) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE,
    }
}

/// What was waited for.
enum Turn {
    Step(Step),
    /// No key that means anything; the screen may have another size.
    Nothing,
    /// The terminal is gone.
    Gone,
}

impl Turn {
    fn of(step: Option<Step>) -> Self {
        step.map_or(Self::Nothing, Self::Step)
    }
}

/// Waits for a byte of a key, and takes no more than that: what was typed ahead is not the picker's.
fn next(keys: &mut Keys) -> io::Result<Turn> {
    let stdin = io::stdin();
    let tv_nsec = if keys.is_within() { REST_OF_A_KEY_NANOSECONDS } else { LOOK_AGAIN_NANOSECONDS };
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec })) {
        Ok(0) => return Ok(Turn::of(keys.end())),
        Err(Errno::INTR) => return Ok(Turn::Nothing),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut byte = [0];
    match read(&stdin, &mut byte) {
        // The end of a terminal is the one or the other.
        Ok(0) | Err(Errno::IO) => Ok(Turn::Gone),
        Ok(_) => Ok(Turn::of(keys.take(byte[0]))),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Turn::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Move(Move),
    Choose,
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// Which lines are on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    /// The line that is marked.
    at: usize,
    /// The first line that is shown.
    top: usize,
    /// The rows of the screen.
    rows: usize,
}

impl View {
    /// The rows that lines of the tree have.
    fn room(&self) -> usize {
        if self.rows < ROWS_WITH_KEYS { self.rows.max(1) } else { self.rows - 1 }
    }

    fn go(&mut self, to: Move, count: usize) {
        let last = count.saturating_sub(1);
        self.at = match to {
            Move::Up => self.at.saturating_sub(1),
            Move::Down => self.at.saturating_add(1),
            Move::PageUp => self.at.saturating_sub(self.room()),
            Move::PageDown => self.at.saturating_add(self.room()),
            Move::First => 0,
            Move::Last => last,
        }
        .min(last);
    }

    /// Has the marked line be among those shown, and no row be empty that need not be.
    fn follow(&mut self, count: usize) {
        let room = self.room();
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(room));
        self.top = self.top.min(count.saturating_sub(room));
    }

    fn draw(&mut self, lines: &[OutlineLine], anew: bool) -> io::Result<()> {
        self.follow(lines.len());
        let mut out = Vec::new();
        if anew {
            out.queue(Clear(ClearType::All))?;
        }
        let shown = lines.iter().enumerate().skip(self.top).take(self.room());
        for (row, (at, line)) in (0..).zip(shown) {
            // Cleared before and not after: behind a line that fills the screen the cursor is on its last letter.
            out.queue(cursor::MoveTo(0, row))?.queue(Clear(ClearType::UntilNewLine))?;
            if at == self.at {
                out.queue(SetAttribute(Attribute::Reverse))?.queue(Print(&line.plain))?;
                out.queue(SetAttribute(Attribute::Reset))?;
            } else {
                out.queue(Print(&line.painted))?;
            }
        }
        if self.rows >= ROWS_WITH_KEYS {
            let row = u16::try_from(self.rows - 1).unwrap_or(u16::MAX);
            out.queue(cursor::MoveTo(0, row))?.queue(Print(KEYS))?;
        }
        let mut screen = io::stdout().lock();
        screen.write_all(&out)?;
        screen.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_line_is_always_shown() {
        let mut view = View { at: 0, top: 0, rows: 6 };
        let mut go = |to, at, top| {
            view.go(to, 12);
            view.follow(12);
            assert_eq!((view.at, view.top), (at, top), "{to:?}");
        };
        go(Move::Up, 0, 0);
        go(Move::Down, 1, 0);
        go(Move::PageDown, 6, 2);
        go(Move::PageDown, 11, 7);
        go(Move::PageDown, 11, 7);
        go(Move::Down, 11, 7);
        go(Move::PageUp, 6, 6);
        go(Move::First, 0, 0);
        go(Move::Last, 11, 7);
    }

    #[test]
    fn a_screen_of_any_size_has_room_for_the_marked_line() {
        for rows in 0..20 {
            for at in 0..12 {
                let mut view = View { at, top: 9, rows };
                view.follow(12);
                assert!(view.top <= at && at < view.top + view.room(), "{view:?}");
            }
        }
    }

    #[test]
    fn a_screen_that_grows_has_no_rows_to_spare() {
        let mut view = View { at: 11, top: 11, rows: 1 };
        view.rows = 24;
        view.follow(12);
        assert_eq!(view.top, 0);
    }
}
