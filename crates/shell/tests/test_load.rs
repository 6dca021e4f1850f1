// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `load`.

use crate::support::furnished;
use api::v1::{BackstoreId, Kind, MoveMedium};

#[test]
fn a_medium_is_put_back_and_a_program_is_told() {
    let mut session = furnished();
    for backstore in &mut session.fake.0.borrow_mut().config.backstores {
        backstore.attributes.insert("emulate_removable".to_owned(), "1".to_owned());
    }
    let expected = r#"{"schema":1,"command":"load","path":"/backstores/ramdisk/disk2","ok":true,"messages":[{"level":"info","text":"Loaded the medium of ramdisk disk2"}],"result":{"loaded":true,"path":"/backstores/ramdisk/disk2"},"error":null}"#;
    assert_eq!(session.run("/backstores/ramdisk/disk2 load --json").out.trim_end(), expected);
    let id = BackstoreId { kind: Kind::Ramdisk, name: "disk2".to_owned() };
    assert_eq!(session.fake.0.borrow().moved, [MoveMedium { id, loaded: true, force: false }]);
}
