// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole tree for one who picks a node of it: what `cd` without a path shows on a terminal.
//!
//! Above: `cd`.  Below: `draw`, `tree`.
//! Never here: keys, or a screen.

use crate::draw::{Style, draw};
use crate::path::NodePath;
use crate::screen::Screen;
use crate::settings::Kept;
use crate::tree::Node;
use std::io;

/// One node's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineLine {
    /// Without colours.
    pub plain: String,
    /// With the colours that the terminal takes and the user wants.
    pub painted: String,
}

/// The lines for a screen of so many columns.  It has as many lines, in the same order, for any number.
pub type Outline<'t> = dyn Fn(u16) -> Vec<OutlineLine> + 't;

/// Shows an outline, the given line marked, until one is chosen.  Returns which; nothing where the user left it.
pub type Pick = dyn Fn(&Outline<'_>, usize) -> io::Result<Option<usize>>;

/// The lines of `root` and all that is below it.
pub(crate) fn lines(root: &Node, screen: Screen, kept: &Kept) -> Vec<OutlineLine> {
    // Here the root can be chosen, whatever `ls` shows.
    let style = Style { root: true, ..Style::wanted(screen, kept, None) };
    let clean = |line: String| line.replace(|letter: char| letter.is_control(), "?");
    let plain = draw(root, &Style { colour: false, ..style }).into_iter().map(clean);
    if !style.colour {
        return plain.map(|plain| OutlineLine { painted: plain.clone(), plain }).collect();
    }
    let painted = draw(root, &style);
    plain.zip(painted).map(|(plain, painted)| OutlineLine { plain, painted }).collect()
}

/// The paths of those lines.
pub(crate) fn paths(root: &Node) -> Vec<NodePath> {
    let mut paths = Vec::new();
    walk(root, NodePath::root(), &mut paths);
    paths
}

fn walk(node: &Node, path: NodePath, paths: &mut Vec<NodePath>) {
    paths.push(path.clone());
    for child in &node.children {
        walk(child, path.child(&child.name), paths);
    }
}
