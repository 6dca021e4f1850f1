// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon in memory: it keeps a configuration, and refuses what the tests want refused.
//!
//! Above: `support`.  Below: the trait `Api`.
//! Never here: all the daemon's rules; they have tests of their own.

mod changes; // what changes make of its configuration

use api::v1::{
    Action, Applied, ApplyOptions, AttributeInfo, AttributeTable, BackstoreState, Change, Changes, Cleared,
    Compared, Config, CreateBackstore, Difference, Kind, MoveMedium, OptionInfo, OptionTable, RestoreOptions,
    Restored, SaveOptions, Saved, ValueChange, Version,
};
use changes::problem;
use shell::{Api, ApiError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The unit serial number of every backstore here.
pub(crate) const FAKE_SERIAL: &str = "f510d97b-fce2-49bd-94e7-4a7197a827d4";

/// A daemon that several hands hold.
#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Rc<RefCell<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) config: Config,
    /// All changes that were asked for, a transaction each.
    pub(crate) asked: Vec<Vec<Change>>,
    /// What was to be restored, and how.
    pub(crate) restored: Vec<(Option<String>, RestoreOptions)>,
    /// What was to be applied, and how.
    pub(crate) applied: Vec<(String, ApplyOptions)>,
    /// What a file has otherwise.
    pub(crate) differences: Vec<Difference>,
    /// Whose guests would lose something.
    pub(crate) guests_lose: Vec<String>,
    /// Whether the configuration changes as soon as a difference was shown.
    pub(crate) moves: bool,
    /// How many earlier versions were to be kept, each time it was saved.
    pub(crate) saved: Vec<Option<u32>>,
    /// What `saveconfig` would write, where a test wants to say it.
    pub(crate) text: Option<String>,
    /// Which media were to be moved.
    pub(crate) moved: Vec<MoveMedium>,
    /// What it keeps and does not serve.
    pub(crate) kept_things: u64,
    /// Whether nobody answers.
    pub(crate) down: bool,
    made_up: u64,
}

impl Fake {
    pub(crate) fn stop(&self) {
        self.0.borrow_mut().down = true;
    }

    /// A ramdisk of a mebibyte comes in by another door.
    pub(crate) fn has_ramdisk(&self, name: &str) {
        let wanted = CreateBackstore::Ramdisk {
            name: name.to_owned(),
            size_bytes: 1 << 20,
            nullio: false,
            unit_serial: None,
        };
        self.0.borrow_mut().apply(Change::CreateBackstore(wanted)).expect("a new name");
    }

    /// A guest comes to a target.
    pub(crate) fn connect(&self, wwn: &str) {
        self.0.borrow_mut().target(wwn).connected = true;
    }

    /// From now on the guest of a target port group has waited.
    pub(crate) fn wait(&self, wwn: &str, tag: u16, waiting: api::v1::Waiting) {
        self.0.borrow_mut().tpg(wwn, tag).waiting.push(waiting);
    }

    fn up(&self) -> Result<(), ApiError> {
        if self.0.borrow().down {
            let message = "no lunard is running at /run/lunar/api.sock".to_owned();
            return Err(ApiError::Unreached { message, hint: Some("start it with `lunard`".to_owned()) });
        }
        Ok(())
    }
}

impl Api for Fake {
    fn version(&self) -> Result<Version, ApiError> {
        self.up()?;
        Ok(Version { version: "1.2.4".to_owned(), configfs: None })
    }

    fn config(&self) -> Result<Config, ApiError> {
        self.up()?;
        Ok(self.0.borrow().config.clone())
    }

    fn apply(&self, changes: Changes) -> Result<Applied, ApiError> {
        self.up()?;
        let mut state = self.0.borrow_mut();
        state.asked.push(changes.changes.clone());
        let before = state.config.clone();
        let mut results = Vec::new();
        for change in changes.changes {
            match state.apply(change) {
                Ok(outcome) => results.push(outcome),
                Err(problem) => {
                    state.config = before;
                    return Err(ApiError::Refused(problem));
                }
            }
        }
        Ok(Applied { results })
    }

    fn save(&self, options: &SaveOptions) -> Result<Saved, ApiError> {
        self.up()?;
        self.0.borrow_mut().saved.push(options.backups);
        Ok(Saved { path: "/var/lib/lunar/saveconfig.json".to_owned(), backups: None })
    }

    fn saveconfig(&self) -> Result<String, ApiError> {
        self.up()?;
        let text = self.0.borrow().text.clone();
        Ok(text.unwrap_or_else(|| "{\n  \"storage_objects\": []\n}\n".to_owned()))
    }

    fn file_to_apply(&self) -> Result<String, ApiError> {
        self.up()?;
        Ok("scope = [\"*\"]\n".to_owned())
    }

    fn restore(&self, document: Option<Vec<u8>>, options: &RestoreOptions) -> Result<Restored, ApiError> {
        self.up()?;
        let text = document.map(|text| String::from_utf8(text).expect("the tests restore text"));
        let answer = match text.as_deref() {
            None => Ok(vec!["attributes of block/disk0 that cannot be so here".to_owned()]),
            Some(text) if text.starts_with('{') => Ok(Vec::new()),
            Some("there") => Err(("restore_conflict", "storageobject 'block:disk0' exist not restoring")),
            Some(_) => Err(("saveconfig", "the file ends too early, at line 1 column 0")),
        };
        self.0.borrow_mut().restored.push((text, options.clone()));
        let path = "/var/lib/lunar/saveconfig.json".to_owned();
        match answer {
            Ok(notes) => Ok(Restored { path: Some(path), storage_objects: 1, targets: 1, notes }),
            Err((code, message)) => {
                Err(ApiError::Refused(problem(code, message.to_owned(), "nothing was changed")))
            }
        }
    }

