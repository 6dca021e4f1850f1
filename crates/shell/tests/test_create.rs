// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `create`.

use crate::support::{Session, furnished, transcript};
use api::v1::{Change, CreateBackstore};

/// What the daemon was asked to make last.
fn asked_last(session: &Session) -> Change {
    session.fake.0.borrow().asked.last().and_then(|changes| changes.first()).cloned().expect("a change")
}

#[test]
fn a_block_device_keeps_its_name_as_typed() {
    transcript(
        "
/> /backstores/block create disk0 /dev/disk/by-id/dm-uuid-mpath-36005
Created block storage object disk0 using /dev/disk/by-id/dm-uuid-mpath-36005.
/> /backstores/block create name=disk1 dev=/dev/../dev/sdb readonly=TRUE wwn=abc write_back=false exclusive=true
Created block storage object disk1 using /dev/../dev/sdb.
",
    );
}

#[test]
fn a_block_device_is_never_shared() {
    transcript(
        "
/> /backstores/block create disk0 /dev/sda exclusive=false
! Cannot configure StorageObject. exclusive=false not supported.
/> /backstores/block create disk0 /dev/sda write_back=perhaps
! Syntax error, 'perhaps' is not true|false.
! hint: write_back is true or false
",
    );
}

#[test]
fn a_file_is_made_with_a_size() {
    let mut session = Session::new();
    session.transcript(
        "
/> /backstores/fileio create f0 /srv/f0.img 16M
Created fileio f0 with size 16777216
/> /backstores/fileio create f1 /srv/exists.img 16M
/srv/exists.img exists, using its size (1048576 bytes) instead
Created fileio f1 with size 1048576
/> /backstores/fileio create name=f2 file_or_dev=images/f2.img size=1G write_back=false sparse=false wwn=abc
Created fileio f2 with size 1073741824
",
    );
    assert_eq!(
        asked_last(&session),
        Change::CreateBackstore(CreateBackstore::Fileio {
            name: "f2".to_owned(),
            path: "/srv/here/images/f2.img".to_owned(),
            size_bytes: Some(1_073_741_824),
            write_back: Some(false),
            sparse: Some(false),
            unit_serial: Some("abc".to_owned()),
        })
    );
    session.run("/backstores/fileio create f3 ~/f3.img 1M");
    let Change::CreateBackstore(CreateBackstore::Fileio { path, .. }) = asked_last(&session) else {
        panic!("a file was asked for")
    };
    assert_eq!(path, "/home/admin/f3.img");
}

#[test]
fn a_file_whose_name_has_a_space_is_one_word() {
    transcript("/> /backstores/fileio create f0 'my disk.img' 1M\nCreated fileio f0 with size 1048576\n");
}

#[test]
fn a_ramdisk_tells_its_size_as_typed() {
    transcript(
        "
/> /backstores/ramdisk create r0 8MiB
Created ramdisk r0 with size 8MiB.
/> /backstores/ramdisk create rN 1M nullio=true
Created ramdisk rN with size 1M.
/> /backstores/ramdisk create r0 8M
! Storage object ramdisk/r0 exists
! hint: choose another name
/> /backstores/ramdisk create 'r x' 1M
! A storage object's name cannot contain  /, newline or spaces/tabs
! hint: 'r x'; use letters
/> /backstores/ramdisk create rX 1M nullio=maybe
! Syntax error, 'maybe' is not true|false.
! hint: nullio is true or false
/> /backstores/ramdisk create rX 12X
! Cannot interpret size, wrong format: 12X
! hint: a size is a whole number and k, m, g or t, such as 14G
",
    );
}

#[test]
fn what_stands_for_all_is_no_name_to_make_something_by() {
    transcript(
        "
/> /backstores/ramdisk create * 1M
! The name * stands for all children of a node: nothing can be made by it
! hint: choose another name
/> /backstores/fileio create '*' /srv/a.img 1M
! The name * stands for all children of a node: nothing can be made by it
! hint: choose another name
/> /backstores/ramdisk create a* 1M
Created ramdisk a* with size 1M.
/> /backstores/ramdisk/a*/alua create * 7
! The name * stands for all children of a node: nothing can be made by it
! hint: choose another name
",
    );
}

