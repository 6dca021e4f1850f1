// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `get`.

use crate::support::{furnished, transcript};

#[test]
fn attributes_are_shown_with_their_descriptions() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1 get attribute
ATTRIBUTE CONFIG GROUP
======================
emulate_tpu=0
-------------
Whether UNMAP is served.

emulate_write_cache=1
---------------------
Whether a write cache is reported.

hw_block_size=512 [ro]
----------------------
Bytes of a block of the medium.

",
    );
}

#[test]
fn named_attributes_take_a_line_each() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1 get attribute emulate_write_cache hw_block_size
emulate_write_cache=1 
hw_block_size=512 [ro]
/> /backstores/fileio/disk1 get attribute nosuch
! No parameter 'nosuch' in group 'attribute'.
! hint: `get attribute` shows those there are
/> /vhost/naa.500140568720f76f/tpg1 get parameter
! Unknown configuration group: parameter
! hint: this node has global attribute
",
    );
}

#[test]
fn who_a_backstore_says_that_it_is_is_shown_with_what_that_means() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1 get identity
IDENTITY CONFIG GROUP
=====================
vendor_id=LIO-ORG
-----------------
The vendor that guests see.

vpd_unit_serial=s [ro]
----------------------


/> /backstores/fileio/disk1 set identity vendor_id=ACME
Parameter vendor_id is now 'ACME'.
/> /backstores/fileio/disk1 get identity vendor_id
vendor_id=ACME 
/> /backstores/fileio/disk1 set identity color=red
! Unknown parameter color in group 'identity'.
! hint: `set identity` shows those there are
",
    );
}

#[test]
fn groups_are_listed() {
    furnished().transcript(
        "
/> get

AVAILABLE CONFIGURATION GROUPS
==============================
global
/> /backstores/fileio/disk1 get

AVAILABLE CONFIGURATION GROUPS
==============================
global attribute identity
/> /backstores/fileio/disk1 set

AVAILABLE CONFIGURATION GROUPS
==============================
global attribute identity
",
    );
}

#[test]
fn global_parameters_have_targetclis_defaults() {
    transcript(
        "
/> get global prompt_length tree_max_depth loglevel_console color_path auto_save_on_exit
prompt_length=30 
tree_max_depth=0 
loglevel_console=info 
color_path=magenta 
auto_save_on_exit=false 
",
    );
}

#[test]
fn a_target_port_group_has_the_attribute_of_lios_vhost() {
    let mut session = furnished();
    session.run("cd /vhost/naa.500140568720f76f/tpg1");
    session.transcript(
        "
/vhost/naa.50...8720f76f/tpg1> get attribute
ATTRIBUTE CONFIG GROUP
======================
fabric_prot_type=0
------------------
Which protection information the fabric carries. It is 0, none, and cannot be otherwise.

/vhost/naa.50...8720f76f/tpg1> set attribute fabric_prot_type=0
Parameter fabric_prot_type is now '0'.
/vhost/naa.50...8720f76f/tpg1> set attribute fabric_prot_type=1
! Cannot set attribute fabric_prot_type: 1 is not 0
! hint: no backstore protects its data, so there is nothing for the fabric to carry
",
    );
}

#[test]
fn a_target_says_its_parameter_and_keeps_what_it_is_told() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> get

AVAILABLE CONFIGURATION GROUPS
==============================
global parameter option
/vhost/naa.500140568720f76f> get parameter
PARAMETER CONFIG GROUP
======================
cmd_completion_affinity=-1
--------------------------
Where LIO would complete commands: -1, on the CPU that submitted them; -2, on any; else the number of a CPU. It is kept for LIO's tools, and `lunard` does not heed it.

/vhost/naa.500140568720f76f> get parameter cmd_completion_affinity
cmd_completion_affinity=-1 
/vhost/naa.500140568720f76f> set parameter cmd_completion_affinity=-1
Parameter cmd_completion_affinity is now '-1'.
/vhost/naa.500140568720f76f> set parameter cmd_completion_affinity=-2
Parameter cmd_completion_affinity is now '-2'.
/vhost/naa.500140568720f76f> get parameter cmd_completion_affinity
cmd_completion_affinity=-2 
/vhost/naa.500140568720f76f> set parameter cmd_completion_affinity=-3
! parameter cmd_completion_affinity of naa.500140568720f76f cannot be '-3': it takes -1, -2 or 0
! hint: it is a number
/vhost/naa.500140568720f76f> cd tpg1
/vhost/naa.50...8720f76f/tpg1> get

AVAILABLE CONFIGURATION GROUPS
==============================
global attribute
/vhost/naa.50...8720f76f/tpg1> cd luns/lun0
/vhost/naa.50...pg1/luns/lun0> get

AVAILABLE CONFIGURATION GROUPS
==============================
global alua
",
    );
}

#[test]
fn an_alua_group_says_its_state_and_its_members() {
    furnished().transcript(
        "
/> /backstores/fileio/disk1/alua create grp1 5
Created ALUA TPG grp1.
/> /backstores/fileio/disk1/alua/grp1 get alua alua_access_state members tg_pt_gp_id
alua_access_state=0 
members=[] [ro]
tg_pt_gp_id=5 [ro]
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 set alua alua_tg_pt_gp_name=grp1
Parameter alua_tg_pt_gp_name is now 'grp1'.
/> /backstores/fileio/disk1/alua/grp1 get alua members
members=[{'driver': 'vhost', 'target': 'naa.500140568720f76f', 'tpgt': 1, 'lun': 0}] [ro]
/> /vhost/naa.500140568720f76f/tpg1/luns/lun0 get alua alua_tg_pt_gp_name alua_tg_pt_offline
alua_tg_pt_gp_name=grp1 
alua_tg_pt_offline=0 
",
    );
}
