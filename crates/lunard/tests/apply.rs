// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file that says what is to be: what is compared, what is done, and what is left alone.

mod common;

use api::v1::{self, Action};
use common::{Counting, Plane, apply, block, fileio, map, ramdisk, set_option, target};
use lunard::machine::{Live, LiveBackstore, LiveDevice};
use lunard::saveconfig::{self, Apply, Document};
use lunard::wish::Draft;
use model::{Model, Step, plan};

const ONE: &str = "naa.5001405000000001";
const TWO: &str = "naa.5001405000000002";

/// A file and a device that ONE shows as LUN 0 and 1, a ramdisk that TWO shows.
fn furnished() -> Model {
    Plane::drafted([
        fileio("f0", "/srv/f0", Some(1 << 20)),
        block("b0", "/dev/sdb"),
        ramdisk("r0"),
        target(ONE),
        target(TWO),
        map(ONE, Some(0), v1::Kind::Fileio, "f0"),
        map(ONE, Some(1), v1::Kind::Block, "b0"),
        map(TWO, Some(0), v1::Kind::Ramdisk, "r0"),
    ])
}

/// What [`furnished`] is, written by hand.
const AS_FURNISHED: &str = r#"
[fileio.f0]
path = "/srv/f0"
size = "1M"
[block.b0]
path = "/dev/sdb"
[ramdisk.r0]
size = "1M"
[vhost."naa.5001405000000001".tpg1]
lun0 = "fileio/f0"
lun1 = "block/b0"
[vhost."naa.5001405000000002".tpg1]
lun0 = "ramdisk/r0"
"#;

fn drafted(model: &Model, text: &str) -> Draft {
    apply(text).draft(model, &mut Counting::default()).unwrap_or_else(|err| panic!("{err}: {text}"))
}

/// The differences as lines: sign, path, values.
fn differences(model: &Model, text: &str) -> Vec<String> {
    let (apply, draft) = (apply(text), drafted(model, text));
    let line = |difference: v1::Difference| {
        let sign = match difference.action {
            Action::Create => '+',
            Action::Change => '~',
            Action::Replace => '!',
            Action::Delete => '-',
        };
        let values = difference.values.into_iter().map(|value| {
            format!(" {}={}>{}", value.name, value.from.unwrap_or_default(), value.to.unwrap_or_default())
        });
        format!("{sign} {}{}", difference.path, values.collect::<String>())
    };
    apply.compare(model, &draft).differences.into_iter().map(line).collect()
}

/// Applies a file, and sees that doing so once more has nothing to do.
fn applied(model: &Model, text: &str) -> Model {
    let after = drafted(model, text).model;
    let again = drafted(&after, text);
    assert_eq!(again.changes, [], "what was applied is so: {text}");
    assert_eq!(again.model, after);
    after
}

fn refusal(model: &Model, text: &str) -> String {
    apply(text).draft(model, &mut Counting::default()).unwrap_err().to_string()
}

#[test]
fn a_map_of_blocks_of_the_greatest_length_is_read_from_each_file() {
    let lines: String = (1000..1291).map(|block| format!("{block} {block} 0:O\n")).collect();
    let lba_map = format!("0 0\n{lines}100000 100000 0:O\n");
    assert_eq!(lba_map.len(), 4096);
    let id = common::id(v1::Kind::Ramdisk, "r0");
    let model = Plane::drafted([ramdisk("r0"), v1::Change::SetLbaMap { id, lba_map: lba_map.clone() }]);
    let saved = saveconfig::text(&model, &Live::default());
    assert_eq!(drafted(&model, &saved).changes, []);
    for written in [lba_map.replace('\n', "; "), lba_map.replace('\n', "\\n")] {
        let text = format!("[ramdisk.r0]\nsize = \"1M\"\nlba_map = \"{written}\"\n");
        assert_eq!(drafted(&model, &text).changes, [], "{written}");
    }
}

#[test]
fn what_is_so_already_is_no_change() {
    assert_eq!(drafted(&furnished(), AS_FURNISHED).changes, []);
    assert_eq!(differences(&furnished(), AS_FURNISHED), Vec::<String>::new());
    // And so it is with our own saveconfig.json, read back.
    let saved = saveconfig::text(&furnished(), &Live::default());
    assert_eq!(drafted(&furnished(), &saved).changes, []);
}

