// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's own disk is reserved by somebody else: the guests are told RESERVATION CONFLICT, and not of a bad medium.
//!
//! `lunard` runs in the guest as well, over a disk of ours that the guest has on two adapters: the one reserves it, and
//! the other one is the host's way.  This program is there too, as the front end.

use anyhow::{Result, ensure};
use initiator::{Guest as Initiator, LunAddress, Options, commands};
use std::path::Path;
use std::time::Duration;
use stories::guest::Guest;
use stories::shell::device_options;
use stories::stage::Stage;

const LIMIT: Duration = Duration::from_secs(240);

/// The variable that tells this program that it runs in the guest, as the front end.
const SOCKET: &str = "LUNAR_FRONT_END";

/// WRITE EXCLUSIVE: others may read.
const SCRIPT: &str = r#"
settle 2
export LUNAR_STATE_DIR=/mnt/state LUNAR_RUNTIME_DIR=/mnt/run
mount -t tmpfs none /mnt
persist() { sg_persist --out "$@" /dev/sda > /share/persist; }
persist --register --param-sark=0xa
persist --reserve --param-rk=0xa --prout-type=1
lunard > /share/lunard.log 2>&1 &
until_true "lunar ls > /dev/null 2>&1"
lunar /backstores/block create name=disk0 dev=/dev/sdb > /share/shell
lunar /vhost create >> /share/shell
wwn=$(lunar ls /vhost | sed -n 's/.*o- \(naa\.[0-9a-f]*\) .*/\1/p')
lunar /vhost/$wwn/tpg1/luns create /backstores/block/disk0 >> /share/shell
LUNAR_FRONT_END=/mnt/run/vhost/$wwn.sock front_end the_front_end --nocapture > /share/front_end 2>&1 &
front_end=$!
until_true '[ -e /share/refused ] || ! kill -0 $front_end'
persist --release --param-rk=0xa --prout-type=1
touch /share/released
wait $front_end && echo told
"#;

#[test]
fn a_reservation_of_somebody_else_on_the_hosts_disk_is_a_reservation_conflict() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 64 << 20)?;
    let [one, other] = [stage.serve("fileio/disk0")?, stage.serve("fileio/disk0")?];
    let mut options = stage.shell.qemu(&one, &["--memory", "768M"])?;
    options.extend(device_options(&stage.shell.qemu(&other, &[])?));
    let plan = Guest::plan(SCRIPT).programs(&["sg_persist"]).options(&options).limit(LIMIT);
    let results = plan.lunar_and_this(&stage.scratch, "front_end")?.boot(&stage.scratch)?.finish()?;
    let front_end = results.read("front_end")?;
    println!("{front_end}");
    assert_eq!(results.out, "told\n", "{front_end}");
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
    let unit = LunAddress::unit(1, 0);
    let mut guest = Initiator::boot(socket, Options::default())?;
    let write = commands::write_10(unit, 0, 1, &[0x5a; 512]);
    let same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let write_same = initiator::Command::new(unit, &same).data_out(vec![0x5a; 512]);
    for command in [&write, &write_same] {
        let answer = guest.execute(command)?;
        assert_eq!((answer.response, answer.status, answer.sense.len()), (0, 0x18, 0));
    }
    ensure!(guest.execute(&commands::read_10(unit, 0, 1, 512))?.is_good());
    std::fs::write(share.join("refused"), "yes\n")?;
    stories::deadline::Deadline::after(LIMIT)
        .until("the reservation is released", || Ok(share.join("released").exists().then_some(())))?;
    for command in [&write, &write_same] {
        ensure!(guest.execute(command)?.is_good());
    }
    Ok(())
}
