// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way of one change, and of several that meet.

mod common;

use api::v1::{BackstoreState, Change, Kind, Outcome};
use common::{Plane, block, fileio, id, map, ramdisk, target};
use lunard::machine::{Fault, FaultKind};
use lunard::state_driver::{Failure, PREPARING_MAX, WAITING_MAX};
use model::{BackstoreId, Refusal, Step};
use std::pin::Pin;
use std::sync::atomic::Ordering;

const WWN: &str = "naa.500140568720f76f";

type Answer = Pin<Box<dyn Future<Output = Result<api::v1::Applied, Failure>>>>;

/// Submits without waiting for the answer.
fn submit(plane: &Plane, wishes: impl IntoIterator<Item = Change>) -> Answer {
    let handle = plane.handle.clone();
    let wishes = wishes.into_iter().collect();
    let mut answer: Answer = Box::pin(async move { handle.apply(wishes).await });
    plane.block_on(async {
        tokio::select! {
            biased;
            early = &mut answer => panic!("an answer already: {early:?}"),
            () = std::future::ready(()) => {}
        }
    });
    answer
}

fn names(plane: &Plane) -> Vec<String> {
    plane.model().backstores().keys().map(BackstoreId::to_string).collect()
}

#[test]
fn the_walkthrough_is_answered_as_it_reads() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.put_file("/dev/disk/by-id/dm-0", 15_032_385_536);
    let outcomes = plane.outcomes([block("disk0", "/dev/disk/by-id/dm-0")]).unwrap();
    let [Outcome::BackstoreCreated { backstore, notes }] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!(backstore.path.as_deref(), Some("/dev/disk/by-id/dm-0"));
    assert_eq!(backstore.size_bytes, 15_032_385_536);
    assert_eq!(backstore.unit_serial, "00000000-0000-4000-8000-000000000001");
    assert_eq!(backstore.state, BackstoreState::Deactivated);
    assert!(notes.is_empty());

    let outcomes = plane.outcomes([Change::CreateTarget { wwn: None, tpgs: vec![1] }]).unwrap();
    let [Outcome::TargetCreated { target }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(target.wwn, "naa.5001405000000002");
    assert_eq!(target.socket, "/run/lunar/vhost/naa.5001405000000002.sock");
    assert_eq!(target.tpgs.len(), 1);
    assert_eq!((target.tpgs[0].tag, target.tpgs[0].nexus.as_str()), (1, "naa.5001405000000003"));

    let outcomes = plane.outcomes([map("naa.5001405000000002", None, Kind::Block, "disk0")]).unwrap();
    assert_eq!(outcomes, [Outcome::LunMapped { lun: 0 }]);
    let config = plane.handle.config();
    assert_eq!(config.backstores[0].state, BackstoreState::Activated);
    assert_eq!(config.targets[0].tpgs[0].luns[0].alias, "0000000004");
    assert_eq!(plane.handle.counts().done.load(Ordering::Relaxed), 3);
}

#[test]
fn numbers_are_chosen_as_targetcli_does() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("a"), ramdisk("b"), ramdisk("c"), target(WWN)]).unwrap();
    let lun = |number, name| plane.outcomes([map(WWN, number, Kind::Ramdisk, name)]).unwrap();
    assert_eq!(lun(Some(1), "a"), [Outcome::LunMapped { lun: 1 }]);
    assert_eq!(lun(None, "b"), [Outcome::LunMapped { lun: 0 }]);
    assert_eq!(lun(None, "c"), [Outcome::LunMapped { lun: 2 }]);
    let tpg = Change::CreateTpg { wwn: WWN.to_owned(), tag: None };
    assert_eq!(plane.outcomes([tpg]).unwrap(), [Outcome::TpgCreated { tag: 2 }]);
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    let refused = plane.outcomes([ramdisk("a"), target(WWN), target(WWN)]);
    assert_eq!(refused, Err("Target naa.500140568720f76f already exists".to_owned()));
    assert_eq!(plane.machine.committed(), []);
    assert!(plane.model().backstores().is_empty());
    let done = plane.outcomes([ramdisk("a"), target(WWN), map(WWN, None, Kind::Ramdisk, "a")]).unwrap();
    assert_eq!(done.len(), 3);
    assert_eq!(plane.machine.committed().len(), 4);
}

#[test]
fn what_a_transaction_makes_and_takes_away_is_just_done() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    let delete = Change::DeleteBackstore { id: id(Kind::Ramdisk, "a") };
    assert_eq!(plane.outcomes([ramdisk("a"), delete]).unwrap(), [Outcome::Done, Outcome::Done]);
    assert_eq!(plane.machine.committed(), []);
}

