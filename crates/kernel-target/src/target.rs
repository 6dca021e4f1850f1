// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the shell asks, answered from the kernel's tree.
//!
//! Above: `lunar`.  Below: all the other files.
//! Never here: words for the terminal.
//!
//! Each question reads the tree anew.  Each change is drafted on what was read, exactly as `lunard` drafts it, and
//! carried out in writes: all of it, or nothing.

use crate::files::{Act, Files, Job};
use crate::found::{Foreign, Found};
use crate::jobs::{Attributes, jobs, no_options};
use crate::media::Media;
use crate::problem::Problem;
use crate::saved::{self, ForKernel};
use api::v1;
use model::{BackstoreId, Model, Refusal, Wwn, plan};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use translate::live::Occasion;
use translate::saveconfig::{Document, Restore, SaveConfig};
use translate::view::{View, wire_kind};
use translate::wish::{Draft, HostChance, Made, backstore_id};

/// Where the kernel has its own tree; elsewhere there is no module to load.
const CONFIGFS: &str = "/sys/kernel/config";

/// The kernel's own target.
#[derive(Debug)]
pub struct KernelTarget {
    files: Files,
    saveconfig: SaveConfig,
    save_dir: PathBuf,
}

/// What Lunar can take over from the kernel.
#[derive(Clone, Debug)]
pub struct Export {
    /// All of it, to be shown.
    pub config: v1::Config,
    /// The same as a saveconfig.json.
    pub document: String,
    /// What stays.
    pub stays: Vec<Foreign>,
}

/// What was taken out of the kernel, and can be put back.
#[derive(Debug)]
pub struct Released {
    files: Files,
    jobs: Vec<Job>,
}

impl Released {
    /// Puts it back as it was.
    ///
    /// # Errors
    /// What could not be; the rest is there again.
    pub fn put_back(self) -> Result<(), v1::Problem> {
        match self.files.take_back(&self.jobs) {
            None => Ok(()),
            Some(fault) => Err(Problem::from(fault).into()),
        }
    }
}

impl KernelTarget {
    /// The target whose tree is at `root`, with saveconfig.json in `save_dir`, or where this host's tools have it.
    #[must_use]
    pub fn new(root: &Path, save_dir: Option<&Path>) -> Self {
        let save_dir = save_dir.map_or_else(saved::directory, Path::to_owned);
        Self { files: Files::new(root), saveconfig: SaveConfig::new(&save_dir), save_dir }
    }

    pub(crate) fn look(&self) -> Result<Found, Problem> {
        if self.files.is_directory("core") {
            return Ok(Found::read(&self.files)?);
        }
        let message = format!("there is no target of the kernel at {}", self.files.root().display());
        let hint =
            "load it: modprobe target_core_mod, with configfs mounted at /sys/kernel/config".to_owned();
        Err(Problem::new(v1::codes::HOST, message, Some(hint)))
    }

    /// Keeps another `lunar` out until the result goes.
    pub(crate) fn lock(&self) -> Option<File> {
        let directory = File::open(self.files.root()).ok()?;
        // Where there are no locks there are none to respect.
        flock(&directory, FlockOperation::LockExclusive).ok().map(|()| directory)
    }

    /// What the kernel calls itself.
    ///
    /// # Errors
    /// Where there is no such tree.
    pub fn version(&self) -> Result<v1::Version, v1::Problem> {
        self.look()?;
        let version = self.files.read("version").map_err(Problem::from)?;
        Ok(v1::Version { version, configfs: None })
    }

    /// All that the model has words for.
    ///
    /// # Errors
    /// Where the tree is not there or cannot be read.
    pub fn config(&self) -> Result<v1::Config, v1::Problem> {
        Ok(self.all()?.0)
    }

    /// The same and the rest, of one look at the tree.
    ///
    /// # Errors
    /// Where the tree is not there or cannot be read.
    pub fn all(&self) -> Result<(v1::Config, Vec<Foreign>), v1::Problem> {
        let found = self.look()?;
        Ok((config(&found), found.foreign))
    }

