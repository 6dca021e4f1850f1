// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The model's steps as writes to the kernel's tree, each with what takes it back.
//!
//! Above: `target`.  Below: `model::plan`; `found`, which says where things are.
//! Never here: the file system.
//!
//! The order is the kernel's: a device is described, enabled and then named; a link comes after the directory it is
//! in; all goes in the opposite order.

mod access; // groups and lists

use crate::files::{Act, Fault, Job};
use crate::found::{Found, names};
use access::{Gone, without_acls};
use model::{
    Attribute, Backstore, BackstoreId, CompletionAffinity, IDENTITY_FIELDS, IdentityField, Key, Lun, Medium,
    Model, Place, Refusal, Step, TpgTag, Wwn, plan,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The longest path of a file that the kernel keeps, in bytes: `FD_MAX_DEV_NAME` without its terminator.  It cuts
/// longer ones short, and would open another file.
const FILE_PATH_BYTES_MAX: usize = 255;

/// The same of a device: `SE_UDEV_PATH_LEN`.
const DEVICE_PATH_BYTES_MAX: usize = 511;

/// What attributes do not only say, but do.
const ACTIONS: &[&str] = &["pi_prot_format"];

/// What is known of media that are opened: their sizes in bytes.
pub(crate) type Sizes = BTreeMap<BackstoreId, u64>;

/// Attributes as texts, by `block/disk0` and name.
pub(crate) type Attributes = BTreeMap<String, BTreeMap<String, String>>;

/// The writes that turn what was found into `new`.
pub(crate) fn jobs(found: &Found, new: &Model, sizes: &Sizes, has_vhost: bool) -> Result<Vec<Job>, Fault> {
    jobs_with(found, new, sizes, has_vhost, &Attributes::new())
}

/// The same, where backstores that are opened get attributes of which the model does not know.
pub(crate) fn jobs_with(
    found: &Found,
    new: &Model,
    sizes: &Sizes,
    has_vhost: bool,
    attributes: &Attributes,
) -> Result<Vec<Job>, Fault> {
    let mut work = Work {
        found,
        new,
        sizes,
        attributes,
        adapters: found.adapters.clone(),
        numbers: found.numbers.clone(),
        empty: found.empty_adapters.clone(),
        opened: BTreeSet::new(),
        mapped: BTreeSet::new(),
        jobs: Vec::new(),
        has_vhost,
    };
    let words = |refusal: Refusal| Fault::new(refusal.to_string());
    let (old, wanted) = (without_acls(&found.model).map_err(words)?, without_acls(new).map_err(words)?);
    let steps = plan(&old, &wanted);
    let gone = Gone::of(&steps);
    work.check_guests(&steps);
    work.remove_acls(&gone);
    work.add_lu_groups();
    for step in steps {
        work.step(step)?;
    }
    work.add_acls(&gone);
    work.remove_lu_groups();
    Ok(work.jobs)
}

struct Work<'a> {
    found: &'a Found,
    new: &'a Model,
    sizes: &'a Sizes,
    attributes: &'a Attributes,
    adapters: BTreeMap<BackstoreId, String>,
    numbers: BTreeSet<u32>,
    empty: BTreeSet<String>,
    /// Backstores that are new, or opened anew.
    opened: BTreeSet<BackstoreId>,
    /// The same of LUNs.
    mapped: BTreeSet<Place>,
    jobs: Vec<Job>,
    has_vhost: bool,
}

