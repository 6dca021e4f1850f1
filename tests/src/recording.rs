// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded sessions of LIO's own tools, and what is the same in another session.
//!
//! Above: the stories that replay them.  Below: nothing.
//!
//! `$` begins a command, two blanks a line of its answer, `=` its exit status, and `...` stands for the rest of an answer
//! that is no more than the tool's own text.  Where Lunar answers otherwise, `!` says why, in the words of a row of
//! `docs/deviations.md`, and the lines that begin with `>` and `>=` are the answer here.

use anyhow::{Context, Result};

/// One command of a recording.
#[derive(Debug, Default)]
pub struct Entry {
    /// As it was typed.
    pub command: String,
    /// What was answered.
    pub answer: Answer,
    /// Why it is otherwise here, and how.
    pub here: Option<(String, Answer)>,
}

/// What a command answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Standard output and standard error.
    pub lines: Vec<String>,
    /// The exit status, where it was recorded.
    pub status: Option<i32>,
}

/// Reads a recording.
pub fn entries(text: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            entries.push(Entry { command: command.to_owned(), ..Entry::default() });
            continue;
        }
        let Some(entry) = entries.last_mut() else { continue };
        let here = entry.here.as_mut().map(|(_, answer)| answer);
        if let Some(why) = line.strip_prefix("! ") {
            entry.here = Some((why.to_owned(), Answer::default()));
        } else if let Some(status) = line.strip_prefix(">= ") {
            here.context("an answer without a reason")?.status = Some(status.parse()?);
        } else if let Some(said) = line.strip_prefix('>') {
            let said = said.strip_prefix(' ').unwrap_or(said);
            here.context("an answer without a reason")?.lines.push(said.to_owned());
        } else if let Some(status) = line.strip_prefix("= ") {
            entry.answer.status = Some(status.parse()?);
        } else {
            entry.answer.lines.push(line.strip_prefix("  ").unwrap_or(line).to_owned());
        }
    }
    Ok(entries)
}

/// What a recording does not explain, a paragraph for each command: `says` runs one.  Answers are alike when `masked`
/// makes the same of their lines.
pub fn differences(
    recording: &str,
    deviations: &str,
    masked: fn(&[String]) -> Vec<String>,
    mut says: impl FnMut(&str) -> Result<Answer>,
) -> Result<Vec<String>> {
    let matches = |recorded: &Answer, said: &Answer| matches(recorded, said, masked);
    let mut found = Vec::new();
    for entry in entries(recording)? {
        let said = says(&entry.command)?;
        let wanted = match &entry.here {
            Some((why, here)) => {
                if !deviations.contains(why.as_str()) {
                    found.push(format!("$ {}\nno row of docs/deviations.md says: {why}", entry.command));
                }
                if matches(&entry.answer, &said) {
                    found.push(format!("$ {}\nas recorded, and not: {why}", entry.command));
                }
                here
            }
            None => &entry.answer,
        };
        if !matches(wanted, &said) {
            let lines = |mark: &str, lines: &[String]| -> String {
                lines.iter().map(|line| format!("{mark}{line}\n")).collect()
            };
            let (recorded, here) = (lines("  ", &wanted.lines), lines("> ", &said.lines));
            let status = wanted.status.map(|status| format!("= {status}\n")).unwrap_or_default();
            let status_here = said.status.unwrap_or(-1);
            found.push(format!("$ {}\n{recorded}{status}! \n{here}>= {status_here}\n", entry.command));
        }
    }
    Ok(found)
}

/// Whether an answer is the recorded one but for what `masked` hides.
pub fn matches(recorded: &Answer, said: &Answer, masked: fn(&[String]) -> Vec<String>) -> bool {
    let status = recorded.status.is_none() || recorded.status == said.status;
    let (mut recorded, mut said) = (recorded.lines.clone(), said.lines.clone());
    if let Some(rest) = recorded.iter().position(|line| line == "...") {
        recorded.truncate(rest);
        said.truncate(rest);
    }
    status && masked(&recorded) == masked(&said)
}

/// The names that the recordings chose; all others were made up by a tool.
pub const CHOSEN: [&str; 4] =
    ["naa.500140568720f76f", "naa.5001405aaaaaaaaa", "naa.7001405aaaaaaaaa", "naa.5001405000000000"];

/// The lines without what is made up or depends on the length of a path.  Those of a tree and of a list of nodes are
/// sorted, because names that are made up are.
pub fn masked(lines: &[String]) -> Vec<String> {
    let masked = lines.iter().flat_map(|line| line.split("; ")).map(mask);
    let mut masked: Vec<String> = masked.collect();
    let is_sorted = |line: &String| {
        line.trim_start().starts_with("o- ")
            || line.contains("> o- ")
            || line.starts_with("[/")
            || line.contains(" exist not restoring; ")
    };
    if lines.iter().any(is_sorted) {
        for line in &mut masked {
            *line = line.trim_start_matches(['|', ' ']).to_owned();
        }
        masked.sort();
    }
    masked
}

/// How long a target's name is, in characters.
const NAME_LENGTH: usize = 20;

/// A word without a name that a tool made up.
fn masked_name(word: &str) -> String {
    let name = word.find("naa.5001405").and_then(|at| word.get(at..at + NAME_LENGTH));
    match name {
        Some(name) if !CHOSEN.contains(&name) => word.replace(name, "NAME"),
        _ => word.to_owned(),
    }
}

fn mask(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.trim_end().split(' ') {
        let word = masked_name(word);
        let core = word.trim_matches(['[', ']', ',', '.', '(', ')']);
        if word.len() > 2 && word.bytes().all(|byte| byte == b'.') {
            words.push("..".to_owned());
        } else if core.len() == 36 && core.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
            words.push("UUID".to_owned());
        } else {
            words.push(word);
        }
    }
    let line = words.join(" ");
    match line.strip_prefix("alias: ") {
        Some(alias) if alias.len() == 10 => "alias: ALIAS".to_owned(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &[&str], status: i32) -> Answer {
        Answer { lines: lines.iter().map(|line| (*line).to_owned()).collect(), status: Some(status) }
    }

    #[test]
    fn a_recording_is_read_with_what_is_otherwise_here() {
        let text = "$ targetcli x\n  a\n\n  b\n= 1\n! it is so\n> c\n>= 0\n$ y\n  ...\n";
        let entries = entries(text).expect("a recording");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].answer, answer(&["a", "", "b"], 1));
        assert_eq!(entries[0].here, Some(("it is so".to_owned(), answer(&["c"], 0))));
        assert!(matches(&entries[1].answer, &answer(&["anything"], 3), masked));
        assert!(!matches(&entries[0].answer, &answer(&["a"], 1), masked));
        assert_eq!(mask("o- naa.5001405000000001 .... [naa.5001405147d17c1e, x]"), "o- NAME .. [NAME, x]");
    }

    #[test]
    fn what_is_explained_must_be_in_the_list_and_must_be_so() {
        let text = "$ x\n  a\n= 0\n! it is so\n> c\n>= 0\n";
        let found = |deviations: &str, said: &str| {
            differences(text, deviations, masked, |_| Ok(answer(&[said], 0))).expect("a recording").len()
        };
        assert_eq!(found("| it is so |", "c"), 0);
        assert_eq!(found("| other |", "c"), 1);
        assert_eq!(found("| it is so |", "d"), 1);
        assert_eq!(found("| it is so |", "a"), 2);
    }
}
