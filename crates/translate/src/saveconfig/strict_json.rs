// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON that means one thing only, within bounds.
//!
//! Above: `document`.  Below: `serde_json`, which bounds the depth.
//! Never here: what the values mean.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// The most values of one text.  A storage object has about 60; each takes some 50 bytes of memory, so that a
/// text of nothing but brackets cannot take more memory than its length lets one expect.
const VALUES_MAX: usize = 4 << 20;

/// Reads a text.  What the plain reader lets pass is refused: a key that is there twice.
///
/// # Errors
/// One line that says what is wrong and where.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    parse_bounded(text, VALUES_MAX)
}

fn parse_bounded(text: &[u8], values_max: usize) -> Result<Value, String> {
    let left = Cell::new(values_max);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Seed { left: &left }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|err| words(&err))
}

fn words(err: &serde_json::Error) -> String {
    let place = format!("line {} column {}", err.line(), err.column());
    let text = err.to_string();
    if err.is_eof() {
        return format!("the file ends too early, at {place}");
    }
    if text.starts_with("recursion limit exceeded") {
        return format!("values are nested too deep at {place}");
    }
    text
}

/// One value, of as many as are left.
#[derive(Clone, Copy)]
struct Seed<'c> {
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom("there are too many values"));
        };
        self.left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let value = object.next_value_seed(self)?;
            if members.contains_key(&key) {
                let key = super::document::shown(&key);
                return Err(A::Error::custom(format!("'{key}' is there twice")));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_sort_of_value_is_read() {
        let text = br#" {"a": [null, true, -1, 18446744073709551615, 1.5, "x\u00e9"], "b": {}} "#;
        let value = json!({"a": [null, true, -1, 18_446_744_073_709_551_615_u64, 1.5, "x\u{e9}"], "b": {}});
        assert_eq!(parse(text), Ok(value));
    }

    #[test]
    fn what_is_wrong_is_one_line_with_its_place() {
        let deep = [vec![b'['; 1000], vec![b']'; 1000]].concat();
        for (text, words) in [
            (&b""[..], "the file ends too early, at line 1 column 0"),
            (b"{\"a\": ", "the file ends too early, at line 1 column 6"),
            (b"{\"a\": 1}\n{", "trailing characters at line 2 column 1"),
            (b"{\"a\": 1, \"a\": 1}", "'a' is there twice at line 1 column 16"),
            (b"[1e999]", "number out of range at line 1 column 6"),
            (b"\xff", "expected value at line 1 column 1"),
            (b"[\"\xff\"]", "invalid unicode code point at line 1 column 3"),
            (&deep, "values are nested too deep at line 1 column 128"),
        ] {
            assert_eq!(parse(text), Err(words.to_owned()), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn values_are_counted() {
        assert!(parse_bounded(b"[0,0,0]", 4).is_ok());
        let words = "there are too many values at line 1 column 5";
        assert_eq!(parse_bounded(b"[0,0,0]", 3), Err(words.to_owned()));
    }
}
