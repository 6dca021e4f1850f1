// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which blocks of a backstore are reached how through which target port group: LIO's `lba_map`.
//!
//! Above: `alua`, whose groups have one together; the doors.
//! Below: nothing.
//! Never here: what a state does to a command; `target` does that.
//!
//! The first line has the blocks of a segment and the multiplier, every other one the first and the last block of a range
//! and, by the id of each group, its state there:
//!
//! ```text
//! 2048 2
//! 0 6143 0:O 1:S
//! 2048 8191 0:S 1:O
//! ```
//!
//! Where the multiplier is 0 a line is about all blocks from its first to its last.  Where it is not, it is about one segment
//! in so many: the lines above deal out segments of 2048 blocks by turns.

use std::fmt;
use std::ops::Range;

/// The longest text, in bytes: a page, as LIO's files have it.  It is the length of [`LbaMap::file_text`], however the map was
/// written: whatever is taken can be written down and read again.
pub const LBA_MAP_BYTES_MAX: usize = 4096;

/// The most groups that a line may name: REPORT REFERRALS counts them in one byte.
const GROUPS_MAX: usize = 255;

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbaMap {
    /// Blocks in a segment.
    pub segment_blocks: u32,
    /// After how many segments one comes that is reached alike; 0: lines say all.
    pub multiplier: u32,
    /// At least one.
    pub ranges: Vec<LbaRange>,
}

/// One line of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbaRange {
    /// The first block.
    pub first: u64,
    /// The last block.
    pub last: u64,
    /// By the id of a target port group, its state: a value of `alua_access_state`, 0 to 3.
    pub states: Vec<(u16, u32)>,
}

/// Why a text is no map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbaMapError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The letter of each state.
const LETTERS: [(char, u32); 4] = [('O', 0), ('A', 1), ('S', 2), ('U', 3)];

impl LbaMap {
    /// Reads a map, of lines that end with a newline or a semicolon; an empty text is none.
    ///
    /// # Errors
    /// [`LbaMapError`], for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Option<Self>, LbaMapError> {
        let wrong = |line, why| LbaMapError { line, why };
        let lines = text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty());
        let mut lines = (1..).zip(lines);
        let Some((number, head)) = lines.next() else { return Ok(None) };
        let (segment_blocks, multiplier) =
            pair::<u32>(head).ok_or(wrong(number, "it is not the blocks of a segment and a multiplier"))?;
        if segment_blocks == 0 && multiplier != 0 {
            return Err(wrong(number, "a multiplier needs the blocks of a segment"));
        }
        let mut map = Self { segment_blocks, multiplier, ranges: Vec::new() };
        let mut bytes = map.file_text().len();
        for (number, line) in lines {
            let range = range(line).map_err(|why| wrong(number, why))?;
            bytes += range.to_string().len() + "\n".len();
            if bytes > LBA_MAP_BYTES_MAX {
                return Err(wrong(number, "with it the map is longer than 4096 bytes"));
            }
            if map.ranges.first().is_some_and(|first| first.states.len() != range.states.len()) {
                return Err(wrong(number, "it names more groups than the first, or fewer"));
            }
            if map.ranges.iter().any(|other| map.overlap(other, &range)) {
                return Err(wrong(number, "it has blocks of a line before it"));
            }
            map.ranges.push(range);
        }
        if map.ranges.is_empty() {
            return Err(wrong(number, "there is no line of blocks after it"));
        }
        Ok(Some(map))
    }

    /// Each line, without its end.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let head = format!("{} {}", self.segment_blocks, self.multiplier);
        std::iter::once(head).chain(self.ranges.iter().map(LbaRange::to_string))
    }

    /// As LIO's file has it.
    #[must_use]
    pub fn file_text(&self) -> String {
        self.lines().map(|line| line + "\n").collect()
    }

    /// From the beginning of a segment to that of the next which is reached alike; `None` where lines say all.
    fn stripe(&self) -> Option<u128> {
        let stripe = u128::from(self.segment_blocks) * u128::from(self.multiplier);
        (stripe > 0).then_some(stripe)
    }

    /// Whether two lines are about one block.
    fn overlap(&self, one: &LbaRange, other: &LbaRange) -> bool {
        let all = |range: &LbaRange| u128::from(range.first)..u128::from(range.last) + 1;
        let Some(stripe) = self.stripe() else { return meet(&all(one), &all(other)) };
        let (start, end) = (all(one).start.max(all(other).start), all(one).end.min(all(other).end));
        // What is so of two stripes that follow one another is so of all of them.
        let segments = |of: &LbaRange| {
            let begun = start.saturating_sub(all(of).start) / stripe;
            let first = all(of).start + begun * stripe;
            let blocks = u128::from(self.segment_blocks);
            [first, first + stripe, first + 2 * stripe].map(|at| at.max(start)..(at + blocks).min(end))
        };
        let (one, other) = (segments(one), segments(other));
        one.iter().any(|one| other.iter().any(|other| meet(one, other)))
    }
}

