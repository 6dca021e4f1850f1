// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The arrows between the crates.
//!
//! Above: `tidy`.  Below: what cargo says about the workspace.

use crate::cargo::Package;

/// Which crates of the workspace a crate may use.  ARCHITECTURE.md says what each is, and why.
///
/// Tests of a crate may use any.  A crate that is not in the table may not be in the workspace.
const MAY_USE: &[(&str, &[&str])] = &[
    ("scsi", &[]),
    ("exec", &[]),
    ("memory", &[]),
    ("mounts", &[]),
    ("virtqueue", &["memory"]),
    ("vhost-user", &[]),
    ("reactor", &["exec", "memory"]),
    ("backstore", &["exec", "memory", "mounts", "reactor"]),
    ("target", &["scsi", "exec", "memory", "backstore"]),
    ("vhost-scsi", &["vhost-user", "virtqueue", "memory", "reactor", "exec", "target", "scsi"]),
    ("model", &[]),
    ("api", &[]),
    ("translate", &["model", "api"]),
    ("kernel-target", &["model", "api", "translate"]),
    ("configfs", &["model"]),
    ("shell", &["api"]),
    ("initiator", &["scsi"]),
    ("lunard", LUNARD),
    ("lunar", &["shell", "api", "initiator", "kernel-target", "mounts"]),
    ("stories", &[]),
    ("benches", &["initiator", "stories"]),
    ("fuzz", FUZZ),
    ("xtask", &["stories"]),
];

/// All that listens to a front end or a guest, and a good guest beside the bad one.
const FUZZ: &[&str] = &[
    "backstore",
    "initiator",
    "memory",
    "reactor",
    "scsi",
    "target",
    "vhost-scsi",
    "vhost-user",
    "virtqueue",
];

/// All but the shell and the guest of the tests.
const LUNARD: &[&str] = &[
    "scsi",
    "exec",
    "memory",
    "mounts",
    "virtqueue",
    "vhost-user",
    "reactor",
    "backstore",
    "target",
    "vhost-scsi",
    "model",
    "api",
    "translate",
    "configfs",
];

/// Returns a fault for each crate that is unknown and each arrow that is not in the table.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            faults.push(format!(
                "{}: this crate is not in the table of xtask/src/tidy/crates.rs",
                package.name
            ));
            continue;
        };
        for used in uses(package).filter(|used| !may_use.contains(used)) {
            faults.push(format!("{}: it may not use {used}", package.name));
        }
    }
    faults
}

/// The workspace's crates that a package uses in its own code or to build it.
fn uses(package: &Package) -> impl Iterator<Item = &str> {
    let own = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    own.filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Dependency;

    fn package(name: &str, uses: &[(&str, Option<&str>, bool)]) -> Package {
        let dependencies = uses.iter().map(|&(name, kind, of_the_workspace)| Dependency {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            path: of_the_workspace.then(|| "crates".into()),
        });
        Package { name: name.to_owned(), dependencies: dependencies.collect(), targets: Vec::new() }
    }

    #[test]
    fn arrows_of_the_table_and_foreign_crates_are_fine() {
        let packages = [
            package("virtqueue", &[("memory", None, true), ("libc", None, false)]),
            package("scsi", &[("target", Some("dev"), true)]),
        ];
        assert_eq!(check(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_a_fault() {
        let packages =
            [package("shell", &[("model", None, true)]), package("scsi", &[("exec", Some("build"), true)])];
        assert_eq!(check(&packages), ["shell: it may not use model", "scsi: it may not use exec"]);
    }

    #[test]
    fn a_crate_that_is_not_in_the_table_is_a_fault() {
        let faults = check(&[package("util", &[])]);
        assert_eq!(faults, ["util: this crate is not in the table of xtask/src/tidy/crates.rs"]);
    }

    #[test]
    fn the_table_has_no_circle() {
        for (index, (name, may_use)) in MAY_USE.iter().enumerate() {
            for used in *may_use {
                let place = MAY_USE.iter().position(|(known, _)| known == used);
                assert!(place.is_some_and(|place| place < index), "{name} uses {used}");
            }
        }
    }
}
