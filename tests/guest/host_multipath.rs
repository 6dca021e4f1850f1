// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page's host: a device-mapper multipath device is the disk, its paths go and come back, and the front end does not
//! notice while there is a way or multipathd says to wait.
//!
//! `lunard` runs in the guest, whose kernel has the paths and whose multipathd joins them; this program is there too, as
//! the front end.

use anyhow::{Result, ensure};
use initiator::load::{self, Load};
use initiator::{Guest as Initiator, LunAddress, Options, commands};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stories::multipath;
use stories::scratch::Scratch;

const LIMIT: Duration = Duration::from_secs(240);

/// The variable that tells this program that it runs in the guest, as the front end.
const SOCKET: &str = "LUNAR_FRONT_END";

const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);

/// Two adapters of scsi_debug with one medium and one name are the paths.
///
/// `path N` is the disk of one adapter; `io DISK` how many transfers it has had; `flows DISK` waits until it has more.
/// The two seconds of `stands` are the measurement: nothing moves all the while.  The longest latency that
/// [`the_front_end`] wants is that time.
const SCRIPT: &str = r#"
export LUNAR_STATE_DIR=/mnt/state LUNAR_RUNTIME_DIR=/mnt/run
mount -t tmpfs none /mnt
path() { ls /sys/bus/pseudo/devices/adapter$1/host*/target*/*:0/block 2> /dev/null || true; }
io() { set -- $(cat /sys/block/$1/stat); echo $(($1 + $5)); }
flows() { before=$(io $1); until_true "[ \$(io $1) -gt $((before + 50)) ]" 30; }
stands() { before=$(io dm-0); sleep 2; [ $(io dm-0) = $before ]; }
state() { echo $2 > /sys/block/$1/device/state; }

lunard --configfs /mnt/config > /share/lunard.log 2>&1 &
until_true "lunar ls > /dev/null 2>&1 && [ -d /mnt/config/target/core ]"
device=$(ls /dev/disk/by-id/dm-uuid-mpath-*)
echo $device > /share/device
lunar /backstores/block create name=disk0 write_back=false dev=$device > /share/page
lunar /vhost create >> /share/page
wwn=$(lunar ls /vhost | sed -n 's/.*o- \(naa\.[0-9a-f]*\) .*/\1/p')
lunar /vhost/$wwn/tpg1/luns create /backstores/block/disk0 >> /share/page
cat /mnt/config/target/core/iblock_0/disk0/info > /share/info
started=$(pidof lunard)

LUNAR_FRONT_END=/mnt/run/vhost/$wwn.sock front_end the_front_end --nocapture > /share/front_end 2>&1 &
front_end=$!
a=$(path 0); b=$(path 1)
flows $a; flows $b; echo both

# One is lost and comes back, and then the other: once by its state, once for good.
state $a offline; flows $b
until_true '[ $(usable) = 1 ]'; flows $b; echo one
state $a running; until_true '[ $(usable) = 2 ]' 30; flows $a
echo 1 > /sys/block/$b/device/delete; flows $a
until_true '[ $(usable) = 1 ]'; flows $a; echo other
host=$(basename /sys/bus/pseudo/devices/adapter1/host*); echo '- - -' > /sys/class/scsi_host/$host/scan
until_true '[ -n "$(path 1)" ]'; b=$(path 1)
until_true '[ $(usable) = 2 ]' 30; flows $b; flows $a; echo again

# Both are lost: multipathd says to wait, and all wait.
state $a offline; state $b offline
until_true stands; echo waiting
lunar /backstores/block/disk0 ls > /dev/null; lunar /vhost/$wwn ls > /dev/null
state $b running; flows $b
state $a running; until_true '[ $(usable) = 2 ]' 30; flows $a; echo through
touch /share/enough; until_true '[ -e /share/checked ]' 30

# It says to wait no longer, and both are lost: that is told, and nothing else breaks.
multipathd disablequeueing map mpatha > /dev/null
touch /share/lose; until_true '[ -e /share/losing ]' 30
flows $a
state $a offline; state $b offline
until_true '[ -e /share/lost ]' 30; echo lost
state $a running; state $b running
until_true '[ $(usable) = 2 ]' 30
touch /share/back; wait $front_end; echo back
[ "$(pidof lunard)" = "$started" ] && echo same
grep -c . /share/lunard.log > /share/lines
"#;

/// Two adapters instead of the one that the module brings by itself.
const PATHS: &str = "rmmod scsi_debug\n\
    insmod /modules/scsi_debug.ko add_host=2 vpd_use_hostno=0 dev_size_mb=64\n";

#[test]
fn a_front_end_does_not_notice_that_paths_of_the_host_go_and_come_back() -> Result<()> {
    let scratch = Scratch::new()?;
    let plan = multipath::plan_on(PATHS, &["path_grouping_policy multibus"], SCRIPT)
        .modules(&["scsi_debug", "fuse"])
        .memory_mib(768);
    let results = plan.lunar_and_this(&scratch, "front_end")?.limit(LIMIT).boot(&scratch)?.finish()?;

    assert_eq!(results.out, "both\none\nother\nagain\nwaiting\nthrough\nlost\nback\nsame\n");
    let (device, page) = (results.read("device")?, results.read("page")?);
    let device = device.trim_end();
    ensure!(device.starts_with("/dev/disk/by-id/dm-uuid-mpath-3"), "{device}");
    ensure!(page.starts_with(&format!("Created block storage object disk0 using {device}.\n")), "{page}");
    let info = results.read("info")?;
    ensure!(info.contains(&format!("iBlock device: dm-0  UDEV PATH: {device}  readonly: 0\n")), "{info}");
    let front_end = results.read("front_end")?;
    println!("{front_end}\n{}", results.read("lunard.log")?);
    ensure!(front_end.contains("1 passed"), "{front_end}");
    Ok(())
}

/// Run once more in the guest, as what has the disk.
#[test]
fn the_front_end() -> Result<()> {
    let Some(socket) = std::env::var_os(SOCKET) else {
        println!("only in the guest");
        return Ok(());
    };
    let share = Path::new("/share");
    let mut guest = Initiator::boot(socket, Options::default().patience(Duration::from_secs(300)))?;
    // Paths go and come back, and all is as if they had not.
    let report = loaded(&mut guest, &share.join("enough"))?;
    println!("while paths go: {report}; the longest {:?}", report.latency(100.0));
    ensure!(report.errors == 0 && report.blocks_corrupt == 0, "{:?}", report.first_error);
    ensure!(report.blocks_verified > 1000, "{report}");
    // Some of it waited while there was no path at all: for as long as `stands` looks, at least.
    ensure!(report.latency(100.0) > Duration::from_secs(2), "{:?}", report.latency(100.0));
    std::fs::write(share.join("checked"), "yes\n")?;

    // All are lost and nobody waits: that is what the commands in flight are told, and those that follow.
    until_there(&share.join("lose"))?;
    std::fs::write(share.join("losing"), "yes\n")?;
    let report = until_one_fails(&mut guest)?;
    println!("as the last path goes: {report}; {:?}", report.first_error);
    ensure!(report.errors > 0 && report.blocks_corrupt == 0, "{report}");
    let read = guest.execute(&commands::read_10(UNIT, 0, 1, 512))?;
    let write = guest.execute(&commands::write_10(UNIT, 0, 1, &[0; 512]))?;
    println!("read: {:02x?}, write: {:02x?}", read.check_condition(), write.check_condition());
    // What asks nothing of the medium is answered.
    ensure!(guest.execute(&commands::inquiry(UNIT, 36))?.is_good());
    ensure!(guest.capacity(UNIT)? == (131_072, 512));
    std::fs::write(share.join("lost"), "yes\n")?;

    until_there(&share.join("back"))?;
    let load = Load { duration: Duration::from_secs(3), ..checked() };
    let report = load::run(&mut guest, &load)?;
    println!("with paths again: {report}");
    ensure!(report.errors == 0 && report.blocks_corrupt == 0, "{:?}", report.first_error);
    ensure!(report.reads > 0 && report.writes > 0, "{report}");
    assert_eq!(
        (read.check_condition(), write.check_condition()),
        (Some([0x03, 0x11, 0]), Some([0x03, 0x0c, 0]))
    );
    Ok(())
}

fn checked() -> Load {
    Load {
        address: UNIT,
        queue_depth: 8,
        duration: LIMIT,
        read_percent: 50,
        range_bytes: Some(4 << 20),
        verify: true,
        ..Load::default()
    }
}

/// Reads and writes and compares until there is that file.
fn loaded(guest: &mut Initiator, until: &Path) -> Result<load::Report> {
    let stop = Arc::new(AtomicBool::new(false));
    let load = Load { stop: Some(Arc::clone(&stop)), ..checked() };
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let there = until_there(until);
            stop.store(true, Ordering::Relaxed);
            there
        });
        let report = load::run(guest, &load)?;
        waits.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(report)
    })
}

/// The same in rounds until a command failed.
fn until_one_fails(guest: &mut Initiator) -> Result<load::Report> {
    let load = Load { duration: Duration::from_millis(500), ..checked() };
    for _ in 0..200 {
        let report = load::run(guest, &load)?;
        if report.errors > 0 {
            return Ok(report);
        }
    }
    anyhow::bail!("no command failed")
}

fn until_there(file: &Path) -> Result<()> {
    stories::deadline::Deadline::after(LIMIT).until("a file", || Ok(file.exists().then_some(())))
}
