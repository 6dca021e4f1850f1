// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's own target: LIO's configfs, read into the model, and the model's steps as writes to it.
//!
//! Above: `lunar --root` and `lunar import-lio`.  Below: `model`, whose rules and plan are those of `lunard`;
//! `translate`, for the words; a directory that is LIO's, or behaves like it.
//! Never here: anything of `lunard`'s.  Nothing is kept between two questions: the kernel's tree is the truth.
//!
//! ```text
//!   tree ──found──► model, live ──wishes, plan──► steps ──jobs──► acts ──files──► tree
//! ```

mod applied; // a file that says what is to be
mod files; // reading, and one write at a time
mod found; // what is in the tree
mod jobs; // steps as writes, and how to take each back
mod media; // the files and devices of new backstores
mod problem; // what went wrong, for the shell
mod saved; // saveconfig.json
mod target; // questions and changes

pub use files::Fault;
pub use found::Foreign;
pub use target::{Export, KernelTarget, Released};
