// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a node is in the tree.
//!
//! Above: `tree`, the commands.  Below: nothing.
//! Never here: whether the node exists.

use std::fmt;

/// A path from the root, without `.`, `..` or empty steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodePath(Vec<String>);

impl NodePath {
    /// `/`.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// What `text` means for someone who stands here; `..` at the root stays there.
    #[must_use]
    pub fn join(&self, text: &str) -> Self {
        let mut steps = if text.starts_with('/') { Vec::new() } else { self.0.clone() };
        for step in text.split('/') {
            match step {
                "" | "." => {}
                ".." => drop(steps.pop()),
                _ => steps.push(step.to_owned()),
            }
        }
        Self(steps)
    }

    /// The node's child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(name.to_owned());
        Self(steps)
    }

    /// The names on the way from the root.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_or_relative_and_collapse() {
        let here = NodePath::root().join("/vhost/naa.5");
        for (text, path) in [
            ("/", "/"),
            ("//a///b/", "/a/b"),
            ("tpg1", "/vhost/naa.5/tpg1"),
            ("tpg1/luns/", "/vhost/naa.5/tpg1/luns"),
            (".", "/vhost/naa.5"),
            ("./tpg1/.", "/vhost/naa.5/tpg1"),
            ("..", "/vhost"),
            ("../../..", "/"),
            ("../../backstores", "/backstores"),
        ] {
            assert_eq!(here.join(text).to_string(), path, "{text}");
        }
    }
}
