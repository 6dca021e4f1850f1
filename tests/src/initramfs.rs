// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packs a guest's first and only root file system.
//!
//! Above: `guest`.  Below: `cpio`, `modules`, the host's busybox and programs.
//!
//! Nothing in it is compressed: copying is cheaper than unpacking under emulation.

use crate::cpio::Archive;
use crate::kernel::Kernel;
use crate::modules::{Modules, name_of};
use crate::process::{command, run, run_well};
use crate::programs::host_program;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LISTING_LIMIT: Duration = Duration::from_secs(60);

/// The guest's first process.  It loads the modules, runs the story and powers off, whatever happens.
///
/// The share holds what comes back: `out` has all the story printed, `status` its exit status, and the
/// story may write more files there.  A guest that moves has no share, because QEMU does not let one move that has
/// mounted a folder of its host; it prints both on its console.
///
/// Where `then` names a root file system and a program in it, the story has made that, and the program goes on as the
/// first process; then `status` is its business.
const INIT: &str = r#"#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
on_console=$(grep -c lunar.on_console /proc/cmdline)
[ "$on_console" = 1 ] || mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share
( set -e; . /prelude; . /story ) > /share/out 2>&1
status=$?
if [ $status = 0 ] && [ -s /then ]; then
    read -r root program < /then
    mount --move /share $root/share && exec switch_root $root $program
fi
echo $status > /share/status
[ "$on_console" = 0 ] || { cat /share/out; echo "status $(cat /share/status)"; } > /dev/ttyS0
poweroff -f
"#;

/// What every story may call.
const PRELUDE: &str = r#"
# Waits until a command succeeds; a second argument limits the seconds.
until_true() {
    looks=$(( ${2:-60} * 10 ))
    until eval "$1"; do
        looks=$((looks - 1))
        if [ $looks -le 0 ]; then echo "waited in vain for: $1"; exit 1; fi
        sleep 0.1
    done
}
# Waits until the kernel has attached as many SCSI disks as the argument says.
settle() {
    until_true "[ \$(dmesg | grep -c 'Attached SCSI .*disk') -ge $1 ]"
    until_true "[ \$(ls /dev/sd* | grep -c 'sd[a-z]*$') -ge $1 ]"
}
# The name, such as sda, of the disk with an address such as 0:0:1:0.
disk_at() { ls "/sys/class/scsi_device/$1/device/block"; }
"#;

/// What comes on top of what every guest has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Kernel modules, by name.
    pub modules: &'a [&'a str],
    /// Programs of the host, by name.
    pub programs: &'a [&'a str],
    /// Files of the host, which stay where they are.
    pub files: &'a [&'a str],
    /// The root file system that the story makes, and the program in it that goes on; empty for none.
    pub then: &'a str,
}

/// Packs one; `script` is the story.
pub fn pack(kernel: &Kernel, wanted: &Wanted<'_>, script: &str) -> Result<Vec<u8>> {
    let Wanted { modules, programs, files, then } = wanted;
    let mut archive = Archive::default();
    for folder in ["proc", "sys", "dev", "share", "tmp", "mnt", "etc"] {
        archive.directory(folder);
    }
    archive.link("etc/mtab", "/proc/mounts");
    add_busybox(&mut archive)?;
    add_modules(&mut archive, kernel, modules)?;
    for file in *files {
        add_libraries(&mut archive, Path::new(file))?;
        archive.program(file.trim_start_matches('/'), read(Path::new(file))?);
    }
    let mut prelude = PRELUDE.to_owned();
    for program in *programs {
        // Busybox's shell runs its own applet of a name, whatever PATH says; a function goes before.
        if archive.contains(Path::new("bin").join(program)) {
            prelude.push_str(&format!("{program}() {{ /usr/bin/{program} \"$@\"; }}\n"));
        }
        add_program(&mut archive, program)?;
    }
    archive.program("init", INIT.into());
    archive.file("prelude", prelude.into());
    archive.file("story", script.into());
    archive.file("then", (*then).into());
    Ok(archive.bytes())
}

fn add_busybox(archive: &mut Archive) -> Result<()> {
    let busybox = host_program("busybox")?;
    let applets = run_well(command(&busybox).arg("--list"), LISTING_LIMIT)?;
    for applet in String::from_utf8(applets)?.lines() {
        archive.link(Path::new("bin").join(applet), "busybox");
    }
    add_libraries(archive, &busybox)?;
    archive.program("bin/busybox", read(&busybox)?);
    Ok(())
}

fn add_modules(archive: &mut Archive, kernel: &Kernel, wanted: &[&str]) -> Result<()> {
    let modules = Modules::read(&kernel.modules)?;
    let mut order = String::new();
    for file in modules.closure(&[crate::kernel::MODULES_ALWAYS, wanted].concat())? {
        let name = format!("{}.ko", name_of(&file));
        archive.file(Path::new("modules").join(&name), modules.load(&file)?);
        order.push_str(&name);
        order.push('\n');
    }
    archive.file("modules/order", order.into());
    Ok(())
}

/// Adds a program of the host, or the one at a whole path, with the shared libraries it is linked to.
fn add_program(archive: &mut Archive, name: &str) -> Result<()> {
    let program = if name.starts_with('/') { PathBuf::from(name) } else { host_program(name)? };
    add_libraries(archive, &program)?;
    let name = program.file_name().with_context(|| format!("{name} is no program"))?;
    archive.program(Path::new("usr/bin").join(name), read(&program)?);
    Ok(())
}

fn add_libraries(archive: &mut Archive, program: &Path) -> Result<()> {
    // ldd fails for a program that is linked statically, and so needs nothing.
    let said = run(command("ldd").arg(program), LISTING_LIMIT)?;
    for library in libraries(&String::from_utf8_lossy(&said.stdout)) {
        if !archive.contains(&library) {
            archive.program(&library, read(&library)?);
        }
    }
    Ok(())
}

/// The files ldd(1) names, the dynamic loader among them.
fn libraries(said: &str) -> Vec<PathBuf> {
    let lines = said.lines().filter_map(|line| {
        let found = line.split_once("=>").map_or(line, |(_, found)| found);
        found.trim().split_once(" (").map(|(path, _)| path)
    });
    lines.filter(|path| path.starts_with('/')).map(PathBuf::from).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_ldd_found() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f9)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(said), expected.map(PathBuf::from));
        assert_eq!(libraries("\tnot a dynamic executable\n"), Vec::<PathBuf>::new());
    }
}