#[test]
fn a_fault_of_the_machine_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.remove_path("/dev/gone");
    let failure = plane.apply([ramdisk("a"), block("disk0", "/dev/gone")]).unwrap_err();
    let fault = Fault {
        message: "Could not open /dev/gone".to_owned(),
        hint: None,
        kind: FaultKind::Caller,
        errno: rustix::io::Errno::INVAL,
    };
    assert!(matches!(&failure, Failure::Fault(found) if *found == fault), "{failure:?}");
    assert!(plane.model().backstores().is_empty());
    assert_eq!(plane.handle.counts().refused.load(Ordering::Relaxed), 1);
}

#[test]
fn an_existing_file_keeps_its_size_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.put_file("/srv/f0.img", 16_777_216);
    let outcomes = plane.outcomes([fileio("f0", "/srv/f0.img", Some(1 << 30))]).unwrap();
    let [Outcome::BackstoreCreated { backstore, notes }] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!(backstore.size_bytes, 16_777_216);
    assert_eq!(notes.as_slice(), ["/srv/f0.img exists, using its size (16777216 bytes) instead"]);
    // What was found is what is kept.
    let kept = plane.model().backstores().values().next().unwrap().medium.size_bytes();
    assert_eq!(kept, Some(16_777_216));
}

#[test]
fn a_name_too_long_for_the_product_says_what_guests_see_instead() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    let outcomes = plane.outcomes([ramdisk("sixteen-letters-")]).unwrap();
    let [Outcome::BackstoreCreated { backstore, notes }] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!(backstore.attributes["emulate_model_alias"], "0");
    let note = "sixteen-letters- has more than 15 characters: guests see RAMDISK-MCP as the product instead";
    assert_eq!(notes.as_slice(), [note]);
}

#[test]
fn an_attribute_is_answered_as_it_reads_back() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("a")]).unwrap();
    for (attribute, value, reads) in [("emulate_tas", "off", "0"), ("emulate_dpo", "0", "1")] {
        let (attribute, value) = (attribute.to_owned(), value.to_owned());
        let set = Change::SetAttribute { id: id(Kind::Ramdisk, "a"), attribute, value };
        let expected = [Outcome::AttributeSet { value: reads.to_owned() }];
        assert_eq!(plane.outcomes([set]).unwrap(), expected);
    }
}

#[test]
fn a_hung_disk_holds_up_nobody_else() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung")]);
    plane.machine.wait_until_hung(1);
    plane.apply([ramdisk("quick")]).unwrap();
    assert_eq!(plane.handle.config().backstores.len(), 1);
    plane.machine.release("/dev/hung");
    plane.block_on(answer).unwrap();
    assert_eq!(names(&plane), ["block/slow", "ramdisk/quick"]);
    // Its steps were still the right ones, so nothing was opened twice.
    assert_eq!(plane.machine.undone(), 0);
}

#[test]
fn a_caller_who_leaves_takes_the_change_back() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung")]);
    plane.machine.wait_until_hung(1);
    drop(answer);
    plane.machine.release("/dev/hung");
    plane.machine.wait_until_undone(1);
    plane.apply([ramdisk("next")]).unwrap();
    assert_eq!(names(&plane), ["ramdisk/next"]);
}

#[test]
fn a_number_that_was_taken_meanwhile_is_chosen_again() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([target(WWN), ramdisk("quick")]).unwrap();
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung"), map(WWN, None, Kind::Block, "slow")]);
    plane.machine.wait_until_hung(1);
    let quick = plane.outcomes([map(WWN, None, Kind::Ramdisk, "quick")]).unwrap();
    assert_eq!(quick, [Outcome::LunMapped { lun: 0 }]);
    plane.machine.release("/dev/hung");
    let slow = plane.block_on(answer).unwrap().results;
    assert_eq!(slow[1], Outcome::LunMapped { lun: 1 });
    assert_eq!(plane.machine.undone(), 1);
}

#[test]
fn steps_that_are_no_longer_right_are_prepared_again() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("a")]).unwrap();
    let set = |attribute: &str| Change::SetAttribute {
        id: id(Kind::Ramdisk, "a"),
        attribute: attribute.to_owned(),
        value: "0".to_owned(),
    };
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung"), set("emulate_tas")]);
    plane.machine.wait_until_hung(1);
    plane.apply([set("emulate_fua_write")]).unwrap();
    plane.machine.release("/dev/hung");
    plane.block_on(answer).unwrap();
    // What was prepared first would have taken the other change back.
    let last = plane.machine.committed().into_iter().rev().find_map(|step| match step {
        Step::UpdateBackstore(backstore) => Some(backstore),
        _ => None,
    });
    assert_eq!(last.as_ref(), plane.model().backstores().values().find(|b| b.name.as_str() == "a"));
    assert_eq!(plane.machine.undone(), 1);
}

