// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Short words for wishes, and a control plane over the fake machine.
//!
//! Above: the tests beside this file.  Below: the library.
//! Never here: a claim.
#![allow(dead_code, reason = "each test file uses a part")]

use api::v1::{self, RestoreOptions};
use lunard::directories::StateDir;
use lunard::machine::Live;
use lunard::machine::fake::FakeMachine;
use lunard::saveconfig::{self, Apply, Document, DocumentError, Restore, RestoreError};
use lunard::state_driver::{Failure, Handle, Running, start};
use lunard::store::Store;
use lunard::wish::{Chance, Draft};
use model::{AclPlace, Change, Lun, LunAlias, MappedLun, Model, Wwn};
use std::path::Path;
use std::sync::Arc;

/// Counts instead of being random.
#[derive(Debug, Default)]
pub(crate) struct Counting(u64);

impl Chance for Counting {
    fn bits(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn uuid(&mut self) -> String {
        self.0 += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.0)
    }
}

/// A control plane without sockets.
pub(crate) struct Plane {
    pub(crate) handle: Handle,
    pub(crate) machine: Arc<FakeMachine>,
    running: Option<Running>,
    tokio: tokio::runtime::Runtime,
    _state_dir: StateDir,
}

impl Plane {
    /// One that starts with nothing on the machine, whatever is in the directory.
    pub(crate) fn start(directory: &Path) -> Self {
        let state_dir = StateDir::claim(directory).unwrap();
        let store = Store::open(&state_dir).unwrap();
        let model = store.load().unwrap();
        let machine = Arc::new(FakeMachine::new("/run/lunar"));
        let (handle, running) =
            start(model, store, Arc::clone(&machine), Box::<Counting>::default(), "/run/lunar".into())
                .unwrap();
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { handle, machine, running: Some(running), tokio, _state_dir: state_dir }
    }

    pub(crate) fn apply(&self, wishes: impl IntoIterator<Item = v1::Change>) -> Result<v1::Applied, Failure> {
        self.tokio.block_on(self.handle.apply(wishes.into_iter().collect()))
    }

    /// The results, or the words of the failure.
    pub(crate) fn outcomes(
        &self,
        wishes: impl IntoIterator<Item = v1::Change>,
    ) -> Result<Vec<v1::Outcome>, String> {
        self.apply(wishes).map(|applied| applied.results).map_err(|failure| failure.to_string())
    }

    /// The model that these wishes make of nothing.
    pub(crate) fn drafted(wishes: impl IntoIterator<Item = v1::Change>) -> Model {
        let wishes: Vec<_> = wishes.into_iter().collect();
        Draft::new(&Model::default(), &wishes, &mut Counting::default()).unwrap().model
    }

    pub(crate) fn model(&self) -> Arc<Model> {
        self.handle.model()
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.tokio.block_on(future)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn ramdisk(name: &str) -> v1::Change {
    v1::Change::CreateBackstore(v1::CreateBackstore::Ramdisk {
        name: name.to_owned(),
        size_bytes: 1 << 20,
        nullio: false,
        unit_serial: None,
    })
}

pub(crate) fn fileio(name: &str, path: &str, size_bytes: Option<u64>) -> v1::Change {
    v1::Change::CreateBackstore(v1::CreateBackstore::Fileio {
        name: name.to_owned(),
        path: path.to_owned(),
        size_bytes,
        write_back: None,
        sparse: None,
        unit_serial: None,
    })
}

pub(crate) fn block(name: &str, path: &str) -> v1::Change {
    v1::Change::CreateBackstore(v1::CreateBackstore::Block {
        name: name.to_owned(),
        path: path.to_owned(),
        read_only: None,
        unit_serial: None,
    })
}

pub(crate) fn target(wwn: &str) -> v1::Change {
    v1::Change::CreateTarget { wwn: Some(wwn.to_owned()), tpgs: vec![1] }
}

pub(crate) fn set_parameter(wwn: &str, parameter: &str, value: &str) -> v1::Change {
    v1::Change::SetParameter { wwn: wwn.to_owned(), parameter: parameter.to_owned(), value: value.to_owned() }
}

pub(crate) fn set_option(wwn: &str, option: &str, value: &str) -> v1::Change {
    v1::Change::SetOption { wwn: wwn.to_owned(), option: option.to_owned(), value: value.to_owned() }
}

pub(crate) fn id(kind: v1::Kind, name: &str) -> v1::BackstoreId {
    v1::BackstoreId { kind, name: name.to_owned() }
}

pub(crate) fn map(wwn: &str, lun: Option<u16>, kind: v1::Kind, name: &str) -> v1::Change {
    v1::Change::MapLun { wwn: wwn.to_owned(), tag: 1, lun, backstore: id(kind, name), write_protect: false }
}

/// Restores all that a file says, beside what is there.
pub(crate) fn everything() -> RestoreOptions {
    RestoreOptions::default()
}

/// The same, in place of what is there.
pub(crate) fn clearing() -> RestoreOptions {
    RestoreOptions { clear_existing: true, ..everything() }
}

/// A saveconfig.json, read.
pub(crate) fn read(text: &str, options: &RestoreOptions) -> Result<Document, DocumentError> {
    Document::read(text.as_bytes(), options, &mut Counting::default())
}

/// What a saveconfig.json makes of a configuration.
pub(crate) fn draft(model: &Model, text: &str, options: &RestoreOptions) -> Result<Draft, RestoreError> {
    let document = read(text, options).unwrap();
    Restore::new(document, options.clone()).draft(model, &mut Counting::default())
}

/// The saveconfig.json of a configuration, on a machine that tells nothing of its devices.
pub(crate) fn text(model: &Model) -> String {
    saveconfig::text(model, &Live::default())
}

/// Every LUN in two lists of its group: one for the nexus, one for somebody else.
pub(crate) fn map_in_lists(model: &mut Model) {
    for (wwn, target) in model.clone().targets() {
        for (tag, tpg) in &target.tpgs {
            for initiator in [tpg.nexus.clone(), Wwn::made_up(7)] {
                let acl = AclPlace { wwn: wwn.clone(), tag: *tag, initiator };
                model.make(Change::CreateAcl(acl.clone())).unwrap();
                for (number, of) in (0..).zip(tpg.luns.keys()) {
                    let (lun, alias) = (Lun::parse(number).unwrap(), LunAlias::made_up(number.into()));
                    let mapped = MappedLun { of: *of, alias, write_protect: number % 2 == 0 };
                    model.make(Change::MapAclLun { acl: acl.clone(), lun, mapped }).unwrap();
                }
            }
        }
    }
}

/// What a file wants, as whoever looked at the difference asks for it.
pub(crate) fn apply(text: &str) -> Apply {
    Apply::new(Document::read_wanted(text.as_bytes(), &mut Counting::default()).unwrap(), false)
}
