// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cd`.

use crate::support::{furnished, transcript};

#[test]
fn it_goes_up_down_and_home() {
    transcript(
        "
/> cd backstores
/backstores> cd block
/backstores/block> cd ../fileio/
/backstores/fileio> cd .
/backstores/fileio> cd nosuch
! No such path /backstores/fileio/nosuch
/backstores/fileio> cd
/> cd ..
/> cd ./vhost/.
/vhost> cd
",
    );
}

#[test]
fn a_path_alone_goes_there() {
    transcript(
        "/> /vhost\n/vhost> ..\n/> backstores/ramdisk\n/backstores/ramdisk> pwd\n/backstores/ramdisk\n",
    );
}

#[test]
fn visited_nodes_are_walked_back_and_forth() {
    transcript(
        "
/> cd <
Reached begining of path history.
/> cd vhost
/vhost> cd /backstores
/backstores> cd <
Taking you back to /vhost.
/vhost> cd <
Taking you back to /.
/> cd >
Taking you back to /vhost.
/vhost> cd >
Taking you back to /backstores.
/backstores> cd >
Reached the end of path history.
",
    );
}

#[test]
fn a_long_path_is_shortened_in_the_prompt() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> cd tpg1
/vhost/naa.50...8720f76f/tpg1> pwd
/vhost/naa.500140568720f76f/tpg1
/vhost/naa.50...8720f76f/tpg1> set global prompt_length=0
Parameter prompt_length is now '0'.
/vhost/naa.500140568720f76f/tpg1> cd /
",
    );
}

#[test]
fn a_node_that_has_gone_is_missed_by_relative_paths_alone() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> /vhost delete naa.500140568720f76f
Deleted Target naa.500140568720f76f.
/vhost/naa.500140568720f76f> ls
! No such path /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> cd /
",
    );
}
