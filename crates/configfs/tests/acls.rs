// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access control lists by mkdir and ln -s.

mod common;

use common::{furnish, tree};
use rustix::io::Errno;

const TPG: &str = "target/vhost/naa.5001405aabbccdd0/tpgt_1";
const LIST: &str = "target/vhost/naa.5001405aabbccdd0/tpgt_1/acls/naa.5001405aaaaaaaaa";

/// What the log and the tests call the list.
const NAME: &str = "naa.5001405aabbccdd0/tpg1/acls/naa.5001405aaaaaaaaa";

fn lun(number: u16) -> String {
    format!("/sys/kernel/config/{TPG}/lun/lun_{number}")
}

#[test]
fn what_targetcli_does_for_a_list_is_a_change_each() {
    let (plane, tree) = tree();
    furnish(&tree);
    plane.asked();
    tree.mkdir(LIST).unwrap();
    assert_eq!(
        tree.list(LIST).unwrap(),
        ["attrib", "auth", "fabric_statistics", "info", "param"],
        "the directories of LIO's"
    );
    tree.mkdir(&format!("{LIST}/lun_9")).unwrap();
    tree.symlink(&lun(2), &format!("{LIST}/lun_9/a7975b902c")).unwrap();
    tree.write(&format!("{LIST}/lun_9/write_protect"), "1").unwrap();
    assert_eq!(
        plane.asked(),
        [
            [format!("create node ACL {NAME}")],
            [format!("map LUN 2 to mapped LUN {NAME}/mapped_lun9")],
            [format!("set write_protect=true on mapped LUN {NAME}/mapped_lun9")],
        ]
    );
    assert_eq!(tree.list(&format!("{LIST}/lun_9")).unwrap(), ["a7975b902c", "statistics", "write_protect"]);
    assert_eq!(tree.read(&format!("{LIST}/lun_9/write_protect")).unwrap(), "1\n");
    assert_eq!(
        tree.read(&format!("{LIST}/lun_9/a7975b902c")).unwrap(),
        "../../../../../../../target/vhost/naa.5001405aabbccdd0/tpgt_1/lun/lun_2"
    );
    assert_eq!(
        tree.read(&format!("{LIST}/info")).unwrap(),
        "No active session for initiator naa.5001405aaaaaaaaa\n"
    );
    // What is so already is no change.
    tree.write(&format!("{LIST}/lun_9/write_protect"), "1\n").unwrap();
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
}

#[test]
fn a_list_is_taken_down_from_the_bottom() {
    let (plane, tree) = tree();
    furnish(&tree);
    tree.mkdir(LIST).unwrap();
    tree.mkdir(&format!("{LIST}/lun_0")).unwrap();
    tree.symlink(&lun(0), &format!("{LIST}/lun_0/x")).unwrap();
    plane.asked();
    assert_eq!(tree.rmdir(LIST), Err(Errno::NOTEMPTY));
    assert_eq!(tree.rmdir(&format!("{LIST}/lun_0")), Err(Errno::NOTEMPTY));
    assert_eq!(tree.unlink(&format!("{TPG}/lun/lun_0/virtual_scsi_port")), Err(Errno::BUSY));
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
    tree.unlink(&format!("{LIST}/lun_0/x")).unwrap();
    assert_eq!(tree.list(&format!("{LIST}/lun_0")).unwrap(), ["statistics", "write_protect"]);
    tree.rmdir(&format!("{LIST}/lun_0")).unwrap();
    tree.rmdir(LIST).unwrap();
    assert_eq!(tree.kind(LIST), None);
    assert_eq!(
        plane.asked(),
        [[format!("unmap mapped LUN {NAME}/mapped_lun0")], [format!("delete node ACL {NAME}")]]
    );
    tree.unlink(&format!("{TPG}/lun/lun_0/virtual_scsi_port")).unwrap();
}

#[test]
fn what_is_no_list_and_no_mapped_lun_is_refused_and_changes_nothing() {
    let (plane, tree) = tree();
    furnish(&tree);
    tree.mkdir(LIST).unwrap();
    tree.mkdir(&format!("{LIST}/lun_0")).unwrap();
    plane.asked();
    assert_eq!(tree.mkdir(LIST), Err(Errno::EXIST));
    assert_eq!(tree.mkdir(&format!("{LIST}/lun_x")), Err(Errno::INVAL));
    assert_eq!(tree.rmdir(TPG), Err(Errno::NOTEMPTY));
    let link = format!("{LIST}/lun_0/x");
    for (to, errno) in [
        (lun(7), Errno::NOENT),
        ("/sys/kernel/config/target/core/fileio_0/disk0".to_owned(), Errno::INVAL),
        ("/sys/kernel/config/target/vhost/naa.5001405aabbccdd0/tpgt_2/lun/lun_0".to_owned(), Errno::INVAL),
    ] {
        // Twice: what fails changes nothing.
        assert_eq!(tree.symlink(&to, &link), Err(errno), "{to}");
        assert_eq!(tree.symlink(&to, &link), Err(errno), "{to}");
    }
    assert_eq!(tree.write(&format!("{LIST}/lun_0/write_protect"), "x"), Err(Errno::INVAL));
    assert_eq!(plane.asked(), Vec::<Vec<String>>::new());
    // One without a nexus is not configured yet.
    tree.mkdir("target/vhost/naa.5001405aabbccdd0/tpgt_2").unwrap();
    let early = "target/vhost/naa.5001405aabbccdd0/tpgt_2/acls/naa.5001405aaaaaaaaa";
    assert_eq!(tree.mkdir(early), Err(Errno::NODEV));
}

#[test]
fn the_list_of_a_guest_that_connects_is_its_session_too() {
    let (plane, tree) = tree();
    furnish(&tree);
    let list = format!("{TPG}/acls/naa.5001405aabbccdd1");
    tree.mkdir(&list).unwrap();
    tree.mkdir(&format!("{list}/lun_3")).unwrap();
    tree.symlink(&lun(1), &format!("{list}/lun_3/x")).unwrap();
    *plane.connected.lock().unwrap() = true;
    assert!(tree.read(&format!("{list}/info")).unwrap().starts_with("InitiatorName: naa.5001405aabbccdd1\n"));
    *plane.connected.lock().unwrap() = false;
    assert!(tree.read(&format!("{list}/info")).unwrap().starts_with("No active session"));
    assert_eq!(tree.list(&format!("{TPG}/acls")).unwrap(), ["naa.5001405aabbccdd1"]);
}
