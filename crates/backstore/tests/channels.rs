// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every kind of backstore through a real reactor: what was written is read, wherever the buffers lie.
//!
//! Above: nothing.  Below: `backstore`, `reactor`, `memory`.  Never here: SCSI.

mod support;

use backstore::{
    Backstore, BackstoreError, BlockDevice, BlockOptions, Channel, FileOptions, FileStore, IoKind, NewFile,
    OpenError, Ramdisk,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Loop, Rig, is_root, pattern};

/// Writes through one shape of buffers, reads through another, and compares.
fn write_then_read(rig: &Rig) {
    let shapes: [&[(u64, u32)]; 4] = [
        &[(0, 8192)],
        &[(512, 512), (4096, 3584), (65536, 4096)],
        &[(3, 1021), (5000, 3071), (70001, 4100)],
        &[(1, 511), (1000, 1), (2000, 7680)],
    ];
    for (turn, out) in shapes.iter().enumerate() {
        for back in &shapes {
            let data = pattern(8192, u8::try_from(turn).unwrap());
            let mut at = 0;
            for &(address, bytes) in *out {
                let bytes = usize::try_from(bytes).unwrap();
                rig.set(address, &data[at..at + bytes]);
                at += bytes;
            }
            assert_eq!(rig.run(IoKind::Write { durable: false }, 40960, out), Ok(()));
            rig.set(1 << 20, &[0xaa; 80000]);
            let shifted: Vec<_> = back.iter().map(|&(address, bytes)| (address + (1 << 20), bytes)).collect();
            assert_eq!(rig.run(IoKind::Read, 40960, &shifted), Ok(()));
            let read: Vec<u8> = shifted
                .iter()
                .flat_map(|&(at, bytes)| rig.get(at, usize::try_from(bytes).unwrap()))
                .collect();
            assert!(read == data, "{out:?} then {shifted:?}");
        }
    }
    assert_eq!(rig.run(IoKind::Write { durable: true }, 0, &[(0, 512)]), Ok(()));
    assert_eq!(rig.run(IoKind::Flush, 0, &[]), Ok(()));
}

fn file_options(path: &Path, bytes: u64) -> FileOptions {
    let create = Some(NewFile { bytes, sparse: true });
    FileOptions { path: path.to_path_buf(), create, write_back: true }
}

#[test]
fn a_ramdisk_keeps_what_is_written() {
    write_then_read(&Rig::new(Ramdisk::new(1 << 20, false).unwrap()));
}

#[test]
fn a_nullio_ramdisk_keeps_nothing_and_reads_zeroes() {
    let rig = Rig::new(Ramdisk::new(1 << 20, true).unwrap());
    rig.set(0, &[1; 512]);
    assert_eq!(rig.run(IoKind::Write { durable: false }, 0, &[(0, 512)]), Ok(()));
    assert_eq!(rig.run(IoKind::Read, 0, &[(0, 512)]), Ok(()));
    assert_eq!(rig.get(0, 512), [0; 512]);
}

#[test]
fn a_cached_file_keeps_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let store = FileStore::open(&file_options(&path, 1 << 20)).unwrap();
    assert_eq!(store.created(), Some(path.as_path()));
    assert!(store.geometry().write_cache);
    write_then_read(&Rig::new(store));
    assert_eq!(std::fs::read(&path).unwrap().len(), 1 << 20);
}

#[test]
fn a_durable_file_keeps_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let options = FileOptions { write_back: false, ..file_options(&path, 1 << 20) };
    let store = FileStore::open(&options).unwrap();
    assert!(!store.geometry().write_cache);
    write_then_read(&Rig::new(store));
}

#[test]
fn more_segments_than_one_system_call_takes_all_move() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let rig = Rig::new(FileStore::open(&file_options(&path, 4 << 20)).unwrap());
    let ranges: Vec<_> = (0..1500).map(|i| (i * 1024, 512)).collect();
    for i in 0..1500 {
        rig.set(i * 1024, &pattern(512, u8::try_from(i % 251).unwrap()));
    }
    assert_eq!(rig.run(IoKind::Write { durable: false }, 0, &ranges), Ok(()));
    let written = std::fs::read(&path).unwrap();
    for i in 0..1500 {
        assert!(written[i * 512..(i + 1) * 512] == pattern(512, u8::try_from(i % 251).unwrap()), "{i}");
    }
}

#[test]
fn a_file_that_was_cut_fails_the_read_and_not_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let rig = Rig::new(FileStore::open(&file_options(&path, 1 << 20)).unwrap());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
    assert_eq!(rig.run(IoKind::Read, 0, &[(0, 4096)]), Ok(()));
    assert_eq!(rig.run(IoKind::Read, 0, &[(0, 8192)]), Err(BackstoreError::ReadFailed));
}

#[test]
fn a_full_device_is_no_space() {
    if !is_root() {
        return;
    }
    let rig = Rig::new(BlockLikeFull::open());
    assert_eq!(rig.run(IoKind::Write { durable: false }, 0, &[(0, 4096)]), Err(BackstoreError::NoSpace));
}

/// A file on a file system that is full: a sparse file larger than its tmpfs.
struct BlockLikeFull {
    inner: FileStore,
    mount: PathBuf,
    _directory: tempfile::TempDir,
}

