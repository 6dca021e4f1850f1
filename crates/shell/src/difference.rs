// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a file has otherwise than the configuration: read from the daemon, and shown.
//!
//! Above: `apply`, `diff`.  Below: the wire types, `screen`.
//! Never here: what is otherwise; the daemon compares.

use crate::daemon::ApiError;
use crate::failure::Failure;
use crate::screen::{Level, Paint};
use crate::session::Call;
use crate::size::human;
use api::v1::{Action, Compared, Difference, ValueChange, codes};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A refusal of a file, which then is named.
pub(crate) fn refused(path: &str, error: ApiError) -> Failure {
    match error {
        ApiError::Refused(problem) if problem.code == codes::SAVECONFIG => Failure {
            code: problem.code.into(),
            message: format!("{path}: {}", problem.message),
            hint: problem.hint,
        },
        other => other.into(),
    }
}

/// Shows what is otherwise, and what cannot be as the file says.
pub(crate) fn show(call: &mut Call<'_>, path: &str, compared: &Compared) {
    for note in &compared.notes {
        call.say(Level::Warning, note);
    }
    let colour = call.shell.screen.colour_out && call.kept.is_on("color_mode");
    let text: String = compared.differences.iter().map(|difference| lines(difference, colour)).collect();
    call.print(&text);
    if !compared.differences.is_empty() {
        call.say(Level::Info, &sum(&compared.differences));
    }
    for wwn in &compared.guests_lose {
        call.say(Level::Warning, &format!("The guest of {wwn} is connected and would lose what it has."));
    }
    call.result(result(path, compared));
}

/// The same for programs.
pub(crate) fn result(path: &str, compared: &Compared) -> Value {
    json!({
        "file": path,
        "generation": compared.generation,
        "applied": compared.applied,
        "differences": compared.differences,
        "guests_lose": compared.guests_lose,
    })
}

fn lines(difference: &Difference, colour: bool) -> String {
    let Difference { action, path, values } = difference;
    let (sign, paint) = match action {
        Action::Create => ("+", Paint::GREEN),
        Action::Change => ("~", Paint::YELLOW),
        Action::Replace => ("!", Paint::RED),
        Action::Delete => ("-", Paint::RED),
    };
    let mut head = format!("{sign} {path}");
    if *action == Action::Delete {
        let was: Vec<&str> = values.iter().filter_map(|value| value.from.as_deref()).collect();
        if !was.is_empty() {
            let _ = write!(head, " ({})", was.join(" "));
        }
    }
    if *action == Action::Replace {
        head.push_str(" (made anew)");
    }
    let mut text = if colour { paint.on(&head) } else { head };
    text.push('\n');
    if *action != Action::Delete {
        text.extend(values.iter().map(value_line));
    }
    text
}

fn value_line(change: &ValueChange) -> String {
    let shown = |value: &String| match (change.name.as_str(), value.parse()) {
        ("size_bytes", Ok(bytes)) => format!("{bytes} ({})", human(bytes)),
        _ => value.clone(),
    };
    let name = &change.name;
    match (change.from.as_ref().map(shown), change.to.as_ref().map(shown)) {
        (Some(from), Some(to)) => format!("    {name}: {from} -> {to}\n"),
        (Some(from), None) => format!("    {name}: {from} -> none\n"),
        (None, Some(to)) => format!("    {name}: {to}\n"),
        (None, None) => String::new(),
    }
}

/// How much of what: `1 to make, 2 to remove`.
fn sum(differences: &[Difference]) -> String {
    let count = |wanted: Action, word: &str| {
        let count = differences.iter().filter(|difference| difference.action == wanted).count();
        (count > 0).then(|| format!("{count} to {word}"))
    };
    let parts = [
        count(Action::Create, "make"),
        count(Action::Change, "change"),
        count(Action::Replace, "make anew"),
        count(Action::Delete, "remove"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
