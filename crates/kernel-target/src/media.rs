// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files and devices of new backstores, looked at before the kernel is asked to open them.
//!
//! Above: `target`.  Below: the file system.
//! Never here: opening one for longer than a look; the kernel does that.
//!
//! The kernel answers with a bare errno.  What can be said in words is found out here.

use crate::files::{Act, Fault, Job};
use crate::jobs::Sizes;
use model::{Backstore, BackstoreId, Medium, Step};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use translate::live::Occasion;

/// Bytes in a logical block of a file where nothing else is said.
const FILE_BLOCK_BYTES: u64 = 512;

/// What the media of new backstores need and are.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// Files to make.
    pub(crate) jobs: Vec<Job>,
    /// Their sizes in bytes.
    pub(crate) sizes: Sizes,
    /// What the administrator should know.
    pub(crate) notes: BTreeMap<BackstoreId, Vec<String>>,
}

impl Media {
    /// Looks at the media of all backstores that `steps` open.
    pub(crate) fn of(steps: &[Step], occasion: Occasion) -> Result<Self, Fault> {
        let mut media = Self::default();
        for step in steps {
            if let Step::OpenBackstore(backstore) = step {
                media.look_at(backstore, occasion)?;
            }
        }
        Ok(media)
    }

    fn look_at(&mut self, backstore: &Backstore, occasion: Occasion) -> Result<(), Fault> {
        match &backstore.medium {
            Medium::Block { path, .. } => must_be_device(path.as_path()),
            Medium::Ramdisk { .. } => Ok(()),
            Medium::Fileio { path, size_bytes, sparse } => {
                let block_bytes = backstore.block_bytes().map_or(FILE_BLOCK_BYTES, u64::from);
                let path = path.as_path();
                let there = match fs::metadata(path) {
                    Ok(metadata) => Some(metadata),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                    Err(error) => return Err(cannot_open(path, &error)),
                };
                let Some(there) = there else {
                    return self.new_file(backstore.id(), path, *size_bytes, *sparse);
                };
                if !there.is_file() {
                    return Err(Fault::new(format!("Path {} exists but is not a file", path.display())));
                }
                self.file(backstore.id(), path, there.len(), block_bytes, *size_bytes, occasion)
            }
        }
    }

    fn new_file(
        &mut self,
        id: BackstoreId,
        path: &Path,
        size: Option<u64>,
        sparse: bool,
    ) -> Result<(), Fault> {
        let Some(bytes) = size else {
            return Err(Fault::new("Attempting to create file for new fileio backstore, need a size")
                .hint("say how large it is to be, such as size=10G"));
        };
        if bytes == 0 || !bytes.is_multiple_of(FILE_BLOCK_BYTES) {
            let message = format!(
                "{} cannot have {bytes} bytes, which is not a whole number of {FILE_BLOCK_BYTES}-byte blocks",
                path.display()
            );
            return Err(Fault::new(message));
        }
        let undo = vec![Act::Remove(path.to_owned())];
        self.jobs.push(Job { act: Act::Create { path: path.to_owned(), bytes, sparse }, undo });
        self.sizes.insert(id, bytes);
        Ok(())
    }

    fn file(
        &mut self,
        id: BackstoreId,
        path: &Path,
        bytes: u64,
        block_bytes: u64,
        wanted: Option<u64>,
        occasion: Occasion,
    ) -> Result<(), Fault> {
        let tail = bytes % block_bytes.max(1);
        let whole = bytes - tail;
        if whole == 0 {
            return Err(Fault::new(format!("{} has less than one block", path.display())));
        }
        let as_meant = occasion == Occasion::Import && wanted == Some(whole);
        let notes = self.notes.entry(id.clone()).or_default();
        if wanted.is_some() && !as_meant {
            notes.push(format!("{} exists, using its size ({bytes} bytes) instead", path.display()));
        }
        if tail != 0 {
            notes.push(format!("{} ends within a block: its last {tail} bytes are not used", path.display()));
        }
        self.sizes.insert(id, whole);
        Ok(())
    }
}

fn must_be_device(path: &Path) -> Result<(), Fault> {
    let metadata = fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
    if metadata.file_type().is_block_device() {
        return Ok(());
    }
    let fault = Fault::new(format!("Device {} is not a TYPE_DISK block device", path.display()));
    Err(fault.hint("for a file, use /backstores/fileio"))
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Fault {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Fault::new(format!("Could not open {}: it does not exist", path.display()));
    }
    Fault::new(format!("Could not open {}: {}", path.display(), translate::host::plain(error)))
}
