// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest that does what it is told, one command after the other, and tells what came of each.
//!
//! Above: the stories in which several guests have to act in turn.  Below: `guest`.
//! Never here: what is to be done.

use crate::guest::Guest;
use anyhow::Result;

/// What a guest runs behind the functions of its story.  A line of its output is `COMMAND: STATUS WHAT IT PRINTED`.
///
/// Attentions are what Linux makes of them: it repeats the command.
const OBEY: &str = "
    for number in $(seq 40); do
        until_true \"[ -e /share/do$number ]\" 300
        order=$(cat /share/do$number)
        [ \"$order\" = end ] && break
        status=0
        said=$($order 2>>/share/complaints) || status=$?
        echo \"$order: $status $said\"
        echo done > /share/did$number
    done";

/// A function that begins another, whose status is told when it has ended.
const BEGIN: &str = "begin() {
        ( status=0; \"$@\" || status=$?; echo $status > /share/ended ) > /dev/null 2>&1 &
    }";

/// A script that does `beginning`, which may define functions, and then obeys.
pub fn script(beginning: &str) -> String {
    format!("{beginning}\n{BEGIN}\n{OBEY}")
}

/// A guest that runs such a script, and how many orders it has had.
#[derive(Debug)]
pub struct Node {
    guest: Guest,
    orders: usize,
}

impl Node {
    /// One that has booted.
    pub fn new(guest: Guest) -> Self {
        Self { guest, orders: 0 }
    }

    /// Has it run a command or a function, and waits until it has.
    pub fn does(&mut self, order: &str) -> Result<()> {
        self.orders += 1;
        self.guest.tell(&format!("do{}", self.orders), order)?;
        self.guest.wait_for(&format!("did{}", self.orders)).map(drop)
    }

    /// Has it begin a command or a function, and does not wait; one in the life of a node.
    pub fn begins(&mut self, order: &str) -> Result<()> {
        self.does(&format!("begin {order}"))
    }

    /// Whether what it began has ended.
    pub fn has_ended(&self) -> bool {
        self.guest.has_written("ended")
    }

    /// Waits until what it began has ended; returns its status.
    pub fn ends(&mut self) -> Result<String> {
        Ok(self.guest.wait_for("ended")?.trim_end().to_owned())
    }

    /// What all have said, each in the order in which it was told.
    pub fn end(mut nodes: Vec<Self>) -> Result<Vec<String>> {
        for node in &mut nodes {
            node.orders += 1;
            node.guest.tell(&format!("do{}", node.orders), "end")?;
        }
        nodes.into_iter().map(|node| Ok(node.guest.finish()?.out)).collect()
    }
}