fn meet(one: &Range<u128>, other: &Range<u128>) -> bool {
    one.start.max(other.start) < one.end.min(other.end)
}

/// Two numbers and nothing else.
fn pair<N: std::str::FromStr>(text: &str) -> Option<(N, N)> {
    let mut words = text.split_whitespace();
    let pair = (decimal(words.next()?)?, decimal(words.next()?)?);
    words.next().is_none().then_some(pair)
}

/// A number in plain digits.
fn decimal<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn range(line: &str) -> Result<LbaRange, &'static str> {
    let mut words = line.split_whitespace();
    let (first, last) = (words.next().and_then(decimal), words.next().and_then(decimal));
    let (Some(first), Some(last)) = (first, last) else {
        return Err("it does not begin with the first and the last block of a range");
    };
    if first > last {
        return Err("its first block is behind its last");
    }
    let mut states = Vec::new();
    for word in words {
        let (id, state) = group(word).ok_or(
            "a group is not ID:STATE, with O (optimized), A (active), S (standby) or U (unavailable) as the state",
        )?;
        if states.len() == GROUPS_MAX {
            return Err("it names more than 255 groups");
        }
        if states.iter().any(|(named, _)| *named == id) {
            return Err("it names a group twice");
        }
        states.push((id, state));
    }
    if states.is_empty() { Err("it names no group") } else { Ok(LbaRange { first, last, states }) }
}

fn group(word: &str) -> Option<(u16, u32)> {
    let (id, letter) = word.split_once(':')?;
    let (_, state) = LETTERS.iter().find(|(known, _)| letter.chars().eq([*known]))?;
    Some((decimal(id)?, *state))
}

impl fmt::Display for LbaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.first, self.last)?;
        for (id, state) in &self.states {
            let letter = LETTERS.iter().find(|(_, known)| known == state).map_or('.', |(letter, _)| *letter);
            write!(f, " {id}:{letter}")?;
        }
        Ok(())
    }
}

