// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is kept for the user, in `$XDG_STATE_HOME/lunar` or `~/.local/state/lunar`: `shell.json`, `history`, `log.txt`.
//!
//! Above: `main`, `interactive`.  Below: two files: `shell.json` and `history`.
//! Never here: what they hold.

use shell::{Keeper, Kept};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory; `None` where there is neither variable nor home.
pub(crate) fn directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    base.map(|base| base.join("lunar"))
}

/// The file of the lines typed before, its directory made; `None` where there can be none.
pub(crate) fn history() -> Option<PathBuf> {
    let directory = directory()?;
    make(&directory).ok()?;
    Some(directory.join("history"))
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Preferences and bookmarks, as JSON.  Each change reads and writes the whole file under a lock, which is
/// given back at once.
pub(crate) struct Memory {
    directory: Option<PathBuf>,
}

impl Memory {
    pub(crate) fn of_user() -> Self {
        Self { directory: directory() }
    }
}

impl Keeper for Memory {
    fn load(&self) -> Kept {
        // What cannot be read is told by whoever wants to change it; until then the defaults do.
        self.directory.as_deref().and_then(|directory| read(directory).ok()).unwrap_or_default()
    }

    fn update(&self, edit: &mut dyn FnMut(&mut Kept)) -> Result<(), String> {
        let Some(directory) = self.directory.as_deref() else {
            return Err("neither HOME nor XDG_STATE_HOME says where to remember this".to_owned());
        };
        change(directory, edit)
            .map_err(|error| format!("cannot remember this in {}: {error}", directory.display()))
    }

    fn log(&self, file: &str, lines: &[String]) {
        let Some(directory) = self.directory.as_deref() else { return };
        // Nobody is helped by a command that fails because it could not be noted.
        let _ = make(directory).and_then(|()| append(&directory.join(file), lines));
    }
}

/// The longest log, in bytes; then it becomes the one before, `log.txt.1`, and a new one begins.
const LOG_BYTES_MAX: u64 = 1 << 20;

fn append(path: &Path, lines: &[String]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|log| log.is_file() && log.len() > LOG_BYTES_MAX) {
        let mut before = path.as_os_str().to_owned();
        before.push(".1");
        fs::rename(path, before)?;
    }
    let mut log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    // In one piece, so that the lines of several shells do not mix.
    log.write_all(lines.concat().as_bytes())
}

fn change(directory: &Path, edit: &mut dyn FnMut(&mut Kept)) -> io::Result<()> {
    make(directory)?;
    // The lock is on a file of its own, since the other one is replaced.
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join("shell.lock"))?;
    lock.lock()?;
    let before = read(directory)?;
    let mut kept = before.clone();
    edit(&mut kept);
    if kept == before {
        return Ok(());
    }
    let beside = directory.join("shell.json.new");
    // Another one may have been left by a shell that was killed.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(format!("{:#}\n", serde_json::json!(kept)).as_bytes())?;
    fs::rename(&beside, directory.join("shell.json"))
}

fn read(directory: &Path) -> io::Result<Kept> {
    match fs::read(directory.join("shell.json")) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(directory: &Path) -> Memory {
        Memory { directory: Some(directory.join("state/lunar")) }
    }

    #[test]
    fn what_one_shell_sets_another_sees() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, two) = (memory(directory.path()), memory(directory.path()));
        one.update(&mut |kept| drop(kept.bookmarks.insert("v".to_owned(), "/vhost".to_owned())))
            .expect("kept");
        two.update(&mut |kept| drop(kept.globals.insert("color_mode".to_owned(), "false".to_owned())))
            .expect("kept");
        assert_eq!(one.load().bookmarks["v"], "/vhost");
        assert_eq!(one.load().globals["color_mode"], "false");
    }

    #[test]
    fn what_is_remembered_is_private_and_what_a_later_version_wrote_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = memory(directory.path());
        let state = directory.path().join("state/lunar");
        make(&state).expect("made");
        let file = state.join("shell.json");
        fs::write(&file, r#"{"globals": {"new_setting": "7"}, "aliases": {"l": "ls"}}"#).expect("written");
        fs::write(state.join("shell.json.new"), "half").expect("written");
        memory.update(&mut |kept| drop(kept.bookmarks.insert("v".to_owned(), "/".to_owned()))).expect("kept");
        let text = fs::read_to_string(&file).expect("there");
        let expected = r#"{
  "aliases": {
    "l": "ls"
  },
  "bookmarks": {
    "v": "/"
  },
  "globals": {
    "new_setting": "7"
  }
}
"#;
        assert_eq!(text, expected);
        let mode = |path: &Path| {
            let metadata = fs::metadata(path).expect("there");
            std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
        };
        assert_eq!((mode(&file), mode(&state)), (0o600, 0o700));
    }

    #[test]
    fn many_shells_at_once_lose_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memory = memory(directory.path());
                scope.spawn(move || {
                    for number in 0..25 {
                        let name = format!("b{thread}-{number}");
                        let edit =
                            &mut |kept: &mut Kept| drop(kept.bookmarks.insert(name.clone(), "/".to_owned()));
                        memory.update(edit).expect("kept");
                    }
                });
            }
        });
        assert_eq!(memory(directory.path()).load().bookmarks.len(), 100);
    }

    #[test]
    fn the_log_is_private_and_does_not_grow_without_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = memory(directory.path());
        let line = format!("{}\n", "x".repeat(99_999));
        for _ in 0..30 {
            memory.log("log.txt", std::slice::from_ref(&line));
        }
        let state = directory.path().join("state/lunar");
        let mut sizes = Vec::new();
        for name in ["log.txt", "log.txt.1"] {
            let metadata = fs::metadata(state.join(name)).expect(name);
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
            sizes.push(metadata.len());
        }
        assert_eq!(sizes, [800_000, 1_100_000]);
        assert_eq!(fs::read_dir(state).expect("a directory").count(), 2);
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = memory(directory.path());
        memory.update(&mut |kept| drop(kept.bookmarks.insert("v".to_owned(), "/".to_owned()))).expect("kept");
        let file = directory.path().join("state/lunar/shell.json");
        fs::write(&file, "{ \"globals\": ").expect("written");
        assert_eq!(memory.load(), Kept::default());
        let error = memory.update(&mut |kept| kept.globals.clear()).expect_err("damaged");
        assert!(error.starts_with("cannot remember this in "), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("there"), "{ \"globals\": ");
    }
}
