// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asymmetric access on the wire.
//!
//! Above: `v1`.  Below: `serde`.
//! Never here: a rule.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The ALUA group that every backstore has.
pub const DEFAULT_ALUA_GROUP: &str = "default_tg_pt_gp";

/// The LU group that is always there.
pub const DEFAULT_LU_GROUP: &str = "default_lu_gp";

/// One ALUA target port group of a backstore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AluaGroup {
    /// Its name.
    pub name: String,
    /// What guests know it by: TARGET PORT GROUP.
    pub group_id: u16,
    /// Every attribute with its value, a number.
    pub attributes: BTreeMap<String, String>,
    /// The LUNs in it.
    pub members: Vec<AluaMember>,
}

/// A LUN that is in an ALUA group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AluaMember {
    /// The target.
    pub wwn: String,
    /// The target port group.
    pub tag: u16,
    /// The number.
    pub lun: u16,
}

/// What a LUN has of asymmetric access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LunAlua {
    /// The ALUA group of its backstore that it is in.
    pub group: String,
    /// Whether nothing reaches the backstore this way.
    pub offline: bool,
    /// Who changed that last: 0 nobody, 1 a guest, 2 the administrator.
    pub status: u8,
    /// Kept for LIO's tools.
    pub write_metadata: bool,
}

impl Default for LunAlua {
    fn default() -> Self {
        Self { group: DEFAULT_ALUA_GROUP.to_owned(), offline: false, status: 0, write_metadata: false }
    }
}

/// A group of logical units, whose ALUA groups change together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LuGroup {
    /// Its name.
    pub name: String,
    /// What guests know it by: LOGICAL UNIT GROUP.
    pub group_id: u16,
}

pub(super) fn default_lu_group() -> String {
    DEFAULT_LU_GROUP.to_owned()
}
