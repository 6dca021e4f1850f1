// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a disk says that it is: set at every door (the shell, the API, LIO's tree), refused at every door alike, seen by
//! the guest, kept over a kill, a saveconfig.json and a file that is applied.

use anyhow::{Context, Result, ensure};
use initiator::{Command, Guest, LunAddress, Options, commands};
use serde_json::json;
use stories::api;
use stories::mounted::{self, Mounted};
use stories::stage::Stage;

const WWN: &str = "naa.500140568720f76f";
const DISK: &str = "core/fileio_0/disk0";
const UNIT_ATTENTION: u8 = 6;

/// 256 bytes.
const LONGER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                      0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                      0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                      0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What the guest reads, once the unit has said what changed.
fn read(guest: &mut Guest, command: &Command) -> Result<Vec<u8>> {
    for _ in 0..8 {
        let answer = guest.execute(command)?;
        if answer.sense.get(2).is_none_or(|key| key & 0x0f != UNIT_ATTENTION) {
            ensure!(answer.status == 0, "{answer:?}");
            return Ok(answer.data_in);
        }
    }
    anyhow::bail!("a unit has nothing but unit attentions")
}

/// REPORT IDENTIFYING INFORMATION of a type.
fn identifying_information(unit: LunAddress, kind: u8, allocation: u8) -> Command {
    let cdb = [0xa3, 0x05, 0, 0, 0, 0, 0, 0, 0, allocation, kind << 1, 0];
    Command::new(unit, &cdb).data_in(allocation.into())
}

fn set(mounted: &Mounted, attribute: &str, value: &str) -> Result<(u16, serde_json::Value)> {
    let change = json!({
        "change": "set_identity", "kind": "fileio", "name": "disk0", "attribute": attribute, "value": value,
    });
    api::change(&mounted.daemon.places().runtime, &change)
}

/// What the guest of the story is told of its disk.
fn told(guest: &mut Guest) -> Result<()> {
    let unit = LunAddress::unit(1, 0);
    let standard = read(guest, &commands::inquiry(unit, 96))?;
    assert_eq!(String::from_utf8_lossy(&standard[8..36]), "ACME    Vault 3000      9.9z");
    let pages = read(guest, &commands::inquiry_page(unit, 0x83, 252))?;
    // NAA 6, the company, and the digits of the serial number; then the vendor's own designator.
    assert_eq!(pages[4..24], *b"\x01\x03\x00\x10\x6a\xbc\xde\xf5\xe7\x1a\x10\0\0\0\0\0\0\0\0\0");
    assert_eq!(pages[24..54], *b"\x02\x01\x00\x1aACME    Vault 3000:5e71a1\0");
    let text = read(guest, &identifying_information(unit, 0x02, 255))?;
    assert_eq!(text, [&[0, 0, 0, 14][..], b"rack 7, R\xc3\xbcck\0"].concat());
    Ok(())
}

/// All of it as the shell has it.
fn identity(mounted: &Mounted) -> Result<String> {
    let names = "company_id pd_text_id_info product_id revision vendor_id";
    mounted.shell()?.well(&format!("/backstores/fileio/disk0 get identity {names}"))
}

