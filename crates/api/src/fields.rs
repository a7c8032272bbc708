//! Reads the members of a JSON object one by one and collects every fault with its path.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::problem::FieldError;
use nkudo_settings::nearest;

/// Faults found so far. Reading goes on after a fault, so that a user sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldError>);

impl Faults {
    pub(crate) fn add(&mut self, path: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { path: path.into(), detail: detail.into() });
    }

    pub(crate) fn into_inner(self) -> Vec<FieldError> {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The members of one object. Each is taken by its name; what is left at [`Fields::finish`] is unknown.
pub(crate) struct Fields<'v> {
    path: String,
    members: Option<&'v Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// The members of `value`, which must be an object; another value is a fault.
    pub(crate) fn of(value: &'v Value, path: &str, faults: &mut Faults) -> Self {
        let members = value.as_object();
        if members.is_none() {
            faults.add(path, format!("must be an object, not {}", kind(value)));
        }
        Self { path: path.to_owned(), members, known: Vec::new() }
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// The member, when it is there and not null.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.members.and_then(|members| members.get(name)).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        faults: &mut Faults,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(name)?;
        let taken = read(value);
        if taken.is_none() {
            faults.add(self.path_of(name), format!("must be {wanted}, not {}", kind(value)));
        }
        taken
    }

    pub(crate) fn text(&mut self, name: &'static str, faults: &mut Faults) -> Option<&'v str> {
        self.read(name, "a string", faults, Value::as_str)
    }

    pub(crate) fn flag(&mut self, name: &'static str, faults: &mut Faults) -> Option<bool> {
        self.read(name, "true or false", faults, Value::as_bool)
    }

    pub(crate) fn list(&mut self, name: &'static str, faults: &mut Faults) -> Option<&'v Vec<Value>> {
        self.read(name, "a list", faults, Value::as_array)
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        min: u64,
        max: u64,
        faults: &mut Faults,
    ) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let found = if value.is_number() { value.to_string() } else { kind(value).to_owned() };
            faults
                .add(self.path_of(name), format!("must be a whole number from {min} to {max}, not {found}"));
        }
        number
    }

    /// A string that is one of a type's words or has its form.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(name, faults)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                faults.add(self.path_of(name), error.to_string());
                None
            }
        }
    }

    /// A map of strings to strings.
    pub(crate) fn text_map(&mut self, name: &'static str, faults: &mut Faults) -> BTreeMap<String, String> {
        let Some(map) = self.read(name, "an object", faults, Value::as_object) else {
            return BTreeMap::new();
        };
        let path = self.path_of(name);
        map.iter()
            .filter_map(|(key, value)| match value.as_str() {
                Some(text) => Some((key.clone(), text.to_owned())),
                None => {
                    faults.add(format!("{path}.{key}"), format!("must be a string, not {}", kind(value)));
                    None
                }
            })
            .collect()
    }

    /// Says that a member which must be there is not, unless a fault of it was told already.
    pub(crate) fn require<T>(&self, name: &str, taken: Option<T>, faults: &mut Faults) -> Option<T> {
        let absent = self.members.is_some_and(|members| members.get(name).is_none_or(Value::is_null));
        if taken.is_none() && absent {
            faults.add(self.path_of(name), "is required");
        }
        taken
    }

    /// Every member that nobody asked for is a fault, with the nearest known name.
    pub(crate) fn finish(self, faults: &mut Faults) {
        for name in self.members.into_iter().flat_map(Map::keys) {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; known here: {}", self.known.join(", ")),
            };
            faults.add(self.path_of(name), format!("is not a known field{hint}"));
        }
    }
}

/// A JSON value's type, for a sentence.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
