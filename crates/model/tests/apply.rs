// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every change: where it is valid, where it is refused and in which words, and that a refusal changes
//! nothing.

mod common;

use common::{
    backstore_id, block, check_refused, create_target, fileio, lun, make, map, place, ramdisk, set_option,
    set_parameter, tag, tpg, wwn,
};
use model::{Change, Foreign, Key, Model, OptionKey, Refusal};
use std::collections::BTreeMap;

fn set(kind_and_name: &str, attribute: &str, value: &str) -> Change {
    let backstore = backstore_id(kind_and_name);
    Change::SetAttribute { backstore, attribute: attribute.to_owned(), value: value.to_owned() }
}

/// A ramdisk `r0` shown as LUN 0, a file `f0`, and a target with TPG 1.
fn furnished() -> Model {
    make([
        Change::CreateBackstore(ramdisk("r0")),
        Change::CreateBackstore(fileio("f0", "/srv/f0.img")),
        create_target(1, [(1, 1)]),
        map(1, 1, 0, "ramdisk/r0"),
    ])
}

#[test]
fn a_backstore_grows_and_shrinks_only_where_that_is_said() {
    let resize =
        |id: &str, size_bytes| Change::Resize { backstore: backstore_id(id), size_bytes, shrink: false };
    let shrink =
        |id: &str, size_bytes| Change::Resize { backstore: backstore_id(id), size_bytes, shrink: true };
    let mut model =
        make([Change::CreateBackstore(ramdisk("r0")), Change::CreateBackstore(fileio("f0", "/f"))]);
    check_refused(
        &model,
        resize("ramdisk/r0", 4096),
        "storage object ramdisk/r0 has 65536 bytes and cannot shrink to 4096",
        "what it holds beyond, 61440 bytes, would be lost; have the guest give them up first (shrink its file system and \
         partition), then say so: shrink=true",
    );
    check_refused(
        &model,
        shrink("ramdisk/r0", 511),
        "storage object ramdisk/r0 cannot have 511 bytes, which are less than a block",
        "delete it if nothing is to be left",
    );
    let smaller = model.apply(shrink("ramdisk/r0", 512)).unwrap();
    assert_eq!(smaller.backstores()[&backstore_id("ramdisk/r0")].medium.size_bytes(), Some(4096));
    check_refused(
        &model,
        resize("ramdisk/r0", u64::MAX),
        "a size of 18446744073709551615 bytes is too large",
        "the largest is 9223372036854771712 bytes",
    );
    check_refused(
        &model,
        resize("ramdisk/r9", 4096),
        "No storage object named ramdisk/r9",
        "`ls /backstores/ramdisk` shows what is there",
    );
    // Of a file that was never open nothing is known, so nothing is smaller.
    for (id, asked, given) in [("ramdisk/r0", 65_537, 69_632), ("fileio/f0", 1536, 1536)] {
        model.make(resize(id, asked)).unwrap();
        assert_eq!(model.backstores()[&backstore_id(id)].medium.size_bytes(), Some(given));
    }
}

#[test]
fn a_name_is_unique_within_its_kind_only() {
    let model = make([Change::CreateBackstore(ramdisk("disk0"))]);
    check_refused(
        &model,
        Change::CreateBackstore(ramdisk("disk0")),
        "Storage object ramdisk/disk0 exists",
        "choose another name, or delete it: `/backstores/ramdisk delete disk0`",
    );
    let model = model.apply(Change::CreateBackstore(fileio("disk0", "/x"))).unwrap();
    assert_eq!(model.backstores().len(), 2);
}

#[test]
fn a_file_or_device_is_in_one_backstore_only() {
    let model = make([Change::CreateBackstore(block("disk0", "/dev/sda"))]);
    check_refused(
        &model,
        Change::CreateBackstore(fileio("f0", "/dev//sda")),
        "storage object for /dev//sda already exists: disk0",
        "map block/disk0 instead: one backstore can have many LUNs",
    );
    assert!(model.apply(Change::CreateBackstore(fileio("f0", "/dev/sdb"))).is_ok());
}

