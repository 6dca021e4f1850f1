// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the administrator wants, valid by construction.
//!
//! Above: `lunard`, whose doors make [`Change`]s, and which carries out the [`Step`]s of [`plan()`].
//! Below: nothing of Lunar.
//! Never here: I/O, a lock, a clock, chance, serialization.  Whatever is made up (a WWN, a serial number,
//! an alias) is passed in; whatever is found out (the size of a file) is passed in too.
//!
//! ```text
//!   Change ──apply──► Model            old Model ─┐
//!      └────────────► Refusal          new Model ─┴─plan──► Vec<Step>
//! ```

#![forbid(unsafe_code)]

mod acl; // what one initiator sees, as wanted
mod alua; // asymmetric access, and THE table of its attributes
mod apply; // a change, made
mod attribute; // THE table of a backstore's attributes
mod backstore; // where blocks live, as wanted
mod change; // THE list of what may happen to it
mod completion_affinity; // a parameter of LIO's targets
mod foreign; // what is kept and not served
mod identity; // who a unit says that it is, and THE table of it
mod kernel_number; // numbers as the kernel reads them
mod lba_map; // which blocks are reached how
mod lun_alua; // what a LUN has of asymmetric access
mod model; // all of it
mod name; // what things are called
mod number; // what things are numbered by
mod plan; // from one model to another, in steps
mod refusal; // why it did not happen
mod target; // what a guest connects to, as wanted
mod target_option; // THE table of a target's options

pub use acl::{ACLS_MAX, Acl, AclPlace, MappedLun};
pub use alua::{
    ALUA_ATTRIBUTES, ALUA_GROUPS_MAX, AluaAttribute, AluaGroup, AluaGroupName, AluaGroups, AluaKey,
    LU_GROUPS_MAX,
};
pub use attribute::{ATTRIBUTES, Access, Attribute, Attributes, Key, TRANSFER_BYTES_MAX, Values};
pub use backstore::{Backstore, BackstoreId, Kind, Medium, PAGE_BYTES, SIZE_BYTES_MAX};
pub use change::Change;
pub use completion_affinity::CompletionAffinity;
pub use foreign::Foreign;
pub use identity::{IDENTITY_FIELDS, Identity, IdentityField, IdentityKey, UNIT_SERIAL_FILE, product};
pub use kernel_number::kernel_number;
pub use lba_map::{LBA_MAP_BYTES_MAX, LbaMap, LbaMapError, LbaRange};
pub use lun_alua::{LUN_ALUA_ATTRIBUTES, LunAlua, LunAluaSetting, LunAluaStatus};
pub use model::{BACKSTORES_MAX, Model};
pub use name::{AbsolutePath, BackstoreName, LunAlias, UnitSerial, Wwn};
pub use number::{Lun, RelativePort, TpgTag};
pub use plan::{Step, plan, plan_by};
pub use refusal::Refusal;
pub use target::{LunMapping, Place, Target, Tpg};
pub use target_option::{OptionKey, REQUEST_QUEUES_MAX, TARGET_OPTIONS, TargetOption, TargetOptions};
