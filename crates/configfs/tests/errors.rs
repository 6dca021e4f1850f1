// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What LIO refuses is refused with the same errno, twice in a row too, and nothing changes.
//!
//! Above: nothing.  Below: the tree over a daemon without guests.

mod common;

use common::{check_refused, furnish, tree};
use rustix::io::Errno;

const TPG: &str = "target/vhost/naa.5001405aabbccdd0/tpgt_1";

#[test]
fn writes_that_lio_refuses_are_refused_with_its_errno() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let disk = "target/core/fileio_0/disk0";
    for (text, path, errno) in [
        ("1", format!("{disk}/enable"), Errno::EXIST),
        ("0", format!("{disk}/enable"), Errno::INVAL),
        ("4096", format!("{disk}/attrib/block_size"), Errno::INVAL),
        ("2", format!("{disk}/attrib/emulate_tpu"), Errno::INVAL),
        ("99", format!("{disk}/attrib/emulate_ua_intlck_ctrl"), Errno::INVAL),
        ("xyz", format!("{disk}/attrib/emulate_3pc"), Errno::INVAL),
        ("256", format!("{disk}/attrib/queue_depth"), Errno::INVAL),
        ("128", format!("{disk}/attrib/optimal_sectors"), Errno::INVAL),
        ("newserial", format!("{disk}/wwn/vpd_unit_serial"), Errno::INVAL),
        ("ABCDEFGHI", format!("{disk}/wwn/vendor_id"), Errno::OVERFLOW),
        ("MYVEND", format!("{disk}/wwn/vendor_id"), Errno::INVAL),
        ("a product that is long", format!("{disk}/wwn/product_id"), Errno::OVERFLOW),
        ("12345", format!("{disk}/wwn/revision"), Errno::OVERFLOW),
        ("foo", format!("{TPG}/nexus"), Errno::INVAL),
        ("NULL", format!("{TPG}/nexus"), Errno::BUSY),
        ("naa.5001405aabbccdd1", format!("{TPG}/nexus"), Errno::EXIST),
        ("2", format!("{TPG}/attrib/fabric_prot_type"), Errno::INVAL),
        ("-3", AFFINITY.to_owned(), Errno::INVAL),
        ("8192", AFFINITY.to_owned(), Errno::INVAL),
        (" 1", AFFINITY.to_owned(), Errno::INVAL),
        ("", AFFINITY.to_owned(), Errno::INVAL),
        ("", format!("{disk}/alias"), Errno::INVAL),
        (&"a".repeat(512), format!("{disk}/alias"), Errno::INVAL),
        ("5", format!("{disk}/alua/default_tg_pt_gp/alua_access_state"), Errno::INVAL),
        ("bogus", format!("{TPG}/lun/lun_0/alua_tg_pt_gp"), Errno::NODEV),
        ("1", format!("{disk}/attrib/hw_block_size"), Errno::ACCESS),
        ("1", "target/core/fileio_0/hba_mode".to_owned(), Errno::INVAL),
        ("udev_path=/dev/other", "target/core/iblock_0/disk1/control".to_owned(), Errno::EXIST),
    ] {
        check_refused(&tree, &format!("{text} -> {path}"), errno, || tree.write(&path, text));
    }
}

#[test]
fn an_alias_is_kept_until_its_backstore_goes() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let alias = "target/core/fileio_0/disk0/alias";
    assert_eq!(tree.read(alias).unwrap(), "");
    let longest = "a".repeat(511);
    for (text, reads) in [
        ("my disk\n", "my disk\n"),
        ("other", "other\n"),
        ("two\n\n", "two\n\n"),
        (&*longest, &*format!("{longest}\n")),
    ] {
        tree.write(alias, text).unwrap_or_else(|errno| panic!("{text:?}: {errno}"));
        assert_eq!(tree.read(alias).unwrap(), reads);
    }
    // The newline counts.
    let longer = format!("{longest}\n");
    check_refused(&tree, "512 bytes", Errno::INVAL, || tree.write(alias, &longer));
    // What is written before `enable` stays.
    let (disk, alias) = ("target/core/rd_mcp_7/early", "target/core/rd_mcp_7/early/alias");
    let make = || {
        tree.mkdir("target/core/rd_mcp_7").unwrap();
        tree.mkdir(disk).unwrap();
    };
    make();
    tree.write(alias, "early").unwrap();
    assert_eq!(tree.read(alias).unwrap(), "early\n");
    tree.write(&format!("{disk}/control"), "rd_pages=1").unwrap();
    tree.write(&format!("{disk}/enable"), "1").unwrap();
    assert_eq!(tree.read(alias).unwrap(), "early\n");
    tree.rmdir(disk).unwrap();
    tree.rmdir("target/core/rd_mcp_7").unwrap();
    make();
    assert_eq!(tree.read(alias).unwrap(), "");
}

