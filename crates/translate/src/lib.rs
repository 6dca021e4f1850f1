// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Between the words of strangers, the API's and saveconfig.json's, and the model.
//!
//! Above: `lunard`, whose model runs in it, and `kernel-target`, whose model runs in the kernel.
//! Below: `model`, whose rules decide; `api`, the wire types.
//! Never here: what runs.  Whoever owns a model says what is live, and takes the drafts.

pub mod host; // words and habits of the file system
pub mod live; // what a running target knows
pub mod saveconfig; // the configuration in LIO's words
pub mod tables; // what there is to set
pub mod view; // what is shown
pub mod wish; // what is asked for, made whole
