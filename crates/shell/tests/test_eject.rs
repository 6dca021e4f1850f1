// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `eject`.

use crate::support::furnished;
use api::v1::{BackstoreId, Kind, MoveMedium};

#[test]
fn a_medium_goes_out_and_comes_back_and_the_tree_shows_it() {
    let mut session = furnished();
    {
        let mut state = session.fake.0.borrow_mut();
        let disk = state.config.backstores.iter_mut().find(|backstore| backstore.id.name == "disk1");
        disk.expect("it is there").attributes.insert("emulate_removable".to_owned(), "1".to_owned());
    }
    session.transcript(
        "
/> /backstores/fileio/disk1 eject
Ejected the medium of fileio disk1
/> /backstores/fileio/disk1 eject force=true
Ejected the medium of fileio disk1
",
    );
    let shown = session.run("/backstores/fileio ls");
    assert!(shown.out.contains("ejected"), "{}", shown.out);
    session.transcript(
        "
/> /backstores/fileio/disk1 load
Loaded the medium of fileio disk1
/> /backstores/block/disk0 eject
! the medium of block/disk0 cannot be taken out
! hint: it is soldered in
",
    );
    let wish = |kind, name: &str, loaded, force| {
        let id = BackstoreId { kind, name: name.to_owned() };
        MoveMedium { id, loaded, force }
    };
    let expected = [
        wish(Kind::Fileio, "disk1", false, false),
        wish(Kind::Fileio, "disk1", false, true),
        wish(Kind::Fileio, "disk1", true, false),
        wish(Kind::Block, "disk0", false, false),
    ];
    assert_eq!(session.fake.0.borrow().moved, expected);
}