#[test]
fn who_a_disk_says_that_it_is_is_set_at_every_door_seen_by_guests_and_kept() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mut mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    assert_eq!(
        identity(&mounted)?,
        "company_id=0x001405 \npd_text_id_info= \nproduct_id=disk0 \nrevision=4.0 \nvendor_id=LIO-ORG \n"
    );
    let said = shell.well("/backstores/fileio/disk0 set identity vendor_id=ACME vpd_unit_serial=5e71a1")?;
    assert_eq!(said, "Parameter vendor_id is now 'ACME'.\nParameter vpd_unit_serial is now '5e71a1'.\n");
    mounted.write(&format!("{DISK}/wwn/product_id"), "Vault 3000\n")?;
    mounted.write(&format!("{DISK}/wwn/revision"), "9.9z")?;
    mounted.write(&format!("{DISK}/wwn/pd_text_id_info"), "rack 7, R\u{fc}ck\n")?;
    let (status, done) = set(&mounted, "company_id", "0xabcdef")?;
    assert_eq!((status, &done["results"][0]["value"]), (200, &json!("0xabcdef")));

    let all = "company_id=0xabcdef \npd_text_id_info=rack 7, R\u{fc}ck \nproduct_id=Vault 3000 \nrevision=9.9z \nvendor_id=ACME \n";
    assert_eq!(identity(&mounted)?, all);
    for (file, text) in [
        ("wwn/company_id", "0xabcdef\n"),
        ("wwn/pd_text_id_info", "rack 7, R\u{fc}ck\n"),
        ("wwn/product_id", "Vault 3000\n"),
        ("wwn/revision", "9.9z\n"),
        ("wwn/vendor_id", "ACME\n"),
        ("wwn/vpd_unit_serial", "T10 VPD Unit Serial Number: 5e71a1\n"),
        ("statistics/scsi_lu/vend", "ACME    \n"),
        ("statistics/scsi_lu/prod", "Vault 3000      \n"),
        ("statistics/scsi_lu/rev", "9.9z\n"),
    ] {
        assert_eq!(mounted.read(&format!("{DISK}/{file}"))?, text, "{file}");
    }

    shell.well(&format!("/vhost create {WWN}"))?;
    shell.well(&format!("/vhost/{WWN}/tpg1/luns create /backstores/fileio/disk0 0"))?;
    let mut guest = Guest::boot(mounted.daemon.socket(WWN), Options::default())?;
    told(&mut guest)?;

    // While a guest has it, it stays who it is, at every door; what is said again is no change.
    let refused = shell.run(&["/backstores/fileio/disk0", "set", "identity", "vendor_id=OTHER"])?;
    assert_eq!(refused.status, 1);
    let line =
        format!("attribute vendor_id of fileio/disk0 cannot change while LUN {WWN}/tpg1/lun0 shows it\n");
    assert!(refused.stderr.starts_with(&line), "{}", refused.stderr);
    shell.well("/backstores/fileio/disk0 set identity vendor_id=ACME")?;
    let errno =
        |file: &str, text: &str| mounted.write(file, text).err().and_then(|error| error.raw_os_error());
    assert_eq!(errno(&format!("{DISK}/wwn/product_id"), "Other"), Some(22));
    let (status, problem) = set(&mounted, "company_id", "1")?;
    assert_eq!((status, &problem["code"]), (409, &json!("attribute_frozen")));
    assert_eq!(identity(&mounted)?, all);

    mounted.daemon.kill()?;
    mounted.daemon.restart()?;
    guest.reconnect()?;
    told(&mut guest)?;
    assert_eq!(identity(&mounted)?, all);
    drop(guest);

    let file = mounted.scratch.join("saved.json");
    shell.well(&format!("saveconfig {}", file.display()))?;
    shell.well_once_guests_have_left("clearconfig confirm=True")?;
    shell.well(&format!("restoreconfig {}", file.display()))?;
    assert_eq!(identity(&mounted)?, all);
    Ok(())
}

#[test]
fn a_disk_tells_the_text_about_it_and_no_other_identifying_information() -> Result<()> {
    let stage = Stage::set()?;
    stage.create_fileio("disk0", 1 << 20)?;
    let wwn = stage.serve("fileio/disk0")?;
    let unit = LunAddress([1, 1, 0x40, 0, 0, 0, 0, 0]);
    let mut guest = Guest::boot(stage.daemon.socket(&wwn), Options::default())?;
    assert_eq!(read(&mut guest, &identifying_information(unit, 0x02, 255))?, [0, 0, 0, 0]);
    let types = [0, 0, 0, 4, /* type 2, at most 256 bytes */ 0x04, 0, 1, 0];
    assert_eq!(read(&mut guest, &identifying_information(unit, 0x7f, 255))?, types);
    // An allocation length is a maximum.
    for bytes in 0..8 {
        let cut = read(&mut guest, &identifying_information(unit, 0x7f, bytes))?;
        assert_eq!(cut, types[..usize::from(bytes)]);
    }
    for kind in [0x00, 0x01, 0x03, 0x7e] {
        let answer = guest.execute(&identifying_information(unit, kind, 255))?;
        assert_eq!(answer.check_condition(), Some([0x05, 0x24, 0x00]), "{kind:02x}");
    }
    // Nobody sets it from a guest.
    let set = Command::new(unit, &[0xa4, 0x06, 0, 0, 0, 0, 0, 0, 0, 2, 0x04, 0]).data_out(*b"x\0");
    assert_eq!(guest.execute(&set)?.check_condition(), Some([0x05, 0x24, 0x00]));
    Ok(())
}

