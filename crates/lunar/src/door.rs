// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way to `lunard`, opened when something is asked: help needs no daemon.
//!
//! Above: `main`.  Below: the client of `api`.
//! Never here: words for what went wrong; the client has them.

use api::{Client, v1};
use shell::{Api, ApiError};
use std::cell::OnceCell;
use std::path::PathBuf;

/// A daemon that may or may not be there.
pub(crate) struct Door {
    runtime_dir: PathBuf,
    client: OnceCell<Client>,
}

impl Door {
    pub(crate) fn new(runtime_dir: PathBuf) -> Self {
        Self { runtime_dir, client: OnceCell::new() }
    }

    fn client(&self) -> Result<&Client, ApiError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::connect(&self.runtime_dir)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Api for Door {
    fn version(&self) -> Result<v1::Version, ApiError> {
        Api::version(self.client()?)
    }

    fn config(&self) -> Result<v1::Config, ApiError> {
        Api::config(self.client()?)
    }

    fn apply(&self, changes: v1::Changes) -> Result<v1::Applied, ApiError> {
        Api::apply(self.client()?, changes)
    }

    fn save(&self, options: &v1::SaveOptions) -> Result<v1::Saved, ApiError> {
        Api::save(self.client()?, options)
    }

    fn saveconfig(&self) -> Result<String, ApiError> {
        Api::saveconfig(self.client()?)
    }

    fn file_to_apply(&self) -> Result<String, ApiError> {
        Api::file_to_apply(self.client()?)
    }

    fn restore(
        &self,
        document: Option<Vec<u8>>,
        options: &v1::RestoreOptions,
    ) -> Result<v1::Restored, ApiError> {
        Api::restore(self.client()?, document, options)
    }

    fn apply_file(&self, document: Vec<u8>, options: &v1::ApplyOptions) -> Result<v1::Compared, ApiError> {
        Api::apply_file(self.client()?, document, options)
    }

    fn move_medium(&self, wish: &v1::MoveMedium) -> Result<(), ApiError> {
        Api::move_medium(self.client()?, wish)
    }

    fn clear(&self) -> Result<v1::Cleared, ApiError> {
        Api::clear(self.client()?)
    }

    fn attributes(&self) -> Result<v1::AttributeTable, ApiError> {
        Api::attributes(self.client()?)
    }

    fn options(&self) -> Result<v1::OptionTable, ApiError> {
        Api::options(self.client()?)
    }
}
