// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands, task management and events, in one piece and in many.

use crate::{SHORT, UNIT, boot, well};
use initiator::control::{ABORT_TASK, LOGICAL_UNIT_RESET};
use initiator::exchange::{FILL, Layout, Place};
use initiator::memory::{GuestAddress, Plan};
use initiator::{Command, LunAddress, Options, commands};

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn what_is_written_is_read() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    assert_eq!(guest.capacity(UNIT).expect("a capacity"), (8192, 512));
    let data = pattern(4096);
    let written = guest.execute(&commands::write_10(UNIT, 8, 8, &data)).expect("an answer");
    assert_eq!((written.is_good(), written.used_len, written.residual), (true, 108, 0));
    let read = guest.execute(&commands::read_10(UNIT, 8, 8, 4096)).expect("an answer");
    assert_eq!((read.is_good(), read.used_len), (true, 4204));
    assert!(read.data_in == data);
}

#[test]
fn pieces_of_any_size_and_place_make_the_same_message() {
    let device = well();
    let mut guest = boot(&device, Options::default().memory(Plan::awkward(8 << 20)));
    let data = pattern(1024);
    let border = guest.memory().regions()[1].guest;
    let places = [
        Place::Apart { align: 1, offset: 0 },
        Place::Apart { align: 4096, offset: 1 },
        Place::From(GuestAddress(border.0 - 600)),
    ];
    for (place, indirect) in places.into_iter().zip([true, false, true]) {
        let layout = |cuts: &[usize]| Layout {
            readable_cuts: cuts.to_vec(),
            writable_cuts: cuts.to_vec(),
            indirect,
            place,
        };
        let write = commands::write_10(UNIT, 3, 2, &data).layout(layout(&[1, 19, 19, 51, 52, 107]));
        assert!(guest.execute(&write).expect("an answer").is_good());
        let read = commands::read_10(UNIT, 3, 2, 1024)
            .layout(Layout { readable_cuts: vec![50], ..layout(&[11, 12, 109, 600]) });
        let answer = guest.execute(&read).expect("an answer");
        assert!(answer.is_good() && answer.data_in == data);
    }
}

#[test]
fn bytes_the_device_left_alone_are_told_from_those_it_wrote() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    let answer = guest.execute(&commands::inquiry(UNIT, 40)).expect("an answer");
    assert_eq!((answer.used_len, answer.residual, answer.data_in.len()), (144, 4, 36));
    assert_eq!(answer.buffer[36..], [FILL; 4]);
}

#[test]
fn sense_and_responses_come_through() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    let unknown = guest.execute(&Command::new(UNIT, &[0xff])).expect("an answer");
    assert_eq!((unknown.status, unknown.check_condition(), unknown.sense.len()), (2, Some([5, 0x20, 0]), 18));
    let nobody = guest.execute(&commands::test_unit_ready(LunAddress::unit(9, 0))).expect("an answer");
    assert_eq!((nobody.response, nobody.check_condition()), (3, None));
    let luns = guest.execute(&commands::report_luns(LunAddress::REPORT_LUNS, 0, 64)).expect("an answer");
    assert_eq!(luns.data_in[..4], [0, 0, 0, 8]);
}

#[test]
fn answers_find_their_commands_in_any_order() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    let queue = guest.request_queue(0).unwrap();
    for lba in 0..4 {
        let block = vec![u8::try_from(lba).unwrap(); 512];
        assert!(queue.execute(&commands::write_10(UNIT, lba, 1, &block)).expect("an answer").is_good());
    }
    let tokens: Vec<_> =
        (0..4).map(|lba| queue.stage(&commands::read_10(UNIT, lba, 1, 512)).expect("room")).collect();
    queue.kick().expect("kick");
    for lba in [3_usize, 0, 2] {
        assert_eq!(usize::from(queue.wait_for(tokens[lba]).expect("an answer").data_in[0]), lba);
    }
    let (token, answer) = queue.wait_any().expect("an answer");
    assert_eq!((token, answer.data_in[0], queue.in_flight()), (tokens[1], 1, 0));
}

#[test]
fn the_control_queue_answers_all_three_kinds() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    let control = guest.control();
    let reset = control.task_management(LOGICAL_UNIT_RESET, UNIT, 0).expect("an answer");
    assert_eq!((reset.response, reset.used_len), (10, 1));
    assert_eq!(control.task_management(ABORT_TASK, UNIT, 7).expect("an answer").response, 11);
    assert_eq!(control.query_notifications(UNIT, 0x52).expect("an answer").events, 0x52);
    assert_eq!(control.subscribe_notifications(UNIT, 2).expect("an answer").response, 0);
    let nonsense = control.send(&[9; 24], 4, &Layout::default()).expect("an answer");
    assert_eq!((nonsense.used_len, nonsense.written), (0, vec![FILL; 4]));
}

#[test]
fn events_come_and_their_buffers_go_back() {
    let device = well();
    let mut guest = boot(&device, Options::default());
    assert_eq!(guest.events().next_event(SHORT).expect("fine"), None);
    for lun in 0..20 {
        device.disk().raise(&[1, 0, 0, 0x80, 1, 1, 0, lun, 0, 0, 0, 0, 2, 0, 0, 0]);
        let event =
            guest.events().next_event(crate::Duration::from_secs(30)).expect("fine").expect("an event");
        assert_eq!((event.event, event.missed, event.reason, event.used_len), (1, true, 2, 16));
        assert_eq!(event.address, LunAddress::peripheral(1, lun));
    }
}
