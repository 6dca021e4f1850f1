// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is in the kernel's tree: a model as far as the model has words, and names for the rest.
//!
//! Above: `target`, `jobs`.  Below: `files`; `object` and `fabric`, one for each half of the tree.
//! Never here: a change.  What has no word here is only looked at.

mod access; // groups and lists
mod fabric; // targets, port groups, LUNs
mod info; // words of an `info` file
mod object; // backstores

pub(crate) use access::{LU_GROUPS, acl_directory, all_acls};
pub(crate) use object::names;

use crate::files::{Fault, Files};
use model::{BackstoreId, Change, Foreign as Kept, Kind, Model, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use translate::live::Live;

/// Something that the kernel has and the model has no word for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where it is in the shell's tree, such as `/iscsi/iqn.2003-01.org.example:x`.
    pub path: String,
    /// What `ls` shows in brackets.
    pub summary: String,
}

/// An attribute as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) is_writable: bool,
}

/// All of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What the model has words for.
    pub(crate) model: Model,
    /// What the kernel says of it besides.
    pub(crate) live: Live,
    /// The attributes of each backstore, all that the kernel has.
    pub(crate) attributes: BTreeMap<BackstoreId, BTreeMap<String, Value>>,
    /// The directory of each backstore's adapter, such as `iblock_0`.
    pub(crate) adapters: BTreeMap<BackstoreId, String>,
    /// The numbers of adapters that have a device.
    pub(crate) numbers: BTreeSet<u32>,
    /// Adapters without a device: somebody's leftovers.
    pub(crate) empty_adapters: BTreeSet<String>,
    /// Backstores that LUNs show which are no LUNs of the model, and where.
    pub(crate) elsewhere: BTreeMap<BackstoreId, Vec<String>>,
    /// Backstores without a serial number, which the model makes them have.
    pub(crate) without_serial: BTreeSet<BackstoreId>,
    /// The rest.
    pub(crate) foreign: Vec<Foreign>,
    /// The names of the rest as saveconfig.json has them, such as `target iscsi/iqn.2003-01.org.example:x`.
    pub(crate) foreign_names: BTreeSet<String>,
}

impl Found {
    /// Reads all of the tree.
    pub(crate) fn read(files: &Files) -> Result<Self, Fault> {
        let mut found = Self::default();
        found.lu_groups(files)?;
        found.storage_objects(files)?;
        for fabric in files.directories("")? {
            match fabric.as_str() {
                "core" => {}
                "vhost" => found.vhost(files)?,
                _ => found.other_fabric(files, &fabric)?,
            }
        }
        Ok(found)
    }

    /// Makes a change that only says what is there.
    fn learn(&mut self, change: Change) -> Result<(), Refusal> {
        self.model.make(change)
    }

    fn leave(&mut self, path: String, summary: impl Into<String>) {
        self.foreign.push(Foreign { path, summary: summary.into() });
    }

    /// The backstore whose directory this is, such as `core/iblock_0/disk0`.
    pub(crate) fn at(&self, directory: &str) -> Option<BackstoreId> {
        let (adapter, name) = directory.strip_prefix("core/")?.split_once('/')?;
        let is_it = |(id, of): &(&BackstoreId, &String)| *of == adapter && id.name.as_str() == name;
        self.adapters.iter().find(is_it).map(|(id, _)| id.clone())
    }

    /// The directory of a backstore.
    pub(crate) fn directory(&self, id: &BackstoreId) -> Option<String> {
        self.adapters.get(id).map(|adapter| format!("core/{adapter}/{}", id.name))
    }

    /// Has the model keep what an earlier saveconfig.json says of what is foreign and still there.
    pub(crate) fn keep(&mut self, told: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let still = told
            .iter()
            .filter(|(name, _)| self.foreign_names.contains(*name) || name.starts_with("fabric_module "));
        let is = Kept::new(still.map(|(name, text)| (name.clone(), text.clone())).collect())?;
        let was = self.model.foreign().clone();
        self.learn(Change::KeepForeign { was, is })
    }
}

/// The kernel's word for a kind of backstore.
pub(crate) fn plugin(kind: Kind) -> &'static str {
    match kind {
        Kind::Block => "iblock",
        Kind::Fileio => "fileio",
        Kind::Ramdisk => "rd_mcp",
    }
}

fn kind_of(plugin: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| self::plugin(*kind) == plugin)
}
