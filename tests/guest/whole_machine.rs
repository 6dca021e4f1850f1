// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The units of `packaging` on a whole machine: a guest whose first process is systemd, with the kernel's own configfs
//! and target, and LIO's own targetcli.
//!
//! What the machine does is in `whole_machine.sh`.

use anyhow::{Result, ensure};
use std::time::Duration;
use stories::guest::Results;
use stories::mounted;
use stories::scratch::Scratch;
use stories::whole_machine;

const SCRIPT: &str = include_str!("whole_machine.sh");

const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn the_units_lay_the_tree_over_the_kernels_and_take_it_away() -> Result<()> {
    if let Some(why) = whole_machine::missing().or(mounted::missing_tool()) {
        println!("skipped: {why}");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let plan = whole_machine::plan(SCRIPT, &["lunard.service", "lunar-configfs.service"])?;
    let results = plan.limit(LIMIT).boot(&scratch)?.finish()?;
    println!("{}", results.out);
    it_starts_after_lunard_and_lunard_as_its_user(&results)?;
    lios_own_shell_finds_lunar(&results)?;
    it_follows_lunard(&results)?;
    the_kernels_own_is_uncovered_as_it_was(&results)?;
    a_kernel_that_serves_is_left_alone(&results)?;
    what_would_restore_a_file_over_it_is_named(&results)
}

fn it_starts_after_lunard_and_lunard_as_its_user(results: &Results) -> Result<()> {
    assert_eq!(
        results.read("booted")?,
        "lunard active\nlunar-configfs active\nsys-kernel-config.mount active\n0\nfuse.lunard\ntarget\n",
        "without the module the tree is all that is in configfs"
    );
    let order = results.read("order")?;
    let active: Vec<u64> = order.lines().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(matches!(active[..], [lunard, tree] if lunard < tree), "{order}");
    ensure!(results.read("user")?.contains("(lunar)"));
    assert_eq!(
        results.read("runtime")?,
        "/run/lunar 710 lunar kvm\n/run/lunar/vhost 710 lunar kvm\n/run/lunar/api.sock 660 lunar lunar\n"
    );
    Ok(())
}

fn lios_own_shell_finds_lunar(results: &Results) -> Result<()> {
    let said = results.read("targetcli")?;
    for part in [
        "Created ramdisk r1 with size 8M.\n",
        "Created target naa.500140568720f76f.\nCreated TPG 1.\n",
        "Created LUN 1.\n",
        "[Storage Objects: 2]\n",
        "Configuration saved to /etc/rtslib-fb-target/saveconfig.json\n",
    ] {
        ensure!(said.contains(part), "missing is\n{part}\nin\n{said}");
    }
    let shown = results.read("ls.lunar")?;
    ensure!(shown.contains("[ramdisk/r0 (") && shown.contains("[ramdisk/r1 ("), "{shown}");
    assert_eq!(sorted(&results.read("saved")?), ["\"name\": \"r0\"", "\"name\": \"r1\""]);
    assert_eq!(results.read("targetclid")?, "Created ramdisk r3 with size 8M.\ntargetclid active\n");
    let beside = results.read("targetcli.beside")?;
    ensure!(beside.contains("Created LUN 2.\n"), "{beside}");
    let shown = results.read("ls.beside")?;
    ensure!(shown.contains("[Storage Objects: 4]") && shown.contains("[ramdisk/r2 ("), "{shown}");
    Ok(())
}

fn it_follows_lunard(results: &Results) -> Result<()> {
    let active = "lunard active\nlunar-configfs active\n";
    assert_eq!(results.read("restarted")?, format!("{active}alua\nrd_mcp_0\nrd_mcp_1\nrd_mcp_2\n1\n"));
    // lunard's own mount, and the one that is bound: none is left of the one that died.
    assert_eq!(results.read("killed")?, format!("{active}2\n"));
    assert_eq!(results.read("stopped")?, "lunard inactive\nlunar-configfs inactive\n0\n");
    Ok(())
}

fn the_kernels_own_is_uncovered_as_it_was(results: &Results) -> Result<()> {
    assert_eq!(
        results.read("beside")?,
        "lunard active\nlunar-configfs active\nconfigfs\nfuse.lunard\ndiscovery_auth\nnaa.500140568720f76f\nversion\n\
         fuse.lunard\n"
    );
    let before = results.read("kernel.before")?;
    ensure!(before.contains("./vhost/discovery_auth directory ") && before.lines().count() > 20, "{before}");
    assert_eq!(before, results.read("kernel.uncovered")?);
    assert_eq!(before, results.read("kernel.after")?);
    Ok(())
}

fn a_kernel_that_serves_is_left_alone(results: &Results) -> Result<()> {
    let said = results.read("busy")?;
    let why = "the kernel's own target is in use: it has core/rd_mcp_7\n\
               hint: leave it, and give LIO's tools Lunar with `lunar run`; or clear it first\n";
    let place = "$ whose /sys/kernel/config/target\n";
    assert_eq!(
        without_advice(&said),
        format!(
            "$ states lunard lunar-configfs\nlunard active\nlunar-configfs failed\n$ lunar bind\n{why}exit 1\n\
             $ systemctl start lunar-configfs\nexit 1\n{place}configfs\n$ lunar run -- ls /sys/kernel/config/target/core\n\
             alua\nrd_mcp_0\nrd_mcp_1\nrd_mcp_2\nrd_mcp_3\n$ systemctl start lunar-configfs\n{place}fuse.lunard\n"
        )
    );
    let journal = results.read("busy.journal")?;
    assert_eq!(journal.matches(why).count(), 2, "{journal}");
    let before = results.read("busy.before")?;
    ensure!(before.contains("./core/rd_mcp_7/k0/alua/default_tg_pt_gp/"), "{before}");
    assert_eq!(before, results.read("busy.after")?);
    Ok(())
}

fn what_would_restore_a_file_over_it_is_named(results: &Results) -> Result<()> {
    let unit = "rtslib-fb-targetctl.service";
    let place = "$ whose /sys/kernel/config/target\n";
    assert_eq!(
        without_advice(&results.read("other")?),
        format!(
            "$ systemctl start lunar-configfs\nexit 1\n$ states lunard lunar-configfs\nlunard active\n\
             lunar-configfs failed\n{place}configfs\n$ lunar bind\n\
             {unit} is on: it would restore LIO's file over what lunard serves, and clear that when it stops\n\
             hint: systemctl disable --now {unit}; that clears what the kernel's own target has\nexit 1\n\
             $ systemctl start lunar-configfs\n{place}fuse.lunard\n"
        )
    );
    Ok(())
}

/// What was typed and said, but for where systemctl says that there is more to read.
fn without_advice(said: &str) -> String {
    let advice = |line: &&str| !line.starts_with("Job for ") && !line.starts_with("See \"systemctl status ");
    said.lines().filter(advice).map(|line| format!("{line}\n")).collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}