/// What a device with sectors of this many bytes is like.
fn live_device(block_bytes: u32) -> LiveBackstore {
    let (name, rotational) = ("sdb".to_owned(), true);
    LiveBackstore {
        size_bytes: 1 << 20,
        block_bytes,
        read_only: false,
        write_back: false,
        missing: false,
        ejected: false,
        stopped: false,
        physical_block_bytes: block_bytes,
        device: Some(LiveDevice { name, major: 8, minor: 16, block_bytes, rotational }),
        space: None,
        transitioning: std::collections::BTreeSet::new(),
    }
}

#[test]
fn what_targetcli_saved_of_the_same_state_is_no_change() {
    let id =
        model::BackstoreId { kind: model::Kind::Block, name: model::BackstoreName::parse("b0").unwrap() };
    let of = |block_bytes| {
        let backstores = [(id.clone(), live_device(block_bytes))].into();
        Live { backstores, ..Live::default() }
    };
    // As it reads the tree, which has no word for what is Lunar's.
    let mut saved: serde_json::Value =
        serde_json::from_str(&saveconfig::text(&furnished(), &of(512))).unwrap();
    assert!(saved.as_object_mut().unwrap().remove("x_lunar").is_some());
    for target in saved["targets"].as_array_mut().unwrap() {
        target["tpgs"][0].as_object_mut().unwrap().remove("x_lunar");
    }
    let seen = |live: &Live| {
        let text = saved.to_string();
        let mut document = Document::read_wanted(text.as_bytes(), &mut Counting::default()).unwrap();
        document.leave_to_media(&furnished(), live);
        let apply = Apply::new(document, false);
        let draft = apply.draft(&furnished(), &mut Counting::default()).map_err(|err| err.to_string())?;
        Ok::<_, String>((draft.changes.len(), apply.compare(&furnished(), &draft).differences.len()))
    };
    assert_eq!(seen(&of(512)), Ok((0, 0)));
    // Of a device that is otherwise it is a wish, which cannot be while a LUN shows it.
    let refused = seen(&of(4096)).unwrap_err();
    assert!(refused.contains("block_size"), "{refused}");
}

#[test]
fn an_empty_configuration_becomes_what_the_file_says() {
    let model = applied(&Model::default(), AS_FURNISHED);
    assert_eq!(
        differences(&Model::default(), AS_FURNISHED),
        [
            "+ /backstores/block/b0 path=>/dev/sdb",
            "+ /backstores/fileio/f0 path=>/srv/f0 size_bytes=>1048576",
            "+ /backstores/ramdisk/r0 size_bytes=>1048576",
            "+ /vhost/naa.5001405000000001",
            "+ /vhost/naa.5001405000000002",
            "+ /vhost/naa.5001405000000001/tpg1",
            "+ /vhost/naa.5001405000000002/tpg1",
            "+ /vhost/naa.5001405000000001/tpg1/luns/lun0 backstore=>fileio/f0",
            "+ /vhost/naa.5001405000000001/tpg1/luns/lun1 backstore=>block/b0",
            "+ /vhost/naa.5001405000000002/tpg1/luns/lun0 backstore=>ramdisk/r0",
        ]
    );
    assert_eq!(model.targets().len(), 2);
}

#[test]
fn what_a_file_does_not_name_stays_unless_its_scope_has_it() {
    let one = r#"
        [fileio.f0]
        path = "/srv/f0"
        [block.b0]
        path = "/dev/sdb"
        [vhost."naa.5001405000000001".tpg1]
        lun0 = "fileio/f0"
        lun1 = "block/b0"
    "#;
    assert_eq!(drafted(&furnished(), one).changes, []);
    let scoped = |scope: &str| differences(&furnished(), &format!("scope = {scope}\n{one}"));
    let gone = [
        "- /vhost/naa.5001405000000002/tpg1/luns/lun0 backstore=ramdisk/r0>",
        "- /vhost/naa.5001405000000002/tpg1",
        "- /vhost/naa.5001405000000002",
        "- /backstores/ramdisk/r0",
    ];
    assert_eq!(scoped("[\"*\"]"), gone);
    assert_eq!(scoped("[\"ramdisk/*\", \"naa.5001405000000002\"]"), gone);
    assert_eq!(scoped("[\"naa.5001405*\"]"), gone[..3]);
    // What another shows cannot go from under it.
    assert_eq!(
        refusal(&furnished(), &format!("scope = [\"ramdisk/*\"]\n{one}")),
        "storage object ramdisk/r0 is in use by LUN naa.5001405000000002/tpg1/lun0"
    );
}

