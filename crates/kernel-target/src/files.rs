// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the tree, and doing one thing to it at a time.
//!
//! Above: `found`, `target`.  Below: the file system.
//! Never here: what a file means.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The longest text of a file that is read, in bytes.  The kernel's are at most a page.
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// Why something could not be done: one line that names the file, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// One line.
    pub message: String,
    /// One line, where there is more to say.
    pub hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// One thing to do.  Places are below the root, such as `core/iblock_0`; files of media have their whole paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Make a directory.
    Mkdir(String),
    /// Remove one.
    Rmdir(String),
    /// Make sure that no guest uses a target port group, which has LUNs: the kernel would let them go, one by one,
    /// before the guest's eyes, and only then refuse.  It says so at once where the group itself is to go.
    Unused(String),
    /// Write a text, in one piece.
    Write { at: String, text: String },
    /// Write a text where another one stands: the kernel refuses some values even where they change nothing.
    Set { at: String, text: String },
    /// Make a symbolic link to another place.
    Link { at: String, to: String },
    /// Remove one.
    Unlink(String),
    /// Make the file of a backstore.
    Create { path: PathBuf, bytes: u64, sparse: bool },
    /// Remove it.
    Remove(PathBuf),
}

/// Something to do, and what takes it back, to be done from the last to the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) act: Act,
    pub(crate) undo: Vec<Act>,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_directory: bool,
    pub(crate) is_link: bool,
}

