// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `set`.

use crate::support::{Session, furnished, transcript};
use shell::{Mode, Screen};

#[test]
fn attributes_are_set_together_and_read_back() {
    let mut session = furnished();
    session.transcript(
        "
/> /backstores/block/disk0 set attribute emulate_write_cache=1 emulate_tpu=1
Parameter emulate_write_cache is now '1'.
Parameter emulate_tpu is now '1'.
/> /backstores/block/disk0 get attribute emulate_tpu
emulate_tpu=1 
",
    );
    assert_eq!(session.fake.0.borrow().asked.last().map(Vec::len), Some(2));
}

#[test]
fn options_of_a_target_are_set_together_and_read_back() {
    let mut session = furnished();
    session.transcript(
        "
/> /vhost/naa.500140568720f76f set option num_queues=4 virtqueue_size=128
Parameter num_queues is now '4'.
Parameter virtqueue_size is now '128'.
/> /vhost/naa.500140568720f76f get option num_queues
num_queues=4 
/> /vhost/naa.500140568720f76f set option num_queues=1 virtqueue_size=327680
! option virtqueue_size of naa.500140568720f76f cannot be '327680': it takes 0 to 254
! hint: it is a number
/> /vhost/naa.500140568720f76f get option
OPTION CONFIG GROUP
===================
num_queues=4
------------
How many request queues there are.

virtqueue_size=128
------------------
How long a queue may be.

/> /vhost/naa.500140568720f76f set option nosuch=1
! Unknown parameter nosuch in group 'option'.
! hint: `set option` shows those there are
/> /vhost/naa.500140568720f76f set option num_queues=many
! Not setting num_queues! Syntax error, 'many' is not a NUMBER.
",
    );
    let asked = session.fake.0.borrow().asked.clone();
    // The five lines that furnish it, and two that got as far as the daemon, a transaction each.
    assert_eq!(asked.iter().skip(5).map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn of_several_attributes_all_are_set_or_none() {
    furnished().transcript(
        "
/> /backstores/block/disk0 set attribute emulate_tpu=1 emulate_write_cache=22
! attribute emulate_write_cache cannot be '22': it takes 0 or 1
! hint: it is a switch
/> /backstores/block/disk0 get attribute emulate_tpu
emulate_tpu=0 
",
    );
}

#[test]
fn what_cannot_be_set_is_told_in_targetclis_words() {
    furnished().transcript(
        "
/> /backstores/block/disk0 set attribute hw_block_size=1
! Parameter hw_block_size is read-only.
/> /backstores/block/disk0 set attribute emulate_write_cache=abc
! Not setting emulate_write_cache! Syntax error, 'abc' is not a NUMBER.
/> /backstores/block/disk0 set attribute emulate_tpu= emulate_write_cache=1
! Not setting emulate_tpu! Syntax error, '' is not a NUMBER.
/> /backstores/block/disk0 set attribute nosuch=1
! Unknown parameter nosuch in group 'attribute'.
! hint: `set attribute` shows those there are
/> /backstores/block/disk0 set attribute emulate_tpu
! Got 2 positionnal parameters, expected at most 1.
! hint: 'emulate_tpu' is too much; the command is: set [group] [parameter=value...]
/> set nogroup a=1
! Unknown configuration group: nogroup
! hint: this node has global
/> set attribute emulate_tpu=1
! Unknown configuration group: attribute
! hint: this node has global
",
    );
}

#[test]
fn an_assignment_without_a_group_is_an_error() {
    let mut session = furnished();
    for line in ["emulate_tpu=1", "attribute =1"] {
        let name = line.split(['=', ' ']).next().expect("a name");
        let reply = session.run(&format!("/backstores/fileio/disk1 set {line}"));
        let hint = format!("hint: the command is: set GROUP {name}=1; `set` alone shows the groups");
        assert_eq!(reply.err, format!("Missing required parameter group\n{hint}\n"));
        assert_eq!((reply.out.as_str(), reply.failed), ("", true));
    }
}

#[test]
fn what_can_be_set_is_listed_with_its_type() {
    furnished().transcript(
        "
/> /backstores/block/disk0 set attribute
ATTRIBUTE CONFIG GROUP
======================
emulate_tpu=number
------------------
Whether UNMAP is served.

emulate_write_cache=number
--------------------------
Whether a write cache is reported.

",
    );
}

#[test]
fn global_parameters_are_checked_and_remembered() {
    let mut session = Session::new();
    session.transcript(
        "
/> set global prompt_length=abc
! Not setting prompt_length! Syntax error, 'abc' is not a NUMBER.
/> set global tree_round_nodes=maybe
! Not setting tree_round_nodes! Syntax error, 'maybe' is not true|false.
/> set global loglevel_console=loud
! Not setting loglevel_console! Syntax error, 'loud' is not critical|error|warning|info|verbose|debug.
/> set global nosuch=1
! Unknown parameter nosuch in group 'global'.
! hint: `set global` shows those there are
/> set global tree_round_nodes=FALSE tree_status_mode=false
Parameter tree_round_nodes is now 'false'.
Parameter tree_status_mode is now 'false'.
/> ls / 1
+- /
  +- backstores
  +- vhost
/> set global loglevel_console=error
Parameter loglevel_console is now 'error'.
/> /vhost create
",
    );
    assert_eq!(session.memory.0.borrow().globals.len(), 3);
}

#[test]
fn messages_name_their_level_where_colours_are_not_wanted() {
    transcript(
        "
/> set global color_mode=false
Parameter color_mode is now 'false'.
/> /vhost create
Info: Created target naa.5001405000000001.
Info: Created TPG 1.
/> nosuch
! Error: Command not found nosuch
! hint: the commands here are apply bookmarks cd clearconfig diff exit get help ls pwd refresh restoreconfig saveconfig sessions set status version
",
    );
}

#[test]
fn messages_are_coloured_by_level_on_a_terminal() {
    let screen = Screen { columns: 80, colour_out: true, colour_err: true, mode: Mode::Session };
    let mut session = Session::on(screen);
    assert_eq!(
        session.run("/vhost create").out,
        "\u{1b}[32mCreated target naa.5001405000000001.\u{1b}[0m\n\u{1b}[32mCreated TPG 1.\u{1b}[0m\n"
    );
    assert_eq!(
        session.run("/nosuch ls").err,
        "\u{1b}[31mNo such path /nosuch\u{1b}[0m\nhint: / has backstores vhost\n"
    );
    let mut session = Session::on(Screen { mode: Mode::OneShot, ..screen });
    assert_eq!(session.run("/nosuch ls").err, "No such path /nosuch\nhint: / has backstores vhost\n");
}

#[test]
fn the_log_has_what_was_typed_and_said() {
    let mut session = furnished();
    session.memory.1.borrow_mut().clear();
    session.run("/vhost create naa.5001405000000009");
    session.run("'a\nb' x");
    assert_eq!(
        *session.memory.1.borrow(),
        [
            "log.txt: [DEBUG] /vhost create naa.5001405000000009",
            "log.txt: [INFO] Created target naa.5001405000000009.",
            "log.txt: [INFO] Created TPG 1.",
            "log.txt: [DEBUG] a?b x",
            "log.txt: [ERROR] Command not found a?b",
        ]
    );
    session.run("set global loglevel_file=error logfile=/var/log/lunar");
    session.memory.1.borrow_mut().clear();
    session.run("/vhost create naa.500140500000000a");
    session.run("nosuch");
    assert_eq!(*session.memory.1.borrow(), ["/var/log/lunar: [ERROR] Command not found nosuch"]);
}

#[test]
fn what_the_console_does_not_say_the_log_may() {
    let mut session = furnished();
    session.run("set global loglevel_console=error loglevel_file=info");
    session.memory.1.borrow_mut().clear();
    assert_eq!(session.run("/vhost create naa.5001405000000009").out, "");
    assert_eq!(session.memory.1.borrow().len(), 2);
}

#[test]
fn a_preference_says_whether_guests_see_the_name_of_a_new_backstore() {
    let mut session = furnished();
    session.run("set global export_backstore_name_as_model=false");
    session.run("/backstores/ramdisk create r9 1M");
    let fake = session.fake.0.borrow();
    let Some(api::v1::Change::SetAttribute { id, attribute, value }) =
        fake.asked.last().and_then(|all| all.get(1))
    else {
        panic!("{:?}", fake.asked.last());
    };
    assert_eq!((id.name.as_str(), attribute.as_str(), value.as_str()), ("r9", "emulate_model_alias", "0"));
}

#[test]
fn colours_of_what_the_tab_key_lists_are_preferences() {
    let screen = Screen { colour_out: true, ..Screen::plain(Mode::Session) };
    let mut session = Session::on(screen);
    let dress = |session: &Session| session.shell.dress(shell::CandidateKind::Command, "ls");
    assert_eq!(dress(&session), "\u{1b}[36mls\u{1b}[0m");
    session.run("set global color_command=RED");
    assert_eq!(dress(&session), "\u{1b}[31mls\u{1b}[0m");
    session.run("set global color_command=default");
    assert_eq!(dress(&session), "ls");
    session.run("set global color_command=red color_mode=false");
    assert_eq!(dress(&session), "ls");
    assert_eq!(dress(&Session::new()), "ls");
}

#[test]
fn a_map_of_blocks_is_a_parameter_of_all_alua_groups_together() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua get alua lba_map
lba_map= 
/> /backstores/fileio/disk1/alua set alua lba_map='8 0; 0 7 0:S'
Parameter lba_map is now '8 0; 0 7 0:S'.
/> /backstores/fileio/disk1/alua get alua lba_map
lba_map=8 0; 0 7 0:S 
/> /backstores/fileio/disk1/alua set alua lba_map=''
Parameter lba_map is now ''.
/> /backstores/fileio/disk1/alua set alua map=x
! Unknown parameter map in group 'alua'.
! hint: `set alua` shows those there are
",
    );
}

