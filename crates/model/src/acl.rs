// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Access control lists: what one initiator sees of a target port group, as the administrator wants it.
//!
//! Above: `target`, `apply`, `plan`.  Below: names and numbers.
//! Never here: who is connected.

use crate::target::lowest_free;
use crate::{Lun, LunAlias, Refusal, TpgTag, Wwn};
use std::collections::BTreeMap;
use std::fmt;

/// The most access control lists of one target port group.
pub const ACLS_MAX: usize = 256;

/// What one initiator sees, instead of the LUNs of the target port group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// By the number under which it sees them.
    pub luns: BTreeMap<Lun, MappedLun>,
}

impl Acl {
    /// The number under which a LUN is seen unless somebody chooses: its own, else the lowest that is free.
    ///
    /// # Errors
    /// [`Refusal::NoFreeLun`].
    pub fn free_lun(&self, of: Lun) -> Result<Lun, Refusal> {
        if self.luns.contains_key(&of) { lowest_free(&self.luns) } else { Ok(of) }
    }

    /// The numbers under which a LUN of the target port group is seen.
    pub fn mapped(&self, of: Lun) -> impl Iterator<Item = Lun> {
        self.luns.iter().filter(move |(_, mapped)| mapped.of == of).map(|(lun, _)| *lun)
    }
}

/// One LUN of the target port group, as an initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedLun {
    /// Its number in the target port group.
    pub of: Lun,
    /// The name of its link in LIO's tree.
    pub alias: LunAlias,
    /// Whether this initiator may only read.
    pub write_protect: bool,
}

/// Where an access control list is: `naa.…/tpg1/acls/naa.…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclPlace {
    /// The target.
    pub wwn: Wwn,
    /// The target port group.
    pub tag: TpgTag,
    /// The initiator.
    pub initiator: Wwn,
}

impl fmt::Display for AclPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/tpg{}/acls/{}", self.wwn, self.tag, self.initiator)
    }
}
