// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `status`.

use crate::support::furnished;

#[test]
fn each_node_tells_its_summary() {
    furnished().transcript(
        "
/> status
Status for /: 
/> /backstores/block status
Status for /backstores/block: Storage Objects: 1
/> /backstores/block/disk0 status
Status for /backstores/block/disk0: /dev/sda (14.0GiB) write-thru deactivated
/> /backstores/fileio/disk1 status
Status for /backstores/fileio/disk1: /srv/disk1.img (16.0MiB) write-back activated
/> /backstores/ramdisk/disk2/alua/default_tg_pt_gp status
Status for /backstores/ramdisk/disk2/alua/default_tg_pt_gp: ALUA state: Active/optimized
/> /vhost/* status
[/vhost/naa.500140568720f76f]
Status for /vhost/naa.500140568720f76f: TPGs: 1
",
    );
}
