// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Text becomes words: white space, quotes, backslashes, continued lines, comments.
//!
//! Above: `grammar`.  Below: nothing.
//! Never here: what a word means.

use std::iter::Peekable;
use std::str::CharIndices;

/// One word, its quotes and backslashes taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    text: String,
    /// Where the first `=` stands that was neither quoted nor escaped.
    equals: Option<usize>,
    /// Whether any of it was quoted or escaped.
    quoted: bool,
}

impl Word {
    /// A word of a program's arguments: whoever started the program has split and unquoted it.
    #[must_use]
    pub fn raw(text: &str) -> Self {
        Self { text: text.to_owned(), equals: text.find('='), quoted: false }
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was typed without quotes or backslashes, so that `*` and `--` keep their meaning.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        !self.quoted
    }

    /// The place of the `=` that may part a keyword from its value.
    #[must_use]
    pub fn equals(&self) -> Option<usize> {
        self.equals
    }

    pub(super) fn is_flag(&self) -> bool {
        self.is_bare() && self.text.len() > 2 && self.text.starts_with("--") && self.equals.is_none()
    }

    pub(super) fn is_keyword(&self) -> bool {
        self.is_bare() && super::is_keyword(&self.text)
    }

    pub(super) fn starts_with_equals(&self) -> bool {
        self.equals == Some(0)
    }

    /// Whether it is `keyword=` and nothing more.
    pub(super) fn is_open_assignment(&self) -> bool {
        self.is_bare() && self.text.strip_suffix('=').is_some_and(super::is_keyword)
    }

    pub(super) fn append(&mut self, next: &Word) {
        if self.equals.is_none() {
            self.equals = next.equals.map(|at| self.text.len() + at);
        }
        // A joined `name =''` is no longer open: its quotes said that the value is empty.
        self.quoted |= next.quoted;
        self.text.push_str(&next.text);
    }
}

/// Why a text is not whole yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It ends with a backslash: the next line goes on.
    Continued,
    /// This quote is open.
    Quote(char),
}

/// Splits a text into lines of words.  Lines without words are left out.
///
/// # Errors
/// Says what is open where more must be read first.
pub fn statements(text: &str) -> Result<Vec<Vec<Word>>, Unfinished> {
    let mut reader = Reader::new(text);
    reader.read_all();
    match reader.open {
        Some(unfinished) => Err(unfinished),
        None => {
            reader.end_line();
            Ok(reader.lines)
        }
    }
}

/// The line so far, as the Tab key sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The whole words before the one at the cursor.
    pub words: Vec<Word>,
    /// The word at the cursor, perhaps empty.
    pub word: Word,
    /// Where that word starts in the text, in bytes.
    pub start: usize,
}

/// Splits the text before the cursor; an open quote or backslash is as good as closed.
#[must_use]
pub fn partial(text: &str) -> Partial {
    let mut reader = Reader::new(text);
    reader.read_all();
    let start = reader.word_start.unwrap_or(text.len());
    let word = reader.word.take().unwrap_or_default();
    Partial { words: reader.line, word, start }
}

struct Reader<'a> {
    letters: Peekable<CharIndices<'a>>,
    lines: Vec<Vec<Word>>,
    line: Vec<Word>,
    word: Option<Word>,
    word_start: Option<usize>,
    open: Option<Unfinished>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let letters = text.char_indices().peekable();
        Self { letters, lines: Vec::new(), line: Vec::new(), word: None, word_start: None, open: None }
    }

    fn read_all(&mut self) {
        while let Some((at, letter)) = self.letters.next() {
            match letter {
                '\n' => self.end_line(),
                _ if letter.is_whitespace() => self.end_word(),
                '#' if self.line.is_empty() && self.word.is_none() => self.skip_comment(),
                '\\' => self.backslash(at),
                '\'' | '"' => self.quote(at, letter),
                _ => self.push(at, letter, false),
            }
        }
    }

    fn end_word(&mut self) {
        self.line.extend(self.word.take());
        self.word_start = None;
    }

    fn end_line(&mut self) {
        self.end_word();
        if !self.line.is_empty() {
            self.lines.push(std::mem::take(&mut self.line));
        }
    }

    fn skip_comment(&mut self) {
        while self.letters.next_if(|&(_, letter)| letter != '\n').is_some() {}
    }

    fn backslash(&mut self, at: usize) {
        let Some((_, letter)) = self.letters.next() else {
            self.open = Some(Unfinished::Continued);
            return;
        };
        let ends_line =
            letter == '\n' || (letter == '\r' && self.letters.next_if(|next| next.1 == '\n').is_some());
        if !ends_line {
            self.push(at, letter, true);
        } else if self.letters.peek().is_none() {
            self.open = Some(Unfinished::Continued);
        }
    }

    fn quote(&mut self, at: usize, mark: char) {
        self.begin(at).quoted = true;
        while let Some((at, letter)) = self.letters.next() {
            if letter == mark {
                return;
            }
            if mark == '"' && letter == '\\' {
                match self.letters.next_if(|next| matches!(next.1, '"' | '\\' | '\n')) {
                    Some((_, '\n')) => continue,
                    Some((at, escaped)) => self.push(at, escaped, true),
                    None => self.push(at, letter, true),
                }
            } else {
                self.push(at, letter, true);
            }
        }
        self.open = Some(Unfinished::Quote(mark));
    }

    fn begin(&mut self, at: usize) -> &mut Word {
        self.word_start.get_or_insert(at);
        self.word.get_or_insert_default()
    }

    fn push(&mut self, at: usize, letter: char, quoted: bool) {
        let word = self.begin(at);
        if letter == '=' && !quoted && word.equals.is_none() {
            word.equals = Some(word.text.len());
        }
        word.quoted |= quoted;
        word.text.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_cursor_is_told_from_those_before() {
        for (text, before, word, start) in [
            ("", 0, "", 0),
            ("/vh", 0, "/vh", 0),
            ("/vhost ", 1, "", 7),
            ("/vhost cr", 1, "cr", 7),
            ("create dev=/de", 1, "dev=/de", 7),
            ("create 'a b", 1, "a b", 7),
            ("create a\\", 1, "a", 7),
            ("ls\n/vh", 0, "/vh", 3),
        ] {
            let partial = partial(text);
            assert_eq!(
                (partial.words.len(), partial.word.text(), partial.start),
                (before, word, start),
                "{text:?}"
            );
        }
    }
}