#[test]
fn a_target_in_the_file_has_its_luns_and_no_others() {
    let text = r#"
        [vhost."naa.5001405000000001".tpg1]
        lun1 = { backstore = "block/b0", write_protect = true }
        lun7 = "ramdisk/r0"
        [vhost."naa.5001405000000001".tpg3]
    "#;
    assert_eq!(
        differences(&furnished(), text),
        [
            "- /vhost/naa.5001405000000001/tpg1/luns/lun0 backstore=fileio/f0>",
            "+ /vhost/naa.5001405000000001/tpg3",
            "! /vhost/naa.5001405000000001/tpg1/luns/lun1 write_protect=>true",
            "+ /vhost/naa.5001405000000001/tpg1/luns/lun7 backstore=>ramdisk/r0",
        ]
    );
    let model = applied(&furnished(), text);
    assert_eq!(model.backstores().len(), 3, "what a LUN showed stays");
    let no_group = "[vhost.\"naa.5001405000000001\"]";
    assert_eq!(differences(&furnished(), no_group)[2], "- /vhost/naa.5001405000000001/tpg1");
}

#[test]
fn luns_change_places_in_one_transaction() {
    let text = r#"
        [vhost."naa.5001405000000001".tpg1]
        lun0 = "block/b0"
        lun1 = "fileio/f0"
    "#;
    assert_eq!(
        differences(&furnished(), text),
        [
            "! /vhost/naa.5001405000000001/tpg1/luns/lun0 backstore=fileio/f0>block/b0",
            "! /vhost/naa.5001405000000001/tpg1/luns/lun1 backstore=block/b0>fileio/f0",
        ]
    );
    applied(&furnished(), text);
}

#[test]
fn attributes_and_options_are_as_the_file_says_and_else_their_defaults() {
    let text = "[fileio.f0]\npath = \"/srv/f0\"\nwrite_back = false\n\
                attributes = { emulate_fua_write = 0 }\n\
                [vhost.\"naa.5001405000000002\"]\noptions = { num_queues = 4 }\n\
                [vhost.\"naa.5001405000000002\".tpg1]\nlun0 = \"ramdisk/r0\"\n";
    assert_eq!(
        differences(&furnished(), text),
        [
            "~ /backstores/fileio/f0 emulate_fua_write=1>0 emulate_write_cache=1>0",
            "~ /vhost/naa.5001405000000002 num_queues=0>4",
        ]
    );
    let model = applied(&furnished(), text);
    // Guests go on: nothing is closed, no LUN goes.
    let steps = plan(&furnished(), &model);
    assert!(
        steps.iter().all(|step| matches!(step, Step::UpdateBackstore(_) | Step::SetOptions { .. })),
        "{steps:?}"
    );
    let plain =
        "[fileio.f0]\npath = \"/srv/f0\"\n[vhost.\"naa.5001405000000002\".tpg1]\nlun0 = \"ramdisk/r0\"\n";
    assert_eq!(
        differences(&model, plain),
        [
            "~ /backstores/fileio/f0 emulate_fua_write=0>1 emulate_write_cache=0>1",
            "~ /vhost/naa.5001405000000002 num_queues=4>0",
        ]
    );
}

#[test]
fn a_completion_affinity_is_as_the_file_says_and_else_the_default() {
    let file = |rest: &str| {
        format!(
            "[vhost.\"naa.5001405000000002\"]\n{rest}[vhost.\"naa.5001405000000002\".tpg1]\nlun0 = \"ramdisk/r0\"\n"
        )
    };
    let said = file("parameters = { cmd_completion_affinity = -2 }\n");
    let told =
        |from: i32, to: i32| [format!("~ /vhost/naa.5001405000000002 cmd_completion_affinity={from}>{to}")];
    assert_eq!(differences(&furnished(), &said), told(-1, -2));
    let model = applied(&furnished(), &said);
    assert_eq!(differences(&model, &said), [] as [&str; 0]);
    assert_eq!(differences(&model, &file("")), told(-2, -1));
    for (value, shown) in [("8191", "8191"), ("-3", "-3"), ("\"any\"", "any")] {
        let typed = file(&format!("parameters = {{ cmd_completion_affinity = {value} }}\n"));
        let error = Document::read_wanted(typed.as_bytes(), &mut Counting::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "parameters.cmd_completion_affinity={shown} of target naa.5001405000000002 cannot be: it takes -1, -2 or \
                 the number of a CPU that is online"
            )
        );
    }
}

