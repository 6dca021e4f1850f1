// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is kept of copies, for whom, and until when.
//!
//! Above: nothing.  Below: `copies`.
//! Never here: a medium.

use super::*;

fn nexus(number: u16) -> NexusName {
    NexusName { initiator: format!("naa.6001405{number:09x}"), relative_port: number }
}

fn ask(question: CopyQuestion, list: u8) -> CopyResults {
    CopyResults { question, list, allocation_bytes: 0xff }
}

fn status(copies: &Copies, of: &NexusName, list: u8) -> Result<Vec<u8>, [u8; 3]> {
    let answer = copies.results(of, &ask(CopyQuestion::Status, list), 0xff, SenseFormat::Fixed);
    answer.map_err(|sense| [sense.key as u8, sense.asc, sense.ascq])
}

fn details(copies: &Copies, of: &NexusName, list: u8, taken: u64) -> Result<Vec<u8>, [u8; 3]> {
    let answer = copies.results(of, &ask(CopyQuestion::Failure, list), taken, SenseFormat::Fixed);
    answer.map_err(|sense| [sense.key as u8, sense.asc, sense.ascq])
}

const UNKNOWN: Result<Vec<u8>, [u8; 3]> = Err([5, 0x24, 0x00]);

#[test]
fn a_copy_says_that_it_goes_on_and_then_once_how_it_ended() {
    let copies = Arc::<Copies>::default();
    assert_eq!(status(&copies, &nexus(1), 7), UNKNOWN);
    let record = copies.begin(&nexus(1), 7).unwrap();
    record.segment_begun(1);
    record.written(0x1000);
    for _ in 0..2 {
        assert_eq!(status(&copies, &nexus(1), 7), Ok(vec![0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0x10, 0]));
    }
    assert_eq!(details(&copies, &nexus(1), 7, 0xff), UNKNOWN);
    record.ended(&Answer::good());
    assert_eq!(details(&copies, &nexus(1), 7, 0xff), Ok(vec![0, 0, 0, 0]));
    assert_eq!(status(&copies, &nexus(2), 7), UNKNOWN, "another nexus");
    assert_eq!(status(&copies, &nexus(1), 8), UNKNOWN, "another list");
    assert_eq!(status(&copies, &nexus(1), 7), Ok(vec![0, 0, 0, 8, 1, 0, 1, 0, 0, 0, 0x10, 0]));
    assert_eq!(status(&copies, &nexus(1), 7), UNKNOWN, "it was fetched");
    assert_eq!(details(&copies, &nexus(1), 7, 0xff), UNKNOWN);
}

#[test]
fn details_of_a_failure_are_kept_until_all_of_them_were_taken() {
    let copies = Arc::<Copies>::default();
    let fail = || {
        let record = copies.begin(&nexus(1), 7).unwrap();
        record.ended(&Answer::check_condition(Sense::THIRD_PARTY_DEVICE_FAILURE, 0));
    };
    fail();
    assert_eq!(status(&copies, &nexus(1), 7), Ok(vec![0, 0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0]));
    let cut = details(&copies, &nexus(1), 7, 77).unwrap();
    assert_eq!((cut.len(), cut[56], cut[60], cut[72], cut[73]), (78, 2, 0x70, 0x0d, 0x01));
    assert_eq!(details(&copies, &nexus(1), 7, 78), Ok(cut));
    assert_eq!(details(&copies, &nexus(1), 7, 78), UNKNOWN);
    fail();
    let none_wanted = CopyResults { allocation_bytes: 0, ..ask(CopyQuestion::Failure, 7) };
    assert!(copies.results(&nexus(1), &none_wanted, 0, SenseFormat::Fixed).is_ok());
    assert!(status(&copies, &nexus(1), 7).is_ok());
    assert_eq!(details(&copies, &nexus(1), 7, 78), UNKNOWN, "both were fetched");
}

#[test]
fn an_identifier_is_used_again_when_its_copy_has_ended() {
    let copies = Arc::<Copies>::default();
    let first = copies.begin(&nexus(1), 7).unwrap();
    assert_eq!(copies.begin(&nexus(1), 7).unwrap_err(), NotBegun::SameIdentifier);
    let other = copies.begin(&nexus(2), 7).unwrap();
    first.ended(&Answer::check_condition(Sense::COPY_ABORTED, 0));
    let _again = copies.begin(&nexus(1), 7).unwrap();
    assert_eq!(status(&copies, &nexus(1), 7).unwrap()[4], 0, "the new one goes on");
    drop(other);
    assert_eq!(status(&copies, &nexus(2), 7), UNKNOWN, "it was aborted");
}

#[test]
fn a_reset_forgets_what_has_ended_and_the_loss_of_a_nexus_its_own() {
    let copies = Arc::<Copies>::default();
    let end = |number, list| copies.begin(&nexus(number), list).unwrap().ended(&Answer::good());
    end(1, 1);
    end(2, 1);
    copies.forget_of(&nexus(1));
    assert_eq!(status(&copies, &nexus(1), 1), UNKNOWN);
    end(1, 1);
    let _going_on = copies.begin(&nexus(1), 2).unwrap();
    copies.forget();
    assert_eq!(status(&copies, &nexus(1), 1), UNKNOWN);
    assert_eq!(status(&copies, &nexus(2), 1), UNKNOWN);
    assert_eq!(status(&copies, &nexus(1), 2).unwrap()[4], 0);
}

#[test]
fn sixteen_copies_of_a_nexus_are_kept_and_the_oldest_that_ended_makes_room() {
    let copies = Arc::<Copies>::default();
    let mut going_on: Vec<_> = (0..16).map(|list| copies.begin(&nexus(1), list).unwrap()).collect();
    assert_eq!(copies.begin(&nexus(1), 16).unwrap_err(), NotBegun::TooMany);
    let _another_nexus = copies.begin(&nexus(2), 16).unwrap();
    going_on.remove(4).ended(&Answer::good());
    going_on.remove(3).ended(&Answer::good());
    let _seventeenth = copies.begin(&nexus(1), 16).unwrap();
    assert_eq!(status(&copies, &nexus(1), 3), UNKNOWN, "the oldest made room");
    assert!(status(&copies, &nexus(1), 4).is_ok());
}
