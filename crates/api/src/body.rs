//! JSON that others wrote, as a value in which no member was given twice.
//!
//! `serde_json` takes the last of members with one name, other readers take the first: what was looked at on the way here
//! might not be what is done.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::problem::FieldError;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// The first member that is given twice.
    #[error("{0}")]
    Twice(FieldError),
}

/// Reads one JSON value. A text that is not JSON is told as that, also when a member before its fault is given twice.
///
/// # Errors
/// When the text is not JSON, or an object in it has a name twice.
pub fn read(text: &[u8]) -> Result<Value, BodyError> {
    let mut reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let not_json = |error: serde_json::Error| BodyError::NotJson(error.to_string());
    let value = At(&mut reading).deserialize(&mut deserializer).map_err(not_json)?;
    deserializer.end().map_err(not_json)?;
    match reading.twice {
        None => Ok(value),
        Some(path) => Err(BodyError::Twice(FieldError { path, detail: "is given twice".to_owned() })),
    }
}

#[derive(Default)]
struct Reading {
    /// Where the value that is read stands.
    path: String,
    twice: Option<String>,
}

impl Reading {
    /// Reads what stands below under this piece of a path.
    fn below<T>(&mut self, piece: fmt::Arguments<'_>, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(&piece.to_string());
        let value = read(self);
        self.path.truncate(length);
        value
    }
}

/// The value at the place that is reached.
struct At<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let index = list.len();
            let item =
                self.0.below(format_args!("[{index}]"), |reading| items.next_element_seed(At(reading)))?;
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let dot = if self.0.path.is_empty() { "" } else { "." };
            let is_known = object.contains_key(&name);
            let value = self.0.below(format_args!("{dot}{name}"), |reading| {
                if is_known && reading.twice.is_none() {
                    reading.twice = Some(reading.path.clone());
                }
                members.next_value_seed(At(reading))
            })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_given_twice_is_told_with_its_path() {
        let check = |text: &str, path: &str| {
            let detail = "is given twice".to_owned();
            let twice = BodyError::Twice(FieldError { path: path.to_owned(), detail });
            assert_eq!(read(text.as_bytes()), Err(twice), "{text}");
        };
        check(r#"{"action_type":"MicroVMStart","action_type":"MicroVMStop","params":{}}"#, "action_type");
        check(r#"{"params":{"vm_id":"a","vm_id":"a"}}"#, "params.vm_id");
        check(r#"[{"a":1},{"params":{"disks":[{},{"path":1,"path":2}]}}]"#, "[1].params.disks[1].path");
        check(r#"{"a":1,"\u0061":2}"#, "a");
        check(r#"{"a":{"b":1,"b":2},"a":3}"#, "a.b");
        check(r#"{"a":1,"a":{"b":1,"b":2}}"#, "a");
        check(r#"{"a":null,"a":null}"#, "a");
    }

    #[test]
    fn one_name_in_several_objects_is_not_given_twice() {
        let text = r#"{"a":{"a":[{"a":1},{"a":2}]},"A":1}"#;
        assert_eq!(read(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn every_kind_of_value_is_read_as_serde_json_reads_it() {
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "1.5e3",
            "-0.0",
            r#""a\ud83d\ude00\n""#,
            "[]",
            "{}",
            r#" [1, {"a": [false, "b"]}] "#,
        ] {
            assert_eq!(read(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_serde_json_refuses_is_not_json() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "[1,]", "1 2", "{\"a\":1}x", "1e999", "\"\\ud800\"", "{1:2}", "nul", &deep] {
            let told = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            assert_eq!(read(text.as_bytes()), Err(BodyError::NotJson(told)), "{text}");
        }
        assert!(matches!(read(b"\"\xff\""), Err(BodyError::NotJson(_))));
        assert!(matches!(read(br#"{"a":1,"a":2"#), Err(BodyError::NotJson(_))), "not JSON goes before twice");
    }
}
