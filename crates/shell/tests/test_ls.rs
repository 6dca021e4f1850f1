// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `ls`.

use crate::support::{Session, furnished, transcript};
use shell::{Mode, Screen};

/// What targetcli 2.1.53 drew on a kernel's LIO for this configuration, less the fabrics that Lunar has not.
const DRAWN_BY_TARGETCLI: &str = include_str!("fixtures/ls-132.txt");

#[test]
fn the_tree_is_drawn_as_targetcli_draws_it() {
    let mut session = Session::on(Screen::plain(Mode::OneShot));
    for line in [
        "/backstores/block create disk0 /dev/loop0",
        "/backstores/fileio create f0 /srv/target/f0.img 16M",
        "/backstores/fileio create f1 /srv/target/f1.img 16M write_back=false",
        "/backstores/ramdisk create r0 8M",
        "/vhost create naa.500140568720f76f",
        "/vhost create naa.500140517aa1ed3c",
        "/vhost/naa.500140568720f76f/tpg1/luns create /backstores/block/disk0",
        "/vhost/naa.500140568720f76f/tpg1/luns create /backstores/fileio/f0 5",
        "/vhost/naa.500140568720f76f/tpg1/luns create /backstores/ramdisk/r0 lun7",
    ] {
        assert_eq!(session.run(line).err, "", "{line}");
    }
    {
        let config = &mut session.fake.0.borrow_mut().config;
        config.backstores[0].size_bytes = 64 << 20;
        // The guest is told of the device's own cache; targetcli shows the attribute, which is 0.
        config.backstores[0].write_back = true;
        config.targets[0].tpgs[0].nexus = "naa.5001405147d17c1e".to_owned();
        config.targets[1].tpgs[0].nexus = "naa.50014054fe4839c2".to_owned();
    }
    assert_eq!(session.run("ls").out, DRAWN_BY_TARGETCLI);
}

#[test]
fn a_path_and_a_depth_choose_what_is_shown() {
    furnished().transcript(
        "
/> ls / 1
o- / ............................................................. [...]
  o- backstores .................................................. [...]
  o- vhost ................................................ [Targets: 1]
/> ls backstores depth=2
o- backstores .................................................... [...]
  o- block ........................................ [Storage Objects: 1]
  | o- disk0 ............... [/dev/sda (14.0GiB) write-thru deactivated]
  o- fileio ....................................... [Storage Objects: 1]
  | o- disk1 ........... [/srv/disk1.img (16.0MiB) write-back activated]
  o- ramdisk ...................................... [Storage Objects: 1]
    o- disk2 .................................... [(8.0MiB) deactivated]
/> /vhost/naa.500140568720f76f/tpg1/luns ls
o- luns ...................................................... [LUNs: 1]
  o- lun0 ........... [fileio/disk1 (/srv/disk1.img) (default_tg_pt_gp)]
/> ls depth=x
! The tree depth must be a number.
! hint: 'x' is none; 0 is the whole tree
/> ls /nosuch
! No such path /nosuch
! hint: / has backstores vhost
/> ls --jsn
! Unexpected keyword parameter '--jsn'.
! hint: the command is: ls [path] [depth]
",
    );
}

#[test]
fn the_star_shows_each_child() {
    furnished().transcript(
        "
/> cd backstores
/backstores> * ls depth=1
[/backstores/block]
o- block .......................................... [Storage Objects: 1]
  o- disk0 ................. [/dev/sda (14.0GiB) write-thru deactivated]
[/backstores/fileio]
o- fileio ......................................... [Storage Objects: 1]
  o- disk1 ............. [/srv/disk1.img (16.0MiB) write-back activated]
[/backstores/ramdisk]
o- ramdisk ........................................ [Storage Objects: 1]
  o- disk2 ...................................... [(8.0MiB) deactivated]
",
    );
}

#[test]
fn special_backstores_say_so() {
    let mut session = Session::new();
    session.run("/backstores/block create b0 /dev/sda readonly=true");
    session.run("/backstores/fileio create f0 /srv/f0.img 1M");
    session.run("/backstores/ramdisk create r0 1M nullio=true");
    session.fake.0.borrow_mut().config.backstores[1].state = api::v1::BackstoreState::Missing;
    session.run("set global tree_show_root=false");
    session.transcript(
        "
/> cd backstores
/backstores> * ls depth=1
[/backstores/block]
o- b0 ................... [/dev/sda (14.0GiB) ro write-thru deactivated]
[/backstores/fileio]
o- f0 ........................ [/srv/f0.img (1.0MiB) write-back missing]
[/backstores/ramdisk]
o- r0 .................................... [nullio (1.0MiB) deactivated]
",
    );
    // A missing one is red.
    let screen = Screen { columns: 60, colour_out: true, ..Screen::plain(Mode::Session) };
    let mut coloured = Session::on(screen);
    coloured.fake.0.borrow_mut().config = session.fake.0.borrow().config.clone();
    let line = coloured.run("ls /backstores/fileio/f0 depth=1").out;
    assert!(line.contains("\u{1b}[1;31m/srv/f0.img (1.0MiB) write-back missing\u{1b}[0m"), "{line:?}");
}

