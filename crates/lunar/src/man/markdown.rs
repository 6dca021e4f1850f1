// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A page of the manual, as man(1) wants it: of Markdown what the manual uses, and no more.
//!
//! Above: `man`.  Below: `clap_mangen`'s roff.
//! Never here: what a page says.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// The page of a file format, in section 5.
pub(super) fn page(name: &str, about: &str, text: &str) -> String {
    let mut page = Roff::new();
    let source = format!("lunar {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name, "5", super::NO_DATE, source.as_str(), super::MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {about}"))]);
    page.control("SH", ["DESCRIPTION"]);
    let mut lines = text.lines().peekable();
    let mut follows_heading = true;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            page.control("SH", [heading.to_uppercase().as_str()]);
            follows_heading = true;
            continue;
        } else if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            verbatim(&mut page, &code);
        } else if line.starts_with('|') {
            row(&mut page, line);
        } else if !line.is_empty() && !line.starts_with("# ") {
            let mut paragraph = line.to_owned();
            while let Some(more) = lines.next_if(|next| continues(next)) {
                paragraph.push(' ');
                paragraph.push_str(more.trim());
            }
            match paragraph.strip_prefix("* ") {
                Some(point) => page.control("IP", ["\u{2022}", "2"]).text(inlines(point)),
                None if follows_heading => page.text(inlines(&paragraph)),
                None => page.control("PP", []).text(inlines(&paragraph)),
            };
        }
        follows_heading &= line.is_empty() || line.starts_with("# ");
    }
    page.to_roff()
}

/// Whether a line goes on with the paragraph before it.
fn continues(line: &str) -> bool {
    !line.is_empty() && !["* ", "#", "|", "```"].iter().any(|start| line.starts_with(start))
}

fn verbatim(page: &mut Roff, code: &[&str]) {
    page.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in code {
        page.text([roman(*line)]);
    }
    page.control("fi", []).control("RE", []);
}

/// A row of a table: what is in the first column, and what is said of it.
fn row(page: &mut Roff, line: &str) {
    let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let is_line = line.bytes().all(|byte| matches!(byte, b'|' | b'-' | b':' | b' '));
    let (Some(first), false) = (cells.first(), is_line) else { return };
    let rest = cells.iter().skip(1).filter(|cell| !cell.is_empty()).copied().collect::<Vec<_>>().join("; ");
    page.control("TP", []);
    page.text(inlines(first));
    page.text(inlines(&rest));
}

/// Bold, italics for words as they are typed, and links without where they lead.
fn inlines(text: &str) -> Vec<Inline> {
    let mut parts = Vec::new();
    let mut rest = without_links(text);
    while let Some(at) = rest.find(['`', '*']) {
        let mark = if rest[at..].starts_with("**") { "**" } else { "`" };
        let inner = rest[at..].strip_prefix(mark).and_then(|inner| inner.split_once(mark));
        let Some((inner, after)) = inner.map(|(inner, after)| (inner.to_owned(), after.to_owned())) else {
            break;
        };
        parts.push(roman(&rest[..at]));
        parts.push(if mark == "**" { bold(inner.replace('`', "")) } else { italic(inner) });
        rest = after;
    }
    parts.push(roman(rest));
    parts
}

fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match after.split_once("](").and_then(|(words, after)| Some((words, after.split_once(')')?.1))) {
            Some((words, after)) if !words.contains([']', '[']) => {
                plain.push_str(words);
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manual_uses_becomes_what_man_knows() {
        let text = "# Title\n\nA `word` and **bold** [link](there.md).\nGoes on.\n\n## More\n\n* one\n  goes on\n\n\
                    ```sh\n.x\n# y\n```\n\n| a | b |\n|---|---|\n| `k` | is [v](x) |\n";
        let expected = "A \\fIword\\fR and \\fBbold\\fR link. Goes on.\n.SH MORE\n.IP \u{2022} 2\none goes on\n\
                        .PP\n.RS 4\n.nf\n\\&.x\n# y\n.fi\n.RE\n.TP\na\nb\n.TP\n\\fIk\\fR\nis v\n";
        let page = page("x", "of y", text);
        let body = page.split_once(".SH DESCRIPTION\n").map(|(_, body)| body);
        assert_eq!(body, Some(expected));
    }
}
