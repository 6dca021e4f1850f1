// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where this machine gets its packages, and how its backports are named there (sources.list(5)).
//!
//! Above: `qemu`.  Below: `/etc/apt`.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The file we add where backports are not configured.
pub(super) const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/lunar-backports.sources";

/// One source as a stanza: fields in order, a value with its continuation lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source(Vec<(String, String)>);

/// Options of the one-line style whose field has another name.
const OPTION_FIELDS: &[(&str, &str)] =
    &[("arch", "Architectures"), ("lang", "Languages"), ("target", "Targets")];

impl Source {
    fn field(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn lists(&self, field: &str, word: &str) -> bool {
        self.field(field).split_whitespace().any(|listed| listed == word)
    }

    fn is_enabled(&self) -> bool {
        !["no", "false", "0"].contains(&self.field("Enabled").trim().to_ascii_lowercase().as_str())
    }

    /// Whether it brings binary packages of a suite.
    pub(super) fn has_suite(&self, suite: &str) -> bool {
        self.is_enabled() && self.lists("Types", "deb") && self.lists("Suites", suite)
    }
}

/// What is configured.
pub(super) fn configured() -> Result<Vec<Source>> {
    read(Path::new("/etc/apt"))
}

fn read(folder: &Path) -> Result<Vec<Source>> {
    let mut files: Vec<PathBuf> = vec![folder.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(folder.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let text =
            || std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(text()?.lines().filter_map(parse_line)),
            Some("sources") => sources.extend(parse_stanzas(&text()?)),
            _ => {}
        }
    }
    Ok(sources)
}

/// `deb [ option=value ] URI suite component…`
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let (kind, mut rest) = line.split_once(char::is_whitespace)?;
    rest = rest.trim_start();
    let mut fields = Vec::new();
    if let Some(open) = rest.strip_prefix('[') {
        let (options, after) = open.split_once(']')?;
        for (name, value) in options.split_whitespace().filter_map(|option| option.split_once('=')) {
            let known = OPTION_FIELDS.iter().find(|(option, _)| *option == name);
            fields.push((known.map_or(name, |(_, field)| field).to_owned(), value.replace(',', " ")));
        }
        rest = after;
    }
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    for (field, value) in [("Types", kind), ("URIs", uri), ("Suites", suite), ("Components", &components)] {
        fields.push((field.to_owned(), value.to_owned()));
    }
    Some(Source(fields))
}

/// Stanzas of `Field: value`, apart by empty lines; a value goes on in lines that start with a blank.
fn parse_stanzas(text: &str) -> Vec<Source> {
    let mut sources = vec![Source(Vec::new())];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields = match sources.last_mut() {
            Some(Source(fields)) => fields,
            None => break,
        };
        if line.trim().is_empty() {
            sources.push(Source(Vec::new()));
        } else if line.starts_with(char::is_whitespace) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((field, value)) = line.split_once(':') {
            fields.push((field.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sources.retain(|source| !source.0.is_empty());
    sources
}

/// The file that adds a release's backports: the source that brings the release itself, with its address, its
/// keys and its other options, for another suite.
pub(super) fn backports_of(sources: &[Source], codename: &str) -> Option<String> {
    let brings = |suite: &str| {
        sources.iter().find(|source| source.has_suite(suite) && source.lists("Components", "main"))
    };
    let source = [codename, "stable", "oldstable"].into_iter().find_map(brings)?;
    let mut text = "# Added by Lunar's `cargo xtask setup`, for a QEMU whose disks reconnect.\n".to_owned();
    for (field, value) in &source.0 {
        let suite = format!("{codename}-backports");
        let value = match field.to_ascii_lowercase().as_str() {
            "types" => "deb",
            "suites" => &suite,
            "components" => "main",
            _ => value,
        };
        text.push_str(&format!("{field}: {value}\n"));
    }
    Some(text)
}

/// The release's name, such as `bookworm`.
pub(super) fn release_codename() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    codename_in(&release).context("/etc/os-release names no VERSION_CODENAME")
}

fn codename_in(release: &str) -> Option<String> {
    let named = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(named.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                          Components: main contrib\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n\n\
                          Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\
                          Components: main\n";

    #[test]
    fn backports_come_from_the_mirror_and_with_the_keys_of_the_release() {
        let text = backports_of(&parse_stanzas(DEB822), "bookworm");
        assert_eq!(
            text.as_deref(),
            Some(
                "# Added by Lunar's `cargo xtask setup`, for a QEMU whose disks reconnect.\n\
                 Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
                 Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n"
            )
        );
    }

    #[test]
    fn the_one_line_style_keeps_its_options() {
        let line = "deb [arch=amd64,i386 signed-by=/k.gpg] https://m.example/debian bookworm main # mirror";
        let sources: Vec<Source> = parse_line(line).into_iter().collect();
        assert_eq!(
            backports_of(&sources, "bookworm").as_deref(),
            Some(
                "# Added by Lunar's `cargo xtask setup`, for a QEMU whose disks reconnect.\n\
                 Architectures: amd64 i386\nsigned-by: /k.gpg\nTypes: deb\nURIs: https://m.example/debian\n\
                 Suites: bookworm-backports\nComponents: main\n"
            )
        );
    }

    #[test]
    fn a_disabled_source_does_not_count() {
        let sources = parse_stanzas(
            "Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\nEnabled: no\n",
        );
        assert!(!sources[0].has_suite("bookworm"));
        assert_eq!(backports_of(&sources, "bookworm"), None);
    }

    #[test]
    fn only_files_that_apt_reads_are_read() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("sources.list"), "deb http://a.example/ bookworm main\n")?;
        std::fs::create_dir(folder.path().join("sources.list.d"))?;
        std::fs::write(folder.path().join("sources.list.d/b.sources"), DEB822)?;
        std::fs::write(
            folder.path().join("sources.list.d/c.list.off"),
            "deb http://c.example/ bookworm-backports main",
        )?;
        let sources = read(folder.path())?;
        assert_eq!(sources.len(), 3);
        assert!(!sources.iter().any(|source| source.has_suite("bookworm-backports")));
        Ok(())
    }

    #[test]
    fn the_codename_is_read_with_and_without_quotes() {
        assert_eq!(codename_in("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename_in("VERSION_CODENAME=\"noble\"\n").as_deref(), Some("noble"));
        assert_eq!(codename_in("ID=arch\n"), None);
    }
}