#[test]
fn one_that_was_restored_by_that_name_is_shown_and_deleted_in_quotes() {
    let mut session = Session::new();
    session.fake.has_ramdisk("*");
    session.transcript(
        "
/> /backstores/ramdisk create r0 8M
Created ramdisk r0 with size 8M.
/> '/backstores/ramdisk/*' status
Status for /backstores/ramdisk/*: (1.0MiB) deactivated
/> /backstores/ramdisk/* status
[/backstores/ramdisk/*]
Status for /backstores/ramdisk/*: (1.0MiB) deactivated
[/backstores/ramdisk/r0]
Status for /backstores/ramdisk/r0: (8.0MiB) deactivated
/> /backstores/ramdisk delete *
Deleted storage object *.
",
    );
    session.fake.has_ramdisk("*");
    let offered = session.shell.complete("/backstores/ramdisk/").candidates;
    assert!(offered.iter().any(|one| one.replacement == "/backstores/ramdisk/\\*/"), "{offered:?}");
}

#[test]
fn parameters_are_counted_as_targetcli_counts_them() {
    transcript(
        "
/> /backstores/ramdisk create
! Missing required parameters 'name', 'size'
! hint: the command is: create name size [nullio] [wwn]
/> /backstores/ramdisk create r0
! Missing required parameter size
! hint: the command is: create name size [nullio] [wwn]
/> /backstores/ramdisk create r0 1M colour=red
! Unexpected keyword parameter 'colour'.
! hint: the command is: create name size [nullio] [wwn]
/> /backstores/ramdisk create r0 1M colour=red smell=no
! Unexpected keyword parameters 'colour', 'smell'.
! hint: the command is: create name size [nullio] [wwn]
/> /backstores/ramdisk create r0 1M name=r1
! Duplicate parameter name.
/> /backstores/ramdisk create r0 1M false abc d e
! Got 6 positionnal parameters, expected at most 4.
! hint: 'd', 'e' are too much; the command is: create name size [nullio] [wwn]
",
    );
}

#[test]
fn a_target_comes_with_a_target_port_group() {
    transcript(
        "
/> vhost/ create
Created target naa.5001405000000001.
Created TPG 1.
/> /vhost create naa.500140568720f76f
Created target naa.500140568720f76f.
Created TPG 1.
/> /vhost create naa.500140568720f76f
! This Target already exists in configFS
! hint: Target naa.500140568720f76f already exists; choose another WWN
/> /vhost create foo
! WWN not valid as: naa
! hint: 'foo'; a WWN is naa. and 16 digits
/> /vhost create naa.5001405000000042 create naa.5001405000000043
! Got 3 positionnal parameters, expected at most 1.
! hint: 'create', 'naa.5001405000000043' are too much; the command is: create [wwn]
",
    );
}

#[test]
fn target_port_groups_are_numbered() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> create
Created TPG 2.
/vhost/naa.500140568720f76f> create tpg9
Created TPG 9.
/vhost/naa.500140568720f76f> create TPG3
Created TPG 3.
/vhost/naa.500140568720f76f> create 9
! This TPG already exists in configFS
! hint: TPG 9 of naa.500140568720f76f already exists; leave the tag out
/vhost/naa.500140568720f76f> create abc
! Tag argument must be a number.
! hint: abc should be 0 to 255
/vhost/naa.500140568720f76f> create 99999
! Tag argument must be a number.
! hint: 99999 should be 0 to 255
",
    );
}

#[test]
fn luns_are_numbered() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f/tpg1/luns
/vhost/naa.50...76f/tpg1/luns> create /backstores/block/disk0 lun5
Created LUN 5.
/vhost/naa.50...76f/tpg1/luns> create ../../../../backstores/ramdisk/disk2
Created LUN 1.
/vhost/naa.50...76f/tpg1/luns> create /backstores/block/disk0
! lun for storage object block/disk0 already exists
! hint: it is another LUN of that TPG
/vhost/naa.50...76f/tpg1/luns> delete 1
Deleted LUN 1.
/vhost/naa.50...76f/tpg1/luns> create /backstores/ramdisk/disk2 5
! This LUN already exists in configFS
! hint: LUN 5 already exists; leave the number out
/vhost/naa.50...76f/tpg1/luns> create /backstores/ramdisk/disk2 20000
! LUN 20000 is out of range
! hint: a LUN is 0 to 16383
/vhost/naa.50...76f/tpg1/luns> create /backstores/ramdisk/disk2 70000
! LUN must be 0 to 16383
! hint: 70000 should be a number, or lun and a number
/vhost/naa.50...76f/tpg1/luns> create /backstores/ramdisk/disk2 300 false write_protect=true
Created LUN 300.
/vhost/naa.50...76f/tpg1/luns> ls
o- luns ...................................................... [LUNs: 3]
  o- lun0 ........... [fileio/disk1 (/srv/disk1.img) (default_tg_pt_gp)]
  o- lun5 .................. [block/disk0 (/dev/sda) (default_tg_pt_gp)]
  o- lun300 ...................... [ramdisk/disk2 (default_tg_pt_gp) ro]
