// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--json`: every reply as a program reads it, letter by letter.

use crate::support::{Session, furnished};

/// Plays a line, and compares the one line that comes of it.
#[track_caller]
fn check(session: &mut Session, line: &str, expected: &str) {
    let reply = session.run(line);
    assert_eq!((reply.out.as_str(), reply.err.as_str()), (format!("{expected}\n").as_str(), ""), "{line}");
    assert_eq!(reply.failed, expected.contains(r#""ok":false"#), "{line}");
}

#[test]
fn what_is_made_and_removed_is_named_by_its_path() {
    let mut session = Session::new();
    check(
        &mut session,
        "/backstores/fileio create --json disk1 /srv/exists.img 16M",
        r#"{"schema":1,"command":"create","path":"/backstores/fileio","ok":true,"messages":[{"level":"info","text":"/srv/exists.img exists, using its size (1048576 bytes) instead"},{"level":"info","text":"Created fileio disk1 with size 1048576"}],"result":{"path":"/backstores/fileio/disk1"},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost create --json",
        r#"{"schema":1,"command":"create","path":"/vhost","ok":true,"messages":[{"level":"info","text":"Created target naa.5001405000000001."},{"level":"info","text":"Created TPG 1."}],"result":{"path":"/vhost/naa.5001405000000001"},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost/naa.5001405000000001/tpg1/luns create /backstores/fileio/disk1 --json",
        r#"{"schema":1,"command":"create","path":"/vhost/naa.5001405000000001/tpg1/luns","ok":true,"messages":[{"level":"info","text":"Created LUN 0."}],"result":{"path":"/vhost/naa.5001405000000001/tpg1/luns/lun0"},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost delete --json naa.5001405000000001",
        r#"{"schema":1,"command":"delete","path":"/vhost","ok":true,"messages":[{"level":"info","text":"Deleted Target naa.5001405000000001."}],"result":{"path":"/vhost/naa.5001405000000001"},"error":null}"#,
    );
}

#[test]
fn what_is_known_of_a_node_is_told_with_its_types() {
    let mut session = furnished();
    check(
        &mut session,
        "/backstores/ramdisk/disk2 info --json",
        r#"{"schema":1,"command":"info","path":"/backstores/ramdisk/disk2","ok":true,"messages":[],"result":{"details":{"block_bytes":512,"ejected":false,"missing":false,"read_only":false,"size_bytes":8388608,"stopped":false,"write_cache":false},"healthy":true,"info":{"name":"disk2","plugin":"ramdisk","size":8388608,"wwn":"f510d97b-fce2-49bd-94e7-4a7197a827d4"},"kind":"storage_object","name":"disk2","path":"/backstores/ramdisk/disk2","summary":"(8.0MiB) deactivated"},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost status --json",
        r#"{"schema":1,"command":"status","path":"/vhost","ok":true,"messages":[{"level":"info","text":"Status for /vhost: Targets: 1"}],"result":{"healthy":null,"path":"/vhost","summary":"Targets: 1"},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost pwd --json",
        r#"{"schema":1,"command":"pwd","path":"/vhost","ok":true,"messages":[],"result":{"path":"/vhost"},"error":null}"#,
    );
}

#[test]
fn parameters_are_told_with_their_values() {
    let mut session = furnished();
    check(
        &mut session,
        "/backstores/fileio/disk1 get --json",
        r#"{"schema":1,"command":"get","path":"/backstores/fileio/disk1","ok":true,"messages":[],"result":{"groups":["global","attribute","identity"]},"error":null}"#,
    );
    check(
        &mut session,
        "/backstores/fileio/disk1 get attribute hw_block_size --json",
        r#"{"schema":1,"command":"get","path":"/backstores/fileio/disk1","ok":true,"messages":[],"result":{"group":"attribute","parameters":[{"about":"Bytes of a block of the medium.","name":"hw_block_size","type":"number","value":"512","writable":false}]},"error":null}"#,
    );
    check(
        &mut session,
        "/backstores/fileio/disk1 set attribute emulate_tpu=1 --json",
        r#"{"schema":1,"command":"set","path":"/backstores/fileio/disk1","ok":true,"messages":[{"level":"info","text":"Parameter emulate_tpu is now '1'."}],"result":{"group":"attribute","parameters":[{"name":"emulate_tpu","value":"1"}]},"error":null}"#,
    );
}

#[test]
fn a_failure_is_an_object_too_and_nothing_is_on_standard_error() {
    let mut session = furnished();
    check(
        &mut session,
        "/nosuch ls --json",
        r#"{"schema":1,"command":"ls","path":"/nosuch","ok":false,"messages":[],"result":null,"error":{"code":"no_such_path","message":"No such path /nosuch","hint":"/ has backstores vhost"}}"#,
    );
    check(
        &mut session,
        "/vhost/naa.500140568720f76f/tpg1/luns delete --json",
        r#"{"schema":1,"command":"delete","path":"/vhost/naa.500140568720f76f/tpg1/luns","ok":false,"messages":[],"result":null,"error":{"code":"syntax","message":"Missing required parameter lun","hint":"the command is: delete lun"}}"#,
    );
    check(
        &mut session,
        "/backstores/fileio delete disk1 --json",
        r#"{"schema":1,"command":"delete","path":"/backstores/fileio","ok":false,"messages":[],"result":null,"error":{"code":"backstore_in_use","message":"storage object disk1 is in use by naa.500140568720f76f","hint":"delete the LUN first"}}"#,
    );
    check(
        &mut session,
        "/vhost create iqn.x --json",
        r#"{"schema":1,"command":"create","path":"/vhost","ok":false,"messages":[],"result":null,"error":{"code":"wwn_invalid","message":"WWN not valid as: naa","hint":"'iqn.x'; a WWN is naa. and 16 digits"}}"#,
    );
    session.fake.stop();
    check(
        &mut session,
        "ls --json",
        r#"{"schema":1,"command":"ls","path":null,"ok":false,"messages":[],"result":null,"error":{"code":"unreached","message":"no lunard is running at /run/lunar/api.sock","hint":"start it with `lunard`"}}"#,
    );
}

#[test]
fn each_child_has_a_line_of_its_own() {
    let mut session = furnished();
    let out = session.run("/backstores/* status --json").out;
    let paths: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["path"].to_string())
        .collect();
    assert_eq!(paths, [r#""/backstores/block""#, r#""/backstores/fileio""#, r#""/backstores/ramdisk""#]);
}

#[test]
fn a_command_without_a_result_tells_its_text_or_nothing() {
    let mut session = furnished();
    check(
        &mut session,
        "refresh --json",
        r#"{"schema":1,"command":"refresh","path":"/","ok":true,"messages":[],"result":null,"error":null}"#,
    );
    let told: serde_json::Value = serde_json::from_str(&session.run("help pwd --json").out).expect("JSON");
    assert!(told["result"]["text"].as_str().expect("text").contains("SYNTAX\n======\npwd \n"), "{told}");
}

#[test]
fn a_shell_that_speaks_json_needs_no_flag() {
    let mut session = furnished();
    session.shell.speak_json();
    check(
        &mut session,
        "/vhost pwd",
        r#"{"schema":1,"command":"pwd","path":"/vhost","ok":true,"messages":[],"result":{"path":"/vhost"},"error":null}"#,
    );
    // What a program must hear is not silenced by what its user likes.
    check(
        &mut session,
        "set global loglevel_console=error",
        r#"{"schema":1,"command":"set","path":"/","ok":true,"messages":[{"level":"info","text":"Parameter loglevel_console is now 'error'."}],"result":{"group":"global","parameters":[{"name":"loglevel_console","value":"error"}]},"error":null}"#,
    );
    check(
        &mut session,
        "/vhost status",
        r#"{"schema":1,"command":"status","path":"/vhost","ok":true,"messages":[{"level":"info","text":"Status for /vhost: Targets: 1"}],"result":{"healthy":null,"path":"/vhost","summary":"Targets: 1"},"error":null}"#,
    );
}
