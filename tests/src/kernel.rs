// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds the guest's kernel and takes it out of its wrapping.
//!
//! Above: `guest`, and `cargo xtask setup`, which fetches one where there is none.
//! Below: `/boot`, `/lib/modules`, and a folder of our own with the same two in it.
//!
//! A guest boots the ELF image by its PVH entry: under emulation, unpacking `vmlinuz` takes as long as all
//! the rest of a boot.

use crate::process::{command, run_well};
use crate::programs::{cache_folder, find_in_path};
use anyhow::{Context, Result, bail};
use std::cmp::Ordering;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How long unpacking a kernel may take: about 2 s on a machine of today.
const UNPACK_LIMIT: Duration = Duration::from_secs(60);

/// What every guest loads; a kernel without them is of no use here.
pub const MODULES_ALWAYS: &[&str] =
    &["virtio_pci", "virtio_scsi", "sd_mod", "sg", "9p", "9pnet_virtio", "ext4", "crc32c_generic"];

/// From which release on some stories need it: the kernel's `RWF_ATOMIC`, and `atomic_wr` of scsi_debug.
pub const NEWER: &str = "6.11";

/// A kernel that guests can boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its release, such as `6.1.0-1-amd64`.
    pub release: String,
    /// `vmlinuz` as the distribution ships it.
    pub image: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
}

impl Kernel {
    /// The newest usable one: readable, with its modules, and with those every guest needs.
    pub fn find() -> Result<Self> {
        let own = own_root()?;
        Self::newest_in(&[own.as_path(), Path::new("/")])
            .context("no kernel for guests: `cargo xtask setup` fetches one")
    }

    /// One of this release, such as 6.11, or a later one: that of all guests, or the one that was unpacked for those who
    /// need more.
    ///
    /// # Errors
    /// Says why there is none, for a line that a story is skipped.
    pub fn since(release: &str) -> Result<Self> {
        let (own, newer) = (own_root()?, newer_root()?);
        let found = Self::newest_in(&[own.as_path(), Path::new("/"), newer.as_path()]);
        let kernel = found.context("no kernel for guests: `cargo xtask setup` fetches one")?;
        if compare_versions(&kernel.release, release) == Ordering::Less {
            bail!(
                "the kernel for guests is {}, and {release} is wanted: `cargo xtask setup` unpacks one where the \
                 backports have it",
                kernel.release
            );
        }
        Ok(kernel)
    }

    fn newest_in(roots: &[&Path]) -> Option<Self> {
        let mut kernels: Vec<Self> = roots.iter().flat_map(|root| Self::all_in(root)).collect();
        kernels.sort_by(|a, b| compare_versions(&a.release, &b.release));
        kernels.pop()
    }

    fn all_in(root: &Path) -> Vec<Self> {
        let Ok(boot) = std::fs::read_dir(root.join("boot")) else { return Vec::new() };
        let names = boot.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let releases = names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned));
        releases
            .map(|release| Self {
                image: root.join("boot").join(format!("vmlinuz-{release}")),
                modules: root.join("lib/modules").join(&release),
                release,
            })
            .filter(Self::is_usable)
            .collect()
    }

    fn is_usable(&self) -> bool {
        let modules = crate::modules::Modules::read(&self.modules);
        File::open(&self.image).is_ok()
            && modules.is_ok_and(|modules| modules.closure(MODULES_ALWAYS).is_ok())
    }

    /// The ELF image to boot, unpacked at most once for each kernel.
    pub fn vmlinux(&self) -> Result<PathBuf> {
        let bytes =
            std::fs::read(&self.image).with_context(|| format!("cannot read {}", self.image.display()))?;
        // A kernel that was replaced under the same release has another length, or its own check sum fails.
        let cached = cache_folder()?.join(format!("vmlinux-{}-{}", self.release, bytes.len()));
        if !cached.exists() {
            let vmlinux =
                extract_vmlinux(&bytes).with_context(|| format!("cannot unpack {}", self.image.display()))?;
            // Written aside and renamed: a story beside us may look for it now.
            let mut aside = tempfile::Builder::new()
                .permissions(Permissions::from_mode(0o644))
                .tempfile_in(cache_folder()?)?;
            aside.write_all(&vmlinux)?;
            aside.persist(&cached).with_context(|| format!("cannot write {}", cached.display()))?;
        }
        Ok(cached)
    }
}

/// Where `cargo xtask setup` unpacks a kernel of our own: a root with `boot` and `lib/modules`.
pub fn own_root() -> Result<PathBuf> {
    Ok(cache_folder()?.join("kernel"))
}

/// Where it unpacks a newer one, beside that, for what guests have not by themselves: see [`Kernel::since`].
pub fn newer_root() -> Result<PathBuf> {
    Ok(cache_folder()?.join("newer-kernel"))
}

