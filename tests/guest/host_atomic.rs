// SPDX-License-Identifier: Apache-2.0 OR MIT
//! WRITE ATOMIC (16) on a device that can: what a guest asks to be whole reaches it as one command that is whole.
//!
//! `lunard` runs in the guest, whose kernel has `RWF_ATOMIC` (6.11) and a disk of scsi_debug that can; this program is there
//! too, as the front end.  What the kernel sends to the disk it traces.

use anyhow::{Context, Result, ensure};
use initiator::exchange::{Layout, Place};
use initiator::{Command, Guest as Initiator, LunAddress, Options, commands};
use std::time::Duration;
use stories::guest::Guest;
use stories::kernel::{Kernel, NEWER};
use stories::scratch::Scratch;

const LIMIT: Duration = Duration::from_secs(240);

/// The variable that tells this program that it runs in the guest, as the front end.
const SOCKET: &str = "LUNAR_FRONT_END";

const UNIT: LunAddress = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);

const SCRIPT: &str = r#"
export LUNAR_STATE_DIR=/mnt/state LUNAR_RUNTIME_DIR=/mnt/run
mount -t tmpfs none /mnt
mount -t tracefs none /sys/kernel/tracing
rmmod scsi_debug
insmod /modules/scsi_debug.ko dev_size_mb=16 atomic_wr=1
until_true '[ -e /sys/block/sda/queue/atomic_write_unit_min_bytes ]'
cd /sys/block/sda/queue
echo $(cat atomic_write_unit_min_bytes atomic_write_unit_max_bytes) > /share/device
cd /
lunard > /share/lunard.log 2>&1 &
until_true "lunar ls > /dev/null 2>&1"
lunar /backstores/block create name=disk0 dev=/dev/sda > /share/shell
lunar /vhost create >> /share/shell
wwn=$(lunar ls /vhost | sed -n 's/.*o- \(naa\.[0-9a-f]*\) .*/\1/p')
lunar /vhost/$wwn/tpg1/luns create /backstores/block/disk0 >> /share/shell
echo 1 > /sys/kernel/tracing/events/scsi/scsi_dispatch_cmd_start/enable
LUNAR_FRONT_END=/mnt/run/vhost/$wwn.sock front_end the_front_end --nocapture > /share/front_end 2>&1 && echo told
cat /sys/kernel/tracing/trace > /share/trace
"#;

#[test]
fn a_write_that_is_to_be_whole_reaches_a_device_that_can_as_one_command() -> Result<()> {
    let kernel = match Kernel::since(NEWER) {
        Ok(kernel) => kernel,
        Err(why) => {
            println!("skipped: {why:#}");
            return Ok(());
        }
    };
    let scratch = Scratch::new()?;
    let plan = Guest::plan(SCRIPT).with_kernel(kernel).modules(&["scsi_debug"]).memory_mib(768);
    let results = plan.lunar_and_this(&scratch, "front_end")?.limit(LIMIT).boot(&scratch)?.finish()?;
    let front_end = results.read("front_end")?;
    println!("the device: {}{front_end}", results.read("device")?);
    assert_eq!(results.out, "told\n", "{front_end}");
    ensure!(front_end.contains("1 passed"), "{front_end}");
    // As CDBs: opcode, first block, number of blocks.  Each once, and whole.
    let trace = results.read("trace")?;
    let sent: Vec<&str> =
        trace.lines().filter_map(|line| line.split_once("raw=9c ")).map(|cut| cut.1).collect();
    let cdbs: Vec<&str> = sent.iter().filter_map(|rest| rest.split_once(')').map(|cut| cut.0)).collect();
    assert_eq!(
        cdbs,
        [
            "00 00 00 00 00 00 00 00 10 00 00 00 10 00 00",
            "00 00 00 00 00 00 00 02 00 00 00 02 00 00 00",
            "00 00 00 00 00 00 00 00 40 00 00 00 20 00 00",
        ],
        "{trace}"
    );
    Ok(())
}

/// WRITE ATOMIC (16) of so many blocks of one byte.
fn write_atomic(first: u16, blocks: u16, fill: u8) -> Command {
    let ([first_high, first], [high, low]) = (first.to_be_bytes(), blocks.to_be_bytes());
    let cdb = [0x9c, 0, 0, 0, 0, 0, 0, 0, first_high, first, 0, 0, high, low, 0, 0];
    Command::new(UNIT, &cdb).data_out(vec![fill; usize::from(blocks) * 512])
}

/// Run once more in the guest, as what has the disk.
#[test]
fn the_front_end() -> Result<()> {
    let Some(socket) = std::env::var_os(SOCKET) else {
        println!("only in the guest");
        return Ok(());
    };
    let device = std::fs::read_to_string("/share/device")?;
    let mut bytes = device.split_whitespace().map(str::parse::<u32>);
    let mut next = || -> Result<u32> { Ok(bytes.next().context("two numbers")??) };
    let (min, max) = (next()? / 512, next()? / 512);
    // More at its end than goes through one buffer of ours.
    ensure!(min == 2 && max >= 512, "{min} to {max} blocks");
    let mut guest = Initiator::boot(socket, Options::default())?;

    // MAXIMUM ATOMIC TRANSFER LENGTH, ATOMIC ALIGNMENT, ATOMIC TRANSFER LENGTH GRANULARITY; no boundary.
    let limits = guest.execute(&commands::inquiry_page(UNIT, 0xb0, 64))?.data_in;
    assert_eq!(limits[44..64], [0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    ensure!(guest.execute(&write_atomic(16, 16, 0xa1))?.is_good());
    // The largest, and one whose blocks lie in pieces that no device takes as they are.
    ensure!(guest.execute(&write_atomic(512, 512, 0xa2))?.is_good());
    let scattered = Layout {
        readable_cuts: (1..20).map(|piece| 51 + 700 * piece).collect(),
        place: Place::Apart { align: 4096, offset: 4 },
        ..Layout::default()
    };
    ensure!(guest.execute(&write_atomic(64, 32, 0xa3).layout(scattered))?.is_good());
    for (first, blocks, fill) in [(16_u32, 16_u16, 0xa1), (512, 512, 0xa2), (64, 32, 0xa3)] {
        let bytes = usize::from(blocks) * 512;
        let read = guest.execute(&commands::read_10(UNIT, first, blocks, bytes))?;
        ensure!(read.is_good() && read.data_in.iter().all(|&byte| byte == fill), "block {first}");
    }
    // What it would not take is not sent to it: one block, not aligned, no power of two, too long.
    for (first, blocks) in [(0, 1), (8, 16), (0, 12), (0, 1024)] {
        let refused = guest.execute(&write_atomic(first, blocks, 0xee))?;
        assert_eq!(refused.check_condition(), Some([0x05, 0x24, 0x00]), "{blocks} blocks at {first}");
    }
    Ok(())
}
