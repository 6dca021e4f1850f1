// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A SCSI disk of the host is deleted under a guest that uses it: NOT READY from the first command that fails on, no other
//! LUN notices, and it is served again by itself once there is a device under its name.
//!
//! `lunard` runs in the guest, whose kernel has two disks of scsi_debug with a medium each; this program is there too, as the
//! front end of two targets.

use anyhow::{Context, Result, ensure};
use initiator::load::{self, Load};
use initiator::{Guest as Initiator, LunAddress, Options, commands};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stories::deadline::Deadline;
use stories::guest::Guest;
use stories::scratch::Scratch;

const LIMIT: Duration = Duration::from_secs(240);

/// The variables that tell this program that it runs in the guest, as the front end, and where.
const SOCKET: &str = "LUNAR_FRONT_END";
const NEIGHBOUR: &str = "LUNAR_NEIGHBOUR";

const NOT_READY: [u8; 3] = [0x02, 0x04, 0x00];
/// Another size, and other limits: told once what is other is there, which may be after it is used.
const NEWS: [[u8; 3]; 2] = [[0x06, 0x2a, 0x09], [0x06, 0x3f, 0x03]];

/// `told FILE` waits for the front end; `a` is the disk that goes, which is 2 ms away.
const SCRIPT: &str = r#"
export LUNAR_STATE_DIR=/mnt/state LUNAR_RUNTIME_DIR=/mnt/run
mount -t tmpfs none /mnt
rmmod scsi_debug
insmod /modules/scsi_debug.ko add_host=2 per_host_store=1 dev_size_mb=16 ndelay=2000000
until_true '[ -b /dev/sda ] && [ -b /dev/sdb ]'
a=$(basename $(ls -d /sys/bus/pseudo/devices/adapter0/host*/target*/*:0/block/*))
b=$(basename $(ls -d /sys/bus/pseudo/devices/adapter1/host*/target*/*:0/block/*))
host=$(basename /sys/bus/pseudo/devices/adapter0/host*)
told() { until_true "[ -e /share/$1 ] || ! kill -0 $front_end"; has_come $1; }
has_come() { [ -e /share/$1 ] || { cat /share/front_end /share/lunard.log; false; }; }
find_again() { echo '- - -' > /sys/class/scsi_host/$host/scan; }
new_name() { ls /sys/bus/pseudo/devices/adapter0/host*/target*/*:0/block 2> /dev/null; }
missing() { lunar /backstores/block ls | grep -i -c missing; }
# A name that lunard has open itself is not given to what comes back.
has_let_go() { ! ls -l /proc/$started/fd | grep -q "/dev/$a"; }

lunard > /share/lunard.log 2>&1 &
until_true "lunar ls > /dev/null 2>&1"
started=$(pidof lunard)
lunar /backstores/block create name=goes dev=/dev/$a > /share/shell
lunar /backstores/block create name=stays dev=/dev/$b >> /share/shell
lunar /backstores/fileio create next /mnt/next 16M >> /share/shell
target() {
    lunar /vhost create > /share/created
    wwn=$(sed -n 's/.*\(naa\.[0-9a-f]*\).*/\1/p' /share/created | head -1)
}
target; lunar /vhost/$wwn/tpg1/luns create /backstores/block/goes >> /share/shell
lunar /vhost/$wwn/tpg1/luns create /backstores/block/stays >> /share/shell
first=/mnt/run/vhost/$wwn.sock
target; lunar /vhost/$wwn/tpg1/luns create /backstores/fileio/next >> /share/shell
LUNAR_FRONT_END=$first LUNAR_NEIGHBOUR=/mnt/run/vhost/$wwn.sock \
    front_end the_front_end --nocapture > /share/front_end 2>&1 &
front_end=$!

told loaded1
echo 1 > /sys/block/$a/device/delete; touch /share/deleted1
told gone1; until_true '[ $(missing) = 1 ]'; echo gone
# Told before it is so: lunard may serve it before this script has its next turn.
until_true has_let_go; touch /share/found1; find_again; until_true '[ -b /dev/$a ]'
told back1; echo back

# Somebody else keeps the name of what is deleted in use: the device comes back under another one, and that is not looked for.
sleep 1000 < /dev/$a &
keeper=$!
told loaded2
echo 1 > /sys/block/$a/device/delete; touch /share/deleted2
told gone2; until_true '[ $(missing) = 1 ]'
find_again; until_true '[ -n "$(new_name)" ]'; c=$(new_name)
[ $c != $a ] && until_true '[ -b /dev/$c ]'
sleep 3; [ $(missing) = 1 ] && echo still gone
touch /share/found2; ln -s $c /dev/$a
told back2; echo back again
kill $keeper
wait $front_end; echo well
[ "$(pidof lunard)" = "$started" ] && echo same
"#;

#[test]
fn a_disk_of_the_host_that_is_deleted_is_not_ready_and_comes_back_under_its_name() -> Result<()> {
    let scratch = Scratch::new()?;
    let plan = Guest::plan(SCRIPT).modules(&["scsi_debug"]).memory_mib(768);
    let results = plan.lunar_and_this(&scratch, "front_end")?.limit(LIMIT).boot(&scratch)?.finish()?;
    let (front_end, log) = (results.read("front_end")?, results.read("lunard.log")?);
    println!("{front_end}\n{log}");
    assert_eq!(results.out, "gone\nback\nstill gone\nback again\nwell\nsame\n", "{front_end}");
    ensure!(front_end.contains("1 passed"), "{front_end}");
    // One line for each time that it goes and comes, and none of what its guest asked for meanwhile.
    ensure!(log.matches("block/goes is gone").count() == 2, "{log}");
    ensure!(log.matches("block/goes has appeared and is served").count() == 2, "{log}");
    Ok(())
}

fn goes() -> LunAddress {
    LunAddress::unit(1, 0)
}

fn stays() -> LunAddress {
    LunAddress::unit(1, 1)
}

/// Run once more in the guest, as what has the disks.
#[test]
fn the_front_end() -> Result<()> {
    let (Some(first), Some(second)) = (std::env::var_os(SOCKET), std::env::var_os(NEIGHBOUR)) else {
        println!("only in the guest");
        return Ok(());
    };
    let patience = || Options::default().patience(Duration::from_secs(120));
    let (mut guest, mut neighbour) =
        (Initiator::boot(first, patience())?, Initiator::boot(second, patience())?);
    let stop = Arc::new(AtomicBool::new(false));
    let load = Load {
        address: goes(),
        queue_depth: 4,
        duration: LIMIT,
        range_bytes: Some(4 << 20),
        read_percent: 50,
        verify: true,
        stop: Some(Arc::clone(&stop)),
        ..Load::default()
    };
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| load::run(&mut neighbour, &load));
        let went = (1..=2).try_for_each(|round| goes_and_comes(&mut guest, round));
        stop.store(true, Ordering::Relaxed);
        let report = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        println!("beside it: {report}");
        went?;
        ensure!(report.errors == 0 && report.blocks_corrupt == 0, "{:?}", report.first_error);
        ensure!(report.blocks_verified > 100, "{report}");
        Ok(())
    })
}