impl Work<'_> {
    /// No guest may see its LUNs go, one by one, before its target is refused.
    fn check_guests(&mut self, steps: &[Step]) {
        for step in steps {
            let Step::RemoveTpg { wwn, tag } = step else { continue };
            let tpg = self.found.model.targets().get(wwn).and_then(|target| target.tpgs.get(tag));
            if tpg.is_some_and(|tpg| !tpg.luns.is_empty()) {
                self.push(Act::Unused(group(wwn, *tag)), Vec::new());
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::UnmapLun { wwn, tag, lun } => self.unmap(&wwn, tag, lun),
            Step::RemoveTpg { wwn, tag } => self.remove_group(&wwn, tag),
            Step::RemoveTarget(wwn) => {
                let at = format!("vhost/{wwn}");
                self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at)]);
            }
            Step::CloseBackstore(id) => self.close(&id)?,
            Step::OpenBackstore(backstore) => self.open(&backstore)?,
            Step::UpdateBackstore(backstore) | Step::SelectModes(backstore) => self.update(&backstore),
            Step::CreateTarget(wwn) => {
                if !self.has_vhost {
                    self.make("vhost");
                    self.has_vhost = true;
                }
                self.make(&format!("vhost/{wwn}"));
            }
            Step::ResizeBackstore { backstore, .. } | Step::ShrinkBackstore { backstore, .. } => {
                return Err(no_resize(&backstore.id()));
            }
            Step::SetOptions { wwn, .. } => return Err(no_options(&wwn)),
            Step::SetCompletionAffinity { wwn, affinity } => self.set_completion_affinity(&wwn, affinity),
            Step::SetAlua { backstore, groups, lu_group: _ } => self.set_alua(&backstore, &groups)?,
            Step::SetLunAlua { place, alua } => self.set_lun_alua(&place, &alua),
            Step::CreateTpg { wwn, tag, nexus, relative_port: _ } => {
                let at = group(&wwn, tag);
                self.make(&at);
                self.push(Act::Write { at: format!("{at}/nexus"), text: nexus.to_string() }, Vec::new());
            }
            Step::MapLun { wwn, tag, lun, backstore, write_protect } => {
                self.map(&wwn, tag, lun, &backstore, write_protect)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, act: Act, undo: Vec<Act>) {
        self.jobs.push(Job { act, undo });
    }

    fn make(&mut self, at: &str) {
        self.push(Act::Mkdir(at.to_owned()), vec![Act::Rmdir(at.to_owned())]);
    }

    fn set_completion_affinity(&mut self, wwn: &Wwn, affinity: CompletionAffinity) {
        let at = completion_affinity_file(wwn);
        let was = self.found.model.targets().get(wwn);
        let text = was.map(|target| target.completion_affinity.to_string());
        let undo = text.map(|text| Act::Write { at: at.clone(), text }).into_iter().collect();
        self.push(Act::Write { at, text: affinity.to_string() }, undo);
    }

    fn unmap(&mut self, wwn: &Wwn, tag: TpgTag, lun: Lun) {
        let mapping =
            self.found.model.targets().get(wwn).and_then(|target| target.tpgs.get(&tag)?.luns.get(&lun));
        let at = format!("{}/lun/lun_{lun}", group(wwn, tag));
        if let Some(mapping) = mapping {
            let link = format!("{at}/{}", mapping.alias);
            let to = self.found.directory(&mapping.backstore);
            let mut undo: Vec<Act> = to.map(|to| Act::Link { at: link.clone(), to }).into_iter().collect();
            undo.extend(access::lun_again(&at, &mapping.alua));
            self.push(Act::Unlink(link), undo);
        }
        self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at)]);
    }

    fn remove_group(&mut self, wwn: &Wwn, tag: TpgTag) {
        let at = group(wwn, tag);
        let nexus = self.found.model.targets().get(wwn).and_then(|target| target.tpgs.get(&tag));
        let nexus = nexus.map(|tpg| Act::Write { at: format!("{at}/nexus"), text: tpg.nexus.to_string() });
        let undo = std::iter::once(Act::Mkdir(at.clone())).chain(nexus).collect();
        self.push(Act::Rmdir(at), undo);
    }

    fn close(&mut self, id: &BackstoreId) -> Result<(), Fault> {
        if let Some(place) = self.found.elsewhere.get(id).and_then(|places| places.first()) {
            let message = format!("storage object {id} is in use by LUN {place}");
            return Err(Fault::new(message).hint("that LUN is not lunar's: take it away with what made it"));
        }
        let (Some(directory), Some(adapter)) = (self.found.directory(id), self.adapters.remove(id)) else {
            return Ok(());
        };
        let found = self.found;
        let mut undo = vec![Act::Mkdir(directory.clone())];
        if let Some(backstore) = found.model.backstores().get(id) {
            self.remove_groups(backstore, &directory);
            let has_serial = !self.found.without_serial.contains(id);
            undo.extend(opening(backstore, &directory, backstore.medium.size_bytes(), has_serial)?);
        }
        undo.extend(self.attributes_of(id, &directory));
        undo.extend(
            found.model.backstores().get(id).into_iter().flat_map(|is| access::alua_again(is, &directory)),
        );
        self.push(Act::Rmdir(directory), undo);
        let at = format!("core/{adapter}");
        self.push(Act::Rmdir(at.clone()), vec![Act::Mkdir(at)]);
        let number = adapter.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
        if let Some(number) = number {
            self.numbers.remove(&number);
        }
        Ok(())
    }

    /// What the kernel has of a backstore's attributes, to be as it was.
    fn attributes_of(&self, id: &BackstoreId, directory: &str) -> Vec<Act> {
        let Some(attributes) = self.found.attributes.get(id) else { return Vec::new() };
        let settable =
            attributes.iter().filter(|(name, value)| value.is_writable && !ACTIONS.contains(&name.as_str()));
        let set = |(name, value): (&String, &crate::found::Value)| Act::Set {
            at: format!("{directory}/attrib/{name}"),
            text: value.text.clone(),
        };
        let (first, rest): (Vec<_>, Vec<_>) = settable.partition(|(name, _)| *name == "block_size");
        first.into_iter().chain(rest).map(set).collect()
    }

    fn open(&mut self, backstore: &Backstore) -> Result<(), Fault> {
        let id = backstore.id();
        let number = (0..).find(|number| !self.numbers.contains(number)).unwrap_or(0);
        let (directory, adapter) = names(&id, number);
        if !self.empty.remove(&adapter) {
            self.make(&format!("core/{adapter}"));
        }
        self.make(&directory);
        let size_bytes = self.sizes.get(&id).copied().or(backstore.medium.size_bytes());
        for act in opening(backstore, &directory, size_bytes, true)? {
            self.push(act, Vec::new());
        }
        // The kernel shows guests the kind where targetcli wants the name; it takes the attribute once there is one.
        if backstore.is_on(Key::EmulateModelAlias) {
            self.set(&directory, Attribute::of(Key::EmulateModelAlias).name, "1");
        }
        for (name, value) in set_in(backstore) {
            self.set(&directory, name, &value.to_string());
        }
        for (key, text) in backstore.identity().iter() {
            let at = format!("{directory}/wwn/{}", IdentityField::of(key).name);
            self.push(Act::Write { at, text: text.to_owned() }, Vec::new());
        }
        let attributes = self.attributes;
        for (name, text) in attributes.get(&id.to_string()).into_iter().flatten() {
            self.set(&directory, name, text);
        }
        self.numbers.insert(number);
        self.opened.insert(id.clone());
        self.adapters.insert(id, adapter);
        Ok(())
    }

    fn set(&mut self, directory: &str, name: &str, text: &str) {
        let at = format!("{directory}/attrib/{name}");
        // It goes with its directory.
        self.push(Act::Set { at, text: text.to_owned() }, Vec::new());
    }

    fn update(&mut self, backstore: &Backstore) {
        let id = backstore.id();
        let Some(directory) = self.found.directory(&id) else { return };
        let Some(now) = self.found.attributes.get(&id) else { return };
        for (name, value) in set_in(backstore) {
            let Some(was) = now.get(name).filter(|was| was.text != value.to_string()) else { continue };
            let at = format!("{directory}/attrib/{name}");
            let undo = vec![Act::Write { at: at.clone(), text: was.text.clone() }];
            self.push(Act::Write { at, text: value.to_string() }, undo);
        }
        let Some(was) = self.found.model.backstores().get(&id) else { return };
        for row in IDENTITY_FIELDS {
            let (before, text) = (was.identity_text(row.key), backstore.identity_text(row.key));
            if before != text {
                let at = format!("{directory}/wwn/{}", row.name);
                let undo = vec![Act::Write { at: at.clone(), text: before }];
                self.push(Act::Write { at, text }, undo);
            }
        }
    }

    fn map(
        &mut self,
        wwn: &Wwn,
        tag: TpgTag,
        lun: Lun,
        backstore: &BackstoreId,
        write_protect: bool,
    ) -> Result<(), Fault> {
        if write_protect {
            let message = format!("LUN {wwn}/tpg{tag}/lun{lun} cannot refuse writes in the kernel");
            return Err(Fault::new(message).hint("make the storage object itself read-only: readonly=true"));
        }
        let mapping = self.new.targets().get(wwn).and_then(|target| target.tpgs.get(&tag)?.luns.get(&lun));
        let (Some(mapping), Some(adapter)) = (mapping, self.adapters.get(backstore)) else { return Ok(()) };
        let to = format!("core/{adapter}/{}", backstore.name);
        let at = format!("{}/lun/lun_{lun}", group(wwn, tag));
        let link = format!("{at}/{}", mapping.alias);
        self.mapped.insert(Place { wwn: wwn.clone(), tag, lun });
        self.make(&at);
        self.push(Act::Link { at: link.clone(), to }, vec![Act::Unlink(link)]);
        Ok(())
    }
}

