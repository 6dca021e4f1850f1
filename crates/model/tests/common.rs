// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Short words for models and changes.
//!
//! Above: the tests beside this file.  Below: the crate's own constructors.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

use model::{
    AbsolutePath, Backstore, BackstoreId, BackstoreName, Change, Kind, Lun, LunAlias, LunAlua, LunMapping,
    Medium, Model, Place, RelativePort, Tpg, TpgTag, UnitSerial, Wwn,
};

pub(crate) fn make(changes: impl IntoIterator<Item = Change>) -> Model {
    changes.into_iter().fold(Model::default(), |model, change| model.apply(change).unwrap())
}

/// Refused in these words, and nothing changed, neither in a copy nor in place.
pub(crate) fn check_refused(model: &Model, change: Change, message: &str, hint: &str) {
    let mut same = model.clone();
    let refusal = same.make(change.clone()).unwrap_err();
    assert_eq!(refusal.to_string(), message);
    assert_eq!(refusal.hint(), hint);
    assert_eq!(&same, model);
    assert_eq!(model.apply(change), Err(refusal));
}

pub(crate) fn wwn(number: u64) -> Wwn {
    Wwn::made_up(number)
}

pub(crate) fn tag(number: u8) -> TpgTag {
    TpgTag::new(number)
}

pub(crate) fn lun(number: u16) -> Lun {
    Lun::parse(number).unwrap()
}

pub(crate) fn place(target: u64, group: u8, number: u16) -> Place {
    Place { wwn: wwn(target), tag: tag(group), lun: lun(number) }
}

pub(crate) fn name(text: &str) -> BackstoreName {
    BackstoreName::parse(text).unwrap()
}

/// From `kind/name`.
pub(crate) fn backstore_id(text: &str) -> BackstoreId {
    let (kind, rest) = text.split_once('/').unwrap();
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
    BackstoreId { kind, name: name(rest) }
}

pub(crate) fn ramdisk(text: &str) -> Backstore {
    backstore(text, Medium::ramdisk(65_536, false).unwrap())
}

pub(crate) fn fileio(text: &str, path: &str) -> Backstore {
    let path = AbsolutePath::parse(path).unwrap();
    backstore(text, Medium::Fileio { path, size_bytes: None, sparse: true })
}

pub(crate) fn block(text: &str, path: &str) -> Backstore {
    let path = AbsolutePath::parse(path).unwrap();
    backstore(text, Medium::Block { path, read_only: None, size_bytes: None })
}

fn backstore(text: &str, medium: Medium) -> Backstore {
    Backstore::new(name(text), UnitSerial::parse(&format!("serial of {text}")).unwrap(), medium).unwrap()
}

/// With a nexus that goes with the relative port.
pub(crate) fn tpg(port: u16) -> Tpg {
    Tpg::new(wwn(1_000_000 + u64::from(port)), RelativePort::parse(port).unwrap())
}

/// With target port groups as (tag, relative port).
pub(crate) fn create_target(number: u64, tpgs: impl IntoIterator<Item = (u8, u16)>) -> Change {
    let tpgs = tpgs.into_iter().map(|(number, port)| (tag(number), tpg(port))).collect();
    Change::CreateTarget { wwn: wwn(number), tpgs }
}

pub(crate) fn set_parameter(target: u64, parameter: &str, value: &str) -> Change {
    Change::SetParameter { wwn: wwn(target), parameter: parameter.to_owned(), value: value.to_owned() }
}

pub(crate) fn set_option(target: u64, option: &str, value: &str) -> Change {
    Change::SetOption { wwn: wwn(target), option: option.to_owned(), value: value.to_owned() }
}

pub(crate) fn map(target: u64, group: u8, number: u16, backstore: &str) -> Change {
    let mapping = LunMapping {
        backstore: backstore_id(backstore),
        alias: LunAlias::made_up(7),
        write_protect: false,
        alua: LunAlua::default(),
    };
    Change::MapLun { wwn: wwn(target), tag: tag(group), lun: lun(number), mapping }
}
