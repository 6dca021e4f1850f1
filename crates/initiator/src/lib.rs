// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A virtio-scsi driver and vhost-user front end in user space: the guest of the tests and of `lunar bench`.
pub mod deadline;
pub mod error;
pub mod memory;
pub mod notifier;
pub mod ring;