pub(crate) fn group(wwn: &Wwn, tag: TpgTag) -> String {
    format!("vhost/{wwn}/tpgt_{tag}")
}

/// What to write into the directory of a new device until it is enabled and named.
fn opening(
    backstore: &Backstore,
    directory: &str,
    size_bytes: Option<u64>,
    has_serial: bool,
) -> Result<Vec<Act>, Fault> {
    let write = |name: &str, text: String| Act::Write { at: format!("{directory}/{name}"), text };
    let mut acts = Vec::new();
    match &backstore.medium {
        Medium::Block { path, read_only, .. } => {
            let path = in_options(path.as_path(), path.as_str(), DEVICE_PATH_BYTES_MAX)?;
            acts.push(write("udev_path", path.to_owned()));
            acts.push(write("control", format!("udev_path={path}")));
            acts.push(write("control", format!("readonly={}", u8::from(*read_only == Some(true)))));
        }
        Medium::Fileio { path, .. } => {
            let path = in_options(path.as_path(), path.as_str(), FILE_PATH_BYTES_MAX)?;
            let size_bytes =
                size_bytes.ok_or_else(|| Fault::new(format!("the size of {path} is not known")))?;
            acts.push(write("control", format!("fd_dev_name={path},fd_dev_size={size_bytes}")));
            if backstore.write_back() == Some(true) {
                acts.push(write("attrib/emulate_write_cache", "1".to_owned()));
                acts.push(write("control", "fd_buffered_io=1".to_owned()));
            }
            acts.push(write("udev_path", path.to_owned()));
        }
        Medium::Ramdisk { size_bytes, nullio } => {
            acts.push(write("control", format!("rd_pages={}", size_bytes.get() / model::PAGE_BYTES)));
            if *nullio {
                acts.push(write("control", "rd_nullio=1".to_owned()));
            }
        }
    }
    acts.push(write("enable", "1\n".to_owned()));
    if has_serial {
        acts.push(write("wwn/vpd_unit_serial", format!("{}\n", backstore.unit_serial)));
    }
    Ok(acts)
}

