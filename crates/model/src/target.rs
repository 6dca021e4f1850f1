// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest connects to, as the administrator wants it.
//!
//! Above: `model`, `apply`, `plan`.  Below: names and numbers.
//! Never here: a socket or a session.

use crate::{
    Acl, BackstoreId, CompletionAffinity, Lun, LunAlias, LunAlua, Refusal, RelativePort, TargetOptions,
    TpgTag, Wwn,
};
use std::collections::BTreeMap;
use std::fmt;

/// One target: one socket, one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its target port groups.
    pub tpgs: BTreeMap<TpgTag, Tpg>,
    /// What its device is to a front end.
    pub options: TargetOptions,
    /// What is kept of it for LIO's tools.
    pub completion_affinity: CompletionAffinity,
}

/// One target port group: a SCSI target as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpg {
    /// The initiator's name that stands for the guest.
    pub nexus: Wwn,
    /// What its port is called in VPD page 83h and in reservations.
    pub relative_port: RelativePort,
    /// What the guest finds behind it, unless there is an access control list for its nexus.
    pub luns: BTreeMap<Lun, LunMapping>,
    /// Access control lists, by initiator.  The only initiator here is the nexus: the others wait for one of
    /// their name.
    pub acls: BTreeMap<Wwn, Acl>,
}

impl Tpg {
    /// A target port group without LUNs and access control lists.
    #[must_use]
    pub fn new(nexus: Wwn, relative_port: RelativePort) -> Self {
        Self { nexus, relative_port, luns: BTreeMap::new(), acls: BTreeMap::new() }
    }

    /// What the guest sees: the LUNs, or what the access control list of its nexus says of them.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<Lun, LunMapping> {
        let Some(acl) = self.acls.get(&self.nexus) else { return self.luns.clone() };
        let seen = acl.luns.iter().filter_map(|(lun, mapped)| {
            let mapping = self.luns.get(&mapped.of)?.clone();
            let write_protect = mapping.write_protect || mapped.write_protect;
            Some((*lun, LunMapping { write_protect, ..mapping }))
        });
        seen.collect()
    }

    /// The lowest number that no LUN has.
    ///
    /// # Errors
    /// [`Refusal::NoFreeLun`].
    pub fn free_lun(&self) -> Result<Lun, Refusal> {
        lowest_free(&self.luns)
    }
}

/// The lowest number that is no key.
pub(crate) fn lowest_free<T>(luns: &BTreeMap<Lun, T>) -> Result<Lun, Refusal> {
    let taken = (0..).zip(luns.keys()).take_while(|(number, lun)| lun.get() == *number);
    let number = u16::try_from(taken.count()).unwrap_or(u16::MAX);
    Lun::parse(number).map_err(|_| Refusal::NoFreeLun)
}

/// One mapping of a backstore into a target port group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LunMapping {
    /// What it shows.
    pub backstore: BackstoreId,
    /// The name of its link in LIO's tree.
    pub alias: LunAlias,
    /// Whether this mapping refuses writes.
    pub write_protect: bool,
    /// What it has of asymmetric access.
    pub alua: LunAlua,
}

/// Where a LUN is: `naa.…/tpg1/lun0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The target.
    pub wwn: Wwn,
    /// The target port group.
    pub tag: TpgTag,
    /// The number.
    pub lun: Lun,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/tpg{}/lun{}", self.wwn, self.tag, self.lun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackstoreName, Kind};

    fn tpg_with(luns: impl IntoIterator<Item = u16>) -> Tpg {
        let mut tpg = Tpg::new(Wwn::made_up(1), RelativePort::parse(1).unwrap());
        for lun in luns {
            let name = BackstoreName::parse(&format!("d{lun}")).unwrap();
            let backstore = BackstoreId { kind: Kind::Ramdisk, name };
            let mapping = LunMapping {
                backstore,
                alias: LunAlias::made_up(1),
                write_protect: false,
                alua: LunAlua::default(),
            };
            tpg.luns.insert(Lun::parse(lun).unwrap(), mapping);
        }
        tpg
    }

    #[test]
    fn the_lowest_free_lun_fills_the_first_gap() {
        for (taken, free) in [(vec![], 0), (vec![0, 1], 2), (vec![1, 2], 0), (vec![0, 2, 3], 1)] {
            assert_eq!(tpg_with(taken).free_lun().map(Lun::get), Ok(free));
        }
    }

    #[test]
    fn a_full_target_port_group_has_no_free_lun() {
        assert_eq!(tpg_with(0..=16382).free_lun().map(Lun::get), Ok(16383));
        assert_eq!(tpg_with(0..=16383).free_lun(), Err(Refusal::NoFreeLun));
    }

    #[test]
    fn a_place_reads_as_a_path() {
        let place = Place { wwn: Wwn::made_up(1), tag: TpgTag::new(3), lun: Lun::parse(300).unwrap() };
        assert_eq!(place.to_string(), "naa.5001405000000001/tpg3/lun300");
    }
}