#[test]
fn a_deleted_file_or_device_can_be_used_again() {
    let model = make([
        Change::CreateBackstore(block("disk0", "/dev/sda")),
        Change::DeleteBackstore(backstore_id("block/disk0")),
    ]);
    assert!(model.apply(Change::CreateBackstore(block("disk1", "/dev/sda"))).is_ok());
}

#[test]
fn a_backstore_that_a_lun_shows_is_not_deleted() {
    check_refused(
        &furnished(),
        Change::DeleteBackstore(backstore_id("ramdisk/r0")),
        "storage object ramdisk/r0 is in use by LUN naa.5001405000000001/tpg1/lun0",
        "delete the LUN first: `/vhost/naa.5001405000000001/tpg1/luns delete 0`",
    );
    let unmapped = furnished().apply(Change::UnmapLun(place(1, 1, 0))).unwrap();
    let deleted = unmapped.apply(Change::DeleteBackstore(backstore_id("ramdisk/r0"))).unwrap();
    assert_eq!(deleted.backstores().len(), 1);
}

#[test]
fn a_serial_number_changes_only_while_no_lun_shows_the_backstore() {
    let set = |serial: &str| {
        let serial = model::UnitSerial::parse(serial).unwrap();
        Change::SetUnitSerial { backstore: backstore_id("ramdisk/r0"), serial }
    };
    check_refused(
        &furnished(),
        set("new"),
        "storage object ramdisk/r0 is in use by LUN naa.5001405000000001/tpg1/lun0",
        "delete the LUN first: `/vhost/naa.5001405000000001/tpg1/luns delete 0`",
    );
    assert_eq!(furnished().apply(set("serial of r0")).as_ref(), Ok(&furnished()));
    let unmapped = furnished().apply(Change::UnmapLun(place(1, 1, 0))).unwrap();
    let changed = unmapped.apply(set("new")).unwrap();
    assert_eq!(changed.backstores()[&backstore_id("ramdisk/r0")].unit_serial.as_str(), "new");
}

#[test]
fn a_backstore_that_is_not_there_is_not_deleted() {
    check_refused(
        &furnished(),
        Change::DeleteBackstore(backstore_id("block/r0")),
        "No storage object named block/r0",
        "`ls /backstores/block` shows what is there",
    );
}

#[test]
fn a_frozen_attribute_changes_only_while_no_lun_shows_the_backstore() {
    let model = furnished();
    check_refused(
        &model,
        set("ramdisk/r0", "block_size", "4096"),
        "attribute block_size of ramdisk/r0 cannot change while LUN naa.5001405000000001/tpg1/lun0 shows it",
        "delete the LUN first: `/vhost/naa.5001405000000001/tpg1/luns delete 0`",
    );
    let same = model.apply(set("ramdisk/r0", "block_size", "0x200")).unwrap();
    assert_eq!(same.backstores()[&backstore_id("ramdisk/r0")].block_bytes(), Some(512));
    let other = model.apply(set("fileio/f0", "block_size", "4096")).unwrap();
    assert_eq!(other.backstores()[&backstore_id("fileio/f0")].block_bytes(), Some(4096));
}

#[test]
fn other_attributes_change_under_a_guest() {
    let model = furnished().apply(set("ramdisk/r0", "emulate_fua_write", "0")).unwrap();
    assert_eq!(model.backstores()[&backstore_id("ramdisk/r0")].attribute(Key::EmulateFuaWrite), Some(0));
}

