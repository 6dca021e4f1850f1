// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cd`.

use crate::support::{furnished, transcript};
use std::cell::RefCell;
use std::rc::Rc;

#[test]
fn it_goes_up_down_and_home() {
    transcript(
        "
/> cd backstores
/backstores> cd block
/backstores/block> cd ../fileio/
/backstores/fileio> cd .
/backstores/fileio> cd nosuch
! No such path /backstores/fileio/nosuch
! hint: /backstores/fileio has nothing below it
/backstores/fileio> cd
No terminal to pick a node on: going to /.
/> cd ..
/> cd ./vhost/.
/vhost> cd /
",
    );
}

#[test]
fn a_node_is_picked_where_somebody_can() {
    let mut session = furnished();
    let shown = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&shown);
    session.shell.pick_with(Box::new(move |outline, start| {
        let lines: Vec<String> = outline(40).into_iter().map(|line| line.plain).collect();
        let vhost = lines.iter().position(|line| line.starts_with("  o- vhost"));
        seen.borrow_mut().push((lines[start].clone(), lines.last().cloned().unwrap_or_default()));
        // From there it is left the next time.
        Ok(vhost.filter(|at| *at != start))
    }));
    session.transcript(
        "
/> set global tree_show_root=false
Parameter tree_show_root is now 'false'.
/> cd
/vhost> cd
/vhost> cd <
Taking you back to /.
/> cd /
",
    );
    let lun0 = "          o- lun0  [fileio/disk1 (/srv/disk1.img) (default_tg_pt_gp)]".to_owned();
    let expected = [
        ("o- / ............................. [...]".to_owned(), lun0.clone()),
        ("  o- vhost ................ [Targets: 1]".to_owned(), lun0),
    ];
    assert_eq!(*shown.borrow(), expected);
    // For a program there is nothing to pick.
    let reply = session.run("/vhost cd --json");
    assert!(reply.out.contains("No terminal to pick a node on"), "{}", reply.out);
}

#[test]
fn a_screen_that_fails_is_one_clear_error() {
    let mut session = furnished();
    session.shell.pick_with(Box::new(|_, _| Err(std::io::Error::other("no such screen"))));
    session.transcript("/> cd\n! the tree cannot be shown on this terminal: no such screen\n");
}

#[test]
fn a_path_alone_goes_there() {
    transcript(
        "/> /vhost\n/vhost> ..\n/> backstores/ramdisk\n/backstores/ramdisk> pwd\n/backstores/ramdisk\n",
    );
}

#[test]
fn visited_nodes_are_walked_back_and_forth() {
    transcript(
        "
/> cd <
Reached begining of path history.
/> cd vhost
/vhost> cd /backstores
/backstores> cd <
Taking you back to /vhost.
/vhost> cd <
Taking you back to /.
/> cd >
Taking you back to /vhost.
/vhost> cd >
Taking you back to /backstores.
/backstores> cd >
Reached the end of path history.
",
    );
}

#[test]
fn a_long_path_is_shortened_in_the_prompt() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> cd tpg1
/vhost/naa.50...8720f76f/tpg1> pwd
/vhost/naa.500140568720f76f/tpg1
/vhost/naa.50...8720f76f/tpg1> set global prompt_length=0
Parameter prompt_length is now '0'.
/vhost/naa.500140568720f76f/tpg1> cd /
",
    );
}

#[test]
fn a_node_that_has_gone_is_missed_by_relative_paths_alone() {
    furnished().transcript(
        "
/> cd /vhost/naa.500140568720f76f
/vhost/naa.500140568720f76f> /vhost delete naa.500140568720f76f
Deleted Target naa.500140568720f76f.
/vhost/naa.500140568720f76f> ls
! No such path /vhost/naa.500140568720f76f
! hint: /vhost has nothing below it
/vhost/naa.500140568720f76f> cd /
",
    );
}
