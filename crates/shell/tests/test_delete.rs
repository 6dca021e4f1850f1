// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `delete`.

use crate::support::furnished;

#[test]
fn everything_goes_that_came() {
    furnished().transcript(
        "
/> /vhost/naa.500140568720f76f/tpg1/luns delete lun0
Deleted LUN 0.
/> /vhost/naa.500140568720f76f delete tpg1
Deleted TPGT 1.
/> /vhost delete NAA.500140568720F76F
Deleted Target NAA.500140568720F76F.
/> /backstores/block delete disk0
Deleted storage object disk0.
/> /backstores/fileio delete name=disk1 save=true
Deleted storage object disk1.
/> /backstores/ramdisk delete disk2
Deleted storage object disk2.
/> ls
o- / ............................................................. [...]
  o- backstores .................................................. [...]
  | o- block ...................................... [Storage Objects: 0]
  | o- fileio ..................................... [Storage Objects: 0]
  | o- ramdisk .................................... [Storage Objects: 0]
  o- vhost ................................................ [Targets: 0]
",
    );
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    furnished().transcript(
        "
/> /backstores/block delete disk1
! No storage object named disk1.
! hint: /backstores/block has disk0
/> /vhost delete naa.5001405000000042
! No such Target in configfs: /sys/kernel/config/target/vhost/naa.5001405000000042
! hint: /vhost has naa.500140568720f76f
/> /vhost delete foo
! WWN not valid as: naa
! hint: foo should be naa. and 16 hexadecimal digits, such as naa.5001405000000001
/> /vhost/naa.500140568720f76f delete 9
! No such TPG in configfs: /sys/kernel/config/target/vhost/naa.500140568720f76f/tpgt_9
! hint: /vhost/naa.500140568720f76f has tpg1
/> /vhost/naa.500140568720f76f delete x
! Tag argument must be a number.
! hint: /vhost/naa.500140568720f76f has tpg1
/> /vhost/naa.500140568720f76f/tpg1/luns delete 99
! Invalid LUN
! hint: /vhost/naa.500140568720f76f/tpg1/luns has lun0
/> /vhost/naa.500140568720f76f/tpg1/luns delete
! Missing required parameter lun
! hint: the command is: delete lun
",
    );
}

#[test]
fn a_backstore_in_use_stays() {
    furnished().transcript(
        "
/> /backstores/fileio delete disk1
! storage object disk1 is in use by naa.500140568720f76f
! hint: delete the LUN first
/> /backstores/fileio status
Status for /backstores/fileio: Storage Objects: 1
",
    );
}

#[test]
fn access_control_lists_and_mapped_luns_are_deleted() {
    let mut session = furnished();
    session.run("/vhost/naa.500140568720f76f/tpg1/acls create naa.5001405aaaaaaaaa");
    session.run("cd /vhost/naa.500140568720f76f/tpg1/acls");
    session.transcript(
        "
/vhost/naa.50...76f/tpg1/acls> naa.5001405aaaaaaaaa/ delete 7
! No such mapped LUN: 7
! hint: /vhost/naa.500140568720f76f/tpg1/acls/naa.5001405aaaaaaaaa has mapped_lun0
/vhost/naa.50...76f/tpg1/acls> naa.5001405aaaaaaaaa/ delete mapped_lun0
Deleted Mapped LUN 0.
/vhost/naa.50...76f/tpg1/acls> delete naa.5001405bbbbbbbbb
! No such NodeACL in configfs: /sys/kernel/config/target/vhost/naa.500140568720f76f/tpgt_1/acls/naa.5001405bbbbbbbbb
! hint: /vhost/naa.500140568720f76f/tpg1/acls has naa.5001405aaaaaaaaa
/vhost/naa.50...76f/tpg1/acls> delete naa.5001405aaaaaaaaa
Deleted Node ACL naa.5001405aaaaaaaaa.
/vhost/naa.50...76f/tpg1/acls> ls
o- acls ...................................................... [ACLs: 0]
",
    );
}

#[test]
fn a_backstore_may_be_deleted_from_the_saved_configuration_too() {
    let mut session = furnished();
    session.transcript(
        "
/> /backstores/ramdisk delete disk2 save=true
Deleted storage object disk2.
/> /backstores/block delete disk0
Deleted storage object disk0.
",
    );
    assert_eq!(session.fake.0.borrow().saved.len(), 1);
}

#[test]
fn an_alua_group_goes_in_silence_unless_it_is_used_or_stays() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua create grp1 5
Created ALUA TPG grp1.
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=grp1
Parameter alua_tg_pt_gp_name is now 'grp1'.
/> /backstores/fileio/disk1/alua delete grp1
! ALUA group grp1 is in use
! hint: put the LUN into another group first
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=default_tg_pt_gp
Parameter alua_tg_pt_gp_name is now 'default_tg_pt_gp'.
/> /backstores/fileio/disk1/alua delete grp1
/> /backstores/fileio/disk1/alua delete grp1
! Invalid ALUA group name
! hint: /backstores/fileio/disk1/alua has default_tg_pt_gp
/> /backstores/fileio/disk1/alua delete default_tg_pt_gp
! Can not delete default_tg_pt_gp
! hint: it is always there
",
    );
}