#[test]
fn attributes_are_refused_in_words() {
    for (change, message, hint) in [
        (
            set("ramdisk/r0", "block_size", "513"),
            "attribute block_size of ramdisk/r0 cannot be '513': it takes 512, 1024, 2048, 4096",
            "Bytes in a logical block. A device starts with its own",
        ),
        (
            set("fileio/f0", "no_such\nthing", "1"),
            "No attribute 'no_such\\nthing' on storage object fileio/f0",
            "`get attribute` shows what is there",
        ),
        (
            set("fileio/f0", "pi_prot_verify", "1"),
            "attribute pi_prot_verify of fileio/f0 cannot be 1: this version only has 0",
            "Whether protection information is verified here; not available in this version",
        ),
        (
            set("fileio/f0", "max_unmap_block_desc_count", "4096"),
            "attribute max_unmap_block_desc_count of fileio/f0 cannot be '4096': it takes 0 to 4095",
            "The most ranges of one UNMAP; 0 leaves it to Lunar",
        ),
        (
            set("fileio/f0", "hw_queue_depth", "64"),
            "attribute hw_queue_depth of fileio/f0 is read-only",
            "The upper bound of queue_depth",
        ),
    ] {
        check_refused(&furnished(), change, message, hint);
    }
}

#[test]
fn a_target_is_unique() {
    check_refused(
        &furnished(),
        create_target(1, []),
        "Target naa.5001405000000001 already exists",
        "choose another WWN, or leave it out to have one made up",
    );
}

#[test]
fn a_target_with_a_relative_port_in_use_is_not_made_at_all() {
    let model = furnished();
    check_refused(
        &model,
        create_target(2, [(1, 7), (2, 1)]),
        "relative port 1 is in use",
        "delete a TPG first",
    );
    check_refused(
        &model,
        create_target(2, [(1, 7), (2, 7)]),
        "relative port 7 is in use",
        "delete a TPG first",
    );
    assert!(model.apply(create_target(2, [(1, 7), (2, 8)])).is_ok());
}

#[test]
fn options_of_a_target_are_set_and_read_back() {
    let model = furnished().apply(set_option(1, "num_queues", "4")).unwrap();
    let options = &model.targets()[&wwn(1)].options;
    assert_eq!(options.get(OptionKey::NumQueues), 4);
    assert_eq!(options.get(OptionKey::VirtqueueSize), 32768);
    assert_eq!(options.iter().count(), 1);
}

#[test]
fn a_completion_affinity_is_kept_and_reads_back_as_a_number() {
    let model = furnished();
    let kept = |model: &Model| model.targets()[&wwn(1)].completion_affinity.to_string();
    assert_eq!(kept(&model), "-1");
    for (typed, number) in [("-2", "-2"), ("0", "0"), ("0x10", "16"), ("8191", "8191"), ("-1\n", "-1")] {
        let model = model.apply(set_parameter(1, "cmd_completion_affinity", typed)).unwrap();
        assert_eq!(kept(&model), number, "{typed:?}");
    }
    let help = "Where LIO would complete commands: -1, on the CPU that submitted them; -2, on any; else the number of a CPU. \
                It is kept for LIO's tools, and `lunard` does not heed it";
    for typed in ["-3", "8192", "", "any", " 1"] {
        check_refused(
            &model,
            set_parameter(1, "cmd_completion_affinity", typed),
            &format!(
                "parameter cmd_completion_affinity of naa.5001405000000001 cannot be '{typed}': it takes -1, -2 or the \
                 number of a CPU that is online"
            ),
            help,
        );
    }
    check_refused(
        &model,
        set_parameter(1, "default_submit_type", "0"),
        "No parameter 'default_submit_type' on target naa.5001405000000001",
        "`get parameter` shows what is there",
    );
    check_refused(
        &model,
        set_parameter(2, "cmd_completion_affinity", "0"),
        "No such Target: naa.5001405000000002",
        "`ls /vhost` shows what is there",
    );
}

#[test]
fn options_are_refused_in_words() {
    let model = furnished();
    check_refused(
        &model,
        set_option(1, "num_queues", "255"),
        "option num_queues of naa.5001405000000001 cannot be '255': it takes 0 to 254",
        "The request queues that a front end is told of, and the most that it may have; 0: it is told of 1 and may have 254",
    );
    check_refused(
        &model,
        set_option(1, "virtqueue_size", "2\n"),
        "option virtqueue_size of naa.5001405000000001 cannot be '2\\n': it takes 3 to 32768",
        "The most entries that a queue of a front end may have",
    );
    check_refused(
        &model,
        set_option(1, "fabric_prot_type", "0"),
        "No option 'fabric_prot_type' on target naa.5001405000000001",
        "`get option` shows what is there",
    );
    check_refused(
        &model,
        set_option(2, "num_queues", "1"),
        "No such Target: naa.5001405000000002",
        "`ls /vhost` shows what is there",
    );
}

