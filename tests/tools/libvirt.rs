// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `lunar libvirt` prints is a part of a domain that libvirt's own schema accepts.

use anyhow::Result;
use std::time::Duration;
use stories::process::{command, run};
use stories::programs::host_program;
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";

/// A domain around the elements: those before `<devices>`, those in it, and those at the end.
fn domain(before: &str, devices: &str, end: &str) -> String {
    format!(
        "<domain type='kvm'><name>guest</name><memory unit='GiB'>1</memory>{before}\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{devices}</devices>{end}</domain>\n"
    )
}

fn assert_valid(stage: &Stage, name: &str, domain: &str) -> Result<()> {
    let file = stage.scratch.join(name);
    std::fs::write(&file, domain)?;
    let mut validate = command(host_program("virt-xml-validate")?);
    let said = run(validate.arg(&file).arg("domain"), Duration::from_secs(30))?;
    assert!(said.status.success(), "{}\n{domain}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

#[test]
fn a_domain_with_the_printed_elements_is_valid() -> Result<()> {
    let stage = Stage::set()?;
    stage.shell.well(&format!("/vhost create {WWN}"))?;
    let printed = stage.shell.well(&format!("libvirt {WWN} --pci bus=pci.0,addr=0x5"))?;
    let (memory, adapters) = printed.split_at(printed.find("<qemu:commandline").unwrap_or(0));
    assert!(memory.contains("<access mode='shared'/>"), "{printed}");
    assert!(adapters.contains(&stage.daemon.socket(WWN).display().to_string()), "{printed}");
    assert_valid(&stage, "vhost-user.xml", &domain(memory, "", adapters))?;

    for address in ["", " --pci bus=pci.0,addr=0x5", " --ccw devno=fe.0.1000"] {
        let device = stage.shell.well(&format!("libvirt {WWN} --transport vhost{address}"))?;
        assert_valid(&stage, "vhost.xml", &domain("", &device, ""))?;
    }
    Ok(())
}

#[test]
fn the_schema_refuses_what_is_wrong() -> Result<()> {
    let stage = Stage::set()?;
    let file = stage.scratch.join("wrong.xml");
    let device =
        "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.5'/></hostdev>";
    std::fs::write(&file, domain("", device, ""))?;
    let mut validate = command(host_program("virt-xml-validate")?);
    let said = run(validate.arg(&file).arg("domain"), Duration::from_secs(30))?;
    assert!(!said.status.success());
    Ok(())
}
