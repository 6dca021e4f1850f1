// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which kernel modules a guest needs, and in which order.
//!
//! Above: `initramfs`.  Below: `modules.dep` and `modules.builtin` of a kernel (depmod(8)).

use crate::kernel::unpack;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The modules of one kernel, by name.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    needs: BTreeMap<String, Vec<String>>,
    built_in: Vec<String>,
}

impl Modules {
    /// Reads what depmod found in `folder`, such as `/lib/modules/6.1.0-1-amd64`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("modules.dep");
        let table =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // A kernel that has nothing built in may lack the file.
        let built_in = std::fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(Self {
            folder: folder.to_path_buf(),
            needs: table.lines().filter_map(parse).collect(),
            built_in: built_in.lines().map(name_of).collect(),
        })
    }

    /// The files of the wanted modules and all they need, relative to the kernel's folder, each after what it
    /// needs.  What is built into the kernel takes no file.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<String>> {
        let mut order: Vec<String> = Vec::new();
        for name in wanted {
            let name = name.replace('-', "_");
            match self.needs.get(&name) {
                // modules.dep lists the closure with the innermost last.
                Some(files) => order.extend(files.iter().rev().cloned()),
                None if self.built_in.contains(&name) => {}
                None => bail!("the kernel in {} has no module {name}", self.folder.display()),
            }
        }
        let mut seen = Vec::with_capacity(order.len());
        for file in order {
            if !seen.contains(&file) {
                seen.push(file);
            }
        }
        Ok(seen)
    }

    /// The bytes of one module, unpacked where the distribution packs them.
    pub fn load(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(file);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        unpack(&bytes).with_context(|| format!("cannot unpack {}", path.display()))
    }
}

/// The module's name: the file's, without folder and ending; the kernel knows no dash.
pub fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

fn parse(line: &str) -> Option<(String, Vec<String>)> {
    let (file, needs) = line.split_once(':')?;
    let mut files = vec![file.to_owned()];
    files.extend(needs.split_ascii_whitespace().map(str::to_owned));
    Some((name_of(file), files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn modules(scratch: &Scratch) -> Result<Modules> {
        std::fs::write(
            scratch.join("modules.dep"),
            "kernel/sd-mod.ko.xz: kernel/t10-pi.ko.xz kernel/scsi.ko.xz\nkernel/scsi.ko.xz:\n\
             kernel/t10-pi.ko.xz: kernel/scsi.ko.xz\n",
        )?;
        std::fs::write(scratch.join("modules.builtin"), "kernel/fs/ext4.ko\n")?;
        Modules::read(scratch.path())
    }

    #[test]
    fn a_module_comes_after_what_it_needs_and_only_once() -> Result<()> {
        let scratch = Scratch::new()?;
        let order = modules(&scratch)?.closure(&["sd_mod", "t10-pi", "ext4"])?;
        assert_eq!(order, ["kernel/scsi.ko.xz", "kernel/t10-pi.ko.xz", "kernel/sd-mod.ko.xz"]);
        Ok(())
    }

    #[test]
    fn a_module_the_kernel_lacks_is_named() -> Result<()> {
        let scratch = Scratch::new()?;
        let error = modules(&scratch)?.closure(&["nvme"]).unwrap_err().to_string();
        assert_eq!(error, format!("the kernel in {} has no module nvme", scratch.path().display()));
        Ok(())
    }
}