/// The one parameter of a target.
const AFFINITY: &str = "target/vhost/naa.5001405aabbccdd0/param/cmd_completion_affinity";

#[test]
fn a_completion_affinity_is_kept_and_shown_as_lio_does() {
    let (_plane, tree) = tree();
    furnish(&tree);
    assert_eq!(tree.read(AFFINITY).unwrap(), "-1\n");
    for (text, reads) in [
        ("-2\n", "-2\n"),
        ("0", "0\n"),
        ("+0x1", "1\n"),
        ("-0x2", "-2\n"),
        ("8191", "8191\n"),
        ("-1", "-1\n"),
    ] {
        tree.write(AFFINITY, text).unwrap_or_else(|errno| panic!("{text:?}: {errno}"));
        assert_eq!(tree.read(AFFINITY).unwrap(), reads, "{text:?}");
    }
}

#[test]
fn numbers_are_read_as_the_kernel_reads_them() {
    let (_plane, tree) = tree();
    furnish(&tree);
    let disk = "target/core/fileio_0/disk0";
    let most = format!("{disk}/attrib/max_unmap_block_desc_count");
    let group = format!("{disk}/alua/default_tg_pt_gp/nonop_delay_msecs");
    for (text, reads) in
        [("7", "7"), ("+6", "6"), ("0x10\n", "16"), ("010", "8"), ("+0x7f", "127"), ("5\n", "5")]
    {
        for path in [&most, &group] {
            tree.write(path, text).unwrap_or_else(|errno| panic!("{text:?} -> {path}: {errno}"));
            assert_eq!(tree.read(path).unwrap(), format!("{reads}\n"), "{text:?} -> {path}");
        }
    }
    for text in [" 7", "7 ", "\t7", "08", "++7", "-7", "+", "", "0x", "4294967296", "18446744073709551616"] {
        for path in [&most, &group] {
            check_refused(&tree, &format!("{text:?} -> {path}"), Errno::INVAL, || tree.write(path, text));
            assert_eq!(tree.read(path).unwrap(), "5\n", "{path}");
        }
    }
    let port = format!("{TPG}/attrib/fabric_prot_type");
    tree.write(&port, "+0\n").unwrap();
    check_refused(&tree, "a space before a number", Errno::INVAL, || tree.write(&port, " 0"));
}

