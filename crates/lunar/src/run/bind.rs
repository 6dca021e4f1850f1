// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar bind`: the tree at `/sys/kernel/config/target` for the whole machine.
//!
//! Above: `main`, mostly for `lunar-configfs.service`.  Below: `tree`, mount(2), systemctl(1).
//! Never here: a change of the kernel's own target.  Where that is in use, or will be, nothing is laid over it.

use super::tree::{self, Tree};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use shell::Failure;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where configfs is, and where the kernel's target has its tree once its module is loaded.
const CONFIGFS: &str = "/sys/kernel/config";
const TARGET: &str = "/sys/kernel/config/target";

/// What a target of the kernel has that is not in use.
const CORE_OF_ITS_OWN: &str = "alua";
const OF_ITS_OWN: [&str; 3] = ["core", "version", "dbroot"];
const FABRIC_OF_ITS_OWN: &str = "discovery_auth";

/// A directory that is there where systemd started the machine: sd_booted(3).  Elsewhere an enabled unit starts nothing.
const BOOTED_BY_SYSTEMD: &str = "/run/systemd/system";

/// Units of LIO's tools that restore a file when the machine starts, and clear everything when it stops.
const RESTORERS: [&str; 2] = ["target.service", "rtslib-fb-targetctl.service"];

/// Lays the tree over the place.
pub(crate) fn bind(tree: &Tree) -> Result<(), Failure> {
    undo()?;
    if let Some(unit) = restorer(unit_is) {
        return Err(Failure::new(format!(
            "{unit} is on: it would restore LIO's file over what lunard serves, and clear that when it stops"
        ))
        .hint(format!("systemctl disable --now {unit}; that clears what the kernel's own target has")));
    }
    let (from, place) = if Path::new(TARGET).is_dir() {
        if let Some(what) = in_use(Path::new(TARGET)) {
            return Err(Failure::new(format!("the kernel's own target is in use: it has {what}"))
                .hint("leave it, and give LIO's tools Lunar with `lunar run`; or clear it first"));
        }
        (tree.dir().join("target"), TARGET)
    } else if Path::new(CONFIGFS).is_dir() {
        if !names(Path::new(CONFIGFS)).is_empty() {
            return Err(Failure::new(format!(
                "{CONFIGFS} is used by others, and has no target/ to lay it over"
            ))
            .hint("modprobe target_core_mod makes one; it stays empty"));
        }
        (tree.dir().to_owned(), CONFIGFS)
    } else {
        return Err(Failure::new(format!("there is no {CONFIGFS} on this machine"))
            .hint("the kernel is built without configfs: give LIO's tools Lunar with `lunar run`"));
    };
    rustix::mount::mount_bind(&from, place)
        .map_err(|errno| Failure::new(format!("cannot bind {} to {place}: {errno}", from.display())))?;
    tree.must_be_at(CONFIGFS)
}

/// Takes the tree away again, also one whose daemon has died.
pub(crate) fn undo() -> Result<(), Failure> {
    for place in [TARGET, CONFIGFS] {
        while tree::is_mounted_at(place) {
            rustix::mount::unmount(place, UnmountFlags::DETACH).map_err(|errno| match errno {
                Errno::PERM => Failure::new(format!("only root may change what is at {place}")),
                errno => Failure::new(format!("cannot take the tree from {place}: {errno}")),
            })?;
        }
    }
    Ok(())
}

/// The unit of LIO's tools that is on: now, or when the machine starts again.
fn restorer(unit_is: impl Fn(&str, &str) -> bool) -> Option<&'static str> {
    RESTORERS.into_iter().find(|unit| unit_is("active", unit) || unit_is("enabled", unit))
}

/// Whether systemd says so of a unit.  A machine without it has no units, and a unit that is not there is nothing.
fn unit_is(state: &str, unit: &str) -> bool {
    if !Path::new(BOOTED_BY_SYSTEMD).is_dir() {
        return false;
    }
    // One unit at a time: of several the first that is not there ends the question.
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["--quiet", &format!("is-{state}"), unit]);
    systemctl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    systemctl.status().is_ok_and(|status| status.success())
}

/// What a target of the kernel serves, or could: a backstore or the target of a fabric.
fn in_use(target: &Path) -> Option<String> {
    let core = names(&target.join("core"));
    if let Some(hba) = core.iter().find(|name| *name != CORE_OF_ITS_OWN) {
        return Some(format!("core/{hba}"));
    }
    let fabrics = names(target).into_iter().filter(|name| !OF_ITS_OWN.contains(&name.as_str()));
    fabrics
        .flat_map(|fabric| names(&target.join(&fabric)).into_iter().map(move |name| (fabric.clone(), name)))
        .find(|(fabric, name)| name != FABRIC_OF_ITS_OWN && target.join(fabric).join(name).is_dir())
        .map(|(fabric, name)| format!("{fabric}/{name}"))
}

/// The names in a directory; none where it is none.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_lios_tools_that_is_active_or_enabled_is_found_beside_one_that_is_not_there() {
        assert_eq!(restorer(|_, _| false), None);
        for (state, unit) in [("active", "target.service"), ("enabled", "rtslib-fb-targetctl.service")] {
            assert_eq!(restorer(|asked, of| (asked, of) == (state, unit)), Some(unit), "{state}");
        }
    }

    #[test]
    fn a_target_is_in_use_with_a_backstore_or_a_target_of_a_fabric() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |path: &str| std::fs::create_dir_all(dir.path().join(path)).expect(path);
        make("core/alua/lu_gps");
        make("vhost/discovery_auth");
        std::fs::write(dir.path().join("vhost/version"), "").expect("a file");
        std::fs::write(dir.path().join("dbroot"), "/var/target").expect("a file");
        assert_eq!(in_use(dir.path()), None);
        make("iscsi/iqn.2003-01.org:x");
        assert_eq!(in_use(dir.path()).as_deref(), Some("iscsi/iqn.2003-01.org:x"));
        make("core/iblock_0");
        assert_eq!(in_use(dir.path()).as_deref(), Some("core/iblock_0"));
    }
}
