// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A tree of LIO that was recorded on Linux 6.1, laid out as plain files, is read as what it is.
//!
//! Above: `cargo test`.  Below: the recording of `configfs`'s tests.
//! Never here: writes; plain files do not answer as the kernel's do.

use api::v1;
use kernel_target::{Foreign, KernelTarget};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const RECORDED: &str = include_str!("../../configfs/tests/lio/tree-6.1.txt");
const PREFIX: &str = "target/";

/// Lays the recording out below `root`.
fn lay_out(root: &Path) {
    let mut lines = RECORDED.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        match kind {
            "D" => {
                let (_, path) = rest.split_once(' ').unwrap();
                let path = root.join(path.trim_start_matches(PREFIX));
                fs::create_dir_all(path).unwrap();
            }
            "L" => {
                let (path, to) = rest.trim_start().split_once(" -> ").unwrap();
                symlink(to, root.join(path.trim_start_matches(PREFIX))).unwrap();
            }
            "F" => {
                let (mode, rest) = rest.split_once(' ').unwrap();
                let (path, text) = rest.split_once(" =").unwrap_or((rest, ""));
                let path = path.split_whitespace().next().unwrap();
                let mut text = text.trim_start_matches(' ').to_owned();
                while let Some(more) = lines.next_if(|line| line.starts_with("        | ")) {
                    text.push_str(&more[10..]);
                    text.push('\n');
                }
                let path = root.join(path.trim_start_matches(PREFIX));
                fs::write(&path, text).unwrap();
                let mode = u32::from_str_radix(mode, 8).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            _ => {}
        }
    }
}

fn kernel(directory: &Path) -> KernelTarget {
    lay_out(directory);
    KernelTarget::new(directory, Some(&directory.join("saved")))
}

fn names(config: &v1::Config) -> Vec<String> {
    let words = |backstore: &v1::Backstore| {
        format!(
            "{:?} {} {} {} {}",
            backstore.id.kind,
            backstore.id.name,
            backstore.path.as_deref().unwrap_or("-"),
            backstore.unit_serial,
            backstore.size_bytes
        )
    };
    config.backstores.iter().map(words).collect()
}

#[test]
fn the_recorded_tree_has_its_backstores_target_and_luns() {
    let directory = tempfile::tempdir().unwrap();
    let config = kernel(directory.path()).config().unwrap();
    let listed = names(&config);
    // The size of the device is that of a device of this host, if there is one of its number.
    assert!(
        listed[0].starts_with("Block disk1 /dev/vda 3f9e2c5a-7d41-4f0e-9b7a-000000000002 "),
        "{listed:?}"
    );
    assert_eq!(
        listed[1..],
        [
            "Fileio disk0 /tmp/d.img 3f9e2c5a-7d41-4f0e-9b7a-000000000001 16777216",
            "Ramdisk ram0 - 3f9e2c5a-7d41-4f0e-9b7a-000000000003 8388608",
        ]
    );
    let [target] = config.targets.as_slice() else { panic!("{:?}", config.targets) };
    let [tpg] = target.tpgs.as_slice() else { panic!("{target:?}") };
    assert_eq!((target.wwn.as_str(), tpg.tag), ("naa.5001405aabbccdd0", 1));
    assert_eq!(tpg.nexus, "naa.5001405aabbccdd1");
    let luns: Vec<(u16, &str, &str)> =
        tpg.luns.iter().map(|lun| (lun.lun, lun.backstore.name.as_str(), lun.alias.as_str())).collect();
    assert_eq!(
        luns,
        [(0, "disk0", "virtual_scsi_port"), (1, "disk1", "virtual_scsi_port"), (2, "ram0", "v")]
    );
}

#[test]
fn attributes_are_the_kernels_own() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    let config = kernel.config().unwrap();
    let file = &config.backstores[1].attributes;
    for (name, value) in [
        ("emulate_model_alias", "0"),
        ("emulate_caw", "1"),
        ("max_write_same_len", "4096"),
        ("hw_pi_prot_type", "0"),
    ] {
        assert_eq!(file.get(name).map(String::as_str), Some(value), "{name}");
    }
    let table = kernel.attributes().unwrap().attributes;
    let row = |name: &str| table.iter().find(|row| row.name == name).unwrap();
    assert!(row("hw_pi_prot_type").settable_on.is_empty());
    assert_eq!(row("emulate_rest_reord").settable_on.len(), 3);
}

#[test]
fn a_value_that_the_model_has_already_is_written_where_the_kernel_has_another() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    let attribute = |name: &str| directory.path().join("core/fileio_0/disk0/attrib").join(name);
    for name in ["queue_depth", "hw_queue_depth"] {
        fs::set_permissions(attribute(name), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(attribute(name), "256\n").unwrap();
    }
    let id = v1::BackstoreId { kind: v1::Kind::Fileio, name: "disk0".to_owned() };
    let (attribute_name, value) = ("queue_depth".to_owned(), "128".to_owned());
    let change = v1::Change::SetAttribute { id, attribute: attribute_name, value };
    let applied = kernel.apply(&[change]).unwrap();
    assert_eq!(fs::read_to_string(attribute("queue_depth")).unwrap().trim_end(), "128");
    assert_eq!(applied.results, [v1::Outcome::AttributeSet { value: "128".to_owned() }]);
}

