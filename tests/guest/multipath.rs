// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest's own multipathd over two targets that export one backstore: it follows the states of their groups, and
//! outlives the end of a target, while fio runs.

use anyhow::Result;
use serde_json::json;
use std::time::Duration;
use stories::guest::Guest;
use stories::multipath;
use stories::qmp::Qmp;
use stories::shell::device_options;
use stories::stage::Stage;

const MONITOR: &str = "monitor";

const PROGRAMS: &[&str] = &["fio", "sg_rtpg", "sg_stpg"];

/// What every story here can do besides.
///
/// `behind N` is the disk of the adapter on slot N; `reads_by N` waits until reads go that way and no other.
const BEGINNING: &str = r#"
behind() { ls /sys/bus/pci/devices/0000:00:0$1.0/virtio*/host*/target*/*:0/block 2> /dev/null || true; }
reads_by() {
    looks=600
    while :; do
        used=$(behind $1); other=$(behind $2)
        a=$(reads $used); b=$(reads $other); sleep 0.5
        [ $(reads $used) -gt $((a + 5)) ] && [ $(reads $other) -le $((b + 2)) ] && return 0
        looks=$((looks - 1)); [ $looks -gt 0 ] || { multipath -ll; echo "reads do not go by $1"; exit 1; }
    done
}
"#;

fn boots(stage: &Stage, options: &[String], script: &str) -> Result<Guest> {
    let mut options = options.to_vec();
    options.extend(Qmp::options(&stage.scratch.join(MONITOR)));
    let plan = multipath::plan(
        &["path_grouping_policy group_by_prio", "prio alua"],
        &format!("{BEGINNING}\n{script}"),
    );
    let plan = plan.programs(PROGRAMS).options(&options);
    plan.limit(Duration::from_secs(300)).boot(&stage.scratch)
}

/// Two targets that show one backstore, the first through the group `left`, the second through `right`.
fn two_ways(stage: &Stage) -> Result<[String; 2]> {
    stage.create_fileio("disk0", 64 << 20)?;
    let alua = "/backstores/fileio/disk0/alua";
    stage.shell.well(&format!("{alua} create left 1"))?;
    stage.shell.well(&format!("{alua} create right 2"))?;
    let ways = [stage.serve("fileio/disk0")?, stage.serve("fileio/disk0")?];
    for (wwn, group) in ways.iter().zip(["left", "right"]) {
        put(stage, wwn, group)?;
        stage.shell.well(&format!("{alua}/{group} set alua nonop_delay_msecs=5"))?;
    }
    set_state(stage, "right", 1)?;
    Ok(ways)
}

fn put(stage: &Stage, wwn: &str, group: &str) -> Result<()> {
    let lun = format!("/vhost/{wwn}/tpg1/luns/lun0");
    stage.shell.well(&format!("{lun} set alua alua_tg_pt_gp_name={group}")).map(drop)
}

fn set_state(stage: &Stage, group: &str, state: u8) -> Result<()> {
    let group = format!("/backstores/fileio/disk0/alua/{group}");
    stage.shell.well(&format!("{group} set alua alua_access_state={state}")).map(drop)
}

#[test]
fn multipathd_follows_groups_and_outlives_a_target_while_fio_runs() -> Result<()> {
    let script = r#"
        topology > /share/topology
        load
        reads_by 5 6; echo left > /share/first
        until_true '[ -e /share/standby ]'
        reads_by 6 5; echo right > /share/second
        until_true '[ -e /share/active ]'
        reads_by 5 6; echo left > /share/third
        until_true '[ -e /share/deleted ]'
        reads_by 6 5; echo right > /share/fourth
        until_true '[ -e /share/made ]'
        until_true '[ $(topology | grep -c running) = 2 ]' 90
        reads_by 5 6; echo left > /share/fifth
        topology > /share/topology_in_the_end
        load_ends"#;
    let stage = Stage::set()?;
    let [left, right] = two_ways(&stage)?;
    // Only the administrator sets states: a guest that has seen one of two changes would set the other one back.
    for group in ["left", "right"] {
        stage.shell.well(&format!("/backstores/fileio/disk0/alua/{group} set alua alua_access_type=1"))?;
    }
    let mut options = stage.shell.qemu(&left, &["--pci", "bus=pci.0,addr=0x5", "--memory", "512M"])?;
    options.extend(device_options(&stage.shell.qemu(&right, &["--pci", "bus=pci.0,addr=0x6"])?));
    let mut guest = boots(&stage, &options, script)?;
    let mut qemu = Qmp::connect(&stage.scratch.join(MONITOR))?;
    assert_eq!(guest.wait_for("first")?, "left\n");
    // The group in use goes standby, and the other one is as good as it was.
    set_state(&stage, "left", 2)?;
    set_state(&stage, "right", 0)?;
    guest.tell("standby", "")?;
    guest.wait_for("second")?;
    set_state(&stage, "right", 1)?;
    set_state(&stage, "left", 0)?;
    guest.tell("active", "")?;
    guest.wait_for("third")?;
    // The target in use is taken out of the guest and deleted.
    let (device, chardev) = (format!("scsi-{left}"), format!("lunar-{left}"));
    qemu.run("device_del", json!({ "id": device }))?;
    qemu.wait_for("DEVICE_DELETED")?;
    qemu.run("chardev-remove", json!({ "id": chardev }))?;
    let deadline = stories::deadline::Deadline::after(Duration::from_secs(60));
    deadline
        .until("the target is deleted", || Ok(stage.shell.well(&format!("/vhost delete {left}")).ok()))?;
    guest.tell("deleted", "")?;
    guest.wait_for("fourth")?;
    // It is made again under its name, and plugged in where it was.
    stage.shell.well(&format!("/vhost create {left}"))?;
    stage.map(&left, 1, 0, "fileio/disk0")?;
    put(&stage, &left, "left")?;
    let path = stage.scratch.join("run").join("vhost").join(format!("{left}.sock"));
    let address = json!({ "type": "unix", "data": { "path": path } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    qemu.run("chardev-add", json!({ "id": chardev, "backend": backend }))?;
    let adapter = json!({
        "driver": "vhost-user-scsi-pci", "id": device, "chardev": chardev, "bus": "pci.0", "addr": "0x5",
    });
    qemu.run("device_add", adapter)?;
    guest.tell("made", "")?;
    guest.wait_for("fifth")?;
    let results = guest.finish()?;
    assert_eq!(results.out, multipath::LOAD_ENDED_WELL, "{}", results.read("fio")?);
    let topology = results.read("topology")?;
    assert!(topology.contains("hwhandler='1 alua'"), "{topology}");
    // One group of paths for each target port group: optimized counts 50, non-optimized 10.
    assert!(topology.contains("prio=50") && topology.contains("prio=10"), "{topology}");
    println!("{topology}\n{}\n{}", results.read("topology_in_the_end")?, results.read("fio")?);
    Ok(())
}

#[test]
fn a_guest_sets_states_that_survive_a_restart() -> Result<()> {
    let script = r#"
        # What the guest is told: both groups, each with a port that is not 0.
        sg_rtpg -d /dev/sda > /share/groups
        disk=/dev/$(behind 6)
        # Nobody else sets states: multipathd would have the kernel do it, and so does the first read.
        kill -TERM $multipathd; wait $multipathd || true
        sg_stpg --tp=1,2 --state=s,ao $disk
        sg_rtpg -d $disk > /share/set
        until_true '[ -e /share/restarted ]'
        sg_rtpg -d $disk > /share/again
        sg_rtpg -e -d $disk > /share/extended
        dd if=/dev/mapper/mpatha of=/dev/null bs=4k count=8 iflag=direct 2> /dev/null && echo reads"#;
    let mut stage = Stage::set()?;
    let [left, right] = two_ways(&stage)?;
    let mut options = stage.shell.qemu(&left, &["--pci", "bus=pci.0,addr=0x5", "--memory", "512M"])?;
    options.extend(device_options(&stage.shell.qemu(&right, &["--pci", "bus=pci.0,addr=0x6"])?));
    let mut guest = boots(&stage, &options, &format!("{script}\necho done"))?;
    guest.wait_for("set")?;
    let said = stage.shell.well("/backstores/fileio/disk0/alua ls")?;
    assert!(said.contains("ALUA state: Standby"), "{said}");
    stage.daemon.kill()?;
    stage.daemon.restart()?;
    let said = stage
        .shell
        .well("/backstores/fileio/disk0/alua/left get alua alua_access_state alua_access_status")?;
    assert_eq!(said, "alua_access_state=2 \nalua_access_status=1 \n");
    guest.tell("restarted", "")?;
    let results = guest.finish()?;
    assert_eq!(results.out, "reads\ndone\n");
    let states = |file: &str| -> Result<Vec<String>> {
        let lines = results.lines_with(file, "asymmetric access state : ")?;
        Ok(lines
            .iter()
            .filter_map(|line| line.rsplit_once(" : ").map(|(_, state)| state.to_owned()))
            .collect())
    };
    assert_eq!(states("groups")?, ["0x00 (active/optimized)", "0x01 (active/non optimized)"]);
    let ports = results.lines_with("groups", "      0x0")?;
    assert_eq!(ports.iter().map(|line| line.trim()).collect::<Vec<_>>(), ["0x01", "0x02"]);
    assert_eq!(states("set")?, ["0x02 (standby)", "0x00 (active/optimized)"]);
    assert_eq!(states("again")?, states("set")?);
    assert_eq!(states("extended")?, states("set")?);
    Ok(())
}
