// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An object of a saveconfig.json, whose members have the type they should have or are a named error.
//!
//! Above: `document`, `select`, `own`.  Below: `serde_json`'s values.
//! Never here: which members there are.

use super::document::shown;
use serde_json::{Map, Value};

/// One object, and what a message calls it.
#[derive(Clone, Debug)]
pub(super) struct Entry<'v> {
    members: &'v Map<String, Value>,
    at: String,
}

impl<'v> Entry<'v> {
    pub(super) fn of(value: &'v Value, at: String) -> Result<Self, String> {
        match value {
            Value::Object(members) => Ok(Self { members, at }),
            other => Err(format!("{at} is {}, not an object", shown_value(other))),
        }
    }

    pub(super) fn on(members: &'v Map<String, Value>, at: String) -> Self {
        Self { members, at }
    }

    /// The same object, once it is known what it is called.
    pub(super) fn named(self, at: String) -> Self {
        Self { at, ..self }
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.members.keys().map(String::as_str)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'v Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'v str>, String> {
        self.typed(key, "text", Value::as_str)
    }

    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>, String> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>, String> {
        self.typed(key, "a whole number", Value::as_u64)
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<&'v Map<String, Value>>, String> {
        self.typed(key, "an object", Value::as_object)
    }

    /// What is absent is empty.
    pub(super) fn list(&self, key: &str) -> Result<&'v [Value], String> {
        let list = self.typed(key, "a list", |value| value.as_array().map(Vec::as_slice))?;
        Ok(list.unwrap_or_default())
    }

    pub(super) fn required_text(&self, key: &str) -> Result<&'v str, String> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn required_whole(&self, key: &str) -> Result<u64, String> {
        self.whole(key)?.ok_or_else(|| self.missing(key))
    }

    /// The message about a member of another type.
    pub(super) fn wrong(&self, key: &str, value: &Value, wanted: &str) -> String {
        format!("'{key}' of {} is {}, not {wanted}", self.at, shown_value(value))
    }

    fn missing(&self, key: &str) -> String {
        format!("'{key}' is missing from {}", self.at)
    }

    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, value, wanted))
    }
}

/// A value, short enough for a message.
pub(super) fn shown_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