    fn apply_file(&self, document: Vec<u8>, options: &ApplyOptions) -> Result<Compared, ApiError> {
        self.up()?;
        let text = String::from_utf8(document).expect("the tests apply text");
        let mut state = self.0.borrow_mut();
        state.applied.push((text.clone(), options.clone()));
        let refuse = |code: &str, message: &str| {
            Err(ApiError::Refused(problem(code, message.to_owned(), "nothing was changed")))
        };
        if text.starts_with('[') {
            return refuse("saveconfig", "the file ends too early, at line 1 column 0");
        }
        if options.generation.is_some() && state.moves {
            return refuse("moved", "the configuration has changed since the difference was shown");
        }
        if !options.dry_run && !options.force && !state.guests_lose.is_empty() {
            return refuse("guest_connected", "the guests of target naa.5 are connected");
        }
        let notes = vec!["'x' of the file is not known here".to_owned()];
        let (differences, guests_lose) = (state.differences.clone(), state.guests_lose.clone());
        Ok(Compared {
            generation: "g-1".to_owned(),
            applied: !options.dry_run,
            differences,
            guests_lose,
            notes,
        })
    }

    fn move_medium(&self, wish: &MoveMedium) -> Result<(), ApiError> {
        self.up()?;
        let mut state = self.0.borrow_mut();
        state.moved.push(wish.clone());
        let found = state.config.backstores.iter_mut().find(|backstore| backstore.id == wish.id);
        let backstore = found.expect("the shell names what is there");
        if backstore.attributes.get("emulate_removable").is_none_or(|value| value != "1") {
            let message = "the medium of block/disk0 cannot be taken out".to_owned();
            return Err(ApiError::Refused(problem("cannot_prepare", message, "it is soldered in")));
        }
        backstore.state = if wish.loaded { BackstoreState::Deactivated } else { BackstoreState::Ejected };
        Ok(())
    }

    fn clear(&self) -> Result<Cleared, ApiError> {
        self.up()?;
        let mut state = self.0.borrow_mut();
        state.config = Config::default();
        Ok(Cleared { storage_objects: 0, targets: 0, kept_things: std::mem::take(&mut state.kept_things) })
    }

    fn attributes(&self) -> Result<AttributeTable, ApiError> {
        self.up()?;
        let info = |name: &str, help: &str, settable_on: &[Kind]| AttributeInfo {
            name: name.to_owned(),
            help: help.to_owned(),
            values: "0 or 1".to_owned(),
            settable_on: settable_on.to_vec(),
            frozen_while_exported: false,
        };
        let everywhere = [Kind::Block, Kind::Fileio, Kind::Ramdisk];
        Ok(AttributeTable {
            alua: alua_attributes(),
            identity: vec![OptionInfo {
                name: "vendor_id".to_owned(),
                help: "The vendor that guests see".to_owned(),
                values: "up to 8 characters of printable ASCII".to_owned(),
                default: String::new(),
            }],
            attributes: vec![
                info("emulate_tpu", "Whether UNMAP is served", &everywhere),
                info("emulate_write_cache", "Whether a write cache is reported", &everywhere),
                info("hw_block_size", "Bytes of a block of the medium", &[]),
            ],
        })
    }

    fn options(&self) -> Result<OptionTable, ApiError> {
        self.up()?;
        let info = |name: &str, help: &str, values: &str, default: &str| OptionInfo {
            name: name.to_owned(),
            help: help.to_owned(),
            values: values.to_owned(),
            default: default.to_owned(),
        };
        Ok(OptionTable {
            options: vec![
                info("num_queues", "How many request queues there are", "0 to 254", "0"),
                info("virtqueue_size", "How long a queue may be", "3 to 32768", "32768"),
            ],
        })
    }
}

fn options() -> BTreeMap<String, String> {
    [("num_queues", "0"), ("virtqueue_size", "32768")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn parameters() -> BTreeMap<String, String> {
    [("cmd_completion_affinity".to_owned(), "-1".to_owned())].into()
}

/// A difference, each value as `name=from>to`.
pub(crate) fn difference(action: Action, path: &str, values: &[&str]) -> Difference {
    let value = |text: &&str| {
        let (name, rest) = text.split_once('=').expect("a name");
        let (from, to) = rest.split_once('>').expect("two values");
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ValueChange { name: name.to_owned(), from: some(from), to: some(to) }
    };
    Difference { action, path: path.to_owned(), values: values.iter().map(value).collect() }
}

fn alua_attributes() -> Vec<OptionInfo> {
    let info = |name: &str, help: &str, values: &str| OptionInfo {
        name: name.to_owned(),
        help: help.to_owned(),
        values: values.to_owned(),
        default: "0".to_owned(),
    };
    vec![
        info("alua_access_state", "How guests reach it", "0, 1, 2, 3, 15"),
        info("alua_support_lba_dependent", "Whether it differs by block", "0"),
        info("nonop_delay_msecs", "The delay", "0 to 10000"),
        info("preferred", "Whether it is preferred", "0 or 1"),
    ]
}
