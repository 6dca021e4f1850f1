// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One thing that is done again and again for as long as another takes.
//!
//! Above: stories of what must not be disturbed.  Below: a thread.
//! Never here: a clock.

use anyhow::Result;

/// Does `again`, with how often it was done before, until `work` has ended; returns how often, and what came of that.
///
/// # Errors
/// Those of the one and the other.
pub fn meanwhile<T: Send>(
    mut again: impl FnMut(u32) -> Result<()>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<(u32, T)> {
    std::thread::scope(|scope| {
        let works = scope.spawn(work);
        let mut rounds = 0;
        while !works.is_finished() {
            again(rounds)?;
            rounds += 1;
        }
        Ok((rounds, works.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?))
    })
}