/// A path that the kernel can read in a list of options.
fn in_options<'p>(path: &Path, text: &'p str, bytes_max: usize) -> Result<&'p str, Fault> {
    let shown = path.display();
    if text.contains(',') {
        let message = format!("the kernel cannot take {shown}: a comma ends its path");
        return Err(Fault::new(message).hint("name it by a symbolic link without a comma"));
    }
    if text.len() > bytes_max {
        let message = format!("the kernel cannot take {shown}: it keeps {bytes_max} bytes of a path");
        return Err(Fault::new(message).hint("name it by a shorter symbolic link"));
    }
    Ok(text)
}

/// What is set on a backstore, in an order that the kernel takes.
fn set_in(backstore: &Backstore) -> impl Iterator<Item = (&'static str, u32)> {
    let all = backstore.attributes().iter();
    let (first, rest): (Vec<_>, Vec<_>) = all.partition(|(key, _)| *key == Key::BlockSize);
    first.into_iter().chain(rest).map(|(key, value)| (Attribute::of(key).name, value))
}

/// A device of the kernel's target has the size it was enabled with.
fn no_resize(id: &BackstoreId) -> Fault {
    Fault::new(format!("storage object {id} cannot be resized: the kernel's target knows no such change"))
        .hint("delete it and create it again, while no LUN shows it")
}