impl BlockLikeFull {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path().to_path_buf();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(&mount)
            .status()
            .expect("mount runs; this test needs root");
        assert!(status.success(), "this test needs root");
        std::fs::write(mount.join("filler"), vec![1; 64 * 1024]).unwrap();
        let inner = FileStore::open(&file_options(&mount.join("disk"), 1 << 20)).unwrap();
        Self { inner, mount, _directory: directory }
    }
}

impl Drop for BlockLikeFull {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

impl Backstore for BlockLikeFull {
    fn geometry(&self) -> &backstore::Geometry {
        self.inner.geometry()
    }
    fn channel(&self, key: u32) -> Box<dyn Channel> {
        self.inner.channel(key)
    }
}

#[test]
fn a_file_is_locked_against_a_second_opener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let _first = FileStore::open(&file_options(&path, 1 << 20)).unwrap();
    let second = FileStore::open(&file_options(&path, 1 << 20)).err().unwrap();
    assert_eq!(second.to_string(), format!("{} is already in use", path.display()));
}

#[test]
fn what_is_not_a_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let options = |path: &Path| FileOptions { path: path.to_path_buf(), create: None, write_back: true };
    let error = FileStore::open(&options(directory.path())).err().unwrap();
    assert!(matches!(&error, OpenError::Directory(path) if path == directory.path()), "{error}");
    let error = FileStore::open(&options(&directory.path().join("no"))).err().unwrap();
    assert!(matches!(&error, OpenError::Missing(_)), "{error}");
    let error = FileStore::open(&options(Path::new("/dev/null"))).err().unwrap();
    assert_eq!(error.to_string(), "/dev/null is not a file");
    let error = BlockDevice::open(&BlockOptions { path: "/dev/null".into(), read_only: None }).err().unwrap();
    assert_eq!(error.to_string(), "/dev/null is not a block device");
}

#[test]
fn a_file_that_could_not_grow_is_removed_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let create = Some(NewFile { bytes: 1 << 62, sparse: true });
    let error = FileStore::open(&FileOptions { path: path.clone(), create, write_back: true }).err().unwrap();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_sparse_file_takes_no_room_and_a_full_one_does() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    for (sparse, blocks) in [(true, 0), (false, 2048)] {
        let path = directory.path().join(format!("disk-{sparse}"));
        let create = Some(NewFile { bytes: 1 << 20, sparse });
        drop(FileStore::open(&FileOptions { path: path.clone(), create, write_back: true }).unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.blocks() / 2048 * 2048), (1 << 20, blocks));
    }
}

#[test]
fn a_block_device_keeps_what_is_written_wherever_the_buffers_lie() {
    if !is_root() {
        return;
    }
    let device = Loop::new(1 << 20, &[]);
    let store = BlockDevice::open(&device.options()).unwrap();
    assert_eq!((store.geometry().bytes, store.geometry().block_bytes), (1 << 20, 512));
    assert!(!store.geometry().read_only);
    assert!(device.device.ends_with(&store.device().kernel_name));
    write_then_read(&Rig::new(store));
}

#[test]
fn a_large_misaligned_transfer_goes_through_the_bounce_buffer_in_pieces() {
    if !is_root() {
        return;
    }
    let device = Loop::new(4 << 20, &[]);
    let rig = Rig::new(BlockDevice::open(&device.options()).unwrap());
    let data = pattern(3 << 20, 9);
    rig.set(1, &data);
    assert_eq!(rig.run(IoKind::Write { durable: false }, 512, &[(1, 3 << 20)]), Ok(()));
    rig.set(1, &vec![0; 3 << 20]);
    assert_eq!(rig.run(IoKind::Read, 512, &[(7, 3 << 20)]), Ok(()));
    assert!(rig.get(7, 3 << 20) == data);
}

#[test]
fn a_claimed_device_is_busy_for_the_next_opener() {
    if !is_root() {
        return;
    }
    let device = Loop::new(1 << 20, &[]);
    let _first = BlockDevice::open(&device.options()).unwrap();
    let error = BlockDevice::open(&device.options()).err().unwrap();
    assert_eq!(error.to_string(), format!("{} is already in use", device.device.display()));
}

#[test]
fn a_read_only_device_is_seen_and_kept_read_only() {
    if !is_root() {
        return;
    }
    let device = Loop::new(1 << 20, &["--read-only"]);
    let options = device.options();
    assert!(BlockDevice::open(&options).unwrap().geometry().read_only);
    let error = BlockDevice::open(&BlockOptions { read_only: Some(false), ..options }).err().unwrap();
    assert_eq!(error.to_string(), format!("{} is read-only", device.device.display()));
    let writable = Loop::new(1 << 20, &[]);
    let options = BlockOptions { read_only: Some(true), ..writable.options() };
    let store = BlockDevice::open(&options).unwrap();
    assert!(store.geometry().read_only);
    let rig = Rig::new(store);
    assert_eq!(rig.run(IoKind::Write { durable: false }, 0, &[(0, 512)]), Err(BackstoreError::ReadOnly));
}

#[test]
fn real_sector_sizes_are_seen() {
    if !is_root() {
        return;
    }
    let device = Loop::new(1 << 20, &["--sector-size", "4096"]);
    let store = BlockDevice::open(&device.options()).unwrap();
    assert_eq!((store.geometry().block_bytes, store.geometry().physical_block_bytes), (4096, 4096));
}
