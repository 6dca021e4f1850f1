// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way to the kernel's own target: the shell's questions, answered without a daemon.
//!
//! Above: `main`.  Below: `kernel-target`.
//! Never here: what is in the kernel's tree.

use crate::home;
use crate::options::Options;
use api::v1;
use kernel_target::KernelTarget;
use shell::{Api, ApiError, Failure, Foreign};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Where the kernel has its tree.
const ROOT: &str = "/sys/kernel/config/target";

/// The kernel's own target as the shell asks for it.
pub(crate) struct Kernel {
    target: KernelTarget,
    /// What was seen together with the configuration that was asked for last, until it is asked for.
    seen: RefCell<Option<Vec<kernel_target::Foreign>>>,
}

impl Kernel {
    pub(crate) fn new(target: KernelTarget) -> Self {
        Self { target, seen: RefCell::new(None) }
    }
}

/// The kernel's target of the command line.
pub(crate) fn at(options: &Options) -> KernelTarget {
    let root = options.root.clone().map_or_else(|| PathBuf::from(ROOT), api::absolute);
    KernelTarget::new(&root, options.save_dir.as_deref().map(Path::to_owned).map(api::absolute).as_deref())
}

/// Where a configuration that was taken from the kernel is kept until all is well.
pub(crate) fn kept_in() -> Result<PathBuf, Failure> {
    home::directory().ok_or_else(|| {
        Failure::new("HOME is not set, so that there is no place to keep the kernel's configuration")
    })
}

impl Api for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn version(&self) -> Result<v1::Version, ApiError> {
        self.target.version().map_err(ApiError::Refused)
    }

    fn config(&self) -> Result<v1::Config, ApiError> {
        let (config, foreign) = self.target.all().map_err(ApiError::Refused)?;
        self.seen.replace(Some(foreign));
        Ok(config)
    }

    fn apply(&self, changes: v1::Changes) -> Result<v1::Applied, ApiError> {
        self.target.apply(&changes.changes).map_err(ApiError::Refused)
    }

    fn save(&self, options: &v1::SaveOptions) -> Result<v1::Saved, ApiError> {
        self.target.save(options).map_err(ApiError::Refused)
    }

    fn saveconfig(&self) -> Result<String, ApiError> {
        self.target.saveconfig().map_err(ApiError::Refused)
    }

    fn restore(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, ApiError> {
        self.target.restore(document, options).map_err(ApiError::Refused)
    }

    fn apply_file(&self, document: Vec<u8>, options: &v1::ApplyOptions) -> Result<v1::Compared, ApiError> {
        self.target.apply_file(&document, options).map_err(ApiError::Refused)
    }

    fn clear(&self) -> Result<v1::Cleared, ApiError> {
        self.target.clear().map_err(ApiError::Refused)
    }

    fn attributes(&self) -> Result<v1::AttributeTable, ApiError> {
        self.target.attributes().map_err(ApiError::Refused)
    }

    fn options(&self) -> Result<v1::OptionTable, ApiError> {
        Ok(self.target.options())
    }

    fn foreign(&self) -> Result<Vec<Foreign>, ApiError> {
        let things = match self.seen.take() {
            Some(things) => things.into_iter(),
            None => self.target.foreign().map_err(ApiError::Refused)?.into_iter(),
        };
        let shown = |kernel_target::Foreign { path, summary }| Foreign { path, summary };
        Ok(things.map(shown).collect())
    }
}
