// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two targets, three target port groups, forty LUNs, one of them LUN 300, in one guest.
//!
//! A target port group is a SCSI target of the guest, so its tag is the third-last number of an address; Linux
//! shows LUNs from 256 on as 16384 and the number.  The last group has no LUN 0, which is legal.

use anyhow::Result;
use stories::guest::Guest;
use stories::shell::device_options;
use stories::stage::Stage;

const SCRIPT: &str = "settle 40
    lsscsi > /share/lsscsi
    for device in /sys/class/scsi_device/*; do
        echo $(basename $device) $(cat $device/device/block/*/size)
    done > /share/sizes";

/// Where the disks are: the guest's host, the target port group, the LUN.
fn places() -> Vec<(usize, u16, u16)> {
    let first = (0..20).map(|lun| (0, 1, lun));
    let second = (0..18).chain([300]).map(|lun| (0, 2, lun));
    first.chain(second).chain([(1, 3, 5)]).collect()
}

#[test]
fn forty_luns_of_two_targets_are_where_they_belong() -> Result<()> {
    let stage = Stage::set()?;
    let targets = [stage.shell.create_target()?, stage.shell.create_target()?];
    stage.shell.well(&format!("/vhost/{} create 2", targets[0]))?;
    stage.shell.well(&format!("/vhost/{} create tag=3", targets[1]))?;
    stage.shell.well(&format!("/vhost/{} delete 1", targets[1]))?;

    let mut expected = Vec::new();
    for (number, (host, tag, lun)) in places().into_iter().enumerate() {
        // Each has a size of its own: a LUN that shows another's disk is found out.
        let blocks = 2048 + 8 * number;
        stage.create_fileio(&format!("disk{number}"), 512 * u64::try_from(blocks)?)?;
        stage.map(&targets[host], tag, lun, &format!("fileio/disk{number}"))?;
        let shown = if lun < 256 { lun } else { 16384 + lun };
        expected.push((format!("{host}:0:{tag}:{shown}"), format!("disk{number}"), blocks));
    }
    assert_eq!(expected.len(), 40);
    assert!(expected.contains(&("0:0:2:16684".to_owned(), "disk38".to_owned(), 2352)));

    let mut options = stage.shell.qemu(&targets[0], &["--pci", "bus=pci.0,addr=0x5", "--memory", "512M"])?;
    options.extend(device_options(&stage.shell.qemu(&targets[1], &["--pci", "bus=pci.0,addr=0x6"])?));
    let guest = Guest::plan(SCRIPT).programs(&["lsscsi"]).options(&options);
    let results = guest.boot(&stage.scratch)?.finish()?;

    let (lsscsi, sizes) = (results.read("lsscsi")?, results.read("sizes")?);
    let mut seen: Vec<(String, String, usize)> = Vec::new();
    for line in lsscsi.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [address, "disk", "LIO-ORG", name, "4.0", _device] = words.as_slice() else { panic!("{line}") };
        let address = address.trim_matches(['[', ']']);
        let size = sizes.lines().find_map(|line| line.strip_prefix(address)?.strip_prefix(' '));
        seen.push((address.to_owned(), (*name).to_owned(), size.unwrap_or("0").parse()?));
    }
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    Ok(())
}
