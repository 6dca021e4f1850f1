// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Installs what `demo` and `test` need, says what it installs, and does nothing where all is there.
//!
//! Above: `demo`, `levels`, `cargo xtask setup`.  Below: apt, and `setup/` for what takes more than a name:
//! a recent QEMU, an older one beside it, a kernel for guests, the fence agents, and the newer targetcli.
//! Never here: the address of a mirror.  The machine knows its own.
//!
//! What counts is whether the program runs, not whether a package is registered: in containers the two differ.

mod fence_agents;
mod kernel;
mod older_qemu;
mod qemu;
mod sources;
mod targetcli;

use crate::run::visibly;
use anyhow::{Result, bail};
use std::process::Command;
use std::time::Duration;
use stories::process::command;
use stories::programs::find_in_path;

/// How long apt may take to fetch lists, and to fetch and install packages.
const UPDATE_LIMIT: Duration = Duration::from_secs(300);
const INSTALL_LIMIT: Duration = Duration::from_secs(900);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    /// `cargo xtask demo`.
    Demo,
    /// `cargo xtask test`, which needs all that the demo needs.
    Test,
}

/// A program, or a file by its path, and the package of Debian that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    first_for: For,
}

const NEEDS: &[Need] = &[
    Need { program: "busybox", package: "busybox-static", first_for: For::Demo },
    Need { program: "depmod", package: "kmod", first_for: For::Demo },
    Need { program: "ldd", package: "libc-bin", first_for: For::Demo },
    Need { program: "losetup", package: "mount", first_for: For::Demo },
    Need { program: "lsscsi", package: "lsscsi", first_for: For::Demo },
    Need { program: "mkfs.ext4", package: "e2fsprogs", first_for: For::Demo },
    Need { program: "setpriv", package: "util-linux", first_for: For::Demo },
    Need { program: "xz", package: "xz-utils", first_for: For::Demo },
    Need { program: "zstd", package: "zstd", first_for: For::Demo },
    Need { program: "fio", package: "fio", first_for: For::Test },
    Need { program: "fish", package: "fish", first_for: For::Test },
    Need { program: "groff", package: "groff", first_for: For::Test },
    Need { program: "mandoc", package: "mandoc", first_for: For::Test },
    Need { program: "zsh", package: "zsh", first_for: For::Test },
    Need { program: "grub-mkimage", package: "grub-common", first_for: For::Test },
    Need { program: "/usr/lib/grub/i386-pc/boot.img", package: "grub-pc-bin", first_for: For::Test },
    Need {
        program: "/usr/lib/grub/x86_64-efi/kernel.img",
        package: "grub-efi-amd64-bin",
        first_for: For::Test,
    },
    Need { program: "iscsi-test-cu", package: "libiscsi-bin", first_for: For::Test },
    Need { program: "mcopy", package: "mtools", first_for: For::Test },
    Need { program: "mkfs.fat", package: "dosfstools", first_for: For::Test },
    Need { program: "/usr/share/OVMF/OVMF_CODE_4M.fd", package: "ovmf", first_for: For::Test },
    Need { program: "multipathd", package: "multipath-tools", first_for: For::Test },
    Need {
        program: "/usr/lib/python3/dist-packages/curl/__init__.py",
        package: "python3-pycurl",
        first_for: For::Test,
    },
    Need {
        program: "/usr/lib/python3/dist-packages/pexpect/__init__.py",
        package: "python3-pexpect",
        first_for: For::Test,
    },
    Need { program: "udevadm", package: "udev", first_for: For::Test },
    Need { program: "dbus-daemon", package: "dbus-daemon", first_for: For::Test },
    Need { program: "sg_inq", package: "sg3-utils", first_for: For::Test },
    Need { program: "fusermount3", package: "fuse3", first_for: For::Test },
    Need { program: "systemd-analyze", package: "systemd", first_for: For::Test },
    Need { program: "ansible-playbook", package: "ansible-core", first_for: For::Test },
    Need { program: "targetctl", package: "python3-rtslib-fb", first_for: For::Test },
    Need { program: "targetcli", package: "targetcli-fb", first_for: For::Test },
    Need { program: "virt-xml-validate", package: "libvirt-clients", first_for: For::Test },
    Need { program: "xmllint", package: "libxml2-utils", first_for: For::Test },
];

/// What this machine lacks.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    /// Packages to install by name.
    packages: Vec<&'static str>,
    /// The programs they are wanted for, for machines without apt.
    programs: Vec<&'static str>,
    /// Whether QEMU is absent or too old.
    qemu: bool,
    /// Whether there is no kernel that guests could boot.
    kernel: bool,
}

