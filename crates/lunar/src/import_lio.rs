// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `lunar import-lio`: the kernel's vhost targets become Lunar's.
//!
//! Above: `main`.  Below: `kernel-target`, which has the kernel's configuration as a saveconfig.json; the API, which
//! restores it as one change.
//! Never here: the format of the file.

use crate::options::ImportOptions;
use api::v1;
use kernel_target::{Export, KernelTarget, Released};
use shell::{Api, ApiError, Failure};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that keeps what was taken from the kernel.
const KEPT: &str = "taken-from-the-kernel.json";

/// Takes over what there is, and returns what is to be told.
pub(crate) fn run(
    wanted: &ImportOptions,
    kernel: &KernelTarget,
    kept_in: &Path,
    lunard: &dyn Api,
) -> Result<String, Failure> {
    let Export { config, document, stays } = kernel.export().map_err(words)?;
    if config.backstores.is_empty() && config.targets.is_empty() {
        return Err(Failure::new("the kernel has nothing that could be taken over"));
    }
    let mut told = Told::default();
    told.what_there_is(&config);
    for thing in &stays {
        told.line(&format!("Left in the kernel: {} {}", thing.path, thing.summary));
    }
    if wanted.dry_run {
        told.line("Nothing was changed.");
        return Ok(told.0);
    }
    let released = if wanted.take { Some(take(kernel, kept_in, &document)?) } else { None };
    let restored = lunard.restore(Some(document.into_bytes()), &v1::RestoreOptions::default());
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => return Err(refused(error, released)),
    };
    for note in &restored.notes {
        told.line(&format!("Otherwise than in the kernel: {note}"));
    }
    told.line(&format!(
        "Taken over: {} storage objects, {} targets.",
        restored.storage_objects, restored.targets
    ));
    match released {
        Some(Taken { kept, .. }) => {
            told.line(&format!("What the kernel had is kept in {}.", kept.display()));
            told.line(
                "The kernel's saveconfig.json is as it was: it would be restored when the host starts.",
            );
        }
        None => told.by_hand(&config),
    }
    Ok(told.0)
}

/// What was taken from the kernel.
struct Taken {
    released: Released,
    kept: PathBuf,
}

/// Takes it from the kernel, once it is written where nobody loses it.
fn take(kernel: &KernelTarget, kept_in: &Path, document: &str) -> Result<Taken, Failure> {
    let kept = kept_in.join(KEPT);
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(kept_in)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&kept)?;
        file.write_all(document.as_bytes())?;
        file.sync_all()?;
        fs::File::open(kept_in)?.sync_all()
    };
    write().map_err(|error| Failure::new(format!("Could not write {}: {error}", kept.display())))?;
    let released = kernel.release().map_err(words)?;
    Ok(Taken { released, kept })
}

/// Why Lunar did not take it, and where it is now.
fn refused(error: ApiError, taken: Option<Taken>) -> Failure {
    let failure = Failure::from(error);
    let Some(Taken { released, kept }) = taken else {
        let hint = "the kernel may still hold it: with --take it is removed from there first";
        return Failure { hint: Some(failure.hint.unwrap_or_else(|| hint.to_owned())), ..failure };
    };
    let where_it_is = match released.put_back() {
        Ok(()) => "the kernel has it again, as before".to_owned(),
        Err(problem) => {
            format!("not all of it could be put back: {}; it is kept in {}", problem.message, kept.display())
        }
    };
    let message = format!("Lunar did not take it over: {}", failure.message);
    Failure { message, hint: Some(where_it_is), ..failure }
}

fn words(problem: v1::Problem) -> Failure {
    ApiError::Refused(problem).into()
}

/// Lines for the administrator.
#[derive(Default)]
struct Told(String);

impl Told {
    fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    fn what_there_is(&mut self, config: &v1::Config) {
        for backstore in &config.backstores {
            let of = match &backstore.path {
                Some(path) => format!(" using {path}"),
                None => format!(" of {} bytes, whose contents stay behind", backstore.size_bytes),
            };
            self.line(&format!("Storage object {}{of}", name(&backstore.id)));
            if backstore.unit_serial.is_empty() {
                self.line(&format!(
                    "  {} has no serial number in the kernel: it gets one",
                    name(&backstore.id)
                ));
            }
        }
        for target in &config.targets {
            self.line(&format!("Target {}", target.wwn));
            for tpg in &target.tpgs {
                self.line(&format!("  tpg{} with nexus {}", tpg.tag, tpg.nexus));
                for lun in &tpg.luns {
                    self.line(&format!("  tpg{}/lun{} shows {}", tpg.tag, lun.lun, name(&lun.backstore)));
                }
            }
        }
    }

    /// What is left to be done where the kernel keeps its own.
    fn by_hand(&mut self, config: &v1::Config) {
        self.line("The kernel has it all still. Before a guest starts with Lunar:");
        self.line("  1. stop the guests that use the kernel's targets");
        self.line("  2. lunar --root /sys/kernel/config/target clearconfig confirm=True");
        self.line("  3. keep the kernel from restoring it when the host starts: systemctl disable targetcli rtslib-fb-targetctl target");
        let wwn = config.targets.first().map_or("WWN", |target| target.wwn.as_str());
        self.line(&format!("  4. start the guests with what `lunar qemu {wwn}` prints"));
    }
}

fn name(id: &v1::BackstoreId) -> String {
    shell::tree::backstore_name(id)
}
