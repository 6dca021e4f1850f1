// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's errors and directories.
//!
//! Above: all who write files or tell why they could not.  Below: the file system.
//! Never here: a name of ours.

use model::CompletionAffinity;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::Path;

/// The CPUs that are online, such as `0-3,6`.
const CPUS_ONLINE: &str = "/sys/devices/system/cpu/online";

/// Whether the host has the CPU, online, that commands are to complete on; where none is named, or nobody can tell, it has.
#[must_use]
pub fn has_cpu_of(affinity: CompletionAffinity) -> bool {
    let Some(cpu) = affinity.cpu() else { return true };
    std::fs::read_to_string(CPUS_ONLINE).map_or(true, |list| is_in(&list, cpu))
}

/// Whether a list of numbers and of ranges of them has a number.
fn is_in(list: &str, cpu: u32) -> bool {
    list.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().is_ok_and(|first: u32| first <= cpu) && last.parse().is_ok_and(|last: u32| cpu <= last)
    })
}

/// An error of the host without `(os error 13)`, which says nothing more.
#[must_use]
pub fn plain(err: &dyn Display) -> String {
    let text = err.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// Makes what was created, renamed or removed in a directory durable.
///
/// # Errors
/// Those of opening and syncing the directory.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_have_numbers_and_ranges() {
        for cpu in [0, 2, 3, 6, 8] {
            assert!(is_in("0,2-3,6,8-15\n", cpu), "{cpu}");
        }
        for cpu in [1, 4, 5, 7, 16] {
            assert!(!is_in("0,2-3,6,8-15\n", cpu), "{cpu}");
        }
        assert!(!is_in("\n", 0));
    }
}