#[test]
fn an_option_that_is_not_known_is_an_error_where_somebody_wrote_it_and_else_told() {
    let typed = "[vhost.\"naa.5001405000000002\"]\noptions = { num_queus = 4 }\n";
    let said = "option 'num_queus' of target naa.5001405000000002 is not known here";
    let read = |text: &str| Document::read_wanted(text.as_bytes(), &mut Counting::default());
    assert_eq!(read(typed).unwrap_err().to_string(), said);
    let saved = r#"{"storage_objects": [], "targets": [{"fabric": "vhost", "wwn": "naa.5001405000000002", "tpgs": [],
        "options": {"num_queus": 4}}]}"#;
    assert_eq!(read(saved).unwrap().notes(), [said]);
}

#[test]
fn a_file_of_lios_which_has_no_word_for_options_leaves_them() {
    let mut model = furnished();
    let set = Draft::new(&model, &[set_option(TWO, "num_queues", "4")], &mut Counting::default()).unwrap();
    model = set.model;
    let lio = r#"{"storage_objects": [], "targets": [{"fabric": "vhost", "wwn": "naa.5001405000000002",
        "tpgs": [{"tag": 1, "luns": [{"index": 0, "storage_object": "/backstores/ramdisk/r0"}]}]}]}"#;
    assert_eq!(drafted(&model, lio).changes, []);
}

#[test]
fn a_larger_size_grows_and_a_smaller_one_is_refused() {
    let sized = |kind: &str, rest: &str, size: &str| format!("[{kind}]\n{rest}\nsize = \"{size}\"\n");
    let file = |size: &str| sized("fileio.f0", "path = \"/srv/f0\"", size);
    assert_eq!(
        differences(&furnished(), &file("2M")),
        ["~ /backstores/fileio/f0 size_bytes=1048576>2097152"]
    );
    assert_eq!(
        differences(&furnished(), &sized("ramdisk.r0", "", "2M")),
        ["~ /backstores/ramdisk/r0 size_bytes=1048576>2097152"]
    );
    applied(&furnished(), &file("2M"));
    assert_eq!(
        refusal(&furnished(), &file("512K")),
        "storage object fileio/f0 has 1048576 bytes and cannot shrink to 524288"
    );
    assert_eq!(
        refusal(&furnished(), &sized("ramdisk.r0", "", "512K")),
        "storage object ramdisk/r0 has 1048576 bytes and cannot shrink to 524288"
    );
}

