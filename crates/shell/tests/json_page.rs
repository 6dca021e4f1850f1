// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--json` is what its page says: every name that a command answers is in its row, and every name there is answered.

use crate::support::{Session, furnished};
use api::v1::Waiting;
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/manual/json.md");
const WWN: &str = "naa.500140568720f76f";

/// The words between back quotes that can be names.
fn quoted(text: &str) -> BTreeSet<String> {
    let words = text.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    words.filter(is_name).map(str::to_owned).collect()
}

/// The second cell of the row that begins so.
fn row(first: &str) -> BTreeSet<String> {
    let head = format!("| {first} | ");
    let line = PAGE.lines().find_map(|line| line.strip_prefix(&head));
    quoted(line.unwrap_or_else(|| panic!("the page has no row {first}")))
}

/// The names of all members, and the words that are values, without what is made of the names of things.
fn names(value: &Value, members: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                members.insert(name.clone());
                // What `info` shows has names of its own.
                if !["info", "bookmarks", "children"].contains(&name.as_str()) {
                    names(value, members, words);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, members, words)),
        Value::String(word) => drop(words.insert(word.clone())),
        _ => {}
    }
}

/// What a line answers: its members, and its words.
fn answered(session: &mut Session, line: &str) -> [BTreeSet<String>; 2] {
    let reply = session.run(&format!("{line} --json"));
    let answer: Value =
        serde_json::from_str(&reply.out).unwrap_or_else(|err| panic!("{line}: {err}: {reply:?}"));
    assert_eq!(answer["error"], Value::Null, "{line}");
    let (mut members, mut words) = (BTreeSet::new(), BTreeSet::new());
    names(&answer["result"], &mut members, &mut words);
    [members, words]
}

/// Everything there is: lists, groups, a guest that waits.
fn full() -> Session {
    let mut session = furnished();
    for line in [
        format!("/vhost/{WWN}/tpg1/acls create naa.5001405000000009"),
        "/backstores/fileio/disk1/alua create grp1 1".to_owned(),
        "/ bookmarks add here".to_owned(),
    ] {
        let reply = session.run(&line);
        assert_eq!(reply.err, "", "{line}");
    }
    for backstore in &mut session.fake.0.borrow_mut().config.backstores {
        backstore.attributes.insert("emulate_removable".to_owned(), "1".to_owned());
    }
    session.fake.connect(WWN);
    session.fake.0.borrow_mut().config.targets[0].socket_fault = Some("move it away".to_owned());
    let waiting = Waiting { lun: 0, command: "WRITE (10)".to_owned(), seconds: 45, commands: 3 };
    session.fake.wait(WWN, 1, waiting);
    session
}

#[test]
fn every_name_of_a_result_is_in_its_row_and_every_name_of_a_row_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wanted.json");
    std::fs::write(&file, "{}").unwrap();
    let file = file.display();
    let mut session = full();
    let difference = crate::support::difference(api::v1::Action::Change, "/vhost", &["a=b>c"]);
    session.fake.0.borrow_mut().differences.push(difference);
    // The files are at the API's.
    let of_files = ["action", "path", "values", "name", "from", "to"].map(str::to_owned);
    for (first, lines) in [
        ("`status`", &["/vhost status"][..]),
        (
            "`create`, `delete`",
            &[
                "/backstores/ramdisk create r9 8M",
                "/backstores/ramdisk delete r9",
                "/vhost/naa.500140568720f76f/tpg1/acls create naa.5001405000000008",
            ],
        ),
        ("`sessions`", &["sessions"]),
        ("`get`, `set` without a group", &["get", "set"]),
        ("`get GROUP`", &["get global", "/backstores/block/disk0 get attribute"]),
        ("`set GROUP NAME=VALUE`", &["/backstores/block/disk0 set attribute emulate_tpu=1"]),
        ("`pwd`", &["pwd"]),
        ("`version` at `/`", &["version"]),
        ("`bookmarks show`", &["bookmarks show"]),
        ("`saveconfig`", &["saveconfig"]),
        ("`restoreconfig`", &["restoreconfig"]),
        ("`resize`", &["/backstores/ramdisk/disk2 resize 16M"]),
        ("`eject`, `load`", &["/backstores/block/disk0 eject", "/backstores/block/disk0 load"]),
        ("`diff`, `apply`", &[&format!("diff {file}"), &format!("apply {file} --yes")]),
        ("`clearconfig`", &["clearconfig confirm=True"]),
        ("others", &["help pwd"]),
    ] {
        let row = row(first);
        let (mut members, mut words) = (BTreeSet::new(), BTreeSet::new());
        for line in lines {
            let [of_line, words_of_line] = answered(&mut session, line);
            members.extend(of_line);
            words.extend(words_of_line);
        }
        if first == "`diff`, `apply`" {
            members.retain(|name| !of_files.contains(name));
        }
        let untold: Vec<_> = members.difference(&row).collect();
        assert!(untold.is_empty(), "{first} answers {untold:?}, of which the page says nothing");
        let absent: Vec<_> =
            row.iter().filter(|name| !members.contains(*name) && !words.contains(*name)).collect();
        assert!(absent.is_empty(), "the page has {absent:?} of {first}, which are not answered");
    }
}

/// A node and all below it.
fn nodes<'t>(node: &'t Value, found: &mut Vec<&'t Value>) {
    found.push(node);
    node["children"].as_array().into_iter().flatten().for_each(|child| nodes(child, found));
}

#[test]
fn every_name_of_a_node_is_in_the_page_and_every_name_there_is_of_some_node() {
    let mut session = full();
    let reply = session.run("ls / --json");
    let answer: Value = serde_json::from_str(&reply.out).unwrap();
    let mut all = Vec::new();
    nodes(&answer["result"], &mut all);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let of_nodes: BTreeSet<String> = all.iter().flat_map(|node| keys(node)).collect();
    let kinds: BTreeSet<String> = all.iter().map(|node| node["kind"].as_str().unwrap().to_owned()).collect();
    let details: BTreeSet<String> = all.iter().flat_map(|node| keys(&node["details"])).collect();

    let (_, table) = PAGE.split_once("A node is an object with").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let firsts =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |")).map(|(first, _)| first);
    assert_eq!(firsts.flat_map(quoted).collect::<BTreeSet<_>>(), of_nodes);
    // The kernel's own target alone has these.
    let mut told = row("`kind`");
    assert!(told.remove("foreign"));
    assert_eq!(told, kinds);
    assert_eq!(row("`details`"), details);
}
