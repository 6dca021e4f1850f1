// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which guest begins and which goes on, as the news show that each is told.
//!
//! Above: nothing.  Below: `initiator`, `vhost-scsi`.
//! Never here: what the news are; see `events`.
//!
//! A guest that begins is told nothing of what was before it: it is about to look at everything.  One that goes on is
//! told all of it.  Neither depends on when the driver gives its buffers for events: the standard lets it do so before
//! the device begins (virtio 1.2, 3.1.1).

mod support;

use initiator::dialect::{RingStep, Step, protocol};
use initiator::{Command, Dialect, Guest, LunAddress, Options, commands};
use scsi::Lun;
use scsi::inquiry::Identity;
use std::sync::Arc;
use std::time::Duration;
use support::{FLAGS, Rig, Unit, nexus};
use target::{Attentions, Group, LogicalUnit, LunMap, Mapping};

/// A guest that waits for an event which does not come has waited for this long.
const NOTHING: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
/// REPORTED LUNS DATA HAS CHANGED.
const LUNS_CHANGED: Option<[u8; 3]> = Some([0x06, 0x3f, 0x0e]);

/// A target whose LUN 1 comes and goes beside LUN 0.
struct Scene {
    rig: Rig,
    units: [Arc<LogicalUnit>; 2],
    attentions: [Arc<Attentions>; 2],
}

impl Scene {
    fn set() -> Self {
        let disk = Unit::ramdisk(1 << 20);
        let unit = |serial: &str| {
            let identity = Identity {
                vendor: Identity::ascii_field("LIO-ORG"),
                product: Identity::ascii_field("disk"),
                revision: Identity::ascii_field("4.0"),
                unit_serial: serial.into(),
                company_id: 0x00_1405,
            };
            Arc::new(LogicalUnit::new(disk.store.clone(), identity, 512, FLAGS))
        };
        let units = [unit("first"), unit("second")];
        let attentions = Default::default();
        let rig = Rig::with_map(map(&units[..1], &attentions));
        Self { rig, units, attentions }
    }

    fn show(&self, count: usize) {
        let map = map(&self.units[..count], &self.attentions);
        self.rig.endpoint.port().change_map().publish(map);
    }
}

fn map(units: &[Arc<LogicalUnit>], attentions: &[Arc<Attentions>; 2]) -> LunMap {
    let mappings = (0_u16..).zip(units).zip(attentions).map(|((lun, unit), attentions)| {
        let mapping = Mapping::new(Arc::clone(unit), false).telling(Arc::clone(attentions));
        (Lun::new(lun).unwrap(), mapping)
    });
    let mut map = LunMap::default();
    map.insert(1, Group::new(nexus(), mappings));
    map
}

/// Gives buffers for events before the device begins.
fn post_early(guest: &mut Guest) {
    guest.events().post(8, 16).unwrap();
}

fn sense(guest: &mut Guest) -> Option<[u8; 3]> {
    guest.execute(&commands::test_unit_ready(LunAddress::unit(1, 0))).unwrap().check_condition()
}

#[track_caller]
fn must_hear_nothing(guest: &mut Guest, who: &str) {
    assert_eq!(sense(guest), None, "{who}");
    assert_eq!(guest.events().next_event(NOTHING).unwrap(), None, "{who}");
}

/// LUN 1 has come.
#[track_caller]
fn must_hear_the_news(guest: &mut Guest, who: &str) {
    let event = guest.events().next_event(PATIENCE).unwrap().expect(who);
    assert_eq!((event.event, event.address.0, event.reason), (1, [1, 1, 0, 1, 0, 0, 0, 0], 1), "{who}");
    assert_eq!(guest.events().next_event(NOTHING).unwrap(), None, "{who}");
    assert_eq!((sense(guest), sense(guest)), (LUNS_CHANGED, None), "{who}");
}

/// All who hear of events.
const HEARERS: [Dialect; 5] =
    [Dialect::QEMU_7_2, Dialect::QEMU_8_2, Dialect::QEMU, Dialect::CROSVM, Dialect::LIBKRUN];

/// Every kind of front end and driver.
fn all() -> Vec<(String, Options)> {
    let named = |dialect: Dialect| (dialect.name.to_owned(), Options::default().dialect(dialect));
    let mut all: Vec<_> = HEARERS.into_iter().chain([Dialect::CLOUD_HYPERVISOR]).map(named).collect();
    let without = protocol::STATUS | protocol::RESET_DEVICE | protocol::REPLY_ACK | protocol::INFLIGHT_SHMFD;
    all.push(("qemu with little".into(), Options::default().without_protocol_features(without)));
    all.push(("firmware".into(), Options::default().firmware()));
    all
}

#[test]
fn the_first_guest_of_a_target_is_told_nothing_of_before_however_early_its_buffers_are_there() {
    for (who, options) in all() {
        for early in [true, false] {
            let scene = Scene::set();
            scene.show(2);
            let mut guest = Guest::connect(scene.rig.path(), options.clone()).unwrap();
            if early {
                post_early(&mut guest);
            }
            guest.start().unwrap();
            must_hear_nothing(&mut guest, &who);
        }
    }
}

