// SPDX-License-Identifier: Apache-2.0 OR MIT
//! lunard(8): the manual page, made of the table that `--help` is made of.
//!
//! Above: `main`.  Below: `options`; `clap_mangen`.
//! Never here: a sentence about an option.

use crate::options::Options;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::io;

/// The page, for man(1).
///
/// # Errors
/// None that one would expect of memory.
pub fn page() -> io::Result<String> {
    let man = Man::new(Options::command()).section("8").manual("Lunar").date(" ");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis().to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    rest().to_writer(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn synopsis() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    let usage = Options::command().render_usage().to_string();
    page.text([roman(usage.trim_start_matches("Usage:").trim())]);
    page
}

fn rest() -> Roff {
    let mut page = Roff::new();
    let mut item = |term: &str, about: &str| {
        page.control("TP", []);
        page.text([italic(term)]);
        page.text([roman(about)]);
    };
    item("LUNAR_STATE_DIR, LUNAR_RUNTIME_DIR", "Stand for --state-dir and --runtime-dir.");
    item("LUNAR_LOG", "How much is logged: error, warn, info (if it is not set), debug.");
    let mut files = Roff::new();
    files.control("SH", ["ENVIRONMENT"]);
    files.extend([page]);
    files.control("SH", ["FILES"]);
    for (file, about) in [
        (
            "/var/lib/lunar",
            "The state directory of root: the configuration in a database, and saveconfig.json with earlier versions.",
        ),
        ("/run/lunar/api.sock", "The runtime directory of root: where lunar asks."),
        ("/run/lunar/vhost/WWN.sock", "Where QEMU connects, one socket a target."),
    ] {
        files.control("TP", []);
        files.text([italic(file)]);
        files.text([roman(about)]);
    }
    files.control("SH", ["SIGNALS"]);
    files.control("TP", []);
    files.text([bold("SIGTERM"), roman(", "), bold("SIGINT")]);
    files.text([roman("What guests have in flight is finished, within ten seconds, and then the daemon ends; at a second one it ends at once. A lunard that is started again goes on with what was left.")]);
    files.control("SH", ["EXIT STATUS"]);
    files.text([roman(
        "0 after a signal to end; 1 where it could not start, with the reason in one line on standard error.",
    )]);
    files.control("SH", ["SEE ALSO"]);
    files.text([
        bold("lunar"),
        roman("(1), "),
        bold("lunar-apply"),
        roman("(5), "),
        bold("lunar-saveconfig"),
        roman("(5)"),
    ]);
    files
}
