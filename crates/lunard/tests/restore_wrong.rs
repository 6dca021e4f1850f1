// SPDX-License-Identifier: Apache-2.0 OR MIT
//! saveconfig.json, read where it is wrong: one error, of one line, that names the place.
//!
//! Above: nothing.  Below: `common`, the files of `fixtures`.
//! Never here: files that are right, which `restore` has.

mod common;
mod fixtures;

use common::{Counting, draft, everything, read};
use fixtures::{LIO_6_1, TARGETCLI_2, edited};
use lunard::saveconfig::{Document, DocumentError, Restore};
use model::Model;
use serde_json::{Value, json};

/// A file that is wrong in one place.
fn wrong(words: &str, edit: impl FnOnce(&mut Value)) {
    let error = read(&edited(LIO_6_1, edit), &everything()).unwrap_err();
    assert_eq!(error, DocumentError::Malformed(words.to_owned()));
}

#[test]
fn wrong_storage_objects_are_one_error_that_names_them() {
    let objects = |value: &mut Value, key: &str, to: Value| value["storage_objects"][1][key] = to;
    wrong("'storage_objects' of the file is true, not a list", |v| v["storage_objects"] = json!(true));
    wrong("storage object 1 is 7, not an object", |v| v["storage_objects"][1] = json!(7));
    wrong("'name' not defined in storage object 1", |v| objects(v, "name", json!(null)));
    wrong("'name' of storage object 1 is a list, not text", |v| objects(v, "name", json!([])));
    wrong("'plugin' not defined or invalid in storageobject disk0", |v| objects(v, "plugin", json!(null)));
    wrong("A storage object's name cannot contain /, newline or spaces/tabs: '../x'", |v| {
        objects(v, "name", json!("../x"));
    });
    wrong("'dev' is missing from storage object fileio/disk0", |v| objects(v, "dev", json!(null)));
    wrong("path not valid: 'd.img'", |v| objects(v, "dev", json!("d.img")));
    wrong("'size' of storage object fileio/disk0 is -1, not a whole number", |v| {
        objects(v, "size", json!(-1))
    });
    wrong("'size' of storage object fileio/disk0 is 1e+30, not a whole number", |v| {
        objects(v, "size", json!(1e30));
    });
    wrong("a size of 18446744073709551615 bytes is too large", |v| objects(v, "size", json!(u64::MAX)));
    wrong("storage object fileio/disk0: 511 bytes are less than a block", |v| objects(v, "size", json!(511)));
    wrong("unit serial number not valid: 'a\\nb'", |v| objects(v, "wwn", json!("a\nb")));
    wrong("'attributes' of storage object fileio/disk0 is a list, not an object", |v| {
        objects(v, "attributes", json!([]));
    });
    wrong("'attributes.emulate_tas' of storage object fileio/disk0 is an object, not a number", |v| {
        v["storage_objects"][1]["attributes"]["emulate_tas"] = json!({});
    });
    wrong("attribute block_size of fileio/disk0 cannot be '777': it takes 512, 1024, 2048, 4096", |v| {
        v["storage_objects"][1]["attributes"]["block_size"] = json!(777);
    });
    for (name, value, values) in [
        ("emulate_tpu", json!(7), "0 or 1"),
        ("emulate_ua_intlck_ctrl", json!(3), "0, 1, 2"),
        ("queue_depth", json!(999), "1 to 128"),
        ("max_unmap_lba_count", json!("many"), "0 to 4294967295"),
    ] {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        wrong(&format!("attribute {name} of fileio/disk0 cannot be '{text}': it takes {values}"), |v| {
            v["storage_objects"][1]["attributes"][name] = value;
        });
    }
    wrong("storage object fileio/disk0 is there twice", |v| {
        v["storage_objects"][0] = v["storage_objects"][1].clone();
    });
    wrong("'readonly' of storage object block/disk1 is 'false', not true or false", |v| {
        v["storage_objects"][0]["readonly"] = json!("false");
    });
}

