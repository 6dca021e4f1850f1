// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Space that is given back, filled with zeroes, or not there, for every kind of backstore.
//!
//! Above: nothing.  Below: `backstore` through a real reactor.  Never here: SCSI.

mod support;

use backstore::{
    Backstore, BackstoreError, BlockDevice, Extent, FileOptions, FileStore, IoKind, NewFile, Ramdisk,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{Loop, Rig, is_root, pattern};

const BYTES: u64 = 1 << 20;
const PLAIN: IoKind = IoKind::Write { durable: false };

/// A backstore that the test keeps a handle of.
struct Shared<B>(Arc<B>);

impl<B: Backstore> Backstore for Shared<B> {
    fn geometry(&self) -> &backstore::Geometry {
        self.0.geometry()
    }
    fn channel(&self, key: u32) -> Box<dyn backstore::Channel> {
        self.0.channel(key)
    }
}

fn file(path: &Path, write_back: bool) -> Arc<FileStore> {
    let create = Some(NewFile { bytes: BYTES, sparse: true });
    Arc::new(FileStore::open(&FileOptions { path: path.to_path_buf(), create, write_back }).unwrap())
}

/// Writes, gives the middle back, and says what is left: all bytes, and where the space ends.
fn write_and_give_back(store: &Arc<impl Backstore + 'static>) {
    let rig = Rig::new(Shared(Arc::clone(store)));
    let data = pattern(1 << 20, 3);
    rig.set(0, &data);
    assert_eq!(rig.run(PLAIN, 0, &[(0, 1 << 20)]), Ok(()));
    assert_eq!(rig.run(IoKind::Discard { bytes: 256 << 10 }, 512 << 10, &[]), Ok(()));
    assert_eq!(rig.run(IoKind::WriteZeroes { bytes: 1024, durable: false }, 512, &[]), Ok(()));
    assert_eq!(rig.run(IoKind::WriteZeroes { bytes: 512, durable: true }, 4096, &[]), Ok(()));
    rig.set(1 << 20, &[0xaa; 1 << 20]);
    assert_eq!(rig.run(IoKind::Read, 0, &[(1 << 20, 1 << 20)]), Ok(()));
    let mut expected = data;
    for range in [512 << 10..768 << 10, 512..1536, 4096..4608] {
        expected[range].fill(0);
    }
    assert!(rig.get(1 << 20, 1 << 20) == expected);
}

fn taken(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

#[test]
fn a_file_gives_space_back_and_reads_zeroes() {
    let directory = tempfile::tempdir().unwrap();
    for write_back in [true, false] {
        let path = directory.path().join(format!("disk-{write_back}"));
        let store = file(&path, write_back);
        let discard = store.abilities().discard.expect("the file system of the tests punches holes");
        assert!(discard.reads_zero);
        assert_eq!(discard.granularity_bytes, 4096);
        write_and_give_back(&store);
        assert_eq!(taken(&path), 768 << 10);
        assert_eq!(store.extent(0), Ok(Extent { end: 512 << 10, mapped: true }));
        assert_eq!(store.extent(520 << 10), Ok(Extent { end: 768 << 10, mapped: false }));
        assert_eq!(store.extent(768 << 10), Ok(Extent { end: BYTES, mapped: true }));
    }
}

#[test]
fn a_fresh_file_is_one_hole() {
    let directory = tempfile::tempdir().unwrap();
    let store = file(&directory.path().join("disk"), true);
    assert_eq!(store.extent(0), Ok(Extent { end: BYTES, mapped: false }));
    assert_eq!(store.extent(BYTES - 512), Ok(Extent { end: BYTES, mapped: false }));
}

#[test]
fn a_ramdisk_gives_memory_back_and_reads_zeroes() {
    let store = Arc::new(Ramdisk::new(BYTES, false).unwrap());
    write_and_give_back(&store);
    let rig = Rig::new(Shared(Arc::clone(&store)));
    assert_eq!(rig.run(IoKind::Discard { bytes: 256 << 10 }, 512 << 10, &[]), Ok(()));
    // Asked before anything reads: a page that is looked at is there again.
    assert_eq!(store.extent(520 << 10), Ok(Extent { end: 768 << 10, mapped: false }));
    assert_eq!(store.extent(0), Ok(Extent { end: 512 << 10, mapped: true }));
}

#[test]
fn a_ramdisk_that_keeps_nothing_has_no_space_to_give_back() {
    let store = Arc::new(Ramdisk::new(BYTES, true).unwrap());
    let rig = Rig::new(Shared(Arc::clone(&store)));
    assert_eq!(rig.run(IoKind::Discard { bytes: 4096 }, 0, &[]), Ok(()));
    assert_eq!(rig.run(IoKind::WriteZeroes { bytes: 4096, durable: true }, 0, &[]), Ok(()));
    assert_eq!(store.extent(0), Ok(Extent { end: BYTES, mapped: false }));
}

#[test]
fn a_block_device_gives_space_back_to_what_it_is_made_of() {
    if !is_root() {
        return;
    }
    let device = Loop::new(BYTES, &[]);
    let store = Arc::new(BlockDevice::open(&device.options()).unwrap());
    let discard = store.abilities().discard.expect("a loop device discards");
    assert!(discard.reads_zero && store.abilities().zeroes);
    assert!(discard.bytes_max > 0);
    write_and_give_back(&store);
    store.flush().unwrap();
    assert_eq!(taken(device.file.path()), 768 << 10);
    assert_eq!(store.extent(4096), Ok(Extent { end: BYTES, mapped: true }));
}

#[test]
fn a_block_device_that_is_used_as_a_file_gives_space_back_too() {
    if !is_root() {
        return;
    }
    let device = Loop::new(BYTES, &[]);
    let store = file(&device.device, false);
    write_and_give_back(&store);
    assert!(store.regular_file().is_none());
}

/// A file system in memory of 256 KiB, which knows holes and no zeroes.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let status = Command::new("mount").args(mount).arg(directory.path()).status().unwrap();
        assert!(status.success());
        Self(directory)
    }

    fn disk(&self) -> PathBuf {
        self.0.path().join("disk")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_file_system_without_zeroes_takes_space_for_them_all_the_same() {
    if !is_root() {
        return;
    }
    let mount = Tmpfs::new();
    let rig = Rig::new(Shared(file(&mount.disk(), true)));
    assert_eq!(rig.run(IoKind::WriteZeroes { bytes: 128 << 10, durable: true }, 0, &[]), Ok(()));
    assert_eq!(taken(&mount.disk()), 128 << 10);
}

#[test]
fn a_full_file_system_says_so_and_goes_on_when_there_is_room() {
    if !is_root() {
        return;
    }
    let mount = Tmpfs::new();
    let rig = Rig::new(Shared(file(&mount.disk(), true)));
    assert_eq!(rig.run(PLAIN, 0, &[(0, 256 << 10)]), Ok(()));
    assert_eq!(rig.run(PLAIN, 512 << 10, &[(0, 64 << 10)]), Err(BackstoreError::NoSpace));
    let zeroes = IoKind::WriteZeroes { bytes: 64 << 10, durable: false };
    assert_eq!(rig.run(zeroes, 512 << 10, &[]), Err(BackstoreError::NoSpace));
    assert_eq!(rig.run(IoKind::Discard { bytes: 64 << 10 }, 0, &[]), Ok(()));
    assert_eq!(rig.run(PLAIN, 512 << 10, &[(0, 64 << 10)]), Ok(()));
}

#[test]
fn who_may_wait_fills_and_writes_without_a_reactor() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let store = file(&path, true);
    store.write_at(512, &pattern(300 << 10, 1)).unwrap();
    store.zero(4096, 4096, false).unwrap();
    store.zero(64 << 10, 64 << 10, true).unwrap();
    store.flush().unwrap();
    let mut expected = vec![0; 1 << 20];
    expected[512..512 + (300 << 10)].copy_from_slice(&pattern(300 << 10, 1));
    expected[4096..8192].fill(0);
    expected[64 << 10..128 << 10].fill(0);
    assert!(std::fs::read(&path).unwrap() == expected);
    assert_eq!(store.extent(64 << 10), Ok(Extent { end: 128 << 10, mapped: false }));
}
