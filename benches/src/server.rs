// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who serves the disks that are measured: Lunar, and a peer on disks of the same kind.
//!
//! Above: `speed`, `inflight`.  Below: `stories`, which starts `lunard`; the peer's program.

use anyhow::{Context, Result, bail};
use initiator::{Dialect, Guest, LunAddress, Options};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use stories::deadline::Deadline;
use stories::process::{Process, command};
use stories::scratch::Scratch;
use stories::stage::Stage;
use tempfile::TempDir;

/// Where Linux keeps a tmpfs for everybody.
const TMPFS: &str = "/dev/shm";

/// Disks of the kinds that are measured, in files and in memory.
#[derive(Debug)]
pub(crate) struct Disks {
    /// A file in the page cache, every block of it written.
    pub(crate) cached: PathBuf,
    /// The same on a tmpfs: what a peer without ramdisks has in its place.
    pub(crate) tmpfs: PathBuf,
    /// Length of each in bytes.
    pub(crate) bytes: u64,
    _memory: TempDir,
}

impl Disks {
    /// Makes both files and writes every block of them.
    pub(crate) fn make(scratch: &Scratch, bytes: u64) -> Result<Self> {
        let memory = tempfile::Builder::new().prefix("lunar-").tempdir_in(TMPFS);
        let memory = memory.with_context(|| format!("{TMPFS} is needed for the peer's disk"))?;
        let (cached, tmpfs) = (scratch.join("cached.img"), memory.path().join("tmpfs.img"));
        for path in [&cached, &tmpfs] {
            write_file(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { cached, tmpfs, bytes, _memory: memory })
    }

    /// Brings what was written to the file to its medium, so that no later measurement pays for it.
    pub(crate) fn settle(&self) -> Result<()> {
        File::open(&self.cached)?.sync_all().context("cannot sync the file")
    }
}

fn write_file(path: &Path, bytes: u64) -> Result<()> {
    static PIECE: [u8; 1 << 16] = [0x5a; 1 << 16];
    let mut file = File::create_new(path)?;
    for _ in 0..bytes / PIECE.len() as u64 {
        file.write_all(&PIECE)?;
    }
    Ok(file.sync_all()?)
}

/// `lunard` with one target for each disk.
#[derive(Debug)]
pub(crate) struct Lunar {
    stage: Stage,
}

impl Lunar {
    /// Starts it with nothing configured.
    pub(crate) fn start() -> Result<Self> {
        let mut stage = Stage::set()?;
        stage.daemon = stage.daemon.quiet();
        Ok(Self { stage })
    }

    /// Serves a ramdisk of `bytes` bytes.  Returns its socket.
    pub(crate) fn ramdisk(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        self.stage.shell.well(&format!("/backstores/ramdisk create {name} {bytes}"))?;
        self.serve(&format!("ramdisk/{name}"))
    }

    /// Serves a file.  Returns its socket.
    pub(crate) fn file(&self, name: &str, path: &Path, bytes: u64) -> Result<PathBuf> {
        let create = format!(
            "/backstores/fileio create name={name} file_or_dev={} size={bytes} write_back=true",
            path.display()
        );
        self.stage.shell.well(&create)?;
        self.serve(&format!("fileio/{name}"))
    }

    /// Serves a backstore, given as `ramdisk/name`, from one more target.  Returns its socket.
    pub(crate) fn serve(&self, backstore: &str) -> Result<PathBuf> {
        Ok(self.stage.daemon.socket(&self.stage.serve(backstore)?))
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.stage.daemon.process()
    }

    /// Where its guests find the disk.
    pub(crate) fn address() -> LunAddress {
        // The target of `tpg1` is target 1.
        LunAddress::unit(1, 0)
    }
}

/// `vhost-device-scsi` with one disk.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Process,
    socket: PathBuf,
}

impl Peer {
    /// How long it may take until it listens.
    const READY_SECONDS: u64 = 10;

    /// Starts it on a file.
    pub(crate) fn start(program: &Path, scratch: &Scratch, name: &str, disk: &Path) -> Result<Self> {
        let socket = scratch.join(&format!("{name}.sock"));
        let log = File::create(scratch.join(&format!("{name}.log")))?;
        let mut peer = command(program);
        peer.arg("--socket-path").arg(&socket).arg(disk);
        peer.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        let mut process = Process::spawn(&mut peer)?;
        Deadline::seconds(Self::READY_SECONDS).until("the peer to listen", || {
            if let Some(status) = process.ended()? {
                bail!("{} ended at once, {status}", program.display());
            }
            Ok(socket.exists().then_some(()))
        })?;
        Ok(Self { process, socket })
    }

    /// Where a guest connects.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Where its guests find the disk.
    pub(crate) fn address() -> LunAddress {
        LunAddress::unit(0, 0)
    }
}

/// The guest of every measurement.
pub(crate) fn linux() -> Options {
    // The peer drops a front end that acknowledges VIRTIO_SCSI_F_CHANGE, as QEMU does unless told otherwise.
    Options::default().dialect(Dialect::QEMU_PARAM_CHANGE_OFF)
}

/// Boots a guest in user space.
pub(crate) fn boot(socket: &Path, options: &Options) -> Result<Guest> {
    let mut refused = None;
    // The file of a socket may exist a moment before anyone listens.
    let booted =
        Deadline::seconds(10).until("a guest to boot", || match Guest::boot(socket, options.clone()) {
            Ok(guest) => Ok(Some(guest)),
            Err(error) => {
                refused = Some(error);
                Ok(None)
            }
        });
    match (booted, refused) {
        (Ok(guest), _) => Ok(guest),
        (Err(_), Some(error)) => {
            Err(error).with_context(|| format!("no guest boots on {}", socket.display()))
        }
        (Err(error), None) => Err(error),
    }
}