/// Makes sure that everything is there.
pub(crate) fn prepare(who: For) -> Result<()> {
    install_what_is_missing(who)?;
    if who == For::Test {
        older_qemu::prepare();
        kernel::prepare_newer();
        fence_agents::prepare();
        targetcli::prepare();
    }
    Ok(())
}

fn install_what_is_missing(who: For) -> Result<()> {
    let missing = look(who, |program| find_in_path(program).is_some());
    if missing.is_nothing() {
        println!("setup: nothing is missing ({}, {})", qemu::describe(), kernel::describe());
        return Ok(());
    }
    if find_in_path("apt-get").is_none() {
        bail!("this machine has no apt; please install {}", missing.in_words());
    }
    // A kernel is only unpacked into our own folder, which takes no right.
    let installs = missing.qemu || !missing.packages.is_empty();
    if installs && !rustix::process::geteuid().is_root() {
        bail!("{}", missing.for_an_administrator());
    }
    println!("setup: missing is {}", missing.in_words());
    install(&missing)?;
    let still = look(who, |program| find_in_path(program).is_some());
    if !still.is_nothing() {
        bail!("after installing, this machine still lacks {}", still.in_words());
    }
    println!("setup: done ({}, {})", qemu::describe(), kernel::describe());
    Ok(())
}

fn look(who: For, is_there: impl Fn(&str) -> bool) -> Missing {
    let lacking = NEEDS.iter().filter(|need| need.first_for <= who && !is_there(need.program));
    let (packages, programs) = lacking.map(|need| (need.package, need.program)).unzip();
    Missing { packages, programs, qemu: !qemu::is_recent(), kernel: !kernel::is_there() }
}

fn install(missing: &Missing) -> Result<()> {
    // Others fetch the kernel by the lists that are there.
    if rustix::process::geteuid().is_root() {
        visibly(apt().arg("update"), UPDATE_LIMIT)?;
    }
    if !missing.packages.is_empty() {
        println!("setup: installing {}", missing.packages.join(" "));
        visibly(apt_install().args(&missing.packages), INSTALL_LIMIT)?;
    }
    if missing.qemu {
        qemu::install()?;
    }
    if missing.kernel {
        kernel::fetch()?;
    }
    Ok(())
}

impl Missing {
    fn is_nothing(&self) -> bool {
        self.programs.is_empty() && !self.qemu && !self.kernel
    }

    fn in_words(&self) -> String {
        let mut things: Vec<String> = self.programs.iter().map(|&program| program.to_owned()).collect();
        if self.qemu {
            things.push(format!("QEMU {} or newer with x86 guests", qemu::WANTED));
        }
        if self.kernel {
            things.push(
                "a kernel for guests (the package linux-image-amd64 of Debian, or its like)".to_owned(),
            );
        }
        things.join(", ")
    }

    fn for_an_administrator(&self) -> String {
        let mut text = format!("missing is {}, and installing takes root:", self.in_words());
        if !self.packages.is_empty() {
            text.push_str(&format!("\n    apt-get install {}", self.packages.join(" ")));
        }
        if self.qemu {
            text.push_str(&format!("\n    {}", qemu::advice()));
        }
        text
    }
}

/// apt-get that asks nothing and waits for another one to finish.
fn apt() -> Command {
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("APT_LISTCHANGES_FRONTEND", "none");
    apt.args(["--quiet", "--option=DPkg::Lock::Timeout=120", "--option=Acquire::Retries=3"]);
    apt
}

fn apt_install() -> Command {
    let mut install = apt();
    install.args(["install", "--yes", "--no-install-recommends", "--option=Dpkg::Use-Pty=0"]);
    install
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_asks_for_less_than_the_tests() {
        let demo = look(For::Demo, |program| program != "lsscsi" && program != "fio");
        assert_eq!((demo.packages, demo.programs), (vec!["lsscsi"], vec!["lsscsi"]));
        let test = look(For::Test, |program| program != "lsscsi" && program != "fio");
        assert_eq!(test.packages, ["lsscsi", "fio"]);
    }

    #[test]
    fn an_administrator_is_told_the_command() {
        let missing =
            Missing { packages: vec!["sg3-utils"], programs: vec!["sg_inq"], qemu: false, kernel: false };
        assert_eq!(
            missing.for_an_administrator(),
            "missing is sg_inq, and installing takes root:\n    apt-get install sg3-utils"
        );
    }
}