#[test]
fn a_name_that_was_taken_meanwhile_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("disk0", "/dev/hung")]);
    plane.machine.wait_until_hung(1);
    plane.apply([block("disk0", "/dev/other")]).unwrap();
    plane.machine.release("/dev/hung");
    let failure = plane.block_on(answer).unwrap_err();
    assert!(matches!(failure, Failure::Refused(Refusal::BackstoreExists { .. })), "{failure:?}");
    assert_eq!(plane.machine.undone(), 1);
    assert_eq!(plane.model().backstores().len(), 1);
}

#[test]
fn what_was_deleted_meanwhile_is_not_mapped() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([target(WWN)]).unwrap();
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung"), map(WWN, Some(3), Kind::Block, "slow")]);
    plane.machine.wait_until_hung(1);
    plane.apply([Change::DeleteTarget { wwn: WWN.to_owned() }]).unwrap();
    plane.machine.release("/dev/hung");
    let failure = plane.block_on(answer).unwrap_err();
    assert!(matches!(failure, Failure::Refused(Refusal::NoSuchTarget { .. })), "{failure:?}");
    assert!(!plane.machine.committed().iter().any(|step| matches!(step, Step::MapLun { .. })));
}

#[test]
fn too_many_hung_changes_are_refused_and_the_others_wait_their_turn() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.machine.hang("/dev/hung");
    let hung: Vec<_> =
        (0..PREPARING_MAX).map(|n| submit(&plane, [block(&format!("hung{n}"), "/dev/hung")])).collect();
    plane.machine.wait_until_hung(16);
    let waiting: Vec<_> = (0..WAITING_MAX).map(|n| submit(&plane, [ramdisk(&format!("waits{n}"))])).collect();
    let failure = plane.apply([ramdisk("too-many")]).unwrap_err();
    assert!(matches!(failure, Failure::Busy), "{failure:?}");
    assert_eq!(failure.to_string(), "80 changes are waiting for the host already");
    plane.machine.release("/dev/hung");
    // All name one device: one of them has it.
    let had = hung.into_iter().map(|answer| plane.block_on(answer)).filter(Result::is_ok).count();
    assert_eq!(had, 1);
    assert!(waiting.into_iter().all(|answer| plane.block_on(answer).is_ok()));
    assert_eq!(plane.model().backstores().len(), 65);
}

#[test]
fn an_owner_that_ends_answers_everybody() {
    let scratch = tempfile::tempdir().unwrap();
    let mut plane = Plane::start(scratch.path());
    plane.machine.hang("/dev/hung");
    let answer = submit(&plane, [block("slow", "/dev/hung")]);
    plane.machine.wait_until_hung(1);
    plane.stop();
    let late = plane.apply([ramdisk("late")]).unwrap_err();
    assert!(matches!(late, Failure::Stopping), "{late:?}");
    plane.machine.release("/dev/hung");
    plane.machine.wait_until_undone(1);
    let failure = plane.block_on(answer).unwrap_err();
    assert!(matches!(failure, Failure::Stopping), "{failure:?}");
}

#[test]
fn a_change_that_was_answered_is_there_after_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let mut plane = Plane::start(scratch.path());
    plane.apply([ramdisk("a"), target(WWN), map(WWN, Some(300), Kind::Ramdisk, "a")]).unwrap();
    let before = plane.model();
    plane.stop();
    drop(plane);
    assert_eq!(Plane::start(scratch.path()).model(), before);
}

#[test]
fn names_and_numbers_of_doors_are_checked_like_all_others() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("a"), target(WWN)]).unwrap();
    for (wish, message) in [
        (ramdisk("a b"), "A storage object's name cannot contain /, newline or spaces/tabs: 'a b'"),
        (block("d", "relative"), "path not valid: 'relative'"),
        (target("naa.6001405000000001"), "WWN not valid as: naa: 'naa.6001405000000001'"),
        (map(WWN, Some(16384), Kind::Ramdisk, "a"), "LUN 16384 is out of range"),
        (Change::CreateTpg { wwn: WWN.to_owned(), tag: Some(256) }, "TPG tag 256 is out of range"),
        (
            Change::CreateTarget { wwn: None, tpgs: vec![1, 1] },
            "TPG 1 of naa.5001405000000003 already exists",
        ),
        (
            Change::CreateBackstore(api::v1::CreateBackstore::Ramdisk {
                name: "huge".to_owned(),
                size_bytes: u64::MAX,
                nullio: false,
                unit_serial: None,
            }),
            "a size of 18446744073709551615 bytes is too large",
        ),
    ] {
        assert_eq!(plane.outcomes([wish]), Err(message.to_owned()));
    }
}
