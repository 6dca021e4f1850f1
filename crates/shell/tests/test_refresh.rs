// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `refresh`.

use crate::support::{Session, transcript};

#[test]
fn it_is_silent() {
    transcript("/> refresh\n/> /vhost refresh\n");
}

#[test]
fn every_line_sees_what_others_changed() {
    let mut session = Session::new();
    session.transcript("/> status\nStatus for /: \n/> /vhost status\nStatus for /vhost: Targets: 0\n");
    session.fake.0.borrow_mut().config.targets.push(api::v1::Target {
        wwn: "naa.500140568720f76f".to_owned(),
        socket: String::new(),
        socket_fault: None,
        connected: false,
        options: std::collections::BTreeMap::new(),
        parameters: std::collections::BTreeMap::new(),
        tpgs: Vec::new(),
    });
    session.transcript("/> /vhost status\nStatus for /vhost: Targets: 1\n");
}