    /// The rest.
    ///
    /// # Errors
    /// Where the tree is not there or cannot be read.
    pub fn foreign(&self) -> Result<Vec<Foreign>, v1::Problem> {
        Ok(self.look()?.foreign)
    }

    /// Makes all of `changes`, or nothing.
    ///
    /// # Errors
    /// The first that the rules or the kernel refuse.
    pub fn apply(&self, changes: &[v1::Change]) -> Result<v1::Applied, v1::Problem> {
        let _lock = self.lock();
        let found = self.look()?;
        let mut direct = Vec::new();
        let mut wishes = Vec::new();
        for change in changes {
            match self.straight_to_the_kernel(&found, change)? {
                Some(job) => direct.push(job),
                None => wishes.push(change.clone()),
            }
        }
        let draft = Draft::new(&found.model, &wishes, &mut HostChance).map_err(Problem::from)?;
        let notes = self.make(&found, &draft.model, Occasion::Change, direct)?;
        let made = tell(draft.made, notes);
        let results = self.results(changes, made)?;
        Ok(v1::Applied { results })
    }

    /// What became of each change, in the tree as it is now.
    fn results(&self, changes: &[v1::Change], made: Vec<Made>) -> Result<Vec<v1::Outcome>, Problem> {
        let now = self.look()?;
        let view = View::new(&now.model, &now.live, Path::new(""));
        let mut made = made.into_iter();
        let mut results = Vec::new();
        for change in changes {
            let outcome = match change {
                v1::Change::SetAttribute { id, attribute, .. } => {
                    // Made of the model's or not, the kernel's value counts.
                    if model_has(&now, id, attribute) {
                        made.next();
                    }
                    v1::Outcome::AttributeSet { value: value(&now, id, attribute).unwrap_or_default() }
                }
                _ => view.outcome(made.next().unwrap_or(Made::Nothing)),
            };
            results.push(whole(&now, outcome));
        }
        Ok(results)
    }

    /// The write that sets an attribute of which the model does not know what the kernel does.
    fn straight_to_the_kernel(&self, found: &Found, change: &v1::Change) -> Result<Option<Job>, Problem> {
        if let v1::Change::SetOption { wwn, .. } = change {
            return Err(no_options(&Wwn::parse(wwn)?).into());
        }
        let v1::Change::SetAttribute { id, attribute, value } = change else { return Ok(None) };
        if model_has(found, id, attribute) {
            return Ok(None);
        }
        let id = backstore_id(id)?;
        let was = found.attributes.get(&id).and_then(|attributes| attributes.get(attribute));
        let (Some(was), Some(directory)) = (was, found.directory(&id)) else { return Ok(None) };
        let at = format!("{directory}/attrib/{attribute}");
        let undo = vec![Act::Write { at: at.clone(), text: was.text.clone() }];
        Ok(Some(Job { act: Act::Write { at, text: value.clone() }, undo }))
    }

    /// Turns what was found into `new`; returns what is to be told of new backstores.
    fn make(
        &self,
        found: &Found,
        new: &Model,
        occasion: Occasion,
        direct: Vec<Job>,
    ) -> Result<BTreeMap<BackstoreId, Vec<String>>, Problem> {
        let steps = plan(&found.model, new);
        let media = Media::of(&steps, occasion)?;
        let mut all = media.jobs;
        all.extend(jobs(found, new, &media.sizes, self.has_fabric())?);
        all.extend(direct);
        self.carry_out(&all)?;
        Ok(media.notes)
    }

    pub(crate) fn has_fabric(&self) -> bool {
        self.files.is_directory("vhost")
    }

    pub(crate) fn carry_out(&self, all: &[Job]) -> Result<(), Problem> {
        if all.iter().any(|job| job.act == Act::Mkdir("vhost".to_owned())) {
            self.load_fabric();
        }
        Ok(self.files.carry_out(all)?)
    }

