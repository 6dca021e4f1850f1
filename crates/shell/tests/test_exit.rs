// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `exit`.

use crate::support::Session;

#[test]
fn it_leaves_without_a_word_and_without_a_daemon() {
    let mut session = Session::new();
    session.fake.stop();
    let reply = session.run("exit");
    assert_eq!((reply.out.as_str(), reply.err.as_str(), reply.leave), ("", "", true));
    assert_eq!(session.shell.leave(), shell::Reply::default());
}

#[test]
fn the_configuration_is_saved_on_leaving_where_the_user_wants_that() {
    let mut session = Session::new();
    session.run("set global auto_save_on_exit=true");
    assert_eq!(session.shell.leave().out, "Configuration saved to /var/lib/lunar/saveconfig.json\n");
}