/// Takes the ELF image out of a bzImage (the kernel's Documentation/arch/x86/boot.rst).
fn extract_vmlinux(image: &[u8]) -> Result<Vec<u8>> {
    const SETUP_SECTORS: usize = 0x1f1;
    const MAGIC: usize = 0x202;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_BYTES: usize = 0x24c;
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        bail!("it is no bzImage");
    }
    let sectors = usize::from(*image.get(SETUP_SECTORS).context("it is too short")?);
    let start = (sectors + 1) * 512 + le32(image, PAYLOAD_OFFSET)?;
    let payload = start
        .checked_add(le32(image, PAYLOAD_BYTES)?)
        .and_then(|end| image.get(start..end))
        .context("its payload lies outside")?;
    // All but gzip, which brings its own, are followed by the length of what they unpack to.
    let packed = match Packing::of(payload) {
        Some(Packing::Gzip) => payload,
        Some(_) => payload.split_last_chunk::<4>().context("its payload is empty")?.0,
        None => bail!("its payload is packed in a way unknown here"),
    };
    let vmlinux = unpack(packed)?;
    let promised = le32(payload, payload.len() - 4)?;
    if vmlinux.len() != promised || !vmlinux.starts_with(b"\x7fELF") {
        bail!("its payload unpacks to {} bytes that are not the {promised} of an ELF image", vmlinux.len());
    }
    Ok(vmlinux)
}

fn le32(bytes: &[u8], at: usize) -> Result<usize> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).context("it is too short")?;
    Ok(usize::try_from(u32::from_le_bytes(*four))?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// Unpacks what gzip, xz or zstd packed; anything else comes back as it is.
pub fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    let Some(packing) = Packing::of(bytes) else { return Ok(bytes.to_vec()) };
    if find_in_path(packing.program()).is_none() {
        bail!("{} is not installed", packing.program());
    }
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    std::io::Seek::rewind(&mut file)?;
    run_well(command(packing.program()).arg("-dc").stdin(Stdio::from(file)), UNPACK_LIMIT)
}

/// Orders releases as a reader would: 6.1.0-9 before 6.1.0-56 before 6.12.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let numbers = |release: &str| -> Vec<u64> {
        let pieces = release.split(|c: char| !c.is_ascii_digit()).filter(|piece| !piece.is_empty());
        pieces.filter_map(|piece| piece.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn lay_out(root: &Scratch, release: &str, modules: &str) -> Result<()> {
        let folder = root.directory(&format!("lib/modules/{release}"))?;
        std::fs::write(folder.join("modules.dep"), modules)?;
        std::fs::write(root.directory("boot")?.join(format!("vmlinuz-{release}")), "")?;
        Ok(())
    }

    fn all() -> String {
        MODULES_ALWAYS.iter().map(|name| format!("kernel/{name}.ko:\n")).collect()
    }

    #[test]
    fn the_newest_kernel_with_the_modules_wins() -> Result<()> {
        let root = Scratch::new()?;
        lay_out(&root, "6.1.0-9-amd64", &all())?;
        lay_out(&root, "6.1.0-56-amd64", &all())?;
        lay_out(&root, "6.12.3-cloud-amd64", "kernel/virtio_scsi.ko:\n")?;
        let found = Kernel::newest_in(&[root.path()]).context("one is usable")?;
        assert_eq!(found.release, "6.1.0-56-amd64");
        Ok(())
    }

    #[test]
    fn a_kernel_without_its_image_is_not_found() -> Result<()> {
        let root = Scratch::new()?;
        lay_out(&root, "6.1.0-9-amd64", &all())?;
        std::fs::remove_file(root.join("boot/vmlinuz-6.1.0-9-amd64"))?;
        assert!(Kernel::newest_in(&[root.path()]).is_none());
        Ok(())
    }

    /// A bzImage with nothing in it but one payload, packed by gzip, whose last bytes are its length.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c] = u8::try_from(payload.len()).unwrap();
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn a_payload_is_taken_out_whole() -> Result<()> {
        // `printf '\177ELFlunar' | gzip -n`
        let packed = [
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x77, 0xf5, 0x71, 0xcb, 0x29, 0xcd, 0x4b, 0x2c, 0x02,
            0, 0x61, 0x44, 0x43, 0x72, 9, 0, 0, 0,
        ];
        assert_eq!(extract_vmlinux(&image(&packed))?, b"\x7fELFlunar");
        Ok(())
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert_eq!(extract_vmlinux(&[0; 4096]).unwrap_err().to_string(), "it is no bzImage");
        let error = extract_vmlinux(&image(b"nonsense")).unwrap_err().to_string();
        assert_eq!(error, "its payload is packed in a way unknown here");
    }
}
