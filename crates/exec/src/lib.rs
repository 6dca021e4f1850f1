// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam between logic and threads.
//!
//! Above: everything that runs on a reactor or talks to one.
//! Below: the standard library alone, so that a test can drive each piece without a kernel or a clock.
//! Never here: I/O, and any knowledge of what the messages mean.
//!
//! | part | gives |
//! |---|---|
//! | [`mailbox`] | messages into a thread that may be asleep, with one atomic load where there are none |
//! | [`timer`] | deadlines in order |
//! | [`snapshot`] | a shared value that costs one atomic load to find unchanged |

pub mod mailbox;
pub mod snapshot;
mod sync; // what threads meet at
pub mod timer;