#[test]
fn json_has_the_whole_tree_for_programs() {
    let mut session = furnished();
    let told: serde_json::Value = serde_json::from_str(&session.run("ls --json").out).expect("JSON");
    let tree = &told["result"];
    assert_eq!(tree["name"], "/");
    assert_eq!(tree["children"][1]["name"], "vhost");
    let reply = session.run("ls --json /vhost/naa.500140568720f76f/tpg1/luns");
    let expected = concat!(
        r#"{"schema":1,"command":"ls","path":"/","ok":true,"messages":[],"result":{"children":[{"children":[],"#,
        r#""details":{"write_protect":false},"healthy":true,"info":{"alias":"a7975b902c","#,
        r#""alua_tg_pt_gp_name":"default_tg_pt_gp","index":0,"storage_object":"/backstores/fileio/disk1"},"#,
        r#""kind":"lun","name":"lun0","path":"/vhost/naa.500140568720f76f/tpg1/luns/lun0","#,
        r#""summary":"fileio/disk1 (/srv/disk1.img) (default_tg_pt_gp)"}],"details":{},"healthy":null,"info":{},"#,
        r#""kind":"luns","name":"luns","path":"/vhost/naa.500140568720f76f/tpg1/luns","summary":"LUNs: 1"},"#,
        r#""error":null}"#,
        "\n"
    );
    assert_eq!(reply.out, expected);
    let target = &tree["children"][1]["children"][0];
    let details = serde_json::json!({
        "socket": "/run/lunar/vhost/naa.500140568720f76f.sock",
        "connected": false,
    });
    assert_eq!(target["details"], details);
    assert_eq!(session.run("/backstores ls --json depth=1").out.matches("\"kind\"").count(), 4);
}

#[test]
fn the_tree_fills_a_screen_of_any_width_up_to_132_columns() {
    for (columns, width) in [(40, 40), (80, 80), (132, 132), (200, 132), (0, 132)] {
        let mut session = Session::on(Screen { columns, ..Screen::plain(Mode::Session) });
        let out = session.run("ls").out;
        let widths: Vec<usize> = out.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [width; 6], "{columns}: {out}");
    }
}

#[test]
fn preferences_say_how_the_tree_is_drawn() {
    transcript(
        "
/> set global tree_max_depth=1 tree_round_nodes=false tree_status_mode=false
Parameter tree_max_depth is now '1'.
Parameter tree_round_nodes is now 'false'.
Parameter tree_status_mode is now 'false'.
/> ls
+- /
  +- backstores
  +- vhost
/> set global tree_show_root=false
Parameter tree_show_root is now 'false'.
/> ls / 2
+- backstores
| +- block
| +- fileio
| +- ramdisk
+- vhost
",
    );
}

#[test]
fn a_target_without_its_socket_is_told_of_and_why() {
    let mut session = furnished();
    session.transcript(
        "
/> ls /vhost depth=1
o- vhost .................................................. [Targets: 1]
  o- naa.500140568720f76f .................................... [TPGs: 1]
",
    );
    let why =
        "cannot bind /run/lunar/vhost/naa.500140568720f76f.sock: what is there is no socket; move it away";
    session.fake.0.borrow_mut().config.targets[0].socket_fault = Some(why.to_owned());
    session.transcript(
        "
/> ls /vhost depth=1
o- vhost .................................................. [Targets: 1]
  o- naa.500140568720f76f ......................... [TPGs: 1, no socket]
/> /vhost/naa.500140568720f76f status
Status for /vhost/naa.500140568720f76f: TPGs: 1, no socket
/> /vhost/naa.500140568720f76f info
fabric: vhost
socket_fault: cannot bind /run/lunar/vhost/naa.500140568720f76f.sock: what is there is no socket; move it away
wwn: naa.500140568720f76f
",
    );
    let tree: serde_json::Value =
        serde_json::from_str(&session.run("ls --json /vhost/naa.500140568720f76f").out).unwrap();
    assert_eq!(tree["result"]["healthy"], serde_json::json!(false));
    assert_eq!(tree["result"]["details"]["socket_fault"], why);
}