#[test]
fn directories_that_lio_refuses_are_refused_with_its_errno() {
    let (_plane, tree) = tree();
    furnish(&tree);
    for (path, errno) in [
        ("target/vhost/bogus.123", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0", Errno::EXIST),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_x", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_70000", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1/lun/foo", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1/np/x", Errno::NOSYS),
        ("target/core/bogus_0", Errno::INVAL),
        ("target/core/fileio_x", Errno::INVAL),
        ("target/core/fileio", Errno::INVAL),
        ("target/core/fileio_", Errno::INVAL),
        ("target/core/fileio_08", Errno::INVAL),
        // Another way to write fileio_1, and plugins that are not served.
        ("target/core/fileio_01", Errno::INVAL),
        ("target/core/fileio_+1", Errno::INVAL),
        ("target/core/pscsi_0", Errno::INVAL),
        ("target/core/user_0", Errno::INVAL),
        // 63 characters are looked at, and 64 are too many.
        ("target/core/fileio_00000000000000000000000000000000000000000000000000000000", Errno::INVAL),
        ("target/core/fileio_000000000000000000000000000000000000000000000000000000000", Errno::NAMETOOLONG),
        ("target/core/fileio_0/disk0", Errno::EXIST),
        ("target/core/fileio_0/disk0/attrib/x", Errno::PERM),
        ("target/loopback", Errno::INVAL),
        ("nothing", Errno::PERM),
        // What there is none of.
        ("target/core/alua/lu_gps/default_lu_gp", Errno::EXIST),
        ("target/core/alua/lu_gps/NULL", Errno::INVAL),
        ("target/core/fileio_0/disk0/alua/default_tg_pt_gp", Errno::EXIST),
        ("target/core/fileio_0/disk0/alua/a b", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1/acls/iqn.1994-05.com.x", Errno::INVAL),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1/acls/naa.7001405aabbccdd1", Errno::INVAL),
    ] {
        check_refused(&tree, &format!("mkdir {path}"), errno, || tree.mkdir(path));
    }
    for (path, errno) in [
        ("target/core/fileio_0/disk0", Errno::BUSY),
        ("target/core/fileio_0", Errno::NOTEMPTY),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1/lun/lun_0", Errno::NOTEMPTY),
        ("target/vhost/naa.5001405aabbccdd0/tpgt_1", Errno::NOTEMPTY),
        ("target/vhost/naa.5001405aabbccdd0", Errno::NOTEMPTY),
        ("target/vhost", Errno::NOTEMPTY),
        ("target/core", Errno::PERM),
        ("target/core/fileio_0/disk0/attrib", Errno::PERM),
        ("target/core/fileio_0/disk0/alua/default_tg_pt_gp", Errno::PERM),
        ("target/core/alua/lu_gps/default_lu_gp", Errno::PERM),
        ("target/nothing", Errno::NOENT),
    ] {
        check_refused(&tree, &format!("rmdir {path}"), errno, || tree.rmdir(path));
    }
}

#[test]
fn links_that_lio_refuses_are_refused_with_its_errno() {
    let (_plane, tree) = tree();
    furnish(&tree);
    tree.mkdir("target/core/fileio_0/raw").unwrap();
    tree.mkdir(&format!("{TPG}/lun/lun_7")).unwrap();
    let lun = format!("{TPG}/lun/lun_7");
    for (to, path, errno) in [
        ("/target/core/fileio_0/raw", format!("{lun}/x"), Errno::NODEV),
        ("/target/core/fileio_0/none", format!("{lun}/x"), Errno::NOENT),
        ("/target/core/fileio_9/disk0", format!("{lun}/x"), Errno::NOENT),
        ("/target/core/fileio_0", format!("{lun}/x"), Errno::FAULT),
        ("/target/core/fileio_0/disk0/attrib", format!("{lun}/x"), Errno::FAULT),
        ("/tmp/x", format!("{lun}/x"), Errno::PERM),
        ("/target/core/fileio_0/disk0", format!("{TPG}/lun/lun_0/x"), Errno::EXIST),
        ("/target/core/fileio_0/disk0", format!("{TPG}/lun/x"), Errno::PERM),
    ] {
        check_refused(&tree, &format!("ln -s {to} {path}"), errno, || tree.symlink(to, &path));
    }
    let nexus = format!("{TPG}/nexus");
    check_refused(&tree, "rm nexus", Errno::PERM, || tree.unlink(&nexus));
}

#[test]
fn what_cannot_be_opened_is_refused_in_the_kernels_word_and_stays_staged() {
    let (plane, tree) = tree();
    tree.mkdir("target/core/fileio_0").unwrap();
    tree.mkdir("target/core/fileio_0/a").unwrap();
    let enable = "target/core/fileio_0/a/enable";
    tree.write("target/core/fileio_0/a/control", "fd_dev_size=1").unwrap();
    check_refused(&tree, "enable without a path", Errno::INVAL, || tree.write(enable, "1"));
    tree.write("target/core/fileio_0/a/control", "bogus=1").unwrap();
    tree.write("target/core/fileio_0/a/control", "fd_dev_name=/gone").unwrap();
    *plane.missing.lock().unwrap() = true;
    check_refused(&tree, "enable what is not there", Errno::NOENT, || tree.write(enable, "1"));
    *plane.missing.lock().unwrap() = false;
    tree.write(enable, "1").unwrap();
    assert_eq!(tree.read(enable).unwrap(), "1\n");
}