#[test]
fn wrong_targets_are_one_error_that_names_them() {
    let lun = |value: &mut Value, key: &str, to: Value| value["targets"][0]["tpgs"][0]["luns"][0][key] = to;
    wrong("'wwn' not defined in target 0", |v| v["targets"][0]["wwn"] = json!(null));
    wrong("target naa.50014051768b3758 missing 'fabric' field", |v| v["targets"][0]["fabric"] = json!(null));
    wrong("WWN not valid as: naa: 'naa.3'", |v| v["targets"][0]["wwn"] = json!("naa.3"));
    wrong("TPG tag 256 is out of range", |v| v["targets"][0]["tpgs"][0]["tag"] = json!(256));
    wrong("TPG tag 1099511627776 is out of range", |v| {
        v["targets"][0]["tpgs"][0]["tag"] = json!(1_u64 << 40)
    });
    wrong("TPG 1 of target naa.50014051768b3758 is there twice", |v| {
        let tpg = v["targets"][0]["tpgs"][0].clone();
        v["targets"][0]["tpgs"].as_array_mut().unwrap().push(tpg);
    });
    wrong("target naa.50014051768b3758 is there twice", |v| {
        let target = v["targets"][0].clone();
        v["targets"].as_array_mut().unwrap().push(target);
    });
    wrong("'options.seg_max' of target naa.50014051768b3758 is 'x', not a whole number", |v| {
        v["targets"][0]["options"] = json!({"seg_max": "x"});
    });
    wrong("'index' missing from a LUN in TPG 1", |v| lun(v, "index", json!(null)));
    wrong("LUN 16384 is out of range", |v| lun(v, "index", json!(16384)));
    wrong("LUN 99999 is out of range", |v| lun(v, "index", json!(99_999)));
    wrong("Malformed storage object field for LUN 0 of naa.50014051768b3758/tpg1", |v| {
        lun(v, "storage_object", json!("fileio/disk0"));
    });
    wrong("'nexus' of x_lunar of TPG 1 of target naa.50014051768b3758 is 7, not text", |v| {
        v["targets"][0]["tpgs"][0]["x_lunar"] = json!({"nexus": 7});
    });
    let acl = |value: &mut Value, acl: Value| value["targets"][0]["tpgs"][0]["node_acls"] = json!([acl]);
    let name = "naa.5001405aaaaaaaaa";
    wrong("'node_wwn' missing in node_acl", |v| acl(v, json!({})));
    wrong("WWN not valid as: naa: 'iqn.x'", |v| acl(v, json!({"node_wwn": "iqn.x"})));
    wrong("'tpg_lun' not in a mapped_lun", |v| {
        acl(v, json!({"node_wwn": name, "mapped_luns": [{"index": 0}]}));
    });
    wrong("'index' not in a mapped_lun", |v| {
        acl(v, json!({"node_wwn": name, "mapped_luns": [{"tpg_lun": 0}]}));
    });
    wrong("LUN 70000 is out of range", |v| {
        acl(v, json!({"node_wwn": name, "mapped_luns": [{"tpg_lun": 0, "index": 70_000}]}));
    });
    let group = "TPG 1 of target naa.50014051768b3758";
    wrong(&format!("mapped LUN 0 of node ACL {name} of {group} is there twice"), |v| {
        let mapped = json!({"tpg_lun": 0, "index": 0});
        acl(v, json!({"node_wwn": name, "mapped_luns": [mapped, mapped]}));
    });
    wrong("relative port 0 is reserved", |v| {
        v["targets"][0]["tpgs"][0]["x_lunar"] = json!({"relative_port": 1 << 20});
    });
}

#[test]
fn a_lun_of_a_storage_object_that_is_nowhere_is_named() {
    let file = edited(LIO_6_1, |value| {
        value["targets"][0]["tpgs"][0]["luns"][0]["storage_object"] = json!("/backstores/fileio/gone");
    });
    assert_eq!(
        draft(&Model::default(), &file, &everything()).unwrap_err().to_string(),
        "Could not find matching StorageObject for LUN naa.50014051768b3758/tpg1/lun0: there is no fileio/gone"
    );
}

#[test]
fn a_file_in_two_storage_objects_is_refused() {
    let file = edited(TARGETCLI_2, |value| value["storage_objects"][2]["dev"] = json!("/srv/target/f0.img"));
    let error = draft(&Model::default(), &file, &everything()).unwrap_err();
    assert_eq!(error.to_string(), "storage object for /srv/target/f0.img already exists: f0");
}

#[test]
fn a_file_that_was_cut_anywhere_is_one_error() {
    let whole = LIO_6_1.trim_end();
    for end in 0..whole.len() {
        let error = read(&whole[..end], &everything()).unwrap_err().to_string();
        assert!(error.starts_with("the file ends too early, at line "), "{end}: {error}");
    }
}

#[test]
fn a_file_with_one_byte_otherwise_never_panics() {
    let mut bytes = LIO_6_1.as_bytes().to_vec();
    for at in 0..bytes.len() {
        let byte = bytes[at];
        bytes[at] = byte ^ 0x01;
        let document = Document::read(&bytes, &everything(), &mut Counting::default());
        if let Ok(document) = document {
            let restore = Restore::new(document, everything());
            // What is refused is refused in one line.
            if let Err(error) = restore.draft(&Model::default(), &mut Counting::default()) {
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
        bytes[at] = byte;
    }
}

#[test]
fn nonsense_of_every_shape_is_one_line() {
    for text in ["[]", "7", "\"x\"", "null", "{\"storage_objects\": {}}", "{\"targets\": [[[[]]]]}"] {
        let error = read(text, &everything()).unwrap_err().to_string();
        assert!(!error.is_empty() && !error.contains('\n'), "{text}: {error}");
    }
    assert_eq!(draft(&Model::default(), "{}", &everything()).unwrap().model, Model::default());
}