#[test]
fn a_guest_that_was_reset_and_the_next_machine_are_told_nothing_of_before() {
    for (who, options) in all() {
        for resets in [true, false] {
            let scene = Scene::set();
            let mut guest = scene.rig.boot(options.clone());
            must_hear_nothing(&mut guest, &who);
            scene.show(2);
            if resets {
                guest.stop().unwrap();
                // Who asks for no acknowledgement clears rings that may still run.
                guest.connection().unwrap().features().unwrap();
                guest.reset().unwrap();
            } else {
                drop(guest);
                guest = Guest::connect(scene.rig.path(), options.clone()).unwrap();
            }
            scene.show(1);
            scene.show(2);
            post_early(&mut guest);
            guest.start().unwrap();
            must_hear_nothing(&mut guest, &format!("{who}, reset: {resets}"));
        }
    }
}

#[test]
fn what_comes_while_firmware_runs_is_no_news_to_the_system_after_it() {
    let scene = Scene::set();
    let mut guest = scene.rig.boot(Options::default().firmware());
    assert_eq!(sense(&mut guest), None);
    scene.show(2);
    guest.hand_over(|_| Options::default()).unwrap();
    must_hear_nothing(&mut guest, "after firmware");
}

#[test]
fn a_guest_that_was_paused_is_told_what_came_meanwhile() {
    // libkrun has no pause.
    for dialect in HEARERS.into_iter().filter(|dialect| dialect.name != "libkrun") {
        for looked in [true, false] {
            let scene = Scene::set();
            let mut guest = scene.rig.boot(Options::default().dialect(dialect));
            if looked {
                assert_eq!(sense(&mut guest), None);
            }
            guest.stop().unwrap();
            scene.show(2);
            guest.start().unwrap();
            must_hear_the_news(&mut guest, dialect.name);
        }
    }
}

#[test]
fn a_guest_without_buffers_for_events_keeps_its_attentions_through_a_pause() {
    let scene = Scene::set();
    let mut guest = scene.rig.boot(Options { event_buffers: 0, ..Options::default() });
    assert_eq!(sense(&mut guest), None);
    guest.stop().unwrap();
    scene.show(2);
    guest.start().unwrap();
    assert_eq!((sense(&mut guest), sense(&mut guest)), (LUNS_CHANGED, None));
    guest.stop().unwrap();
    guest.start().unwrap();
    guest.events().post(1, 16).unwrap();
    assert_eq!(guest.events().next_event(PATIENCE).unwrap().map(|event| event.reason), Some(1));
}

#[test]
fn a_front_end_that_comes_back_with_its_inflight_region_is_told_what_came_meanwhile() {
    for dialect in [Dialect::QEMU_8_2, Dialect::QEMU] {
        for looked in [true, false] {
            let scene = Scene::set();
            let mut guest = scene.rig.boot(Options::default().dialect(dialect));
            if looked {
                assert_eq!(sense(&mut guest), None);
            }
            guest.lose();
            scene.show(2);
            guest.reconnect().unwrap();
            must_hear_the_news(&mut guest, dialect.name);
        }
    }
}

/// QEMU's manners, but for the places of the rings: a front end that comes back may have looked while they still ran.
const PLACES_UNTOLD: Dialect = Dialect {
    start: &[
        Step::AckFeatures,
        Step::Inflight,
        Step::MemorySlotsOrTable,
        Step::Rings(&[RingStep::Num, RingStep::Address, RingStep::Kick, RingStep::Call]),
        Step::EnableAll,
    ],
    ..Dialect::QEMU
};

#[test]
fn a_front_end_that_comes_back_with_places_that_are_too_low_has_reset_nobody() {
    let scene = Scene::set();
    let mut guest = scene.rig.boot(Options::default().dialect(PLACES_UNTOLD));
    // RESERVE (6), which a reset would give back.
    let reserve = Command::new(LunAddress::unit(1, 0), &[0x16, 0, 0, 0, 0, 0]);
    assert!(guest.execute(&reserve).unwrap().is_good());
    guest.lose();
    scene.show(2);
    guest.reconnect().unwrap();
    must_hear_the_news(&mut guest, "QEMU");
    assert!(scene.units[0].state.record().reservations.legacy.is_some());
}

#[test]
fn the_successor_of_a_process_that_died_tells_what_came_before_its_guest_was_back() {
    let (dead, next) = (Scene::set(), Scene::set());
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().join("name");
    std::os::unix::fs::symlink(dead.rig.path(), &name).unwrap();
    let mut guest = Guest::boot(&name, Options::default()).unwrap();
    assert_eq!(sense(&mut guest), None);
    guest.lose();
    std::fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink(next.rig.path(), &name).unwrap();
    next.show(2);
    guest.reconnect().unwrap();
    must_hear_the_news(&mut guest, "after a death");
}

#[test]
fn a_guest_that_migrates_here_with_a_new_inflight_region_goes_on() {
    for dialect in [Dialect::QEMU_7_2, Dialect::QEMU] {
        // To another front end of the same target, and to another host.
        for elsewhere in [false, true] {
            let (here, there) = (Scene::set(), Scene::set());
            let options = Options::default().dialect(dialect);
            let mut source = here.rig.boot(options.clone());
            assert_eq!(sense(&mut source), None);
            let end = if elsewhere { &there } else { &here };
            let mut destination = Guest::connect(end.rig.path(), options).unwrap();
            let bases = source.stop().unwrap();
            assert_eq!(bases[2], 1);
            end.show(2);
            // Its memory is that of the source: one command was done, and its buffers for events are there.
            destination.start_at(2, 1).unwrap();
            post_early(&mut destination);
            destination.start().unwrap();
            must_hear_the_news(&mut destination, dialect.name);
        }
    }
}
