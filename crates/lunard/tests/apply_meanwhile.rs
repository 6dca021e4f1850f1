// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file that says what is to be, and what changes between the look at the difference and its making.

mod common;

use common::{Plane, apply, ramdisk};
use lunard::wish::Wishes;
use model::{Change, Key};

#[test]
fn what_changed_since_it_was_looked_at_is_not_done() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("r0")]).unwrap();
    let (_, generation) = plane.handle.snapshot();
    let text = "scope = [\"*\"]\n";
    let wishes = || Wishes::Apply { apply: Box::new(apply(text)), generation, shown: None };
    plane.apply([ramdisk("r1")]).unwrap();
    let moved = plane.block_on(plane.handle.ask(wishes())).unwrap_err();
    assert_eq!(moved.to_string(), "the configuration has changed since the difference was shown");
    assert_eq!(plane.model().backstores().len(), 2);
}

#[test]
fn what_guests_ask_for_does_not_stand_in_the_way_of_what_was_looked_at() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    plane.apply([ramdisk("r0")]).unwrap();
    let (model, generation) = plane.handle.snapshot();
    let serial = || model.backstores().values().next().unwrap().unit_serial.clone();
    let saved = vec![(Key::EmulateTas, 0)];
    let non_optimized = vec![(0, 1)];
    for change in [
        Change::SelectModes { serial: serial(), saved },
        Change::AlterAlua { serial: serial(), states: non_optimized, offline: Vec::new() },
    ] {
        plane.block_on(plane.handle.make(vec![change])).unwrap().unwrap();
    }
    assert_ne!(*plane.model(), *model);
    let wishes = Wishes::Apply { apply: Box::new(apply("scope = [\"*\"]\n")), generation, shown: None };
    plane.block_on(plane.handle.ask(wishes)).unwrap();
    assert_eq!(plane.model().backstores().len(), 0);
}

#[test]
fn what_a_guest_asked_for_since_is_not_undone_where_that_was_not_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    let ask = |shown, text| {
        let (_, generation) = plane.handle.snapshot();
        plane.block_on(plane.handle.ask(Wishes::Apply { apply: Box::new(apply(text)), generation, shown }))
    };
    ask(None, "[ramdisk.r0]\nsize = \"1M\"\n").unwrap();
    let text = "[ramdisk.r0]\nsize = \"1M\"\nattributes = { emulate_fua_write = 0 }\n";
    let before = plane.model();
    let draft = apply(text).draft(&before, &mut lunard::wish::HostChance).unwrap();
    let shown = Some(Box::new(apply(text).compare(&before, &draft)));
    let serial = before.backstores().values().next().unwrap().unit_serial.clone();
    let save = |tas| {
        let change = Change::SelectModes { serial: serial.clone(), saved: vec![(Key::EmulateTas, tas)] };
        plane.block_on(plane.handle.make(vec![change])).unwrap().unwrap();
    };
    save(0);
    let moved = ask(shown.clone(), text).unwrap_err();
    assert_eq!(moved.to_string(), "the configuration has changed since the difference was shown");
    let tas = || plane.model().backstores().values().next().unwrap().attribute(Key::EmulateTas);
    assert_eq!(tas(), Some(0));
    // However often it has been otherwise meanwhile.
    save(1);
    ask(shown, text).unwrap();
    assert_eq!(plane.model().backstores().values().next().unwrap().attribute(Key::EmulateFuaWrite), Some(0));
}

#[test]
fn what_changes_while_it_is_prepared_is_not_done_either() {
    let scratch = tempfile::tempdir().unwrap();
    let plane = Plane::start(scratch.path());
    let (_, generation) = plane.handle.snapshot();
    let apply = Box::new(apply("[block.b0]\npath = \"/dev/slow\"\n"));
    plane.machine.hang("/dev/slow");
    let handle = plane.handle.clone();
    let asked = std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio
            .block_on(handle.ask(Wishes::Apply { apply, generation, shown: None }))
            .map_err(|err| err.to_string())
    });
    plane.machine.wait_until_hung(1);
    plane.apply([ramdisk("r1")]).unwrap();
    plane.machine.release("/dev/slow");
    let moved = asked.join().unwrap().unwrap_err();
    assert_eq!(moved, "the configuration has changed since the difference was shown");
    assert_eq!(plane.machine.undone(), 1);
    assert_eq!(plane.model().backstores().len(), 1);
}
