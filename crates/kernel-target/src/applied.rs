// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file that says what is to be, compared with the kernel's tree and made so.
//!
//! Above: `lunar --root … apply` and `diff`.  Below: `translate`, which compares as it does for `lunard`; `jobs`.
//! Never here: what a file means.
//!
//! Attributes are the kernel's: which there are, and what their values would be by themselves, differs from kernel to
//! kernel.  Those that the file names are made so, and all others stay.  Who is connected the kernel does not say; it
//! refuses to give up a group in use, and that is asked for before anything else is done.

use crate::files::{Act, Job};
use crate::found::{Foreign, Found, Value};
use crate::jobs::{Attributes, group, jobs_with, no_options};
use crate::media::Media;
use crate::problem::{NOTHING, Problem};
use crate::saved::{self, ForKernel};
use crate::target::KernelTarget;
use api::v1::{self, Action, Difference, ValueChange};
use model::{BackstoreId, Model, Step, TpgTag, Wwn, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use translate::live::Occasion;
use translate::saveconfig::{Apply, Comparison, Document};
use translate::wish::HostChance;

/// A file, and what it has otherwise than the tree.
struct Look {
    found: Found,
    /// What is to be, without the attributes.
    new: Model,
    /// Those that the file says, of every backstore of it.
    attributes: Attributes,
    compared: v1::Compared,
    /// Whether whoever wrote the file meant each word of it.
    is_typed: bool,
}

impl KernelTarget {
    /// Makes everything as a file says, or says what that would change: all of it, or nothing.
    ///
    /// # Errors
    /// The first thing that the file, the rules or the kernel refuse; what was done before is taken back.
    pub fn apply_file(
        &self,
        document: &[u8],
        options: &v1::ApplyOptions,
    ) -> Result<v1::Compared, v1::Problem> {
        let _lock = self.lock();
        let Look { found, new, attributes, mut compared, is_typed } = self.compare(document)?;
        if options.generation.as_ref().is_some_and(|shown| *shown != compared.generation) {
            return Err(moved().into());
        }
        let steps = plan(&found.model, &new);
        let media = Media::of(&steps, Occasion::Import).map_err(Problem::from)?;
        let mut all = if options.force { Vec::new() } else { unused(&steps) };
        all.extend(media.jobs);
        // A name that this kernel has not is a mistake where it was typed, and else news of another kernel.
        let strict = if is_typed { attributes.clone() } else { Attributes::new() };
        let writes = jobs_with(&found, &new, &media.sizes, self.has_fabric(), &strict);
        all.extend(writes.map_err(Problem::from)?);
        all.extend(writes_below_guests(&found, &strict, &opened(&steps)));
        // What is refused without asking the kernel is refused here as well: nothing is shown that could not be.
        if options.dry_run {
            return Ok(compared);
        }
        self.carry_out(&all)?;
        compared.notes.extend(media.notes.into_values().flatten());
        if !is_typed {
            compared.notes.extend(self.set_attributes(new.backstores().keys().cloned(), &attributes));
        }
        compared.applied = true;
        Ok(compared)
    }

    fn compare(&self, text: &[u8]) -> Result<Look, Problem> {
        let found = self.look()?;
        let is_typed = !Document::is_saveconfig(text);
        let text = if is_typed { Document::typed_as_saveconfig(text)? } else { text.to_vec() };
        let taken = ForKernel::read(text);
        let mut document = Document::read_wanted(&taken.text, &mut HostChance)?;
        let mut notes = taken.notes();
        if let Some(wwn) = taken.with_options.first().filter(|_| is_typed) {
            return Err(no_options(&Wwn::parse(wwn)?).into());
        }
        notes.extend(saved::told(&document));
        document.forget_foreign();
        document.keep_attributes_of(&found.model);
        let apply = Apply::new(document, true);
        let draft = apply.draft(&found.model, &mut HostChance)?;
        let Comparison { mut differences, .. } = apply.compare(&found.model, &draft);
        let opened = opened(&plan(&found.model, &draft.model));
        for id in draft.model.backstores().keys() {
            let Some(wanted) = taken.attributes.get(&id.to_string()) else { continue };
            let values = match found.attributes.get(id).filter(|_| !opened.contains(id)) {
                Some(are) => otherwise(id, are, wanted, is_typed)?,
                // Of those of another kernel it is not known before which are there.
                None if is_typed => of_the_new(wanted),
                None => Vec::new(),
            };
            tell(&mut differences, format!("/backstores/{id}"), values);
        }
        let generation = generation(&found);
        let compared =
            v1::Compared { generation, applied: false, differences, guests_lose: Vec::new(), notes };
        Ok(Look { found, new: draft.model, attributes: taken.attributes, compared, is_typed })
    }
}

/// A name for what was found.
fn generation(found: &Found) -> String {
    let mut hasher = DefaultHasher::new();
    saved::own(found).hash(&mut hasher);
    for Foreign { path, summary } in &found.foreign {
        (path, summary).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn moved() -> Problem {
    let message = "the configuration has changed since it was compared with the file";
    let hint = "nothing was changed; look at the difference once more".to_owned();
    Problem::new(v1::codes::MOVED, message, Some(hint))
}

/// Makes sure that no guest loses a LUN of a group.
fn unused(steps: &[Step]) -> Vec<Job> {
    let groups: BTreeSet<(&Wwn, TpgTag)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::UnmapLun { wwn, tag, lun: _ } => Some((wwn, *tag)),
            _ => None,
        })
        .collect();
    let act = |(wwn, tag): (&Wwn, TpgTag)| Act::Unused(group(wwn, tag));
    groups.into_iter().map(|group| Job { act: act(group), undo: Vec::new() }).collect()
}

/// The backstores that are new, or opened anew.
fn opened(steps: &[Step]) -> BTreeSet<BackstoreId> {
    let opened = steps.iter().filter_map(|step| match step {
        Step::OpenBackstore(backstore) => Some(backstore.id()),
        _ => None,
    });
    opened.collect()
}

/// The writes that set the attributes of backstores that stay open.
fn writes_below_guests(found: &Found, wanted: &Attributes, opened: &BTreeSet<BackstoreId>) -> Vec<Job> {
    let mut writes = Vec::new();
    for (id, are) in found.attributes.iter().filter(|(id, _)| !opened.contains(*id)) {
        let (Some(wanted), Some(directory)) = (wanted.get(&id.to_string()), found.directory(id)) else {
            continue;
        };
        for (name, text) in wanted {
            let Some(is) = are.get(name).filter(|is| is.text != *text) else { continue };
            let at = format!("{directory}/attrib/{name}");
            let undo = vec![Act::Write { at: at.clone(), text: is.text.clone() }];
            writes.push(Job { act: Act::Write { at, text: text.clone() }, undo });
        }
    }
    writes
}

/// What a file has otherwise than the kernel, as far as it can be set.
///
/// # Errors
/// Where somebody typed what cannot be.
fn otherwise(
    id: &BackstoreId,
    are: &BTreeMap<String, Value>,
    wanted: &BTreeMap<String, String>,
    is_typed: bool,
) -> Result<Vec<ValueChange>, Problem> {
    let mut changes = Vec::new();
    for (name, text) in wanted {
        let why = match are.get(name) {
            Some(is) if is.text == *text => continue,
            Some(is) if is.is_writable => {
                let (from, to) = (Some(is.text.clone()), Some(text.clone()));
                changes.push(ValueChange { name: name.clone(), from, to });
                continue;
            }
            Some(is) => format!("attribute {name} of storage object {id} is {} and cannot be set", is.text),
            None => format!("storage object {id} has no attribute {name} in this kernel"),
        };
        if is_typed {
            return Err(Problem::new(v1::codes::BAD_REQUEST, why, Some(NOTHING.to_owned())));
        }
    }
    Ok(changes)
}

fn of_the_new(wanted: &BTreeMap<String, String>) -> Vec<ValueChange> {
    let change = |(name, text): (&String, &String)| ValueChange {
        name: name.clone(),
        from: None,
        to: Some(text.clone()),
    };
    wanted.iter().map(change).collect()
}

/// Adds values to what is told of a thing.
fn tell(differences: &mut Vec<Difference>, path: String, values: Vec<ValueChange>) {
    if values.is_empty() {
        return;
    }
    match differences
        .iter_mut()
        .find(|difference| difference.path == path && difference.action != Action::Delete)
    {
        Some(told) => {
            told.values.retain(|value| values.iter().all(|new| new.name != value.name));
            told.values.extend(values);
        }
        None => differences.push(Difference { action: Action::Change, path, values }),
    }
}