",
    );
}

#[test]
fn a_lun_wants_a_backstore() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f/tpg1/luns
/vhost/naa.50...76f/tpg1/luns> create
! Missing required parameter storage_object
! hint: the command is: create storage_object [lun] [add_mapped_luns] [write_protect=...]
/vhost/naa.50...76f/tpg1/luns> create a b c d e
! Got 5 positionnal parameters, expected at most 3.
! hint: 'd', 'e' are too much; the command is: create storage_object [lun] [add_mapped_luns] [write_protect=...]
/vhost/naa.50...76f/tpg1/luns> create /backstores/fileio/nosuch
! storage object or path not valid
! hint: /backstores/fileio/nosuch is neither a backstore nor a file or device of the host
/vhost/naa.50...76f/tpg1/luns> create /backstores/block
! storage object or path not valid
! hint: /backstores/block is no backstore; `ls /backstores` shows them
/vhost/naa.50...76f/tpg1/luns> create /proc
! storage object or path not valid
! hint: /proc is neither a backstore nor a file or device of the host
",
    );
}

#[test]
fn a_file_of_the_host_becomes_a_backstore_and_a_lun_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("auto.img");
    std::fs::write(&file, [0; 512]).expect("written");
    let mut session = furnished();
    let reply = session.run(&format!("/vhost/naa.500140568720f76f/tpg1/luns create {}", file.display()));
    let name = file.display().to_string().trim_start_matches('/').replace('/', "-");
    assert_eq!(reply.out, format!("Created storage object {name}.\nCreated LUN 1.\n"));
    assert_eq!(session.fake.0.borrow().asked.last().map(Vec::len), Some(2));
}

#[test]
fn the_shell_enters_what_it_created_where_the_user_wants_that() {
    transcript(
        "
/> set global auto_cd_after_create=true
Parameter auto_cd_after_create is now 'true'.
/> /vhost create
Created target naa.5001405000000001.
Created TPG 1.
Entering new node /vhost/naa.5001405000000001
/vhost/naa.5001405000000001> ls depth=1
o- naa.5001405000000001 ...................................... [TPGs: 1]
  o- tpg1 .......................... [naa.5001405c3bdda0c6, no-gen-acls]
",
    );
}

const TPG: &str = "/vhost/naa.500140568720f76f/tpg1";

#[test]
fn an_access_control_list_maps_every_lun_of_its_group() {
    let mut session = furnished();
    session.run(&format!("{TPG}/luns create /backstores/ramdisk/disk2 5"));
    session.run(&format!("cd {TPG}/acls"));
    session.transcript(
        "
/vhost/naa.50...76f/tpg1/acls> create 5001405AAAAAAAAA
Created Node ACL for naa.5001405aaaaaaaaa
Created mapped LUN 0.
Created mapped LUN 5.
/vhost/naa.50...76f/tpg1/acls> ls
o- acls ...................................................... [ACLs: 1]
  o- naa.5001405aaaaaaaaa ............................. [Mapped LUNs: 2]
    o- mapped_lun0 ............................ [lun0 fileio/disk1 (rw)]
    o- mapped_lun5 ........................... [lun5 ramdisk/disk2 (rw)]
/vhost/naa.50...76f/tpg1/acls> create naa.5001405bbbbbbbbb false
Created Node ACL for naa.5001405bbbbbbbbb
/vhost/naa.50...76f/tpg1/acls> create naa.5001405aaaaaaaaa
! This NodeACL already exists in configFS
! hint: `ls /vhost/naa.500140568720f76f/tpg1/acls/naa.5001405aaaaaaaaa` shows it
/vhost/naa.50...76f/tpg1/acls> create naa.7001405aaaaaaaaa
! WWN not valid as: naa
! hint: naa.7001405aaaaaaaaa should be naa. and 16 hexadecimal digits, such as naa.5001405000000001
",
    );
    // A guest whose list it is must not lose a disk in between.
    assert_eq!(session.fake.0.borrow().asked[6].len(), 3);
}

#[test]
fn preferences_say_whether_luns_are_mapped() {
    let mut session = furnished();
    session.run("set global auto_add_mapped_luns=false");
    session.run(&format!("cd {TPG}"));
    session.transcript(
        "
/vhost/naa.50...8720f76f/tpg1> acls/ create naa.5001405aaaaaaaaa
Created Node ACL for naa.5001405aaaaaaaaa
/vhost/naa.50...8720f76f/tpg1> luns/ create /backstores/ramdisk/disk2
Created LUN 1.
/vhost/naa.50...8720f76f/tpg1> luns/ create /backstores/block/disk0 add_mapped_luns=true
Created LUN 2.
Created LUN 2->2 mapping in node ACL naa.5001405aaaaaaaaa
",
    );
}

