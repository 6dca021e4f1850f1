// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A saveconfig.json of the user's own: read, merged and written.
//!
//! Above: `saveconfig`, `restoreconfig`, `apply`, `diff`.  Below: one file.
//! Never here: the daemon's file; that is the daemon's.

use crate::failure::{Failure, plain};
use api::v1;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a packed file starts with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The member in which the daemon writes what LIO's format has no word for.
const OWN: &str = "x_lunar";

/// The text of a file.
///
/// # Errors
/// One line that names the file: it is not there, empty, packed, or longer than what is restored.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    read_or(path, || format!("Restore file {path} not found"))
}

/// The same, with other words for a file that is not there.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_or(path: &str, missing: impl Fn() -> String) -> Result<Vec<u8>, Failure> {
    let fault = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(missing()),
        _ => Failure::new(format!("Could not read {path}: {}", plain(error))),
    };
    let file = File::open(path).map_err(|error| fault(&error))?;
    let most = u64::try_from(v1::SAVECONFIG_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut text).map_err(|error| fault(&error))?;
    if text.len() > v1::SAVECONFIG_BYTES_MAX {
        return Err(Failure::new(format!("{path} is longer than {most} bytes")));
    }
    if text.is_empty() {
        return Err(Failure::new(format!("{path} is empty")));
    }
    if text.starts_with(GZIP) {
        return Err(Failure::new(format!("{path} is packed")).hint("unpack it with gunzip first"));
    }
    Ok(text)
}

/// Puts a whole file in the place of what was there, readable by its owner alone: it may hold secrets of LIO.
///
/// # Errors
/// One line that names the file, which then is as it was.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    replace(path, text)
        .map_err(|error| Failure::new(format!("Could not write {}: {}", path.display(), plain(&error))))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // A file is named durably once its directory is.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let made = make_directories(directory)?;
    let written = put_beside(path, directory, text);
    if written.is_err() {
        remove_directories(&made);
    }
    written
}

/// Makes a directory, and those above it, as far as they are not there: each is named durably.  Returns those, the outermost
/// first; none are left of a failure.
fn make_directories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_missing = |one: &&Path| !one.as_os_str().is_empty() && !one.is_dir();
    let mut missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    missing.reverse();
    let mut made = Vec::new();
    for one in missing {
        // As LIO's tools do, who then cannot enter it.
        let there = match fs::DirBuilder::new().mode(0o700).create(one) {
            Ok(()) => {
                made.push(one.to_owned());
                let above = one.parent().filter(|above| !above.as_os_str().is_empty());
                File::open(above.unwrap_or(Path::new("."))).and_then(|above| above.sync_all())
            }
            // Somebody else came first.
            Err(_) if one.is_dir() => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = there {
            remove_directories(&made);
            return Err(error);
        }
    }
    Ok(made)
}

/// Removes directories that were made for nothing.  One that somebody else uses by now stays.
fn remove_directories(made: &[PathBuf]) {
    for one in made.iter().rev() {
        // That it cannot be removed is less than the error at hand.
        let _ = fs::remove_dir(one);
    }
}

fn put_beside(path: &Path, directory: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    // Two who save at once do not take each other's; one of this number that is there, a crash left.
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // What was begun is of no use; that it cannot be removed is less than the error at hand.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Puts one storage object, `block/disk0`, and every target that shows it from `now` into a file, and leaves the rest
/// of the file.
///
/// # Errors
/// One line that names the file, which then is as it was.
pub(crate) fn merge(path: &Path, now: &str, object: &str) -> Result<(), Failure> {
    let no_json = |what: &str, error: &serde_json::Error| {
        Failure::new(format!("{what} is no saveconfig.json: {error}"))
    };
    let now: Value = serde_json::from_str(now).map_err(|error| no_json("lunard's answer", &error))?;
    let shown = path.display().to_string();
    let mut file: Map<String, Value> = if path.exists() {
        serde_json::from_slice(&read(&shown)?).map_err(|error| no_json(&shown, &error))?
    } else {
        Map::new()
    };
    for list in ["storage_objects", "targets"] {
        if file.get(list).is_some_and(|value| !value.is_array()) {
            return Err(Failure::new(format!("{shown} is no saveconfig.json: '{list}' is no list")));
        }
    }
    put(&mut file, "storage_objects", &now, &|one| is_object(one, object), &|one, other| {
        one["plugin"] == other["plugin"] && one["name"] == other["name"]
    });
    put(&mut file, "targets", &now, &|one| shows(one, object), &|one, other| {
        one["fabric"] == other["fabric"] && one["wwn"] == other["wwn"]
    });
    file.entry("fabric_modules").or_insert_with(|| Value::Array(Vec::new()));
    put_own(&mut file, &now, object);
    write(path, &v1::saveconfig_text(Value::Object(file)))
}

/// Puts those things of a list that are wanted in the place of their likes.
fn put(
    file: &mut Map<String, Value>,
    list: &str,
    now: &Value,
    is_wanted: &dyn Fn(&Value) -> bool,
    is_same: &dyn Fn(&Value, &Value) -> bool,
) {
    let mut kept = file.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted = now[list].as_array().into_iter().flatten().filter(|one| is_wanted(one));
    for one in wanted {
        match kept.iter_mut().find(|other| is_same(one, other)) {
            Some(other) => *other = one.clone(),
            None => kept.push(one.clone()),
        }
    }
    file.insert(list.to_owned(), Value::Array(kept));
}

/// A file that is not ours yet must not become ours by halves: what it does not say has another meaning then.
fn put_own(file: &mut Map<String, Value>, now: &Value, object: &str) {
    let is_new = file.get("storage_objects").and_then(Value::as_array).is_some_and(|all| all.len() == 1);
    if !file.contains_key(OWN) && !is_new {
        return;
    }
    let own = file.entry(OWN).or_insert_with(|| Value::Object(Map::new()));
    let Some(own) = own.as_object_mut() else { return };
    own.insert("version".to_owned(), now[OWN]["version"].clone());
    let Some(of_object) = now[OWN]["storage_objects"].get(object) else { return };
    let objects = own.entry("storage_objects").or_insert_with(|| Value::Object(Map::new()));
    if let Some(objects) = objects.as_object_mut() {
        objects.insert(object.to_owned(), of_object.clone());
    }
}

fn is_object(one: &Value, object: &str) -> bool {
    match (one["plugin"].as_str(), one["name"].as_str()) {
        (Some(plugin), Some(name)) => format!("{plugin}/{name}") == object,
        _ => false,
    }
}

fn shows(target: &Value, object: &str) -> bool {
    let path = format!("/backstores/{object}");
    let groups = target["tpgs"].as_array().into_iter().flatten();
    let luns = groups.flat_map(|tpg| tpg["luns"].as_array().into_iter().flatten());
    luns.into_iter().any(|lun| lun["storage_object"] == path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_for_a_file_and_for_none_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b/c");
        let too_long = inner.join("x".repeat(256));
        assert!(write(&too_long, "{}").is_err());
        assert!(!folder.path().join("a").exists());
        // What was there stays there.
        fs::create_dir(folder.path().join("a")).unwrap();
        assert!(write(&too_long, "{}").is_err());
        assert!(folder.path().join("a").exists() && !folder.path().join("a/b").exists());
        write(&inner.join("file"), "{}").unwrap();
        assert_eq!(fs::read(inner.join("file")).unwrap(), b"{}");
    }
}
