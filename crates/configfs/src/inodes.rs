// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nodes by number, as long as the kernel remembers them.
//!
//! Above: `fuse`, `invalidate`.  Below: `node`.
//! Never here: whether a node is still there.
//!
//! A number is a hash of the place: the same place has the same number, and listing a directory needs no
//! table.  Only a directory that was removed and made again has another one while somebody is still in the
//! old one: the kernel never makes anything in a directory that it has seen removed.

use crate::node::{Dir, Node};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of the root, by the protocol.
pub(crate) const ROOT: u64 = 1;

/// What the kernel knows by a number.
#[derive(Debug)]
struct Known {
    node: Node,
    /// How often it was told.
    told: u64,
    removed: bool,
}

/// The nodes that the kernel knows.
#[derive(Debug, Default)]
pub(crate) struct Inodes {
    by_number: HashMap<u64, Known>,
    /// The nodes whose number is not their hash, because that was taken.
    moved: HashMap<Node, u64>,
}

impl Inodes {
    /// The number of a node.
    pub(crate) fn number(&self, node: &Node) -> u64 {
        if *node == Node::Dir(Dir::Root) {
            return ROOT;
        }
        if let Some(number) = self.moved.get(node) {
            return *number;
        }
        let mut number = hash(node);
        while self.by_number.get(&number).is_some_and(|known| known.removed || known.node != *node) {
            number = number.wrapping_add(1).max(ROOT + 1);
        }
        number
    }

    /// The number of a node that the kernel is told of.
    pub(crate) fn tell(&mut self, node: &Node) -> u64 {
        let number = self.number(node);
        if number != ROOT {
            if number != hash(node) {
                self.moved.insert(node.clone(), number);
            }
            let fresh = || Known { node: node.clone(), told: 0, removed: false };
            self.by_number.entry(number).or_insert_with(fresh).told += 1;
        }
        number
    }

    /// The node of a number.
    pub(crate) fn node(&self, number: u64) -> Option<Node> {
        if number == ROOT {
            return Some(Node::Dir(Dir::Root));
        }
        self.by_number.get(&number).filter(|known| !known.removed).map(|known| known.node.clone())
    }

    /// The kernel has removed a directory.
    pub(crate) fn remove(&mut self, node: &Node) {
        let number = self.number(node);
        if let Some(known) = self.by_number.get_mut(&number) {
            known.removed = true;
        }
        self.moved.remove(node);
    }

    /// The kernel has forgotten as many times that it was told.
    pub(crate) fn forget(&mut self, number: u64, times: u64) {
        if let Some(known) = self.by_number.get_mut(&number) {
            known.told = known.told.saturating_sub(times);
            if known.told == 0
                && let Some(known) = self.by_number.remove(&number)
                && self.moved.get(&known.node) == Some(&number)
            {
                self.moved.remove(&known.node);
            }
        }
    }

    /// The number of a node, if the kernel knows it.
    pub(crate) fn known(&self, node: &Node) -> Option<u64> {
        let number = self.number(node);
        (number == ROOT || self.by_number.contains_key(&number)).then_some(number)
    }
}

fn hash(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    // 0 is no number, and the root's is taken.
    hasher.finish().max(ROOT + 1)
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

    #[test]
    fn a_directory_made_again_has_another_number_while_the_old_one_is_known() {
        let mut inodes = Inodes::default();
        let vhost = Node::Dir(Dir::Vhost);
        let old = inodes.tell(&vhost);
        inodes.remove(&vhost);
        assert_eq!((inodes.node(old), inodes.known(&vhost)), (None, None));
        let new = inodes.tell(&vhost);
        assert_ne!(new, old);
        inodes.forget(old, 1);
        assert_eq!((inodes.node(new), inodes.known(&vhost)), (Some(vhost.clone()), Some(new)));
        inodes.forget(new, 1);
        assert_eq!(inodes.number(&vhost), old);
    }
}