/// The kernel's target has none of what Lunar's device has.
/// Where the kernel has it, from Linux 5.13 on.
pub(crate) fn completion_affinity_file(wwn: &Wwn) -> String {
    format!("vhost/{wwn}/param/{}", CompletionAffinity::NAME)
}

pub(crate) fn no_options(wwn: &Wwn) -> Fault {
    Fault::new(format!("target {wwn} of the kernel has no options"))
        .hint("what its adapter is, QEMU says: -device vhost-scsi-pci,num_queues=…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AbsolutePath, BackstoreName, Change, LunAlias, LunMapping, RelativePort, Tpg, UnitSerial};

    pub(super) fn disk() -> Backstore {
        let path = AbsolutePath::parse("/dev/mapper/x").unwrap();
        let medium = Medium::Block { path, read_only: None, size_bytes: None };
        Backstore::new(BackstoreName::parse("disk0").unwrap(), UnitSerial::parse("s1").unwrap(), medium)
            .unwrap()
    }

    pub(super) fn page() -> Model {
        let wwn = Wwn::parse("naa.500140568720f76f").unwrap();
        let tag = TpgTag::new(1);
        let tpg = Tpg::new(Wwn::parse("naa.5001405000000001").unwrap(), RelativePort::parse(1).unwrap());
        let alias = LunAlias::parse("a08824829b").unwrap();
        let mut model = Model::default();
        for change in [
            Change::CreateBackstore(disk()),
            Change::CreateTarget { wwn: wwn.clone(), tpgs: [(tag, tpg)].into() },
            Change::MapLun {
                wwn,
                tag,
                lun: Lun::parse(0).unwrap(),
                mapping: LunMapping {
                    backstore: disk().id(),
                    alias,
                    write_protect: false,
                    alua: model::LunAlua::default(),
                },
            },
        ] {
            model.make(change).unwrap();
        }
        model
    }

    pub(super) fn in_words(jobs: &[Job]) -> Vec<String> {
        let words = |job: &Job| match &job.act {
            Act::Mkdir(at) => format!("mkdir {at}"),
            Act::Rmdir(at) => format!("rmdir {at}"),
            Act::Unused(at) => format!("unused {at}"),
            Act::Write { at, text } => format!("write {text:?} {at}"),
            Act::Set { at, text } => format!("set {text:?} {at}"),
            Act::Link { at, to } => format!("ln -s {to} {at}"),
            Act::Unlink(at) => format!("rm {at}"),
            Act::Create { path, .. } => format!("create {}", path.display()),
            Act::Remove(path) => format!("rm {}", path.display()),
        };
        jobs.iter().map(words).collect()
    }

    /// What takes jobs back.
    pub(super) fn backwards(jobs: &[Job]) -> Vec<Job> {
        let acts = jobs.iter().rev().flat_map(|job| job.undo.clone());
        acts.map(|act| Job { act, undo: Vec::new() }).collect()
    }

    #[test]
    fn the_page_is_made_in_the_order_that_the_kernel_wants() {
        let jobs = jobs(&Found::default(), &page(), &Sizes::new(), false).unwrap();
        let expected = [
            "mkdir core/iblock_0",
            "mkdir core/iblock_0/disk0",
            "write \"/dev/mapper/x\" core/iblock_0/disk0/udev_path",
            "write \"udev_path=/dev/mapper/x\" core/iblock_0/disk0/control",
            "write \"readonly=0\" core/iblock_0/disk0/control",
            "write \"1\\n\" core/iblock_0/disk0/enable",
            "write \"s1\\n\" core/iblock_0/disk0/wwn/vpd_unit_serial",
            "set \"1\" core/iblock_0/disk0/attrib/emulate_model_alias",
            "mkdir vhost",
            "mkdir vhost/naa.500140568720f76f",
            "mkdir vhost/naa.500140568720f76f/tpgt_1",
            "write \"naa.5001405000000001\" vhost/naa.500140568720f76f/tpgt_1/nexus",
            "mkdir vhost/naa.500140568720f76f/tpgt_1/lun/lun_0",
            "ln -s core/iblock_0/disk0 vhost/naa.500140568720f76f/tpgt_1/lun/lun_0/a08824829b",
        ];
        assert_eq!(in_words(&jobs), expected);
    }

    #[test]
    fn all_goes_in_the_opposite_order_and_can_come_back() {
        let adapters = [(disk().id(), "iblock_3".to_owned())].into();
        let found = Found { model: page(), adapters, numbers: [3].into(), ..Found::default() };
        let jobs = jobs(&found, &Model::default(), &Sizes::new(), true).unwrap();
        let expected = [
            "unused vhost/naa.500140568720f76f/tpgt_1",
            "rm vhost/naa.500140568720f76f/tpgt_1/lun/lun_0/a08824829b",
            "rmdir vhost/naa.500140568720f76f/tpgt_1/lun/lun_0",
            "rmdir vhost/naa.500140568720f76f/tpgt_1",
            "rmdir vhost/naa.500140568720f76f",
            "rmdir core/iblock_3/disk0",
            "rmdir core/iblock_3",
        ];
        assert_eq!(in_words(&jobs), expected);
        let back = backwards(&jobs);
        let expected = [
            "mkdir core/iblock_3",
            "mkdir core/iblock_3/disk0",
            "write \"/dev/mapper/x\" core/iblock_3/disk0/udev_path",
            "write \"udev_path=/dev/mapper/x\" core/iblock_3/disk0/control",
            "write \"readonly=0\" core/iblock_3/disk0/control",
            "write \"1\\n\" core/iblock_3/disk0/enable",
            "write \"s1\\n\" core/iblock_3/disk0/wwn/vpd_unit_serial",
            "mkdir vhost/naa.500140568720f76f",
            "mkdir vhost/naa.500140568720f76f/tpgt_1",
            "write \"naa.5001405000000001\" vhost/naa.500140568720f76f/tpgt_1/nexus",
            "mkdir vhost/naa.500140568720f76f/tpgt_1/lun/lun_0",
            "ln -s core/iblock_3/disk0 vhost/naa.500140568720f76f/tpgt_1/lun/lun_0/a08824829b",
        ];
        assert_eq!(in_words(&back), expected);
    }

    #[test]
    fn a_new_device_takes_the_lowest_number_that_no_kind_has() {
        let found = Found { numbers: [0, 1, 3].into(), ..Found::default() };
        let mut model = Model::default();
        model.make(Change::CreateBackstore(disk())).unwrap();
        let jobs = jobs(&found, &model, &Sizes::new(), true).unwrap();
        assert_eq!(in_words(&jobs)[0], "mkdir core/iblock_2");
    }

    #[test]
    fn what_another_fabric_shows_is_not_closed() {
        let adapters = [(disk().id(), "iblock_0".to_owned())].into();
        let elsewhere = [(disk().id(), vec!["iscsi/iqn.x/tpgt_1/lun_0".to_owned()])].into();
        let mut model = Model::default();
        model.make(Change::CreateBackstore(disk())).unwrap();
        let found = Found { model, adapters, elsewhere, ..Found::default() };
        let fault = jobs(&found, &Model::default(), &Sizes::new(), true).unwrap_err();
        assert_eq!(fault.message, "storage object block/disk0 is in use by LUN iscsi/iqn.x/tpgt_1/lun_0");
    }

    #[test]
    fn a_path_that_the_kernel_would_cut_is_refused() {
        let long = format!("/{}", "x".repeat(255));
        for (text, most, words) in [
            ("/dev/a,b", 511, "the kernel cannot take /dev/a,b: a comma ends its path"),
            (&long, 255, &format!("the kernel cannot take {long}: it keeps 255 bytes of a path")),
        ] {
            let fault = in_options(Path::new(text), text, most).unwrap_err();
            assert_eq!(fault.message, words);
        }
    }
}
