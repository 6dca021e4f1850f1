// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page that the product starts from: its commands, and the replies as it prints them.

use crate::support::Session;
use shell::Mode;
use shell::Screen;

#[test]
fn the_pages_commands_get_the_pages_replies() {
    let mut session = Session::new();
    // The page lets the target's name be made up; here it is the one of the page.
    session.fake.0.borrow_mut().config = api::v1::Config::default();
    session.transcript(
        "
/> backstores/block create name=disk0 write_back=false \\
      dev=/dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000
Created block storage object disk0 using /dev/disk/by-id/dm-uuid-mpath-36005076306ffc7630000000000002000.
/> vhost/ create naa.500140568720f76f
Created target naa.500140568720f76f.
Created TPG 1.
/> vhost/naa.500140568720f76f/tpg1/luns create /backstores/block/disk0
Created LUN 0.
/> exit
",
    );
}

#[test]
fn the_same_commands_work_as_arguments_of_a_program() {
    let mut session = Session::on(Screen::plain(Mode::OneShot));
    let words: Vec<shell::grammar::Word> =
        ["backstores/block", "create", "name=disk0", "write_back=false", "dev=/dev/sda"]
            .into_iter()
            .map(shell::grammar::Word::raw)
            .collect();
    assert_eq!(session.shell.run(&words).out, "Created block storage object disk0 using /dev/sda.\n");
}