    /// Has the kernel load its vhost fabric: it does so by itself for other fabrics only.
    fn load_fabric(&self) {
        if self.files.root().starts_with(CONFIGFS) {
            let mut modprobe = Command::new("modprobe");
            modprobe
                .args(["-q", "vhost_scsi"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Without it the next write is refused, and says so.
            let _ = modprobe.status();
        }
    }

    /// Writes saveconfig.json for the tools that restore it when the host starts.
    ///
    /// # Errors
    /// Where it cannot be written, or would lose something.
    pub fn save(&self, options: &v1::SaveOptions) -> Result<v1::Saved, v1::Problem> {
        let text = saved::text(self.look()?, &self.saveconfig)?;
        std::fs::create_dir_all(&self.save_dir).map_err(|error| {
            let why = translate::host::plain(&error);
            Problem::new(v1::codes::HOST, format!("cannot make {}: {why}", self.save_dir.display()), None)
        })?;
        Ok(self
            .saveconfig
            .write(&text, translate::saveconfig::backups_wanted(options))
            .map_err(Problem::from)?)
    }

    /// The same text.
    ///
    /// # Errors
    /// Where it would lose something.
    pub fn saveconfig(&self) -> Result<String, v1::Problem> {
        Ok(saved::text(self.look()?, &self.saveconfig)?)
    }

    /// What Lunar can take over, and what stays.
    ///
    /// # Errors
    /// Where the tree is not there, or somebody else shows what Lunar would.
    pub fn export(&self) -> Result<Export, v1::Problem> {
        let mut found = self.look()?;
        for (id, places) in &found.elsewhere {
            let place = places.first().map_or("", String::as_str);
            if found.model.shown().contains(id) {
                let message = format!("storage object {id} is shown by LUN {place} too");
                let hint = "take that LUN away first: two must not write to one disk".to_owned();
                return Err(Problem::new(v1::codes::CANNOT_PREPARE, message, Some(hint)).into());
            }
        }
        let stay: Vec<BackstoreId> = found.elsewhere.keys().cloned().collect();
        for id in stay {
            let summary = format!("shown by {}", found.elsewhere[&id].join(", "));
            found.foreign.insert(0, Foreign { path: format!("/backstores/{id}"), summary });
            found.model.make(model::Change::DeleteBackstore(id)).map_err(Problem::from)?;
        }
        let (config, document) = (config(&found), saved::for_lunar(&found));
        Ok(Export { config, document, stays: found.foreign })
    }

    /// Makes what a saveconfig.json says, as far as the model has words for it; the rest is told.
    ///
    /// # Errors
    /// The first thing that cannot be; then nothing has changed.
    pub fn restore(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, v1::Problem> {
        let (path, text) = match document {
            Some(text) => (None, text),
            None => (Some(self.saveconfig.path()), self.saveconfig.read().map_err(Problem::from)?),
        };
        let _lock = self.lock();
        let found = self.look()?;
        let taken = ForKernel::read(text);
        let document = Document::read(&taken.text, options, &mut HostChance).map_err(Problem::from)?;
        let mut notes = taken.notes();
        notes.extend(saved::told(&document));
        let restore = Restore::new(document, options.clone());
        let draft = restore.draft(&found.model, &mut HostChance).map_err(Problem::from)?;
        let of_media = self.make(&found, &draft.model, Occasion::Import, Vec::new())?;
        notes.extend(of_media.into_values().flatten());
        let made = draft.made.iter().filter_map(|made| match made {
            Made::Backstore(id, _) => Some(id.clone()),
            _ => None,
        });
        notes.extend(self.set_attributes(made, &taken.attributes));
        let count = |wanted: fn(&Made) -> bool| {
            u64::try_from(draft.made.iter().filter(|made| wanted(made)).count()).unwrap_or(u64::MAX)
        };
        Ok(v1::Restored {
            path: path.map(|path| path.display().to_string()),
            storage_objects: count(|made| matches!(made, Made::Backstore(..))),
            targets: count(|made| matches!(made, Made::Target(_))),
            notes,
        })
    }

    /// Gives storage objects the attributes of a file, as far as this kernel takes them; returns what it does not.
    ///
    /// All else is made by then, so that nothing here is an error.
    pub(crate) fn set_attributes(
        &self,
        ids: impl IntoIterator<Item = BackstoreId>,
        wanted: &Attributes,
    ) -> Vec<String> {
        let now = match self.look() {
            Ok(now) => now,
            Err(Problem(problem)) => {
                return vec![format!("the attributes of the file are not set: {}", problem.message)];
            }
        };
        let mut notes = Vec::new();
        for id in ids {
            let (Some(wanted), Some(directory)) = (wanted.get(&id.to_string()), now.directory(&id)) else {
                continue;
            };
            for (name, text) in wanted {
                let is_there = now.attributes.get(&id).and_then(|all| all.get(name));
                let Some(is) = is_there.filter(|is| is.is_writable && is.text != *text) else { continue };
                let act = Act::Write { at: format!("{directory}/attrib/{name}"), text: text.clone() };
                if self.files.carry_out(&[Job { act, undo: Vec::new() }]).is_err() {
                    notes.push(format!("{name} of {id} is {} in this kernel, which refuses {text}", is.text));
                }
            }
        }
        notes
    }

    /// Takes away all that the model has words for and nothing else shows.
    ///
    /// # Errors
    /// Where the kernel refuses: a guest is connected.
    pub fn clear(&self) -> Result<v1::Cleared, v1::Problem> {
        let _lock = self.lock();
        let found = self.look()?;
        let new = without_ours(&found).map_err(Problem::from)?;
        self.make(&found, &new, Occasion::Change, Vec::new())?;
        let gone =
            |before: usize, after: usize| u64::try_from(before.saturating_sub(after)).unwrap_or(u64::MAX);
        Ok(v1::Cleared {
            storage_objects: gone(found.model.backstores().len(), new.backstores().len()),
            targets: gone(found.model.targets().len(), new.targets().len()),
            kept_things: 0,
        })
    }

    /// Takes the same away in such a manner that it can be put back.
    ///
    /// # Errors
    /// Where the kernel refuses; then nothing has changed.
    pub fn release(&self) -> Result<Released, v1::Problem> {
        let _lock = self.lock();
        let found = self.look()?;
        if let Some(Foreign { path, summary }) = found.foreign.iter().find(|thing| is_of_vhost(thing)) {
            let message = format!("{path} cannot be taken over: {summary}");
            let hint = "remove it from the kernel first".to_owned();
            return Err(Problem::new(v1::codes::CANNOT_PREPARE, message, Some(hint)).into());
        }
        let new = without_ours(&found).map_err(Problem::from)?;
        let jobs = jobs(&found, &new, &BTreeMap::new(), true).map_err(Problem::from)?;
        self.files.carry_out(&jobs).map_err(Problem::from)?;
        Ok(Released { files: self.files.clone(), jobs })
    }

    /// What is known of the attributes: the model's words, and the names of those that only the kernel has.
    ///
    /// # Errors
    /// Where the tree is not there or cannot be read.
    pub fn attributes(&self) -> Result<v1::AttributeTable, v1::Problem> {
        let found = self.look()?;
        let mut table: BTreeMap<String, v1::AttributeInfo> = translate::tables::attributes()
            .attributes
            .into_iter()
            .map(|info| (info.name.clone(), info))
            .collect();
        let kernels = found.attributes.iter().flat_map(|(id, all)| all.iter().map(move |one| (id, one)));
        for (id, (name, value)) in kernels {
            let info = table.entry(name.clone()).or_insert_with(|| v1::AttributeInfo {
                name: name.clone(),
                help: "An attribute of this kernel".to_owned(),
                values: "what the kernel takes".to_owned(),
                settable_on: Vec::new(),
                frozen_while_exported: false,
            });
            let kind = wire_kind(id.kind);
            if value.is_writable && !info.settable_on.contains(&kind) {
                info.settable_on.push(kind);
            }
        }
        let v1::AttributeTable { alua, identity, attributes: _ } = translate::tables::attributes();
        Ok(v1::AttributeTable { attributes: table.into_values().collect(), alua, identity })
    }

    /// The kernel's target has no options.
    #[must_use]
    pub fn options(&self) -> v1::OptionTable {
        v1::OptionTable { options: Vec::new() }
    }
}

/// Whether something is in the way where a target of vhost is to go.
fn is_of_vhost(thing: &Foreign) -> bool {
    thing.path.starts_with("/vhost/")
}

/// What was found without what the model has words for; storage objects that others show stay.
fn without_ours(found: &Found) -> Result<Model, Refusal> {
    let mut model = found.model.clone();
    for wwn in found.model.targets().keys() {
        model.make(model::Change::DeleteTarget(wwn.clone()))?;
    }
    for id in found.model.backstores().keys().filter(|id| !found.elsewhere.contains_key(*id)) {
        model.make(model::Change::DeleteBackstore(id.clone()))?;
    }
    Ok(model)
}

/// Whether the model knows the attribute, and takes what the kernel has now.  One whose feature Lunar has not, or in
/// other bounds, is the kernel's own affair.
fn model_has(found: &Found, id: &v1::BackstoreId, attribute: &str) -> bool {
    let Ok(id) = backstore_id(id) else { return true };
    let (Some(backstore), Some(row)) =
        (found.model.backstores().get(&id), model::Attribute::named(attribute))
    else {
        // A backstore that is not there is refused by the model.
        return !found.model.backstores().contains_key(&id);
    };
    row.is_listed() && row.is_settable_on(backstore.kind()) && row.access == model::Access::Settable
}

fn value(found: &Found, id: &v1::BackstoreId, attribute: &str) -> Option<String> {
    let id = backstore_id(id).ok()?;
    found.attributes.get(&id)?.get(attribute).map(|value| value.text.clone())
}

fn config(found: &Found) -> v1::Config {
    let mut config = View::new(&found.model, &found.live, Path::new("")).config();
    config.backstores.iter_mut().for_each(|backstore| kernels_own(found, backstore));
    config.targets.iter_mut().for_each(|target| target.options.clear());
    config
}

/// What the kernel says of a backstore and the model does not.
fn kernels_own(found: &Found, backstore: &mut v1::Backstore) {
    let Ok(id) = backstore_id(&backstore.id) else { return };
    if let Some(attributes) = found.attributes.get(&id) {
        backstore.attributes =
            attributes.iter().map(|(name, value)| (name.clone(), value.text.clone())).collect();
    }
    if found.elsewhere.contains_key(&id) {
        backstore.state = v1::BackstoreState::Activated;
    }
    if found.without_serial.contains(&id) {
        backstore.unit_serial.clear();
    }
}

fn whole(found: &Found, mut outcome: v1::Outcome) -> v1::Outcome {
    match &mut outcome {
        v1::Outcome::BackstoreCreated { backstore, .. } => kernels_own(found, backstore),
        v1::Outcome::TargetCreated { target } => target.options.clear(),
        _ => {}
    }
    outcome
}

/// Puts what was noticed where the backstore is told of.
fn tell(made: Vec<Made>, mut notes: BTreeMap<BackstoreId, Vec<String>>) -> Vec<Made> {
    let told = |made| match made {
        Made::Backstore(id, mut own) => {
            own.extend(notes.remove(&id).unwrap_or_default());
            Made::Backstore(id, own)
        }
        other => other,
    };
    made.into_iter().map(told).collect()
}
