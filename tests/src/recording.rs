// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded sessions of LIO's own tools, and what is the same in another session.
//!
//! Above: the stories that replay them.  Below: nothing.
//!
//! `$` begins a command, two blanks a line of its answer, `=` its exit status, and `...` stands for the rest of an answer
//! that is no more than the tool's own text.  Where Lunar answers otherwise, `!` says why, in the words of a row of
//! `docs/deviations.md`, and the lines that begin with `>` and `>=` are the answer here.

use crate::listing;
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

/// What a recording does not explain, a paragraph for each command: `says` runs one.
pub fn differences(
    recording: &str,
    deviations: &str,
    mut says: impl FnMut(&str) -> Result<Answer>,
) -> Result<Vec<String>> {
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

/// Whether an answer is the recorded one but for what [`masked`] hides.
pub fn matches(recorded: &Answer, said: &Answer) -> bool {
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

/// The lines without what is made up, each as long as it was.  What has a name that was made up is behind what has not,
/// among the nodes of a tree, the nodes of a list and the parts of a line.
pub fn masked(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in lines {
        let (made_up, known): (Vec<&str>, Vec<&str>) =
            line.split("; ").partition(|part| line.contains("; ") && mask(part) != part.trim_end());
        all.extend(known.into_iter().chain(made_up).map(str::to_owned));
    }
    let begins = |line: &String| line.starts_with("[/");
    let first = all.iter().position(begins).unwrap_or(all.len());
    let (before, listed) = all.split_at(first);
    let mut blocks: Vec<&[String]> = listed.chunk_by(|_, next| !begins(next)).collect();
    // Their sort is stable.
    blocks.sort_by_key(|block| block.first().is_some_and(|line| mask(line) != *line));
    let of = |lines: &[String]| listing::canonical(lines, mask);
    of(before).into_iter().chain(blocks.into_iter().flat_map(of)).collect()
}

/// What stands for a name that a tool made up, and for a UUID.
const NAME: &str = "naa.5001405---------";
const UUID: &str = "--------UUID------------------------";

/// A word without a name that a tool made up.
fn masked_name(word: &str) -> String {
    let name = word.find("naa.5001405").and_then(|at| word.get(at..at + NAME.len()));
    match name {
        Some(name) if !CHOSEN.contains(&name) => word.replace(name, NAME),
        _ => word.to_owned(),
    }
}

fn mask(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.trim_end().split(' ') {
        let word = masked_name(word);
        let core = word.trim_matches(['[', ']', ',', '.', '(', ')']);
        let is_uuid = core.len() == 36 && core.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        words.push(if is_uuid { word.replace(core, UUID) } else { word });
    }
    let line = words.join(" ");
    match line.strip_prefix("alias: ") {
        Some(alias) if alias.len() == 10 => "alias: ----------".to_owned(),
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
        assert!(matches(&entries[1].answer, &answer(&["anything"], 3)));
        assert!(!matches(&entries[0].answer, &answer(&["a"], 1)));
    }

    #[test]
    fn a_name_that_was_made_up_is_hidden_and_takes_as_much_room() {
        let line = "o- naa.5001405000000001 .... [naa.5001405147d17c1e, x]";
        assert_eq!(mask(line), "o- naa.5001405--------- .... [naa.5001405---------, x]");
        assert_eq!(mask("o- naa.500140568720f76f .."), "o- naa.500140568720f76f ..");
        let uuid = "wwn: 3f9e2c5a-7d41-4f0e-9b7a-000000000001";
        assert_eq!((mask(uuid).len(), mask(uuid) == uuid), (uuid.len(), false));
        assert_eq!(mask("alias: 0123456789").len(), 17);
    }

    #[test]
    fn what_was_made_up_stands_anywhere_and_all_else_in_its_place() {
        let lines = |text: &str| masked(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        let list = "[/a]\nx\n[/naa.5001405000000001]\ny\n[/b]\nz";
        assert_eq!(lines(list), lines("[/naa.5001405fffffffff]\ny\n[/a]\nx\n[/b]\nz"));
        assert_ne!(lines(list), lines("[/naa.5001405fffffffff]\ny\n[/b]\nz\n[/a]\nx"));
        assert_eq!(lines("a; naa.5001405000000001; b"), lines("naa.5001405000000002; a; b"));
        assert_ne!(lines("a; b"), lines("b; a"));
    }

    #[test]
    fn what_is_explained_must_be_in_the_list_and_must_be_so() {
        let text = "$ x\n  a\n= 0\n! it is so\n> c\n>= 0\n";
        let found = |deviations: &str, said: &str| {
            differences(text, deviations, |_| Ok(answer(&[said], 0))).expect("a recording").len()
        };
        assert_eq!(found("| it is so |", "c"), 0);
        assert_eq!(found("| other |", "c"), 1);
        assert_eq!(found("| it is so |", "d"), 1);
        assert_eq!(found("| it is so |", "a"), 2);
    }
}
