// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the stories stand on: a real daemon, the real shell, a real guest.
//!
//! Above: the stories of `tests/` and `cargo xtask demo`.
//! Below: the built programs `lunard` and `lunar`, QEMU, a Linux kernel and the tools of the host.
//! Never here: a crate of Lunar.  A story sees what an administrator and a guest see, and nothing else.
//!
//! Everything started here has a deadline and ends with the value that stands for it: processes, loop
//! devices, files.  What a daemon logged and what a guest's console showed is printed when the value goes;
//! `cargo test` shows it for a story that failed.

pub mod deadline;
pub mod process;
pub mod scratch;

pub mod api;
pub mod daemon;
pub mod listing;
pub mod loop_device;
pub mod meanwhile;
pub mod mounted;
pub mod programs;
pub mod recording;
pub mod shell;
pub mod silent;
pub mod slow_disk;
pub mod small;
pub mod stage;
pub mod unread;

pub mod accel;
pub mod boot_disk;
pub mod cpio;
pub mod efi;
pub mod fence_agents;
pub mod firmware;
pub mod grub;
pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod loaded;
pub mod migrant;
pub mod modules;
pub mod multipath;
pub mod node;
pub mod older_qemu;
pub mod ovmf;
pub mod qmp;
pub mod whole_machine;