#[test]
fn another_path_or_serial_is_another_disk_under_every_lun_that_shows_it() {
    let text = "[block.b0]\npath = \"/dev/sdc\"\n";
    assert_eq!(differences(&furnished(), text), ["! /backstores/block/b0 path=/dev/sdb>/dev/sdc"]);
    let model = applied(&furnished(), text);
    let before = furnished();
    let (was, is) = (before.backstores(), model.backstores());
    let serials = |of: &std::collections::BTreeMap<model::BackstoreId, model::Backstore>| {
        of.values().map(|backstore| backstore.unit_serial.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(serials(was), serials(is), "a serial number that the file does not say stays");
    assert_eq!(before.targets(), model.targets());
    let comparison = apply(text).compare(&furnished(), &drafted(&furnished(), text));
    let taken: Vec<String> = comparison.taken_from.values().map(ToString::to_string).collect();
    assert_eq!(taken, ["naa.5001405000000001/tpg1/lun1"]);

    let serial = "[ramdisk.r0]\nsize = \"1M\"\nwwn = \"mine\"\n";
    let lines = differences(&furnished(), serial);
    assert!(lines.len() == 1 && lines[0].starts_with("! /backstores/ramdisk/r0 wwn="), "{lines:?}");
    assert!(lines[0].ends_with(">mine"), "{lines:?}");
    applied(&furnished(), serial);
}

#[test]
fn paths_are_exchanged_in_one_transaction() {
    let model = Plane::drafted([block("a", "/dev/sda"), block("b", "/dev/sdb")]);
    applied(&model, "[block.a]\npath = \"/dev/sdb\"\n[block.b]\npath = \"/dev/sda\"\n");
}

#[test]
fn the_nexus_of_a_group_that_is_there_stays() {
    let text = r#"
        [vhost."naa.5001405000000002".tpg1]
        nexus = "naa.50014050000000ff"
        lun0 = "ramdisk/r0"
    "#;
    assert_eq!(drafted(&furnished(), text).changes, []);
    let made = applied(&Model::default(), &format!("[ramdisk.r0]\nsize = \"1M\"\n{text}"));
    let tpg = made.targets().values().next().unwrap().tpgs.values().next().unwrap();
    assert_eq!(tpg.nexus.as_str(), "naa.50014050000000ff");
}

#[test]
fn access_control_lists_are_those_of_the_file() {
    let luns = "[ramdisk.r0]\nsize = \"1M\"\n[vhost.\"naa.5001405000000002\".tpg1]\nlun0 = \"ramdisk/r0\"\n";
    let listed = |rest: &str| {
        format!("{luns}[vhost.\"naa.5001405000000002\".tpg1.acls.\"naa.5001405000000abc\"]\n{rest}")
    };
    let at = "/vhost/naa.5001405000000002/tpg1/acls/naa.5001405000000abc";
    let model = applied(&furnished(), &listed("mapped_lun7 = \"lun0\"\n"));
    assert_eq!(
        differences(&furnished(), &listed("mapped_lun7 = \"lun0\"\n")),
        [format!("+ {at}"), format!("+ {at}/mapped_lun7 lun=>lun0")]
    );
    assert_eq!(
        differences(&model, &listed("mapped_lun7 = { lun = \"lun0\", write_protect = true }\n")),
        [format!("! {at}/mapped_lun7 write_protect=>true")]
    );
    applied(&model, &listed("mapped_lun7 = { lun = \"lun0\", write_protect = true }\n"));
    assert_eq!(
        differences(&model, &listed("mapped_lun0 = \"lun0\"\n")),
        [format!("- {at}/mapped_lun7 lun=lun0>"), format!("+ {at}/mapped_lun0 lun=>lun0")]
    );
    applied(&model, &listed("mapped_lun0 = \"lun0\"\n"));
    assert_eq!(differences(&model, luns), [format!("- {at}/mapped_lun7 lun=lun0>"), format!("- {at}")]);
    // A backstore that is made anew is seen as before, by whatever shows it.
    let anew = "[ramdisk.r0]\nsize = \"1M\"\nnullio = true\n";
    assert_eq!(applied(&model, anew).targets(), model.targets());
    let whole = listed("mapped_lun7 = \"lun0\"\n").replace("size = \"1M\"", "size = \"1M\"\nnullio = true");
    assert_eq!(applied(&model, &whole).targets(), model.targets());
}

#[test]
fn asymmetric_access_is_given_to_what_is_made_and_left_where_it_is() {
    let lio = r#"{"storage_objects": [{"plugin": "ramdisk", "name": "r0", "size": 1048576, "wwn": "s",
        "alua_tpgs": [{"name": "g1", "tg_pt_gp_id": 7, "alua_access_state": 1}]}],
      "targets": [{"fabric": "vhost", "wwn": "naa.5001405000000002", "tpgs": [{"tag": 1, "luns": [
        {"index": 0, "storage_object": "/backstores/ramdisk/r0", "alua_tg_pt_gp_name": "g1"}]}]}]}"#;
    assert_eq!(
        differences(&Model::default(), lio)[..2],
        [
            "+ /backstores/ramdisk/r0 size_bytes=>1048576 wwn=>s",
            "+ /backstores/ramdisk/r0/alua/g1 alua_access_state=>1 tg_pt_gp_id=>7"
        ]
    );
    let model = applied(&Model::default(), lio);
    let group = |model: &Model| {
        let tpg = model.targets().values().next().unwrap().tpgs.values().next().unwrap().clone();
        tpg.luns.values().next().unwrap().alua.group.to_string()
    };
    assert_eq!(group(&model), "g1");
    // What the file does not speak of stays, also where the LUN or the disk is made anew.
    let by_hand = "[ramdisk.r0]\nsize = \"1M\"\nnullio = true\n[vhost.\"naa.5001405000000002\".tpg1]\n\
                   lun0 = { backstore = \"ramdisk/r0\", write_protect = true }\n";
    let after = applied(&model, by_hand);
    assert_eq!(group(&after), "g1");
    // A group that is missing comes to a disk that is there.
    let bare = applied(&Model::default(), "[ramdisk.r0]\nsize = \"1M\"\nwwn = \"s\"\n");
    assert_eq!(
        differences(&bare, lio)[0],
        "+ /backstores/ramdisk/r0/alua/g1 alua_access_state=>1 tg_pt_gp_id=>7"
    );
    assert_eq!(group(&applied(&bare, lio)), "g1");
}

