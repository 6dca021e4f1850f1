// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The trees that `ls` prints, in one order, whatever names were made up.
//!
//! Above: `recording`.  Below: nothing.
//! Never here: which names were made up.
//!
//! A name that was made up stands anywhere among its siblings.  So each of them goes, with all below it, behind those
//! whose names are known.  Everything else stays: who is below whom, in which order, and how wide a line is.

/// How far a line of a tree stands further in than that above it, in characters.
const STEP: usize = 2;

/// Hides what was made up in a text, and keeps its length.
pub type Mask = fn(&str) -> String;

/// A line of a tree, and those below it.
struct Node {
    /// From `o- ` on; of the first line of a tree also what stands before it.
    text: String,
    below: Vec<Node>,
}

/// A line before it is known where it belongs.
struct Row<'a> {
    depth: usize,
    branches: &'a str,
    text: &'a str,
}

/// The lines, masked, with each tree in one order; and with a word where a tree is none: a line that stands where it hangs
/// from nothing, names that are not sorted.
pub fn canonical(lines: &[String], mask: Mask) -> Vec<String> {
    let mut canonical = Vec::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for line in lines {
        let row = row(line);
        // A tree ends where the next one begins.
        if row.as_ref().is_none_or(|row| row.depth == 0) {
            tree(&std::mem::take(&mut rows), mask, &mut canonical);
        }
        match row {
            Some(row) => rows.push(row),
            None => canonical.push(mask(line)),
        }
    }
    tree(&rows, mask, &mut canonical);
    canonical
}

/// A line of a tree; the first may stand behind a prompt.
fn row(line: &str) -> Option<Row<'_>> {
    let text = line.trim_start_matches(['|', ' ']);
    if text.starts_with("o- ") {
        let branches = line.strip_suffix(text).unwrap_or_default();
        return Some(Row { depth: branches.len() / STEP, branches, text });
    }
    line.contains("> o- ").then_some(Row { depth: 0, branches: "", text: line })
}

fn tree(rows: &[Row<'_>], mask: Mask, lines: &mut Vec<String>) {
    for node in nodes(rows, 0, "", mask) {
        print(&node, 0, mask, lines);
    }
}

/// The nodes of a depth, with all below them; `branches` is what stands before each of them.
fn nodes(rows: &[Row<'_>], depth: usize, branches: &str, mask: Mask) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut rest = rows;
    while let Some((row, after)) = rest.split_first() {
        let end = after.iter().position(|other| other.depth <= row.depth).unwrap_or(after.len());
        let (below, others) = after.split_at(end);
        rest = others;
        // Its branch goes on to the next of its siblings; the root's does not.
        let branch = if depth == 0 || others.is_empty() { "  " } else { "| " };
        let is_in_place = row.depth == depth && row.branches == branches;
        let text = format!("{}{}", row.text, if is_in_place { "" } else { " OUT OF PLACE" });
        nodes.push(Node { text, below: self::nodes(below, depth + 1, &format!("{branches}{branch}"), mask) });
    }
    let is_made_up = |node: &Node| mask(name(&node.text)) != name(&node.text);
    let is_sorted = nodes.is_sorted_by_key(|node| name(&node.text).to_owned());
    let (mut made_up, mut known): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(is_made_up);
    let is_mixed = !made_up.is_empty();
    made_up.sort_by_cached_key(|node| shape(node, mask));
    known.append(&mut made_up);
    if let Some(first) = known.first_mut().filter(|_| is_mixed && !is_sorted) {
        first.text.push_str(" OUT OF ORDER");
    }
    known
}

fn name(text: &str) -> &str {
    text.split_whitespace().nth(1).unwrap_or_default()
}

/// What tells a node of a made-up name from another one.
fn shape(node: &Node, mask: Mask) -> String {
    let mut lines = Vec::new();
    print(node, 0, mask, &mut lines);
    lines.join("\n")
}

/// Without the branches, which are as they have to be.
fn print(node: &Node, depth: usize, mask: Mask, lines: &mut Vec<String>) {
    lines.push(format!("{:indent$}{}", "", mask(&node.text), indent = depth * STEP));
    for below in &node.below {
        print(below, depth + 1, mask, lines);
    }
}

/// Puts one text in the place of another, of another length, and keeps lines of a tree as wide as they were: what their
/// names and ends leave is dots.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    let line = |line: &str| {
        let after = line.replace(from, to);
        let room = line.len().abs_diff(after.len());
        let Some((name, end)) = after.split_once(" ..").filter(|_| line.contains("o- ")) else {
            return after;
        };
        let dots = if after.len() < line.len() { format!("..{}", ".".repeat(room)) } else { "..".to_owned() };
        let end = if after.len() > line.len() { cut(end, room) } else { end };
        format!("{name} {dots}{end}")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Without so many of the dots that it begins with.
fn cut(end: &str, room: usize) -> &str {
    let dots = end.len() - end.trim_start_matches('.').len();
    end.get(room.min(dots)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        text.replace("m1", "XX").replace("~1", "XX")
    }

    fn lines(text: &str) -> Vec<String> {
        canonical(&text.lines().map(str::to_owned).collect::<Vec<_>>(), mask)
    }

    const TREE: &str = "o- / ... [2]\n  o- a ... [1]\n  | o- m1 ... [x]\n  | | o- b ... []\n  | o- z .... []\n  o- b ... [0]";

    #[test]
    fn a_name_that_was_made_up_may_stand_anywhere() {
        let other = "o- / ... [2]\n  o- a ... [1]\n  | o- z .... []\n  | o- ~1 ... [x]\n  |   o- b ... []\n  o- b ... [0]";
        assert_eq!(lines(TREE), lines(other));
        assert!(!lines(TREE).join("\n").contains("OUT OF"));
    }

    #[test]
    fn what_hangs_from_another_stands_elsewhere_or_is_narrower_is_not_alike() {
        for (from, to) in [
            ("  | | o- b ... []", "  | o- b ... []"),
            ("  | | o- b ... []", "      o- b ... []"),
            ("  | o- z", "  |   o- z"),
            ("  o- a ... [1]", "  o- a .... [1]"),
            ("  o- b ... [0]", "o- b ... [0]"),
        ] {
            let other = TREE.replace(from, to);
            assert_ne!(other, TREE, "{from}");
            assert_ne!(lines(&other), lines(TREE), "{from} as {to}");
        }
        let swapped = "o- / ... [2]\n  o- b ... [0]\n  o- a ... [1]";
        assert_ne!(lines(swapped), lines("o- / ... [2]\n  o- a ... [1]\n  o- b ... [0]"));
    }

    #[test]
    fn names_of_which_one_was_made_up_are_sorted() {
        assert!(
            lines("o- / ... [2]\n  o- ~1 ... []\n  o- m1 ... []")
                .iter()
                .any(|line| line.contains("OUT OF ORDER"))
        );
        assert!(
            !lines("o- / ... [2]\n  o- m1 ... []\n  o- ~1 ... []").iter().any(|line| line.contains("OUT OF"))
        );
    }

    #[test]
    fn a_line_of_a_tree_stays_as_wide_as_it_was() {
        assert_eq!(replaced("  o- a ..... [/tmp/x]\n/tmp/x", "/tmp/x", "/y"), "  o- a ......... [/y]\n/y");
        assert_eq!(replaced("  o- a ..... [/y]", "/y", "/z12"), "  o- a ... [/z12]");
    }
}
