// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `info`.

use crate::support::{furnished, transcript};

#[test]
fn every_object_tells_what_targetcli_tells() {
    furnished().transcript(
        "
/> /backstores/block/disk0 info
dev: /dev/sda
name: disk0
plugin: block
readonly: False
write_back: False
wwn: f510d97b-fce2-49bd-94e7-4a7197a827d4
/> /backstores/fileio/disk1 info
aio: False
dev: /srv/disk1.img
name: disk1
plugin: fileio
size: 16777216
write_back: True
wwn: f510d97b-fce2-49bd-94e7-4a7197a827d4
/> /backstores/ramdisk/disk2 info
name: disk2
plugin: ramdisk
size: 8388608
wwn: f510d97b-fce2-49bd-94e7-4a7197a827d4
/> /vhost info
Fabric module name: vhost
ConfigFS path: /sys/kernel/config/target/vhost
Allowed WWN types: naa
Fabric module features: nexus, acls, tpgts
Corresponding kernel module: tcm_vhost
/> /vhost/naa.500140568720f76f info
fabric: vhost
wwn: naa.500140568720f76f
/> /vhost/naa.500140568720f76f/tpg1 info
enable: True
tag: 1
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 info
alias: a7975b902c
alua_tg_pt_gp_name: default_tg_pt_gp
index: 0
storage_object: /backstores/fileio/disk1
",
    );
}

#[test]
fn a_node_that_only_holds_others_has_none() {
    transcript(
        "
/> / info
! Command not found info
! hint: info is a command of storage_object, vhost, target, tpg, lun, acl, mapped_lun: write the path of one before it
",
    );
}

#[test]
fn an_access_control_list_names_its_initiator_and_a_mapped_lun_its_lun() {
    let mut session = furnished();
    session.run("/vhost/naa.500140568720f76f/tpg1/acls create naa.5001405aaaaaaaaa");
    session.run("cd /vhost/naa.500140568720f76f/tpg1/acls/naa.5001405aaaaaaaaa");
    session.transcript(
        "
/vhost/naa.50...1405aaaaaaaaa> info
wwns:
naa.5001405aaaaaaaaa
/vhost/naa.50...1405aaaaaaaaa> mapped_lun0/ info
alias: b7975b902c
index: 0
tpg_lun: 0
write_protect: False
",
    );
}