/// A disk with a group, and the LUN that is in it.
fn grouped(of_disk: &str, group: &str, lun: &str) -> String {
    format!(
        "[ramdisk.r0]\nsize = \"1M\"\n{of_disk}\n{group}\n[vhost.\"naa.5001405000000002\".tpg1]\n\
         lun0 = {{ backstore = \"ramdisk/r0\"{lun} }}\n"
    )
}

const NEAR: &str = "[ramdisk.r0.alua.near]\ntg_pt_gp_id = 7\n";
const IN_NEAR: &str = ", alua_tg_pt_gp_name = \"near\"";
const GROUP: &str = "/backstores/ramdisk/r0/alua/near";
const LUN: &str = "/vhost/naa.5001405000000002/tpg1/luns/lun0";

#[test]
fn groups_and_what_luns_have_of_them_are_as_the_file_says() {
    let plain = applied(&Model::default(), &grouped("", "", ""));
    let near = grouped("", &format!("{NEAR}preferred = 1\n"), IN_NEAR);
    assert_eq!(
        differences(&plain, &near),
        [format!("+ {GROUP} preferred=>1 tg_pt_gp_id=>7"), format!("~ {LUN} alua_tg_pt_gp_name=>near"),]
    );
    let model = applied(&plain, &near);
    // A state that is set by somebody stays until the file speaks of it; other values too.
    let guest = model::Change::SetAluaAttribute {
        backstore: model.backstores().keys().next().unwrap().clone(),
        group: model::AluaGroupName::parse("near").unwrap(),
        attribute: "alua_access_state".to_owned(),
        value: "2".to_owned(),
    };
    let model = model.apply(guest).unwrap();
    assert_eq!(drafted(&model, &near).changes, []);
    let says = grouped("", &format!("{NEAR}alua_access_state = 1\nalua_support_standby = 0\n"), "");
    assert_eq!(
        differences(&model, &says),
        [format!("~ {GROUP} alua_access_state=2>1 alua_support_standby=>0")]
    );
    let after = applied(&model, &says);
    assert_eq!(differences(&after, &near), Vec::<String>::new(), "preferred stayed too");
    // The default group, and a LUN that is offline.
    let offline = grouped("", "[ramdisk.r0.alua.default_tg_pt_gp]\nnonop_delay_msecs = 5\n", "");
    assert_eq!(
        refusal(&model, &offline),
        "ALUA group near of storage object ramdisk/r0 is in use by LUN naa.5001405000000002/tpg1/lun0"
    );
    let offline = offline.replace(" }\n", ", alua_tg_pt_gp_name = \"\", alua_tg_pt_offline = 1 }\n");
    assert_eq!(
        differences(&model, &offline),
        [
            format!("- {GROUP}"),
            "~ /backstores/ramdisk/r0/alua/default_tg_pt_gp nonop_delay_msecs=>5".to_owned(),
            format!("~ {LUN} alua_tg_pt_gp_name=near> alua_tg_pt_offline=>1 alua_tg_pt_status=>2"),
        ]
    );
    applied(&model, &offline);
}

#[test]
fn ids_of_groups_change_places_in_one_transaction() {
    let two = |near: u16, far: u16| {
        let far = format!("[ramdisk.r0.alua.far]\ntg_pt_gp_id = {far}\n");
        grouped("", &format!("{far}{}", NEAR.replace('7', &near.to_string())), IN_NEAR)
    };
    let model = applied(&Model::default(), &two(7, 8));
    assert_eq!(
        differences(&model, &two(8, 7)),
        [
            "~ /backstores/ramdisk/r0/alua/far tg_pt_gp_id=8>7".to_owned(),
            format!("~ {GROUP} tg_pt_gp_id=7>8"),
        ]
    );
    applied(&model, &two(8, 7));
    assert_eq!(
        refusal(&model, &grouped("", "[ramdisk.r0.alua.far]\ntg_pt_gp_id = 8\n", IN_NEAR)),
        "No ALUA group 'near' on storage object ramdisk/r0"
    );
}

