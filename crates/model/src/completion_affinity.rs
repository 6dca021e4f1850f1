// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the commands of a target are to complete, as LIO's tools say it.
//!
//! Above: the one parameter of a target.  Below: `kernel_number`.
//! Never here: a completion.  Lunar's come from the reactor that served the command, whatever is said here: it is
//! kept so that LIO's tools find what they have written.

use crate::kernel_number::kernel_i32;
use std::fmt;

/// The highest number of a CPU: no Linux has more than 8192.
const CPU_MAX: i32 = 8191;

/// Where the commands of a target are to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletionAffinity(i32);

impl CompletionAffinity {
    /// LIO's name for the parameter.
    pub const NAME: &'static str = "cmd_completion_affinity";

    /// What it takes, in words.
    pub const VALUES: &'static str = "-1, -2 or the number of a CPU that is online";

    /// One line for the administrator, without a full stop at the end.
    pub const HELP: &'static str = "Where LIO would complete commands: -1, on the CPU that submitted them; -2, on any; \
         else the number of a CPU. It is kept for LIO's tools, and `lunard` does not heed it";

    /// Reads a value as LIO reads its file: a number as [`kernel_number`](crate::kernel_number) has it, with `-` too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        kernel_i32(text).filter(|number| (-2..=CPU_MAX).contains(number)).map(Self)
    }

    /// The CPU that it names, if it names one.
    #[must_use]
    pub fn cpu(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }

    /// The number that LIO has for it.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

impl Default for CompletionAffinity {
    /// LIO's, on the CPU that submitted the command.
    fn default() -> Self {
        Self(-1)
    }
}

impl fmt::Display for CompletionAffinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