#[test]
fn what_no_disk_can_be_called_is_refused_at_every_door_and_changes_nothing() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    let before = identity(&mounted)?;
    // EINVAL is 22, EOVERFLOW 75.
    for (attribute, value, errno, code, says) in [
        ("vendor_id", "ninebytes", 75, "identity_too_long", "it takes up to 8 characters of printable ASCII"),
        ("vendor_id", "a\tb", 22, "identity_value", "it takes up to 8 characters of printable ASCII"),
        ("product_id", "seventeen letters", 75, "identity_too_long", "it takes up to 16 characters"),
        ("product_id", "\u{e4}", 22, "identity_value", "it takes up to 16 characters of printable ASCII"),
        ("revision", "12345", 75, "identity_too_long", "it takes up to 4 characters of printable ASCII"),
        ("company_id", "0x1000000", 75, "identity_too_long", "it takes 0 to 0xffffff"),
        ("pd_text_id_info", LONGER, 75, "identity_too_long", "it takes up to 255 bytes of UTF-8"),
        ("pd_text_id_info", "a\tb", 22, "identity_value", "it takes up to 255 bytes of UTF-8"),
        ("company_id", "LIO", 22, "identity_value", "it takes 0 to 0xffffff"),
    ] {
        let (status, problem) = set(&mounted, attribute, value)?;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{attribute}={value}");
        let message = problem["message"].as_str().context("no message")?;
        assert!(message.starts_with(&format!("{attribute} of fileio/disk0 cannot be '")), "{message}");
        assert!(message.contains(says), "{message}");
        let answer =
            shell.run(&["/backstores/fileio/disk0", "set", "identity", &format!("{attribute}='{value}'")])?;
        assert_eq!((answer.status, answer.stdout.as_str()), (1, ""), "{attribute}={value}");
        assert!(answer.stderr.contains(says), "{}", answer.stderr);
        let written = mounted.write(&format!("{DISK}/wwn/{attribute}"), value);
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(errno), "{attribute}={value}");
        assert_eq!(identity(&mounted)?, before);
    }
    let (status, problem) = set(&mounted, "color", "red")?;
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_identity")));
    // What LIO's tree only shows.
    for file in ["vpd_protocol_identifier", "vpd_assoc_logical_unit", "vpd_assoc_target_port"] {
        assert_eq!(mounted.read(&format!("{DISK}/wwn/{file}"))?, "", "{file}");
        let mode = std::fs::metadata(mounted.top(&format!("{DISK}/wwn/{file}")))?.permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o444, "{file}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_applied_says_who_a_disk_is_and_takes_it_back() -> Result<()> {
    if let Some(why) = mounted::missing() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let mounted = Mounted::furnished()?;
    let shell = mounted.shell()?;
    let wanted = mounted.scratch.join("wanted.toml");
    let path = mounted.scratch.join("disk0").display().to_string();
    let said = format!("[fileio.disk0]\npath = \"{path}\"\nsize = \"1M\"\n");
    std::fs::write(
        &wanted,
        format!(
            "{said}identity = {{ vendor_id = \"ACME\", company_id = \"0xabcdef\", pd_text_id_info = \"rack 7\" }}\n"
        ),
    )?;
    let difference = shell.run(&["diff", &wanted.display().to_string()])?.stdout;
    assert!(difference.contains("vendor_id") && difference.contains("ACME"), "{difference}");
    assert!(!difference.contains("product_id"), "{difference}");
    shell.well(&format!("apply {}", wanted.display()))?;
    let all =
        "company_id=0xabcdef \npd_text_id_info=rack 7 \nproduct_id=disk0 \nrevision=4.0 \nvendor_id=ACME \n";
    assert_eq!(identity(&mounted)?, all);
    std::fs::write(&wanted, said)?;
    shell.well(&format!("apply {}", wanted.display()))?;
    let all =
        "company_id=0x001405 \npd_text_id_info= \nproduct_id=disk0 \nrevision=4.0 \nvendor_id=LIO-ORG \n";
    assert_eq!(identity(&mounted)?, all);
    Ok(())
}
