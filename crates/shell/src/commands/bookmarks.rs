// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `bookmarks`: names for nodes.
//!
//! Above: the table.  Below: `settings`.
//! Never here: what `@name` means; `session` knows.

use crate::command::{Command, Needs, Places, Values, optional, required};
use crate::failure::{Failure, codes};
use crate::screen::Level;
use crate::session::Call;
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "bookmarks",
    places: Places::All,
    parameters: &[
        required("action", Values::Choice(&["add", "del", "go", "show"]), "add, del, go or show"),
        optional("bookmark", Values::Bookmark, "its name"),
    ],
    summary: "Keep names for nodes",
    details: "`bookmarks add NAME` names this node, `@NAME` then is its path. `del` forgets a name, `go` goes \
there, `show` lists all. The bookmark `last` is the node created last.",
    needs: Needs::Tree,
    run,
}];

fn run(call: &mut Call<'_>) -> Result<(), Failure> {
    let name = call.arguments.get("bookmark").map(str::to_owned);
    match (call.arguments.required("action")?, name) {
        ("show", None) => {
            show(call);
            Ok(())
        }
        ("add", Some(name)) => add(call, &name),
        ("del", Some(name)) => {
            existing(call, &name)?;
            call.remember(&mut |kept| drop(kept.bookmarks.remove(&name)))?;
            call.say(Level::Info, &format!("Deleted bookmark {name}."));
            Ok(())
        }
        ("go", Some(name)) => {
            let path = call.resolve(&existing(call, &name)?)?;
            call.tree.find(&path)?;
            call.shell.here = path.clone();
            call.shell.visits.go(path);
            Ok(())
        }
        _ => {
            let hint = "the command is: bookmarks add NAME, go NAME, del NAME or show";
            Err(Failure::new("Syntax error, see 'help bookmarks'.").hint(hint).code(codes::SYNTAX))
        }
    }
}

fn existing(call: &Call<'_>, name: &str) -> Result<String, Failure> {
    let path = call.kept.bookmarks.get(name).cloned();
    path.ok_or_else(|| {
        Failure::new(format!("No such bookmark {name}.")).hint("`bookmarks show` has those there are")
    })
}

fn add(call: &mut Call<'_>, name: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'.' | b'-');
    if !name.bytes().all(allowed) {
        return Err(Failure::new(format!(
            "Bookmark {name} has characters other than letters, digits and : _ . -"
        )));
    }
    if call.kept.bookmarks.contains_key(name) {
        return Err(Failure::new(format!("Bookmark {name} already exists.")));
    }
    let path = call.path.to_string();
    call.remember(&mut |kept| drop(kept.bookmarks.insert(name.to_owned(), path.clone())))?;
    call.say(Level::Info, &format!("Bookmarked {path} as {name}."));
    Ok(())
}

fn show(call: &mut Call<'_>) {
    call.result(json!({ "bookmarks": call.kept.bookmarks }));
    if call.kept.bookmarks.is_empty() {
        call.say(Level::Info, "No bookmarks yet.");
        return;
    }
    call.print("\nBOOKMARKS\n=========\n");
    for (name, path) in &call.kept.bookmarks {
        call.print(&format!("\n{name}\n{}\n{path}\n", "-".repeat(name.chars().count())));
    }
}
