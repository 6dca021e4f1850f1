// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tree as `ls` draws it: one node a line, dots up to a summary in brackets.
//!
//! Above: `ls`.  Below: `tree`, `screen`.
//! Never here: what a node is.

use crate::screen::{Paint, Screen};
use crate::settings::Kept;
use crate::tree::Node;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) columns: usize,
    pub(crate) colour: bool,
    /// The colour of what has none of its own.
    pub(crate) default: Paint,
    /// `o-` instead of `+-`.
    pub(crate) round: bool,
    /// Dots and summaries.
    pub(crate) status: bool,
    /// The node asked for, and not only what is below it.
    pub(crate) root: bool,
    /// Levels below the node asked for; `None` for all.
    pub(crate) depth: Option<usize>,
}

impl Style {
    /// As the user wants it and the screen takes it.
    pub(crate) fn wanted(screen: Screen, kept: &Kept, depth: Option<usize>) -> Self {
        Self {
            columns: screen.tree_columns(),
            colour: screen.colour_out && kept.is_on("color_mode"),
            default: Paint::named(kept.global("color_default")),
            round: kept.is_on("tree_round_nodes"),
            status: kept.is_on("tree_status_mode"),
            root: kept.is_on("tree_show_root"),
            depth,
        }
    }
}

/// The lines of `node` and what is below it, without their ends.
pub(crate) fn draw(node: &Node, style: &Style) -> Vec<String> {
    let mut lines = Vec::new();
    if style.root {
        lines.push(line(node, "", 0, style));
        draw_children(node, "  ", 1, style, &mut lines);
    } else {
        draw_children(node, "", 1, style, &mut lines);
    }
    lines
}

fn draw_children(node: &Node, margin: &str, level: usize, style: &Style, lines: &mut Vec<String>) {
    if style.depth.is_some_and(|depth| depth < level) {
        return;
    }
    for (index, child) in node.children.iter().enumerate() {
        lines.push(line(child, margin, level, style));
        let stroke = if index + 1 < node.children.len() { "| " } else { "  " };
        draw_children(child, &format!("{margin}{stroke}"), level + 1, style, lines);
    }
}

fn line(node: &Node, margin: &str, level: usize, style: &Style) -> String {
    let bullet = if style.round { "o- " } else { "+- " };
    let name = if style.colour { painted_name(node, level, style.default) } else { node.name.clone() };
    if !style.status {
        return format!("{margin}{bullet}{name}");
    }
    let summary = match (node.summary.as_str(), node.healthy) {
        ("", None) => "...",
        ("", Some(true)) => "OK",
        ("", Some(false)) => "ERROR",
        (summary, _) => summary,
    };
    let taken =
        margin.chars().count() + bullet.len() + node.name.chars().count() + summary.chars().count() + 4;
    let dots = ".".repeat(style.columns.saturating_sub(taken));
    if !style.colour {
        return format!("{margin}{bullet}{name} {dots} [{summary}]");
    }
    let health = match node.healthy {
        None => style.default,
        Some(true) => Paint::GREEN,
        Some(false) => Paint::BOLD_RED,
    };
    let (open, close) = (Paint::BOLD.on("["), Paint::BOLD.on("]"));
    format!(
        "{margin}{bullet}{name} {} {open}{}{close}",
        level_paint(level, style.default).on(&dots),
        health.on(summary)
    )
}

/// The name; a level without a colour of its own takes the default one.
fn painted_name(node: &Node, level: usize, default: Paint) -> String {
    let name = name_paint(level).on(&node.name);
    if level.is_multiple_of(3) { default.on(&name) } else { name }
}

/// Bold in the level's colour, the node asked for underlined too.
fn name_paint(level: usize) -> Paint {
    Paint(match (level, level % 3) {
        (0, _) => "1;4",
        (_, 1) => "1;34",
        (_, 2) => "1;35",
        _ => "1",
    })
}

fn level_paint(level: usize, default: Paint) -> Paint {
    match level % 3 {
        1 => Paint("34"),
        2 => Paint("35"),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use api::v1::Config;

    const STYLE: Style = Style {
        columns: 40,
        colour: false,
        default: Paint(""),
        round: true,
        status: true,
        root: true,
        depth: None,
    };

    fn drawn(node: &Node, style: &Style) -> String {
        draw(node, style).iter().map(|line| format!("{line}\n")).collect()
    }

    fn tree() -> Node {
        Tree::new(Config::default()).root
    }

    #[test]
    fn every_line_fills_the_columns() {
        let expected = "\
o- / ............................. [...]
  o- backstores .................. [...]
  | o- block ...... [Storage Objects: 0]
  | o- fileio ..... [Storage Objects: 0]
  | o- ramdisk .... [Storage Objects: 0]
  o- vhost ................ [Targets: 0]
";
        assert_eq!(drawn(&tree(), &STYLE), expected);
    }

    #[test]
    fn a_line_too_long_for_the_columns_is_not_cut() {
        let style = Style { columns: 10, depth: Some(0), ..STYLE };
        let vhost = tree().child("vhost").expect("there is one").clone();
        assert_eq!(drawn(&vhost, &style), "o- vhost  [Targets: 0]\n");
    }

    #[test]
    fn preferences_change_bullets_summaries_and_the_first_line() {
        let style = Style { round: false, status: false, root: false, depth: Some(1), ..STYLE };
        assert_eq!(drawn(&tree(), &style), "+- backstores\n+- vhost\n");
    }

    #[test]
    fn colours_go_by_level_and_health() {
        let style = Style { columns: 24, colour: true, depth: Some(1), ..STYLE };
        let mut root = tree();
        root.children.truncate(1);
        root.children[0].healthy = Some(false);
        let expected = "\
o- \u{1b}[1;4m/\u{1b}[0m ............. \u{1b}[1m[\u{1b}[0m...\u{1b}[1m]\u{1b}[0m
  o- \u{1b}[1;34mbackstores\u{1b}[0m  \u{1b}[1m[\u{1b}[0m\u{1b}[1;31mERROR\u{1b}[0m\u{1b}[1m]\u{1b}[0m
";
        assert_eq!(drawn(&root, &style), expected);
    }
}