#[test]
fn what_the_model_has_no_word_for_is_shown_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    let at = |path: &str| directory.path().join(path);
    fs::create_dir_all(at("core/pscsi_9/tape")).unwrap();
    fs::write(at("core/pscsi_9/tape/udev_path"), "/dev/st0\n").unwrap();
    fs::create_dir_all(at("iscsi/iqn.2003-01.org.example:x/tpgt_1/lun/lun_0")).unwrap();
    fs::create_dir_all(at("iscsi/discovery_auth")).unwrap();
    symlink(
        "../../../../../../target/core/rd_mcp_0/ram0",
        at("iscsi/iqn.2003-01.org.example:x/tpgt_1/lun/lun_0/0123456789"),
    )
    .unwrap();
    fs::create_dir_all(at("vhost/naa.5001405aabbccdd0/tpgt_2/lun")).unwrap();
    fs::write(at("core/rd_mcp_0/ram0/enable"), "1").unwrap();
    let foreign = kernel.foreign().unwrap();
    let shown: Vec<(&str, &str)> =
        foreign.iter().map(|Foreign { path, summary }| (path.as_str(), summary.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("/backstores/pscsi/tape", "/dev/st0"),
            ("/iscsi/iqn.2003-01.org.example:x", "TPGs: 1"),
            ("/iscsi/iqn.2003-01.org.example:x/tpg1", ""),
            ("/iscsi/iqn.2003-01.org.example:x/tpg1/luns/lun0", "ramdisk/ram0"),
            ("/vhost/naa.5001405aabbccdd0/tpg2", "no nexus"),
        ]
    );
    // Nothing was saved that tells of them: saving would lose them.
    let problem = kernel.saveconfig().unwrap_err();
    let path = at("saved/saveconfig.json");
    assert_eq!(
        problem.message,
        format!(
            "saving would lose storage_object pscsi/tape, target iscsi/iqn.2003-01.org.example:x, tpg \
             naa.5001405aabbccdd0/tpg2: {} does not tell of it",
            path.display()
        )
    );
    // Two writers of one disk are worse than a refusal.
    let problem = kernel.export().unwrap_err();
    assert_eq!(
        problem.message,
        "storage object ramdisk/ram0 is shown by LUN iscsi/iqn.2003-01.org.example:x/tpgt_1/lun_0 too"
    );
}

#[test]
fn what_an_earlier_file_says_of_other_fabrics_is_saved_again() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    let at = |path: &str| directory.path().join(path);
    fs::create_dir_all(at("iscsi/iqn.2003-01.org.example:x/tpgt_1/lun")).unwrap();
    fs::create_dir_all(at("saved")).unwrap();
    let told = r#"{"fabric_modules": [], "storage_objects": [], "targets": [
        {"fabric": "iscsi", "wwn": "iqn.2003-01.org.example:x", "tpgs": [{"tag": 1, "enable": true}]},
        {"fabric": "iscsi", "wwn": "iqn.2003-01.org.example:gone", "tpgs": []}]}"#;
    fs::write(at("saved/saveconfig.json"), told).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&kernel.saveconfig().unwrap()).unwrap();
    let wwns: Vec<&str> =
        saved["targets"].as_array().unwrap().iter().filter_map(|target| target["wwn"].as_str()).collect();
    assert_eq!(wwns, ["naa.5001405aabbccdd0", "iqn.2003-01.org.example:x"]);
    assert_eq!(saved["targets"][1]["tpgs"][0]["enable"], true);
    let object = &saved["storage_objects"][1];
    assert_eq!((object["name"].as_str(), &object["attributes"]["emulate_caw"]), (Some("disk0"), &1.into()));
}

#[test]
fn the_completion_affinity_of_a_target_is_the_kernels_and_is_written_there() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    let (wwn, name) = ("naa.5001405aabbccdd0", "cmd_completion_affinity");
    let file = directory.path().join(format!("vhost/{wwn}/param/{name}"));
    let saved = || -> serde_json::Value {
        let saved: serde_json::Value = serde_json::from_str(&kernel.saveconfig().unwrap()).unwrap();
        saved["targets"][0]["parameters"][name].clone()
    };
    assert_eq!(saved(), "-1");
    fs::write(&file, "-2\n").unwrap();
    assert_eq!(saved(), "-2");
    assert_eq!(kernel.config().unwrap().targets[0].parameters[name], "-2");
    let set =
        v1::Change::SetParameter { wwn: wwn.to_owned(), parameter: name.to_owned(), value: "-1".to_owned() };
    let results = kernel.apply(&[set]).unwrap().results;
    assert_eq!(results, [v1::Outcome::AttributeSet { value: "-1".to_owned() }]);
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), "-1");
    // Kernels before Linux 5.13 have none.
    fs::remove_file(&file).unwrap();
    assert_eq!(saved(), "-1");
}

#[test]
fn no_tree_is_one_line_and_the_way_to_have_one() {
    let directory = tempfile::tempdir().unwrap();
    let problem = KernelTarget::new(directory.path(), None).config().unwrap_err();
    assert_eq!(
        problem.message,
        format!("there is no target of the kernel at {}", directory.path().display())
    );
    assert_eq!(
        problem.hint.as_deref(),
        Some("load it: modprobe target_core_mod, with configfs mounted at /sys/kernel/config")
    );
}
