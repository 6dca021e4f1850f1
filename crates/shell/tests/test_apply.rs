// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `apply`.

use crate::test_diff::differing;
use api::v1::ApplyOptions;
use std::cell::RefCell;
use std::rc::Rc;

fn looked(force: bool) -> ApplyOptions {
    ApplyOptions { dry_run: true, force, generation: None }
}

fn made(force: bool) -> ApplyOptions {
    ApplyOptions { dry_run: false, force, generation: Some("g-1".to_owned()) }
}

#[test]
fn what_is_shown_is_made_where_there_is_nobody_to_ask() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(2);
    session.transcript(&format!(
        "
/> apply -f {file}
'x' of the file is not known here
- /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)
- /vhost/naa.5001405000000001
2 to remove
Everything is as {file} says.
"
    ));
    let asked: Vec<ApplyOptions> =
        session.fake.0.borrow().applied.iter().map(|(_, options)| options.clone()).collect();
    assert_eq!(asked, [looked(false), made(false)]);
}

#[test]
fn a_dry_run_makes_nothing() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(1);
    session.transcript(&format!(
        "
/> apply {file} --dry-run
'x' of the file is not known here
- /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)
1 to remove
Nothing was changed.
"
    ));
    assert_eq!(session.fake.0.borrow().applied.len(), 1);
}

#[test]
fn who_is_there_is_asked_once_with_the_difference_before_the_question() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(1);
    let heard: Rc<RefCell<Vec<(String, String)>>> = Rc::default();
    let answers = Rc::clone(&heard);
    session.shell.ask_with(Box::new(move |text, question| {
        answers.borrow_mut().push((text.to_owned(), question.to_owned()));
        answers.borrow().len() == 2
    }));
    session.transcript(&format!(
        "
/> apply {file}
! Nothing was changed.
/> apply {file}
Everything is as {file} says.
"
    ));
    let shown = "'x' of the file is not known here\n\
                 - /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)\n1 to remove\n";
    let question = || (shown.to_owned(), "Apply this?".to_owned());
    assert_eq!(*heard.borrow(), [question(), question()]);
    // Two looks, and the one that was meant.
    assert_eq!(session.fake.0.borrow().applied.len(), 3);

    for line in ["apply -f FILE -y", "apply FILE --yes", "apply -y -f FILE", "apply FILE --json"] {
        assert!(!session.run(&line.replace("FILE", &file)).failed, "{line}");
    }
    session.fake.0.borrow_mut().differences.clear();
    assert!(!session.run(&format!("apply {file}")).failed);
    assert_eq!(heard.borrow().len(), 2, "nobody else was asked");
}

#[test]
fn a_guest_keeps_what_it_has_unless_it_is_forced() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(1);
    session.fake.0.borrow_mut().guests_lose = vec!["naa.5001405000000001".to_owned()];
    session.shell.ask_with(Box::new(|_, _| panic!("it cannot be, so that nobody is asked")));
    session.transcript(&format!(
        "
/> apply {file}
'x' of the file is not known here
- /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)
1 to remove
The guest of naa.5001405000000001 is connected and would lose what it has.
! the guests of target naa.5 are connected
! hint: nothing was changed
/> apply {file} --force -y
'x' of the file is not known here
- /vhost/naa.5001405000000001/tpg1/luns/lun0 (fileio/old)
1 to remove
The guest of naa.5001405000000001 is connected and would lose what it has.
Everything is as {file} says.
"
    ));
    let last = session.fake.0.borrow().applied.last().map(|(_, options)| options.clone());
    assert_eq!(last, Some(made(true)));
}

#[test]
fn what_was_not_shown_is_not_made() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().moves = true;
    let reply = session.run(&format!("apply {file} -y"));
    assert!(reply.failed);
    assert_eq!(
        reply.err,
        "the configuration has changed since the difference was shown\nhint: nothing was changed\n"
    );
}

#[test]
fn a_program_is_told_what_was_made() {
    let (_directory, file, mut session) = differing();
    session.fake.0.borrow_mut().differences.truncate(1);
    let expected = format!(
        r#"{{"schema":1,"command":"apply","path":"/","ok":true,"messages":[{{"level":"warning","text":"'x' of the file is not known here"}},{{"level":"info","text":"1 to remove"}},{{"level":"info","text":"Everything is as {file} says."}}],"result":{{"applied":true,"differences":[{{"action":"delete","path":"/vhost/naa.5001405000000001/tpg1/luns/lun0","values":[{{"from":"fileio/old","name":"backstore"}}]}}],"file":"{file}","generation":"g-1","guests_lose":[]}},"error":null}}"#
    );
    assert_eq!(session.run(&format!("apply {file} --json")).out, format!("{expected}\n"));
}