#[test]
fn a_new_lun_is_mapped_in_every_list_under_a_number_that_is_free_there() {
    let mut session = furnished();
    session.run(&format!("{TPG}/acls create naa.5001405aaaaaaaaa"));
    session.run(&format!("{TPG}/acls create naa.5001405bbbbbbbbb false"));
    session.run(&format!("{TPG}/acls/naa.5001405bbbbbbbbb create 1 lun0"));
    session.run(&format!("cd {TPG}/luns"));
    session.transcript(
        "
/vhost/naa.50...76f/tpg1/luns> create /backstores/ramdisk/disk2
Created LUN 1.
Created LUN 1->1 mapping in node ACL naa.5001405aaaaaaaaa
Created LUN 1->0 mapping in node ACL naa.5001405bbbbbbbbb
/vhost/naa.50...76f/tpg1/luns> delete 1
Deleted LUN 1.
/vhost/naa.50...76f/tpg1/luns> ls ../acls 2
o- acls ...................................................... [ACLs: 2]
  o- naa.5001405aaaaaaaaa ............................. [Mapped LUNs: 1]
  | o- mapped_lun0 ............................ [lun0 fileio/disk1 (rw)]
  o- naa.5001405bbbbbbbbb ............................. [Mapped LUNs: 1]
    o- mapped_lun1 ............................ [lun0 fileio/disk1 (rw)]
",
    );
}

#[test]
fn a_mapped_lun_is_of_a_lun_or_of_a_backstore() {
    let mut session = furnished();
    session.run(&format!("{TPG}/acls create naa.5001405aaaaaaaaa"));
    session.run(&format!("cd {TPG}/acls/naa.5001405aaaaaaaaa"));
    session.transcript(
        "
/vhost/naa.50...1405aaaaaaaaa> create 9 lun0 1
Warning: TPG LUN 0 already mapped to this NodeACL
Created Mapped LUN 9.
/vhost/naa.50...1405aaaaaaaaa> create 3 /backstores/fileio/disk1 write_protect=false
Warning: TPG LUN 0 already mapped to this NodeACL
Created Mapped LUN 3.
/vhost/naa.50...1405aaaaaaaaa> create 4 /backstores/ramdisk/disk2
Created LUN 1.
Created Mapped LUN 4.
/vhost/naa.50...1405aaaaaaaaa> ls
o- naa.5001405aaaaaaaaa ............................... [Mapped LUNs: 4]
  o- mapped_lun0 .............................. [lun0 fileio/disk1 (rw)]
  o- mapped_lun3 .............................. [lun0 fileio/disk1 (rw)]
  o- mapped_lun4 ............................. [lun1 ramdisk/disk2 (rw)]
  o- mapped_lun9 .............................. [lun0 fileio/disk1 (ro)]
/vhost/naa.50...1405aaaaaaaaa> create x lun0
! mapped_lun must be an integer
! hint: x should be 0 to 16383
/vhost/naa.50...1405aaaaaaaaa> create 5 lun7
! LUN, storage object, or path not valid
! hint: there is no lun7; `ls ../../luns` shows them
/vhost/naa.50...1405aaaaaaaaa> create 5 /nosuch
! LUN, storage object, or path not valid
! hint: /nosuch is neither a backstore nor a file or device of the host
/vhost/naa.50...1405aaaaaaaaa> create 5 lun0 maybe
! Syntax error, 'maybe' is not true|false.
/vhost/naa.50...1405aaaaaaaaa> create 9 lun1
! mapped LUN 9 already exists
! hint: choose another number
",
    );
}

#[test]
fn an_alua_group_has_a_name_and_a_number() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua create grp1 5
Created ALUA TPG grp1.
/> /backstores/fileio/disk1/alua ls
o- alua ............................................... [ALUA Groups: 2]
  o- default_tg_pt_gp ................... [ALUA state: Active/optimized]
  o- grp1 ............................... [ALUA state: Active/optimized]
/> /backstores/fileio/disk1/alua create grp2 0
! The TPG Tag must be between 1 and 65535
! hint: 0 is not
/> /backstores/fileio/disk1/alua create grp2 5
! ALUA group id 5 is in use by grp1
! hint: choose another number
",
    );
}