#[test]
fn deleting_a_target_frees_what_it_showed() {
    let model = furnished().apply(Change::DeleteTarget(wwn(1))).unwrap();
    assert!(model.targets().is_empty());
    assert!(model.apply(Change::DeleteBackstore(backstore_id("ramdisk/r0"))).is_ok());
    check_refused(
        &model,
        Change::DeleteTarget(wwn(1)),
        "No such Target: naa.5001405000000001",
        "`ls /vhost` shows what is there",
    );
}

#[test]
fn tags_are_unique_within_a_target() {
    let create =
        |target, number, port| Change::CreateTpg { wwn: wwn(target), tag: tag(number), tpg: tpg(port) };
    check_refused(
        &furnished(),
        create(1, 1, 2),
        "TPG 1 of naa.5001405000000001 already exists",
        "leave the tag out for the lowest free one, or create another target",
    );
    check_refused(
        &furnished(),
        create(9, 1, 2),
        "No such Target: naa.5001405000000009",
        "`ls /vhost` shows what is there",
    );
    let model = furnished().apply(create(1, 0, 2)).unwrap();
    assert_eq!(model.targets()[&wwn(1)].tpgs.keys().map(|tag| tag.get()).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_new_target_port_group_is_empty() {
    let mut full = furnished().tpg(&wwn(1), tag(1)).unwrap().clone();
    full.relative_port = tpg(2).relative_port;
    check_refused(
        &furnished(),
        Change::CreateTpg { wwn: wwn(1), tag: tag(2), tpg: full },
        "a new TPG 2 cannot have LUNs",
        "map its LUNs afterwards",
    );
}

#[test]
fn deleting_a_target_port_group_takes_its_luns_along() {
    let model = furnished().apply(Change::DeleteTpg { wwn: wwn(1), tag: tag(1) }).unwrap();
    assert_eq!(model.shown_at(&backstore_id("ramdisk/r0")), None);
    check_refused(
        &model,
        Change::DeleteTpg { wwn: wwn(1), tag: tag(1) },
        "No such TPG: naa.5001405000000001/tpg1",
        "`ls /vhost/naa.5001405000000001` shows what is there",
    );
}

#[test]
fn a_backstore_is_shown_once_in_a_target_port_group() {
    check_refused(
        &furnished(),
        map(1, 1, 5, "ramdisk/r0"),
        "lun for storage object ramdisk/r0 already exists",
        "it is LUN 0 of that TPG",
    );
    let tpg2 = Change::CreateTpg { wwn: wwn(1), tag: tag(2), tpg: tpg(2) };
    assert!(furnished().apply(tpg2).unwrap().apply(map(1, 2, 5, "ramdisk/r0")).is_ok());
}

#[test]
fn a_lun_is_unique_within_a_target_port_group() {
    check_refused(
        &furnished(),
        map(1, 1, 0, "fileio/f0"),
        "LUN naa.5001405000000001/tpg1/lun0 already exists",
        "it shows ramdisk/r0; leave the number out for the lowest free one",
    );
    assert!(furnished().apply(map(1, 1, 16383, "fileio/f0")).is_ok());
}

#[test]
fn a_lun_shows_what_is_there_where_there_is_a_place() {
    check_refused(
        &furnished(),
        map(1, 1, 1, "block/f0"),
        "No storage object named block/f0",
        "`ls /backstores/block` shows what is there",
    );
    check_refused(
        &furnished(),
        map(1, 2, 1, "fileio/f0"),
        "No such TPG: naa.5001405000000001/tpg2",
        "`ls /vhost/naa.5001405000000001` shows what is there",
    );
}

#[test]
fn a_lun_that_is_not_there_is_not_unmapped() {
    check_refused(
        &furnished(),
        Change::UnmapLun(place(1, 1, 3)),
        "Invalid LUN: naa.5001405000000001/tpg1/lun3 does not exist",
        "`ls /vhost/naa.5001405000000001/tpg1/luns` shows what is there",
    );
}

#[test]
fn free_numbers_are_the_lowest() {
    let model = furnished();
    assert_eq!(model.free_tag(&wwn(1)).map(|tag| tag.get()), Ok(2));
    assert_eq!(model.tpg(&wwn(1), tag(1)).unwrap().free_lun(), Ok(lun(1)));
    assert_eq!(model.free_relative_ports().next().map(|port| port.get()), Some(2));
    let without = model.apply(Change::DeleteTarget(wwn(1))).unwrap();
    assert_eq!(without.free_relative_ports().next().map(|port| port.get()), Some(1));
}

#[test]
fn a_target_with_every_tag_from_1_has_no_free_one() {
    let all = (1..=255).map(|tag| (tag, u16::from(tag)));
    let model = make([create_target(1, all)]);
    assert_eq!(model.free_tag(&wwn(1)), Err(Refusal::NoFreeTag { wwn: wwn(1) }));
    let tag0 = Change::CreateTpg { wwn: wwn(1), tag: tag(0), tpg: tpg(256) };
    assert!(model.apply(tag0).is_ok());
}

#[test]
fn names_of_targets_and_nexuses_are_known() {
    let model = furnished();
    assert!(model.knows(&wwn(1)));
    assert!(model.knows(&tpg(1).nexus));
    assert!(!model.knows(&wwn(2)));
}

#[test]
fn a_size_that_was_found_is_kept_but_not_of_a_ramdisk() {
    let mut model = furnished();
    model.learn_size(&backstore_id("fileio/f0"), 1 << 20);
    model.learn_size(&backstore_id("ramdisk/r0"), 1 << 30);
    model.learn_size(&backstore_id("block/nothing"), 1);
    let size = |name: &str| model.backstores()[&backstore_id(name)].medium.size_bytes();
    assert_eq!((size("fileio/f0"), size("ramdisk/r0")), (Some(1_048_576), Some(65_536)));
    let found = model.backstores()[&backstore_id("fileio/f0")].clone();
    let step = model::Step::ResizeBackstore { backstore: found, from_bytes: None };
    assert_eq!(model::plan(&furnished(), &model), [step]);
}

#[test]
fn what_is_kept_and_not_served_changes_only_from_what_was_seen() {
    let kept = |name: &str| Foreign::new(BTreeMap::from([(name.to_owned(), "{}".to_owned())])).unwrap();
    let model = Model::default()
        .apply(Change::KeepForeign { was: Foreign::default(), is: kept("target iscsi/a") })
        .unwrap();
    assert_eq!(*model.foreign(), kept("target iscsi/a"));
    let late = Change::KeepForeign { was: Foreign::default(), is: kept("target iscsi/b") };
    assert_eq!(model.apply(late), Err(Refusal::ForeignMoved));
    assert_eq!(model::plan(&Model::default(), &model), []);
}

fn refusals_of_what_targets_are_set_to() -> [Refusal; 4] {
    [
        Refusal::NoSuchOption { wwn: wwn(1), option: String::new() },
        Refusal::OptionValue { wwn: wwn(1), option: "seg_max", value: String::new(), values: String::new() },
        Refusal::NoSuchParameter { wwn: wwn(1), parameter: String::new() },
        Refusal::completion_affinity(&wwn(1), "x"),
    ]
}

#[test]
fn every_refusal_has_its_own_code_and_a_hint() {
    let backstore = backstore_id("block/b");
    let at = || place(1, 1, 0);
    let acl = || model::AclPlace { wwn: wwn(1), tag: tag(1), initiator: wwn(2) };
    let refusals = [
        Refusal::NameCharacters { name: String::new(), what: "" },
        Refusal::NameLength { name: String::new() },
        Refusal::WwnInvalid { wwn: String::new() },
        Refusal::UnitSerialInvalid { serial: String::new() },
        Refusal::AliasInvalid { alias: String::new() },
        Refusal::PathInvalid { path: String::new() },
        Refusal::TagOutOfRange { tag: 256 },
        Refusal::LunOutOfRange { lun: 16384 },
        Refusal::RelativePortZero,
        Refusal::SizeTooLarge { size_bytes: 1 << 63 },
        Refusal::NoSuchBackstore { backstore: backstore.clone() },
        Refusal::NoSuchTarget { wwn: wwn(1) },
        Refusal::NoSuchTpg { wwn: wwn(1), tag: tag(1) },
        Refusal::NoSuchLun { place: at() },
        Refusal::NoSuchAcl { acl: acl() },
        Refusal::NoSuchMappedLun { acl: acl(), lun: lun(0) },
        Refusal::AclExists { acl: acl() },
        Refusal::MappedLunExists { acl: acl(), lun: lun(0), of: lun(0) },
        Refusal::TooManyAcls { wwn: wwn(1), tag: tag(1) },
        Refusal::BackstoreExists { backstore: backstore.clone() },
        Refusal::SizeTooSmall { backstore: backstore.clone(), size_bytes: 512, now_bytes: 1024 },
        Refusal::SizeWithoutBlock { backstore: backstore.clone(), size_bytes: 0 },
        Refusal::PathInUse { path: model::AbsolutePath::parse("/x").unwrap(), user: backstore.clone() },
        Refusal::TargetExists { wwn: wwn(1) },
        Refusal::TpgExists { wwn: wwn(1), tag: tag(1) },
        Refusal::LunExists { place: at(), shows: backstore.clone() },
        Refusal::AlreadyMapped { backstore: backstore.clone(), place: at() },
        Refusal::RelativePortInUse { port: 1 },
        Refusal::TooManyBackstores,
        Refusal::NoFreeRelativePort,
        Refusal::NoFreeTag { wwn: wwn(1) },
        Refusal::NoFreeLun,
        Refusal::BackstoreInUse { backstore: backstore.clone(), place: at() },
        Refusal::TpgNotEmpty { tag: tag(1) },
        Refusal::NoSuchAttribute { backstore: backstore.clone(), attribute: String::new() },
        Refusal::AttributeValue {
            backstore: backstore.clone(),
            attribute: "block_size",
            value: String::new(),
            values: String::new(),
        },
        Refusal::AttributeReadOnly { backstore: backstore.clone(), attribute: "hw_block_size" },
        Refusal::AttributeOfDevice { backstore: backstore.clone(), attribute: "emulate_write_cache" },
        Refusal::AttributeUnbuilt {
            backstore: backstore.clone(),
            attribute: "pi_prot_verify",
            value: 1,
            only: 0,
        },
        Refusal::AttributeFrozen { backstore: backstore.clone(), attribute: "block_size", place: at() },
        Refusal::NameTooLongForProduct { backstore },
        Refusal::ForeignTooLong { bytes: 1 },
        Refusal::ForeignTooMany { things: 1 },
        Refusal::ForeignMoved,
    ];
    let refusals: Vec<Refusal> = refusals.into_iter().chain(refusals_of_what_targets_are_set_to()).collect();
    let codes: BTreeMap<&str, String> =
        refusals.iter().map(|refusal| (refusal.code(), refusal.hint())).collect();
    assert_eq!(codes.len(), 48);
    for refusal in &refusals {
        let (message, hint) = (refusal.to_string(), refusal.hint());
        assert!(!hint.is_empty() && !hint.ends_with('.') && !hint.contains('\n'), "{refusal:?}: {hint}");
        assert!(!message.ends_with('.') && !message.contains('\n'), "{message}");
        assert!(!(refusal.is_absence() && refusal.is_conflict()), "{refusal:?}");
    }
}