/// The tree.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, at: &str) -> PathBuf {
        self.root.join(at)
    }

    pub(crate) fn is_directory(&self, at: &str) -> bool {
        self.path(at).is_dir()
    }

    /// The text of a file, without the line's end and the zero bytes that the kernel leaves in some.
    pub(crate) fn read(&self, at: &str) -> Result<String, Fault> {
        self.try_read(at).map_err(|error| self.fault("read", at, &error))
    }

    pub(crate) fn try_read(&self, at: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(self.path(at))?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches(['\0', '\n', ' ']).to_owned())
    }

    /// What is in a directory, by name.
    pub(crate) fn list(&self, at: &str) -> Result<Vec<Entry>, Fault> {
        self.try_list(at).map_err(|error| self.fault("list", at, &error))
    }

    fn try_list(&self, at: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(at))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // What is no text is no name of LIO's: it made them of texts.
            let Ok(name) = entry.file_name().into_string() else { continue };
            entries.push(Entry { name, is_directory: kind.is_dir(), is_link: kind.is_symlink() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The names of the directories in a directory.
    pub(crate) fn directories(&self, at: &str) -> Result<Vec<String>, Fault> {
        let entries = self.list(at)?.into_iter().filter(|entry| entry.is_directory);
        Ok(entries.map(|entry| entry.name).collect())
    }

    /// Where a link leads, as it is written in it.
    pub(crate) fn link(&self, at: &str) -> Result<String, Fault> {
        let target = fs::read_link(self.path(at)).map_err(|error| self.fault("read", at, &error))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Whether the owner may write a file.
    pub(crate) fn is_writable(&self, at: &str) -> bool {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(self.path(at)).is_ok_and(|metadata| metadata.permissions().mode() & 0o200 != 0)
    }

    /// Does all of `jobs`, or nothing: what was done before one that fails is taken back.
    pub(crate) fn carry_out(&self, jobs: &[Job]) -> Result<(), Fault> {
        for (index, job) in jobs.iter().enumerate() {
            if let Err(mut fault) = self.act(&job.act) {
                let left = self.take_back(jobs.get(..index).unwrap_or_default());
                if let Some(left) = left {
                    fault.message.push_str(&format!("; and then: {left}"));
                }
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Takes back what was done, the last first.  Goes on where something cannot be, and returns the first such.
    pub(crate) fn take_back(&self, done: &[Job]) -> Option<Fault> {
        let mut first: Option<Fault> = None;
        let mut more = 0_usize;
        for act in done.iter().rev().flat_map(|job| &job.undo) {
            match (self.act(act), &first) {
                (Ok(()), _) => {}
                (Err(fault), None) => first = Some(fault),
                (Err(_), Some(_)) => more += 1,
            }
        }
        if let Some(first) = first.as_mut().filter(|_| more != 0) {
            first.message.push_str(&format!(", and {more} more things could not be taken back"));
        }
        first
    }

    fn act(&self, act: &Act) -> Result<(), Fault> {
        match act {
            Act::Mkdir(at) => {
                fs::create_dir(self.path(at)).map_err(|error| self.fault("make directory", at, &error))
            }
            Act::Rmdir(at) => fs::remove_dir(self.path(at)).map_err(|error| self.fault("remove", at, &error)),
            Act::Unused(at) => self.must_be_unused(at),
            Act::Write { at, text } => self.write(at, text),
            Act::Set { at, text } => match self.try_read(at) {
                Ok(now) if now == *text => Ok(()),
                _ => self.write(at, text),
            },
            Act::Link { at, to } => symlink(self.path(to), self.path(at))
                .map_err(|error| self.fault(&format!("link {} as", self.path(to).display()), at, &error)),
            Act::Unlink(at) => {
                fs::remove_file(self.path(at)).map_err(|error| self.fault("remove", at, &error))
            }
            Act::Create { path, bytes, sparse } => create(path, *bytes, *sparse),
            Act::Remove(path) => fs::remove_file(path)
                .map_err(|error| Fault::new(format!("cannot remove {}: {}", path.display(), plain(&error)))),
        }
    }

    /// What is in use is EBUSY, and what has something in it ENOTEMPTY: a directory with LUNs never goes.
    fn must_be_unused(&self, at: &str) -> Result<(), Fault> {
        match fs::remove_dir(self.path(at)).map_err(|error| Errno::from_io_error(&error)) {
            Err(Some(Errno::BUSY)) => {
                let message = format!("a guest is connected to {}", self.path(at).display());
                Err(Fault::new(message).hint("stop the guest first"))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write(&self, at: &str, text: &str) -> Result<(), Fault> {
        let written = OpenOptions::new().write(true).open(self.path(at)).and_then(|mut file| {
            // One call: each one is a command to the kernel.
            let count = file.write(text.as_bytes())?;
            if count == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
        });
        written.map_err(|error| self.fault(&format!("write '{}' to", text.escape_debug()), at, &error))
    }

    fn fault(&self, what: &str, at: &str, error: &io::Error) -> Fault {
        let path = self.path(at);
        let fault = Fault::new(format!("cannot {what} {}: {}", path.display(), plain(error)));
        match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                fault.hint("become root; this is the kernel's configuration")
            }
            Some(Errno::BUSY) => {
                fault.hint("something uses it: a guest that is connected, a mount, another target")
            }
            Some(Errno::NOTCONN) => fault.hint("what serves this tree has ended"),
            _ => fault.hint("the kernel's log may say more: dmesg"),
        }
    }
}

fn plain(error: &io::Error) -> String {
    translate::host::plain(error)
}

fn create(path: &Path, bytes: u64, sparse: bool) -> Result<(), Fault> {
    let made = OpenOptions::new().write(true).create_new(true).open(path).and_then(|file| {
        let sized = if sparse {
            file.set_len(bytes)
        } else {
            fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(io::Error::from)
        };
        sized.and_then(|()| file.sync_all()).inspect_err(|_| {
            // What is not whole is of no use; the error at hand says more than that it stays.
            let _ = fs::remove_file(path);
        })
    });
    made.map_err(|error| {
        Fault::new(format!("Could not expand {} to {bytes} bytes: {}", path.display(), plain(&error)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_before_a_fault_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        fs::write(directory.path().join("value"), "old\n").unwrap();
        let jobs = [
            Job { act: Act::Mkdir("a".to_owned()), undo: vec![Act::Rmdir("a".to_owned())] },
            Job {
                act: Act::Write { at: "value".to_owned(), text: "new".to_owned() },
                undo: vec![Act::Write { at: "value".to_owned(), text: "old".to_owned() }],
            },
            Job { act: Act::Mkdir("a/b/c".to_owned()), undo: Vec::new() },
        ];
        let fault = files.carry_out(&jobs).unwrap_err();
        let root = directory.path().display();
        assert_eq!(fault.message, format!("cannot make directory {root}/a/b/c: No such file or directory"));
        assert_eq!(fault.hint.as_deref(), Some("the kernel's log may say more: dmesg"));
        assert!(!directory.path().join("a").exists());
        assert_eq!(fs::read_to_string(directory.path().join("value")).unwrap(), "old\n");
    }

    #[test]
    fn what_the_kernel_says_is_busy_is_in_use_and_what_is_full_is_not() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("tpgt_1/lun")).unwrap();
        let files = Files::new(directory.path());
        assert_eq!(files.act(&Act::Unused("tpgt_1".to_owned())), Ok(()));
        assert!(directory.path().join("tpgt_1/lun").is_dir());
        // A mount point is busy, for whoever might remove it.
        if rustix::process::geteuid().is_root() {
            let fault = Files::new(Path::new("/")).act(&Act::Unused("proc".to_owned())).unwrap_err();
            assert_eq!(fault.message, "a guest is connected to /proc");
        }
    }

    #[test]
    fn zero_bytes_and_line_ends_are_no_part_of_a_text() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("text"), b"one\ntwo \n\0").unwrap();
        assert_eq!(Files::new(directory.path()).read("text").unwrap(), "one\ntwo");
    }

    #[test]
    fn a_file_without_its_name_is_named_in_the_fault() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        let fault = files.write("enable", "1\n").unwrap_err();
        let path = directory.path().join("enable");
        let message = format!("cannot write '1\\n' to {}: No such file or directory", path.display());
        assert_eq!(fault.message, message);
    }
}
