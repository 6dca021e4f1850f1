// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest whose first process is systemd: a whole machine with the units of `packaging` installed.
//!
//! Above: the stories of whole machines.  Below: `guest`, `initramfs`; systemd and all else in `/usr` of the host.
//!
//! Its `/usr` is the host's, which it can only read, with what a package of Lunar brings laid over it.  Its `/etc` and
//! `/var` are new: nothing of the host is enabled there.

use crate::guest::{Guest, Plan};
use crate::kernel::Kernel;
use crate::programs::{built, find_in_path, workspace};
use anyhow::{Context, Result};
use std::path::Path;

/// The first process.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What a package of Lunar has, in `packaging` and on a machine.
const PACKAGED: &[(&str, &str)] = &[
    ("systemd/lunard.service", "/usr/lib/systemd/system"),
    ("systemd/lunar-configfs.service", "/usr/lib/systemd/system"),
    ("systemd/lunard.service.d/configfs.conf", "/etc/systemd/system/lunard.service.d"),
    ("sysusers.d/lunar.conf", "/usr/lib/sysusers.d"),
    ("tmpfiles.d/lunar.conf", "/usr/lib/tmpfiles.d"),
];

/// What such a machine mounts, besides what its story needs.
const MODULES: &[&str] = &["overlay", "autofs4"];

/// What takes time on a machine of a minute, and is nothing that Lunar meets.
const LEFT_OUT: &str = "systemd-timesyncd.service systemd-logind.service getty.target systemd-hwdb-update.service \
    proc-sys-fs-binfmt_misc.automount systemd-random-seed.service systemd-pcrphase.service \
    systemd-pcrphase-sysinit.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    multipathd.socket multipathd.service systemd-journal-flush.service";

/// Makes the root file system that `init` then enters.
const PREPARE: &str = r#"
new=/new
mkdir -p $new /mnt/usr /mnt/over
mount -t tmpfs -o mode=755 none $new
cd $new
mkdir -p etc/systemd/system var/lib var/log root run proc sys dev tmp mnt share usr
chmod 1777 tmp
for folder in bin sbin lib lib64; do ln -s usr/$folder $folder; done
ln -s ../run var/run
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro usr /mnt/usr
mount -t tmpfs none /mnt/over
mkdir /mnt/over/upper /mnt/over/work
mount -t overlay -o lowerdir=/mnt/usr,upperdir=/mnt/over/upper,workdir=/mnt/over/work none usr
mkdir -p usr/lib/modules/$(uname -r)
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro modules usr/lib/modules/$(uname -r)
cp /usr/bin/lunard /usr/bin/lunar usr/bin/
echo 5a1e0f6c000040008000000000000001 > etc/machine-id
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
echo 'passwd: files
group: files' > etc/nsswitch.conf
ln -s /proc/self/mounts etc/mtab
echo machine > etc/hostname
for unit in LEFT_OUT; do ln -s /dev/null etc/systemd/system/$unit; done
cat > etc/systemd/system/story.target <<'END'
[Unit]
Requires=multi-user.target story.service
AllowIsolate=yes
END
ln -s story.target etc/systemd/system/default.target
cat > etc/systemd/system/story.service <<'END'
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
TimeoutStartSec=infinity
WorkingDirectory=/root
Environment=HOME=/root
ExecStart=/bin/sh -e -c "exec > /share/out 2>&1; . /prelude; . /story"
ExecStopPost=/bin/sh -c 'echo $EXIT_STATUS > /share/status'
END
cp /prelude .
"#;

/// Ends a text that the script carries.
const END: &str = "--- the end of a text ---";

/// What is missing on this machine for one, if anything is.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let merged = |folder: &str| std::fs::read_link(folder).is_ok_and(|to| to.starts_with("usr"));
    if !Path::new(SYSTEMD).is_file() {
        Some("systemd is not installed")
    } else if !merged("/lib") || !merged("/bin") {
        Some("this machine keeps programs and libraries outside /usr")
    } else if find_in_path("dbus-daemon").is_none() {
        Some("dbus-daemon is not installed")
    } else {
        None
    }
}

/// A machine that runs `script` once everything that is enabled has started, and then powers off.
///
/// `enabled` are the units of Lunar that start by themselves.
pub fn plan(script: &str, enabled: &[&str]) -> Result<Plan> {
    let mut prepare = PREPARE.replace("LEFT_OUT", LEFT_OUT);
    for (file, folder) in PACKAGED {
        let path = workspace().join("packaging").join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        prepare.push_str(&carried(&text, folder.trim_start_matches('/'), &name));
    }
    for unit in enabled {
        let text = std::fs::read_to_string(workspace().join("packaging/systemd").join(unit))?;
        let wanted_by = text.lines().find_map(|line| line.strip_prefix("WantedBy="));
        let wants = format!("etc/systemd/system/{}.wants", wanted_by.context("who wants it?")?);
        prepare.push_str(&format!("mkdir -p {wants}\nln -s /usr/lib/systemd/system/{unit} {wants}/{unit}\n"));
    }
    prepare.push_str(&carried(script, ".", "story"));
    let programs = [built("lunard")?, built("lunar")?];
    let programs: Vec<&str> = programs.iter().filter_map(|program| program.to_str()).collect();
    let mut options = exported("usr", Path::new("/usr"));
    options.extend(exported("modules", &Kernel::find()?.modules));
    Ok(Guest::plan(&prepare)
        .then_enters("/new", SYSTEMD)
        .modules(MODULES)
        .programs(&programs)
        .options(&options)
        .memory_mib(1024))
}

/// The lines that write a text into a file.
fn carried(text: &str, folder: &str, name: &str) -> String {
    format!("mkdir -p {folder}\ncat > {folder}/{name} <<'{END}'\n{text}\n{END}\n")
}

/// A folder of the host that the guest may read.
fn exported(tag: &str, folder: &Path) -> Vec<String> {
    let export = format!("local,id={tag},security_model=none,readonly=on,path={}", folder.display());
    let device = format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}");
    ["-fsdev", &export, "-device", &device].map(str::to_owned).into()
}
