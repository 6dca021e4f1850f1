// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Backstores of one unit serial number are one unit: what guests have saved of it, and what it says that it is.
//!
//! Above: nothing.  Below: `common`.
//! Never here: asymmetric access, which `alua` has.

mod common;

use common::{backstore_id, check_refused, create_target, make, map, ramdisk};
use model::{Backstore, Change, IdentityKey, Key, Model, Step, UnitSerial, plan, plan_by};

fn serial(text: &str) -> UnitSerial {
    UnitSerial::parse(text).unwrap()
}

fn of_unit(name: &str, unit: &str) -> Backstore {
    let mut backstore = ramdisk(name);
    backstore.unit_serial = serial(unit);
    backstore
}

fn saves(unit: &str, saved: &[(Key, u32)]) -> Change {
    Change::SelectModes { serial: serial(unit), saved: saved.to_vec() }
}

fn moves(backstore: &str, unit: &str) -> Change {
    Change::SetUnitSerial { backstore: backstore_id(backstore), serial: serial(unit) }
}

fn set(backstore: &str, attribute: &str, value: &str) -> Change {
    let (attribute, value) = (attribute.to_owned(), value.to_owned());
    Change::SetAttribute { backstore: backstore_id(backstore), attribute, value }
}

fn tas(model: &Model, backstore: &str) -> (Option<u32>, usize) {
    let backstore = &model.backstores()[&backstore_id(backstore)];
    (backstore.attribute(Key::EmulateTas), backstore.selected().len())
}

fn product(model: &Model, backstore: &str) -> String {
    model.backstores()[&backstore_id(backstore)].identity_text(IdentityKey::ProductId)
}

#[test]
fn who_joins_a_unit_has_what_guests_saved_of_it_and_who_leaves_it_has_not() {
    let model = make([
        Change::CreateBackstore(of_unit("way0", "one")),
        Change::CreateBackstore(of_unit("way1", "other")),
        saves("one", &[(Key::EmulateTas, 0)]),
        Change::CreateBackstore(of_unit("way2", "one")),
    ]);
    assert_eq!(
        ["ramdisk/way0", "ramdisk/way1", "ramdisk/way2"].map(|way| tas(&model, way).0),
        [Some(0), Some(1), Some(0)]
    );
    let joined = model.apply(moves("ramdisk/way1", "one")).unwrap();
    assert_eq!(tas(&joined, "ramdisk/way1"), (Some(0), 1));
    // Another unit never heard of it.
    let left = model.apply(moves("ramdisk/way0", "new")).unwrap();
    assert_eq!(tas(&left, "ramdisk/way0"), (Some(1), 0));
    assert_eq!(tas(&left.apply(moves("ramdisk/way2", "other")).unwrap(), "ramdisk/way2"), (Some(1), 0));
}

#[test]
fn a_restored_unit_keeps_what_guests_saved_in_whatever_order_its_backstores_come() {
    let mut off = of_unit("way0", "one");
    off.set_attribute("emulate_tas", "0").unwrap();
    let mut on = of_unit("way1", "one");
    on.select(&[(Key::EmulateTas, 0)]);
    for order in [[&off, &on], [&on, &off]] {
        let model = make(order.map(|one| Change::CreateBackstore(one.clone())));
        assert_eq!((tas(&model, "ramdisk/way0"), tas(&model, "ramdisk/way1")), ((Some(0), 0), (Some(0), 1)));
    }
}

#[test]
fn what_a_guest_saves_is_another_step_than_what_the_administrator_sets() {
    let start = make([Change::CreateBackstore(of_unit("way0", "one"))]);
    let (save, save_back) = (saves("one", &[(Key::EmulateTas, 0)]), saves("one", &[(Key::EmulateTas, 1)]));
    let saved = start.apply(save.clone()).unwrap();
    let is = |model: &Model| model.backstores()[&backstore_id("ramdisk/way0")].clone();
    assert_eq!(plan_by(&start, &saved, &[save]), [Step::SelectModes(is(&saved))]);
    let back = saved.apply(save_back.clone()).unwrap();
    assert_eq!(plan_by(&saved, &back, &[save_back]), [Step::SelectModes(is(&back))]);
    // The administrator says the same.
    let taken_back = set("ramdisk/way0", "emulate_tas", "1");
    let after = saved.apply(taken_back.clone()).unwrap();
    assert_eq!(plan_by(&saved, &after, &[taken_back]), [Step::UpdateBackstore(is(&after))]);
    assert_eq!(plan(&saved, &after), [Step::UpdateBackstore(is(&after))]);
}

#[test]
fn another_model_alias_is_that_of_the_whole_unit_and_refused_while_any_way_is_shown() {
    let named = Change::SetIdentity {
        backstore: backstore_id("ramdisk/way0"),
        attribute: "product_id".to_owned(),
        value: "BIG DISK".to_owned(),
    };
    let ways = ["way0", "way1"].map(|way| Change::CreateBackstore(of_unit(way, "one")));
    let model = make(ways).apply(named).unwrap();
    assert_eq!(product(&model, "ramdisk/way1"), "BIG DISK");
    let plain = model.apply(set("ramdisk/way1", "emulate_model_alias", "0")).unwrap();
    assert_eq!(["ramdisk/way0", "ramdisk/way1"].map(|way| product(&plain, way)), ["RAMDISK-MCP"; 2]);
    // Way 0 is what a guest may see.
    let shown = model.apply(create_target(1, [(1, 1)])).unwrap().apply(map(1, 1, 0, "ramdisk/way0")).unwrap();
    check_refused(
        &shown,
        set("ramdisk/way1", "emulate_model_alias", "0"),
        "attribute emulate_model_alias of ramdisk/way1 cannot change while LUN naa.5001405000000001/tpg1/lun0 shows it",
        "delete the LUN first: `/vhost/naa.5001405000000001/tpg1/luns delete 0`",
    );
    assert!(shown.apply(set("ramdisk/way1", "emulate_model_alias", "1")).is_ok());
}