#[test]
fn parameters_of_an_alua_group_are_set_as_targetcli_sets_them() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua/default_tg_pt_gp set alua alua_access_state=2
Parameter alua_access_state is now '2'.
/> /backstores/fileio/disk1/alua ls
o- alua ............................................... [ALUA Groups: 1]
  o- default_tg_pt_gp ............................ [ALUA state: Standby]
/> /backstores/fileio/disk1/alua/default_tg_pt_gp set alua alua_access_state=4
! ALUA group default_tg_pt_gp does not support state 4
! hint: it has others
/> /backstores/fileio/disk1/alua/default_tg_pt_gp set alua tg_pt_gp_id=4
! Parameter tg_pt_gp_id is read-only.
/> /backstores/fileio/disk1/alua/default_tg_pt_gp set alua preferred=yes
! Not setting preferred! Syntax error, 'yes' is not a NUMBER.
",
    );
}

#[test]
fn a_lun_is_put_into_a_group_and_offline() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua create grp1 5
Created ALUA TPG grp1.
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=grp1 alua_tg_pt_offline=1
Parameter alua_tg_pt_gp_name is now 'grp1'.
Parameter alua_tg_pt_offline is now '1'.
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 info
alias: a7975b902c
alua_tg_pt_gp_name: grp1
index: 0
storage_object: /backstores/fileio/disk1
",
    );
}

#[test]
fn a_preference_from_which_nothing_follows_says_so_and_why() {
    transcript(
        "
/> set global auto_enable_tpgt=false auto_use_daemon=false prompt_length=40
Parameter auto_enable_tpgt is now 'false'.
Nothing follows from auto_enable_tpgt: a target port group of vhost is enabled from the start to the end.
Parameter auto_use_daemon is now 'false'.
Parameter prompt_length is now '40'.
/> set global auto_use_daemon=true
Parameter auto_use_daemon is now 'true'.
Nothing follows from auto_use_daemon: every command asks lunard, whatever this says.
/> set global color_default=none
Parameter color_default is now 'none'.
/> set global color_path=none
! Not setting color_path! Syntax error, 'none' is not black|red|green|yellow|blue|magenta|cyan|white|default.
",
    );
}
