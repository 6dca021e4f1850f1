// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows the walkthrough of the README on this machine: the commands, the guest, the disk.
//!
//! Above: `cargo xtask demo`.  Below: `setup`, cargo, and the harness of the stories.
//!
//! Everything happens in a scratch directory and goes with it.  As root the disk is a loop device over a sparse
//! file, so that it is a block device as in the walkthrough; for others it is the file itself.

use crate::cargo::cargo;
use crate::run::visibly;
use crate::setup;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stories::accel::Accel;
use stories::daemon::Daemon;
use stories::guest::Guest;
use stories::loop_device::{self, LoopDevice};
use stories::scratch::Scratch;
use stories::shell::Shell;

/// The size of the walkthrough's disk.
const DISK_BYTES: u64 = 14 << 30;

const BUILD_LIMIT: Duration = Duration::from_secs(1500);

/// How long the guest may take; an emulated one needs a fourth of it.
const GUEST_LIMIT: Duration = Duration::from_secs(120);

/// What one would type in the guest.  `show` prints a command before it runs it.
const SCRIPT: &str = r#"
show() { echo "guest# $*"; eval "$*"; }
settle 1
show 'lsscsi -g'
show "dmesg | grep 0: | grep -E 'scsi|sd'"
show 'mkfs.ext4 -q /dev/sda'
show 'mount /dev/sda /mnt'
show 'cd /mnt'
show 'for i in 1 2 3 4; do dd if=/dev/urandom of=file$i bs=1M count=4 2>/dev/null; done'
show 'md5sum file* > /sums'
show 'cd / && umount /mnt && mount /dev/sda /mnt && cd /mnt'
show 'md5sum -c /sums'
show 'df -h /mnt'
cd / && umount /mnt
"#;

/// Runs it from set-up to the end.
pub(crate) fn show() -> Result<()> {
    setup::prepare(setup::For::Demo)?;
    println!("demo: building lunard and lunar");
    visibly(cargo().args(["build", "--release", "--package=lunard", "--package=lunar"]), BUILD_LIMIT)?;

    let start = Instant::now();
    let scratch = Scratch::new()?;
    println!("demo: everything is in {} and goes when the demo ends\n", scratch.path().display());
    let daemon = Daemon::start(&scratch)?.quiet();
    let places = daemon.places();
    println!("# lunard --state-dir {} --runtime-dir {} &", places.state.display(), places.runtime.display());
    println!("# lunar");
    let disk = Disk::make(&scratch)?;
    let wwn = type_the_page(&daemon.shell()?, &disk)?;
    let options = daemon.shell()?.qemu(&wwn, &["--pci", "bus=pci.0,addr=0x5", "--memory", "512M"])?;
    println!("# lunar qemu {wwn} --pci bus=pci.0,addr=0x5 --memory 512M");
    for pair in options.chunks(2) {
        println!("{}", pair.join(" "));
    }
    watch_the_guest(&scratch, &options)?;
    println!("\ndemo: done in {} s, apart from installing and building", start.elapsed().as_secs());
    println!("{HOW_TO_GO_ON}");
    Ok(())
}

const HOW_TO_GO_ON: &str = "
To go on:
    target/release/lunard &                  # or with --state-dir DIR --runtime-dir DIR
    target/release/lunar                     # the shell; `help` lists its commands, Tab completes
    target/release/lunar ls                  # one command
    target/release/lunar qemu WWN            # the options of QEMU for a target's guest
    target/release/lunar libvirt WWN         # the same for a domain of libvirt
README.md has the walkthrough in words.";

/// The disk of the walkthrough, in the form this user can have.
enum Disk {
    Block { link: PathBuf, _device: LoopDevice },
    File(PathBuf),
}

impl Disk {
    fn make(scratch: &Scratch) -> Result<Self> {
        if !loop_device::available() {
            println!(
                "demo: without root there is no loop device: the disk is a file of 14 GiB, sparse, by fileio"
            );
            return Ok(Self::File(scratch.join("disk0.img")));
        }
        let device = LoopDevice::attach(&scratch.sparse_file("disk0.img", DISK_BYTES)?, &[])?;
        let link = device.link(&scratch.directory("by-id")?, "lunar-demo")?;
        Ok(Self::Block { link, _device: device })
    }

    /// The lines that make a backstore of it.
    fn create(&self) -> String {
        match self {
            Self::Block { link, .. } => {
                format!("backstores/block create name=disk0 write_back=false \\\n   dev={}", link.display())
            }
            Self::File(path) => {
                format!("backstores/fileio create name=disk0 file_or_dev={} \\\n   size=14G", path.display())
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Block { .. } => "block",
            Self::File(_) => "fileio",
        }
    }
}

/// Types the walkthrough's commands and returns the target's name.
fn type_the_page(shell: &Shell, disk: &Disk) -> Result<String> {
    type_line(shell, &disk.create())?;
    let said = type_line(shell, "vhost/ create")?;
    let wwn = said.lines().find_map(|line| line.strip_prefix("Created target ")?.strip_suffix('.'));
    let wwn = wwn.context("the shell names no target")?;
    type_line(shell, &format!("vhost/{wwn}/tpg1/luns create /backstores/{}/disk0", disk.kind()))?;
    type_line(shell, "ls")?;
    println!("/> exit");
    Ok(wwn.to_owned())
}

/// Types one command, prints it and its answer as a terminal would, and returns the answer.
fn type_line(shell: &Shell, line: &str) -> Result<String> {
    println!("/> {line}");
    let answer = shell.batch(&[], &format!("{line}\n"))?;
    print!("{}{}", answer.stdout, answer.stderr);
    if answer.status != 0 {
        bail!("the shell refused `{line}`");
    }
    Ok(answer.stdout)
}

fn watch_the_guest(scratch: &Scratch, options: &[String]) -> Result<()> {
    let accel = Accel::detect()?;
    println!("# {} {} … $(lunar qemu …)", stories::guest::QEMU, accel.options().join(" "));
    let plan = Guest::plan(SCRIPT).programs(&["lsscsi", "mkfs.ext4"]).options(options).accel(accel);
    let results = plan.limit(GUEST_LIMIT).quiet().boot(scratch)?.finish()?;
    print!("{}", results.out);
    let verified = (1..=4).all(|number| results.out.contains(&format!("file{number}: OK\n")));
    if !verified {
        bail!("the guest did not read back what it wrote");
    }
    Ok(())
}