fn goes_and_comes(guest: &mut Initiator, round: u8) -> Result<()> {
    let share = Path::new("/share");
    let tell = |what: &str| std::fs::write(share.join(format!("{what}{round}")), "yes\n");
    let is_told = |what: &str| share.join(format!("{what}{round}")).exists();
    let kept = commands::write_10(goes(), 1024, 8, &[round; 4096]);
    let answer = guest.execute_after(&NEWS, &kept)?;
    ensure!(answer.is_good(), "{answer:?}");

    // Always some in flight, on both disks.
    let mut answers: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    let (mut rounds, mut after) = (0_u32, 0);
    let deadline = Deadline::seconds(120);
    while after < 50 {
        ensure!(!deadline.passed(), "it does not go: {answers:02x?}");
        let told = is_told("deleted");
        both(guest, rounds, &mut answers)?;
        rounds += 1;
        after += u32::from(told);
        if rounds == 20 {
            tell("loaded")?;
        }
    }
    println!("round {round}: {rounds} times, answered by the disk that went: {answers:02x?}");
    let known = |sense: &[u8; 3]| NEWS.contains(sense) || [NOT_READY, [0, 0, 0]].contains(sense);
    ensure!(answers.keys().all(known), "{answers:02x?}");
    ensure!(answers.get(&NOT_READY).is_some_and(|count| *count >= 50), "{answers:02x?}");
    // Who it is is known all the same.
    ensure!(guest.execute(&commands::inquiry(goes(), 36))?.is_good());
    tell("gone")?;

    let read = commands::read_10(goes(), 1024, 8, 4096);
    let answer = deadline.until("the disk to come back", || {
        ensure!(guest.execute(&commands::read_10(stays(), 0, 1, 512))?.is_good());
        let answer = guest.execute(&read)?;
        if answer.is_good() {
            return Ok(Some(answer));
        }
        let sense = answer.check_condition().context("a sense")?;
        ensure!(known(&sense), "{sense:02x?}");
        Ok(None)
    })?;
    ensure!(is_told("found") && answer.data_in == [round; 4096], "another disk");
    let answer = guest.execute_after(&NEWS, &kept)?;
    ensure!(answer.is_good(), "{answer:?}");
    Ok(tell("back")?)
}

/// Writes and reads on both disks at once; all is good on the one that stays.
fn both(guest: &mut Initiator, round: u32, answers: &mut BTreeMap<[u8; 3], usize>) -> Result<()> {
    let queue = guest.request_queue(0)?;
    let mut begun = Vec::new();
    for unit in [goes(), stays()] {
        for step in 0..4 {
            let lba = 64 * ((round + step) % 8);
            begun.push((unit, queue.start(&commands::write_10(unit, lba, 8, &[7; 4096]))?));
            begun.push((unit, queue.start(&commands::read_10(unit, 2048 + lba, 8, 4096))?));
        }
    }
    for (unit, token) in begun {
        let answer = queue.wait_for(token)?;
        let sense = if answer.is_good() { [0; 3] } else { answer.check_condition().context("a sense")? };
        if unit == goes() {
            *answers.entry(sense).or_default() += 1;
        } else {
            ensure!(sense == [0; 3], "the disk that stays: {answer:?}");
        }
    }
    Ok(())
}
