// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest needs to join paths itself: udev, Debian's multipathd, and the beginning of a script that starts both.
//!
//! Above: the stories in which a guest has a disk on several ways.  Below: `guest`, which takes it along.
//! Never here: which disks those are.

use crate::guest::{Guest, Plan};

const MODULES: &[&str] = &["dm_multipath", "dm_service_time", "dm_round_robin", "scsi_dh_alua"];

const PROGRAMS: &[&str] = &["udevadm", "multipath", "multipathd", "dmsetup"];

const FILES: &[&str] = &[
    // For pthread_cancel, which loads it when it is first called.
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/lib/multipath/libchecktur.so",
    "/lib/multipath/libprioalua.so",
    "/lib/multipath/libprioconst.so",
    "/lib/multipath/libpriosysfs.so",
    "/lib/udev/scsi_id",
    "/lib/udev/rules.d/50-udev-default.rules",
    "/lib/udev/rules.d/55-dm.rules",
    "/lib/udev/rules.d/56-dm-mpath.rules",
    "/lib/udev/rules.d/60-block.rules",
    "/lib/udev/rules.d/60-multipath.rules",
    "/lib/udev/rules.d/60-persistent-storage.rules",
    "/lib/udev/rules.d/60-persistent-storage-dm.rules",
    "/lib/udev/rules.d/95-dm-notify.rules",
    "/lib/udev/rules.d/99-systemd.rules",
];

/// udev and multipathd run, and `/dev/mapper/mpatha` is there with two paths.
///
/// `$multipathd` is the process, `topology` what it made of the paths, `usable` how many of them the kernel goes; `reads DISK`
/// is how many reads a disk has had.  `load` starts fio, which reads back what it writes, and `load_ends` says how that went;
/// these take the program along.
const BEGINNING: &str = r#"
mkdir -p /run /var/run /etc/udev /etc/multipath /sbin /usr/sbin
ln -s udevadm /usr/bin/systemd-udevd
ln -s /usr/bin/multipath /sbin/multipath; ln -s /usr/bin/dmsetup /sbin/dmsetup
ln -s /usr/bin/multipath /usr/sbin/multipath
cat > /etc/multipath.conf <<END
defaults {
    user_friendly_names yes
    find_multipaths no
    polling_interval 1
    max_polling_interval 1
    path_checker tur
    failback immediate
    no_path_retry queue
    checker_timeout 5
    MORE
}
END
/usr/bin/systemd-udevd --daemon 2> /share/udevd
udevadm trigger --action=add; udevadm settle --timeout=60
settle 2
multipathd -d -v2 > /share/multipathd 2>&1 &
multipathd=$!
usable() { dmsetup status mpatha | grep -o ' 8:[0-9]* A' | wc -l; }
until_true '[ -b /dev/mapper/mpatha ]' 90
until_true '[ $(usable) = 2 ]' 60
# It talks of paths that come and go meanwhile.
topology() { multipath -ll mpatha 2> /dev/null; }
reads() { set -- $(cat /sys/block/$1/stat 2> /dev/null || echo 0); echo $1; }
load() {
    fio --name=load --filename=/dev/mapper/mpatha --direct=1 --ioengine=libaio --iodepth=4 --rw=randrw --bs=4k \
        --size=16m --time_based --runtime=600 --verify=crc32c --verify_backlog=32 --verify_fatal=1 --randseed=1 \
        > /share/fio 2>&1 &
    fio=$!
}
load_ends() {
    kill -TERM $fio; wait $fio || true
    grep -c ' err= 0: ' /share/fio
    dmesg | grep -i 'I/O error.*dm-\|buffer i/o error' || echo no complaint
}
"#;

/// What `load_ends` says where all was read as it was written, and the kernel told of no failure.
pub const LOAD_ENDED_WELL: &str = "1\nno complaint\n";

/// A guest that joins two paths to a disk and then runs `script`.  `defaults` are more lines for that section of
/// multipath.conf.
pub fn plan(defaults: &[&str], script: &str) -> Plan {
    plan_on("", defaults, script)
}

/// The same in a guest that runs `paths` first, which makes them.
pub fn plan_on(paths: &str, defaults: &[&str], script: &str) -> Plan {
    let beginning = BEGINNING.replace("MORE", &defaults.join("\n    "));
    let plan = Guest::plan(&format!("{paths}\n{beginning}\n{script}"));
    plan.modules(MODULES).programs(PROGRAMS).files(FILES)
}