/// In one line.
impl fmt::Display for LbaMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, &'static str) {
        let LbaMapError { line, why } = LbaMap::parse(text).expect_err(text);
        (line, why)
    }

    #[test]
    fn a_map_reads_back_as_it_was_written() {
        let text = "2048 2\n0 6143 0:O 1:S\n2048 8191 0:A 1:U\n";
        let map = LbaMap::parse(text).unwrap().unwrap();
        assert_eq!((map.segment_blocks, map.multiplier), (2048, 2));
        let second = LbaRange { first: 2048, last: 8191, states: vec![(0, 1), (1, 3)] };
        assert_eq!(map.ranges[1], second);
        assert_eq!(map.file_text(), text);
        let line = "2048 2; 0 6143 0:O 1:S; 2048 8191 0:A 1:U";
        assert_eq!(map.to_string(), line);
        for again in [line, " 2048\t2 \n\n0   6143 0:O 1:S;2048 8191 0:A 1:U;"] {
            assert_eq!(LbaMap::parse(again), Ok(Some(map.clone())), "{again}");
        }
        let largest = "4294967295 4294967295; 0 18446744073709551615 65535:S";
        assert_eq!(LbaMap::parse(largest).unwrap().unwrap().to_string(), largest);
    }

    #[test]
    fn an_empty_text_is_no_map() {
        for text in ["", "\n", " ; "] {
            assert_eq!(LbaMap::parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for head in ["8", "8 1 1", "x 1", "-1 0", "+1 0", "4294967296 0", "8 4294967296", "0x8 1"] {
            let told = refused(&format!("{head}\n0 7 0:O"));
            assert_eq!(told, (1, "it is not the blocks of a segment and a multiplier"), "{head}");
        }
        assert_eq!(refused("0 2; 0 7 0:O"), (1, "a multiplier needs the blocks of a segment"));
        assert_eq!(refused("8 2"), (1, "there is no line of blocks after it"));
        for line in ["0", "x 7 0:O", "0 -7 0:O", "0 18446744073709551616 0:O", "0:O 1:S"] {
            let told = refused(&format!("0 0\n{line}"));
            assert_eq!(told, (2, "it does not begin with the first and the last block of a range"), "{line}");
        }
        assert_eq!(refused("0 0; 8 7 0:O"), (2, "its first block is behind its last"));
        assert_eq!(refused("0 0; 0 7"), (2, "it names no group"));
        for word in ["0", "0:", ":O", "0:o", "0:OO", "0:L", "65536:O", "-1:O", "0:0"] {
            let (line, why) = refused(&format!("0 0; 0 7 1:O {word}"));
            assert!(line == 2 && why.starts_with("a group is not ID:STATE"), "{word}: {why}");
        }
        assert_eq!(refused("0 0; 0 7 1:O 1:S"), (2, "it names a group twice"));
        let named = "it names more groups than the first, or fewer";
        assert_eq!(refused("0 0; 0 7 1:O; 8 9 1:O 2:S"), (3, named));
        let many: String = (0..256).map(|id| format!(" {id}:O")).collect();
        assert_eq!(refused(&format!("0 0; 0 7{many}")), (2, "it names more than 255 groups"));
    }

    #[test]
    fn a_map_of_the_greatest_length_reads_back_from_each_form_and_a_longer_one_is_refused() {
        // A line of 4 bytes, 291 of 14 and one of 18.
        let lines: String = (1000..1291).map(|block| format!("{block} {block} 0:O\n")).collect();
        let text = format!("0 0\n{lines}100000 100000 0:O\n");
        assert_eq!(text.len(), 4096);
        let map = LbaMap::parse(&text).unwrap().unwrap();
        assert_eq!(map.file_text(), text);
        for form in [map.to_string(), text.replace(' ', "  "), text.replace('\n', ";")] {
            assert_eq!(LbaMap::parse(&form), Ok(Some(map.clone())));
        }
        let longer = text.replace("100000 100000", "100000 1000000");
        assert_eq!(refused(&longer), (293, "with it the map is longer than 4096 bytes"));
    }

    #[test]
    fn no_block_is_in_two_lines() {
        let overlaps = |text: &str| match LbaMap::parse(text) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!((error.line, error.why), (3, "it has blocks of a line before it"), "{text}");
                true
            }
        };
        for (head, one, other, expected) in [
            ("0 0", "0 7", "8 9", false),
            ("0 0", "0 7", "7 9", true),
            ("4 0", "0 7", "4 9", true),
            ("0 0", "5 9", "0 5", true),
            // Stripes of 4 in 8, by turns.
            ("4 2", "0 99", "4 99", false),
            ("4 2", "0 99", "3 99", true),
            ("4 2", "0 99", "5 99", true),
            ("4 2", "0 99", "8 99", true),
            ("4 2", "0 99", "12 99", false),
            ("4 2", "4 7", "0 99", false),
            ("4 2", "0 3", "5 99", false),
            ("4 2", "0 7", "5 99", false),
            ("4 2", "0 8", "5 99", true),
            ("4 1", "0 99", "50 60", true),
            ("4 3", "1 99", "5 99", false),
            ("4 3", "1 99", "9 99", false),
            ("4 3", "1 99", "10 99", true),
        ] {
            let text = format!("{head}; {one} 0:O; {other} 0:S");
            assert_eq!(overlaps(&text), expected, "{text}");
        }
    }

    #[test]
    fn overlaps_are_those_of_each_block() {
        let is_in = |map: &LbaMap, range: &LbaRange, block: u64| {
            let stripe = u64::from(map.segment_blocks) * u64::from(map.multiplier);
            let within = range.first <= block && block <= range.last;
            within && (stripe == 0 || (block - range.first) % stripe < u64::from(map.segment_blocks))
        };
        for (blocks, multiplier) in [(0, 0), (3, 2), (2, 3), (5, 1), (1, 4)] {
            let map = LbaMap { segment_blocks: blocks, multiplier, ranges: Vec::new() };
            let range = |first, last| LbaRange { first, last, states: vec![(0, 0)] };
            let all = || (0..14).flat_map(|first| (first..14).map(move |last| range(first, last)));
            for one in all() {
                for other in all() {
                    let both = |block: &u64| is_in(&map, &one, *block) && is_in(&map, &other, *block);
                    let expected = (0..14).any(|block| both(&block));
                    assert_eq!(map.overlap(&one, &other), expected, "{blocks} {multiplier}: {one}; {other}");
                }
            }
        }
    }
}
