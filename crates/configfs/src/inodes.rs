// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nodes by number, as long as the kernel remembers them.
//!
//! Above: `fuse`, `invalidate`.  Below: `node`.
//! Never here: whether a node is still there.
//!
//! A number is a hash of the place: the same place has the same number for good, and listing a directory needs
//! no table.

use crate::node::{Dir, Node};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of the root, by the protocol.
pub(crate) const ROOT: u64 = 1;

/// The nodes that the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Inodes(HashMap<u64, (Node, u64)>);

impl Inodes {
    /// The number of a node.
    pub(crate) fn number(&self, node: &Node) -> u64 {
        if *node == Node::Dir(Dir::Root) {
            return ROOT;
        }
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        // 0 is no number, and the root's is taken.
        let mut number = hasher.finish().max(ROOT + 1);
        while self.0.get(&number).is_some_and(|(other, _)| other != node) {
            number = number.wrapping_add(1).max(ROOT + 1);
        }
        number
    }

    /// The number of a node that the kernel is told of.
    pub(crate) fn tell(&mut self, node: &Node) -> u64 {
        let number = self.number(node);
        if number != ROOT {
            self.0.entry(number).or_insert_with(|| (node.clone(), 0)).1 += 1;
        }
        number
    }

    /// The node of a number.
    pub(crate) fn node(&self, number: u64) -> Option<Node> {
        if number == ROOT {
            return Some(Node::Dir(Dir::Root));
        }
        self.0.get(&number).map(|(node, _)| node.clone())
    }

    /// The kernel has forgotten as many times that it was told.
    pub(crate) fn forget(&mut self, number: u64, times: u64) {
        if let Some((_, told)) = self.0.get_mut(&number) {
            *told = told.saturating_sub(times);
            if *told == 0 {
                self.0.remove(&number);
            }
        }
    }

    /// The number of a node, if the kernel knows it.
    pub(crate) fn known(&self, node: &Node) -> Option<u64> {
        let number = self.number(node);
        (number == ROOT || self.0.contains_key(&number)).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_number_and_is_forgotten_when_the_kernel_forgets() {
        let mut inodes = Inodes::default();
        let core = Node::Dir(Dir::Core);
        let number = inodes.number(&core);
        assert_eq!(inodes.known(&core), None);
        assert_eq!((inodes.tell(&core), inodes.tell(&core)), (number, number));
        inodes.forget(number, 1);
        assert_eq!(inodes.node(number), Some(core.clone()));
        inodes.forget(number, 5);
        assert_eq!((inodes.node(number), inodes.number(&core)), (None, number));
        assert_eq!(inodes.tell(&Node::Dir(Dir::Root)), 1);
    }
}