#[test]
fn groups_of_logical_units_are_made_and_left_as_the_file_says() {
    let plain = applied(&Model::default(), &grouped("", "", ""));
    let left = format!("lu_groups = {{ left = 5 }}\n{}", grouped("lu_group = \"left\"", "", ""));
    assert_eq!(
        differences(&plain, &left),
        ["~ /backstores/ramdisk/r0 lu_group=>left", "+ /core/alua/lu_gps/left lu_gp_id=>5"]
    );
    let model = applied(&plain, &left);
    assert_eq!(drafted(&model, &grouped("", "", "")).changes, [], "nothing is said of it");
    assert_eq!(
        differences(&model, &grouped("lu_group = \"default_lu_gp\"", "", "")),
        ["~ /backstores/ramdisk/r0 lu_group=left>"]
    );
}

#[test]
fn two_disks_that_are_one_unit_cannot_have_different_groups() {
    let twins = |one: &str, two: &str| {
        let disk = |name: &str, group: &str| {
            format!(
                "[ramdisk.{name}]\nsize = \"1M\"\nwwn = \"s\"\n[ramdisk.{name}.alua.{group}]\ntg_pt_gp_id = 1\n"
            )
        };
        format!("{}{}", disk("a", one), disk("b", two))
    };
    let model = applied(&Model::default(), &twins("x", "x"));
    applied(&model, &twins("y", "y"));
    assert_eq!(
        refusal(&model, &twins("y", "z")),
        "ramdisk/b has the unit serial number of ramdisk/a and other ALUA groups"
    );
}

/// TWO with its ramdisk, and a list for its nexus.
fn list_of_the_nexus(model: &Model, mapped: &str) -> String {
    let nexus = &model.tpg(&model::Wwn::parse(TWO).unwrap(), model::TpgTag::new(1)).unwrap().nexus;
    format!(
        "[ramdisk.r0]\nsize = \"1M\"\n[vhost.\"{TWO}\".tpg1]\nlun0 = \"ramdisk/r0\"\n\
         [vhost.\"{TWO}\".tpg1.acls.\"{nexus}\"]\n{mapped}"
    )
}

#[test]
fn a_mapped_lun_without_its_lun_is_refused_and_named() {
    let text = list_of_the_nexus(&furnished(), "mapped_lun0 = \"lun7\"\n");
    let nexus = &furnished().targets().values().last().unwrap().tpgs.values().next().unwrap().nexus.clone();
    let error = Document::read_wanted(text.as_bytes(), &mut Counting::default()).unwrap_err();
    // So it is for the kernel's own target, for which it is put into the words of LIO first.
    let in_their_words = Document::typed_as_saveconfig(text.as_bytes()).unwrap();
    assert_eq!(Document::read_wanted(&in_their_words, &mut Counting::default()), Err(error.clone()));
    assert_eq!(
        error.to_string(),
        format!(
            "Could not find matching TPG LUN 7 for mapped LUN 0 of node ACL {nexus} of TPG 1 of target \
             naa.5001405000000002: the file has no such LUN there"
        )
    );
}

#[test]
fn an_empty_list_for_the_nexus_hides_every_lun_and_is_a_loss() {
    let text = list_of_the_nexus(&furnished(), "");
    let draft = drafted(&furnished(), &text);
    assert_eq!(draft.changes.len(), 1, "{:?}", draft.changes);
    let taken_from = apply(&text).compare(&furnished(), &draft).taken_from;
    let taken_from: Vec<String> = taken_from.values().map(ToString::to_string).collect();
    assert_eq!(taken_from, ["naa.5001405000000002/tpg1/lun0"]);
    let hidden = applied(&furnished(), &text);
    assert_eq!(hidden.targets().values().last().unwrap().tpgs.values().next().unwrap().acls.len(), 1);
    // And taking the list away again shows them.
    let shown = list_of_the_nexus(&furnished(), "");
    let shown = shown.split("[vhost.\"naa.5001405000000002\".tpg1.acls").next().unwrap();
    assert_eq!(applied(&hidden, shown), furnished());
}

#[test]
fn a_lun_of_what_is_nowhere_is_refused() {
    let text = "[vhost.\"naa.5001405000000002\".tpg1]\nlun0 = \"ramdisk/nosuch\"\n";
    assert_eq!(
        refusal(&furnished(), text),
        "Could not find matching StorageObject for LUN naa.5001405000000002/tpg1/lun0: there is no ramdisk/nosuch"
    );
}
