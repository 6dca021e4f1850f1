// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page's second way: the host's paths are excluded from its multipathd and given to Lunar one by one, and the guest's
//! own multipathd makes one disk of them.
//!
//! The paths are two loop devices over one file, each a backstore, with one unit serial number and a target each.

use anyhow::{Result, ensure};
use std::time::Duration;
use stories::loop_device::{self, LoopDevice};
use stories::multipath;
use stories::shell::device_options;
use stories::stage::Stage;

const LIMIT: Duration = Duration::from_secs(300);

/// `flows DISK` waits until reads go that way.
const SCRIPT: &str = r#"
flows() { before=$(reads $1); until_true "[ \$(reads $1) -gt $((before + 20)) ]" 60; }
topology > /share/topology
# Which of them is sda is up to the kernel.
way0=$(disk_at 0:0:1:0) way1=$(disk_at 1:0:1:0)
load
flows $way0; flows $way1; echo both > /share/both
until_true '[ -e /share/lost ]' 120
until_true '[ $(usable) = 1 ]' 60; flows $way0; echo one > /share/one
until_true '[ -e /share/found ]' 120
until_true '[ $(usable) = 2 ]' 60; flows $way1; flows $way0
load_ends"#;

#[test]
fn the_guests_multipathd_joins_paths_that_the_host_gave_singly() -> Result<()> {
    if !loop_device::available() {
        println!("skipped: two ways to one file are loop devices, which takes root");
        return Ok(());
    }
    let stage = Stage::set()?;
    let file = stage.scratch.sparse_file("disk", 64 << 20)?;
    let ways = [LoopDevice::attach(&file, &[])?, LoopDevice::attach(&file, &[])?];
    let mut options = Vec::new();
    let mut targets = Vec::new();
    for (name, way) in ["way0", "way1"].into_iter().zip(&ways) {
        let (path, serial) = (way.path().display(), "1f2e3d4c-5b6a-7980-8190-a0b0c0d0e0f0");
        stage.shell.well(&format!("/backstores/block create {name} {path} wwn={serial}"))?;
        let wwn = stage.serve(&format!("block/{name}"))?;
        let said = stage.shell.qemu(&wwn, &["--memory", "512M"])?;
        options.extend(if targets.is_empty() { said } else { device_options(&said) });
        targets.push(wwn);
    }
    let plan = multipath::plan(&["path_grouping_policy multibus"], SCRIPT).programs(&["fio"]);
    let mut guest = plan.options(&options).limit(LIMIT).boot(&stage.scratch)?;
    guest.wait_for("both")?;
    let offline = |offline: u8| {
        let lun = format!("/vhost/{}/tpg1/luns/lun0", targets[1]);
        stage.shell.well(&format!("{lun} set alua alua_tg_pt_offline={offline}"))
    };
    offline(1)?;
    guest.tell("lost", "")?;
    guest.wait_for("one")?;
    offline(0)?;
    guest.tell("found", "")?;
    let results = guest.finish()?;
    assert_eq!(results.out, multipath::LOAD_ENDED_WELL, "{}", results.read("fio")?);
    let topology = results.read("topology")?;
    // One disk, named by the serial number, with one product and two paths.
    ensure!(topology.contains("mpatha (360014051f2e3d4c5b6a79808190a0b0c)"), "{topology}");
    ensure!(topology.contains("LIO-ORG,way0"), "{topology}");
    println!("{topology}");
    Ok(())
}
