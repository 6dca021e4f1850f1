// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line of `lunar`.
//!
//! Above: `main`.  Below: `clap`; `guest`, for the addresses of devices.
//! Never here: the grammar of the shell, whose words pass through unread.

use crate::completion;
use crate::guest::{CcwAddress, PciAddress, Transport};
use crate::man::Page;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Above the options that every tool has, so that its own stand together.
const GENERAL: &str = "General options";

/// SCSI disks for KVM guests: the shell, and tools for guests
///
/// Without a command, lunar is a shell with the tree and the commands of targetcli: on a terminal it prompts,
/// otherwise it reads its commands from standard input. With one, it runs that one:
///
///   lunar ls
///   lunar /backstores/fileio create disk0 /srv/disk0.img 14G
///   lunar /vhost create
///
/// `lunar help COMMAND` describes a tool or a command of the shell's root, `lunar PATH help` lists those of a node, and --help
/// after a command describes it.
///
/// The exit status is 0, or 1 if any command failed; `run` has that of its command.
#[derive(Debug, Parser)]
#[command(
    name = "lunar",
    version,
    verbatim_doc_comment,
    disable_help_subcommand = true,
    disable_version_flag = true,
    override_usage = "lunar [OPTIONS] [PATH] [COMMAND] [PARAMETER]...\n       lunar [OPTIONS] qemu WWN...\n       lunar [OPTIONS] libvirt WWN...\n       lunar [OPTIONS] run -- COMMAND [ARGUMENT]...\n       lunar [OPTIONS] import-lio [--take]\n       lunar [OPTIONS] bind [--undo]\n       lunar completions SHELL\n       lunar man [PAGE]"
)]
pub(crate) struct Options {
    /// Where lunard has its sockets; it must have been given the same
    #[arg(long, value_name = "DIR", env = "LUNAR_RUNTIME_DIR", global = true, help_heading = GENERAL)]
    pub(crate) runtime_dir: Option<PathBuf>,

    /// Where lunard keeps its state; taken so that both programs have the same options
    #[arg(long, value_name = "DIR", env = "LUNAR_STATE_DIR", global = true, help_heading = GENERAL)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Work on the kernel's own target, whose tree this is, instead of lunard's: /sys/kernel/config/target
    #[arg(long, value_name = "DIR", global = true, help_heading = GENERAL)]
    pub(crate) root: Option<PathBuf>,

    /// Where saveconfig.json of the kernel's target is; as LIO's tools have it if left out
    #[arg(long, value_name = "DIR", global = true, help_heading = GENERAL)]
    pub(crate) save_dir: Option<PathBuf>,

    /// Stop at the first command that fails
    #[arg(short = 'e')]
    pub(crate) stop: bool,

    /// Answer with JSON for programs, one line for each command
    #[arg(long, global = true, help_heading = GENERAL)]
    pub(crate) json: bool,

    /// Taken for targetcli's scripts: `set global auto_use_daemon=false`
    #[arg(long, hide = true)]
    pub(crate) disable_daemon: bool,

    /// Print version
    #[arg(short = 'V', short_alias = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    pub(crate) tool: Option<Tool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Print the options that give a guest of QEMU the disks of a target, one a line
    ///
    /// They are meant for a command line: qemu-system-x86_64 $(lunar qemu WWN) ... No word of them holds a
    /// space. They make the memory of the guest as lunard can map it, so that -m must not be given besides.
    Qemu(QemuOptions),

    /// Print the XML that gives a guest of libvirt the disks of a target
    ///
    /// It goes into the domain, for instance with `virsh edit`.
    Libvirt(LibvirtOptions),

    /// Print the script that makes the Tab key of bash, zsh or fish know lunar
    ///
    /// It completes paths of the tree, commands, parameters and targets, as the interactive shell does:
    /// `source <(lunar completions bash)` in ~/.bashrc, or a file where the shell looks for such scripts.
    Completions {
        /// Whose Tab key
        shell: completion::Kind,
    },

    /// Print a manual page: lunar man | man -l -
    Man {
        /// Which page
        #[arg(value_enum, default_value_t = Page::Lunar)]
        page: Page,
    },

    /// Print what may stand at the cursor, for those scripts
    #[command(hide = true)]
    Complete {
        /// Who asks
        shell: completion::Kind,
        /// The line up to the cursor
        line: String,
        /// What of it the shell takes for the word at the cursor
        cursor: Option<String>,
    },
    /// Take the vhost targets of the kernel over into Lunar, as one change
    ///
    /// Takes backstores with their serial numbers and attributes, targets, target port groups with their nexuses, and
    /// LUNs. Says what it leaves. Without --take the kernel keeps its own, and must give the devices up before a guest
    /// starts.
    ImportLio(ImportOptions),

    /// Run a tool of LIO's, such as targetcli, against Lunar
    ///
    /// The command finds the tree of lunard at /sys/kernel/config, a message bus that knows nobody, and
    /// directories of its own in the place of /etc/target, /etc/rtslib-fb-target and /var/target; all of that for
    /// itself and what it starts. The host, and a target of its kernel, are out of its reach.
    ///
    /// The exit status is that of the command; 125 if lunar cannot run it, 126 if it is no program, 127 if there
    /// is no such program.
    Run(RunOptions),

    /// Give all of LIO's tools on this machine the tree of lunard, at /sys/kernel/config/target
    ///
    /// It is refused where the kernel's own target has a backstore or a target. lunar-configfs.service does it.
    Bind(BindOptions),

    /// What `run` starts beside the command
    #[command(hide = true, name = "run-bus")]
    RunBus {
        /// The process with which it ends.
        of: u32,
    },

    #[command(external_subcommand)]
    Words(Vec<OsString>),
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Where LIO's tree is mounted; lunard is asked if left out
    #[arg(long, value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,

    /// Where the tools keep what they keep [default: `tools` in the state directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) tools_dir: Option<PathBuf>,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct BindOptions {
    /// Where LIO's tree is mounted; lunard is asked if left out
    #[arg(long, value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,

    /// Take it away again
    #[arg(long, conflicts_with = "tree")]
    pub(crate) undo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QemuOptions {
    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    /// How much memory the guest has, such as 1G; that is also what it has if left out
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LibvirtOptions {
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// Show what would be taken over, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Remove it from the kernel first; it is put back if Lunar refuses
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) take: bool,
}

/// What both tools want to know.
#[derive(Debug, Args)]
pub(crate) struct DeviceOptions {
    /// The target's name; several for several adapters in one guest
    #[arg(value_name = "WWN", required = true)]
    pub(crate) wwns: Vec<String>,

    /// Where the adapter is plugged in, such as bus=pci.0,addr=0x5
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ccw")]
    pub(crate) pci: Option<PciAddress>,

    /// An adapter of an IBM Z guest, and where it is plugged in, such as devno=fe.0.1000; with --transport vhost alone
    #[arg(long, value_name = "DEVNO", num_args = 0..=1, default_missing_value = "")]
    pub(crate) ccw: Option<CcwAddress>,

    /// Who serves the target: lunard, or the kernel's own vhost-scsi
    #[arg(long, value_enum, default_value_t = Transport::VhostUser)]
    pub(crate) transport: Transport,

    /// How many request queues the adapter has, 1 to 254; if left out as many as the target's option num_queues says, or one for each CPU of the guest where that is 0
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=254))]
    pub(crate) queues: Option<u16>,

    /// Which QEMU reads the options, such as 8.2; one from 9.2 on if left out
    #[arg(long, value_name = "VERSION")]
    pub(crate) qemu_version: Option<crate::guest::QemuVersion>,
}
