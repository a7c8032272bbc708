//! What is written to the log.

use std::borrow::Cow;

use jiff::Timestamp;

/// Fields that an entry can have. What comes after them is counted in the field `fields_left_out`.
pub const FIELDS_MAX: usize = 64;

/// A deed: who did what by which part of the program, and how it ended.
///
/// Nothing in it is refused. Component, operation, actor, outcome and the names of fields are cut after 256 bytes, and
/// field values so far that the line is within [`crate::LINE_MAX_BYTES`]; a mark says that something was cut, and how long
/// it was.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) component: Cow<'a, str>,
    pub(crate) operation: Cow<'a, str>,
    pub(crate) actor: Cow<'a, str>,
    pub(crate) outcome: Cow<'a, str>,
    pub(crate) fields: Vec<(Cow<'a, str>, FieldValue<'a>)>,
    pub(crate) left_out: u64,
}

impl<'a> Entry<'a> {
    /// An entry without fields. One of owned texts goes to another thread. `at` is written in UTC with milliseconds.
    pub fn new(
        at: Timestamp,
        component: impl Into<Cow<'a, str>>,
        operation: impl Into<Cow<'a, str>>,
        actor: impl Into<Cow<'a, str>>,
        outcome: impl Into<Cow<'a, str>>,
    ) -> Entry<'a> {
        let (component, operation) = (component.into(), operation.into());
        let (actor, outcome) = (actor.into(), outcome.into());
        Entry { at, component, operation, actor, outcome, fields: Vec::new(), left_out: 0 }
    }

    pub fn at(&self) -> Timestamp {
        self.at
    }

    pub fn component(&self) -> &str {
        &self.component
    }

    pub fn operation(&self) -> &str {
        &self.operation
    }

    pub fn actor(&self) -> &str {
        &self.actor
    }

    pub fn outcome(&self) -> &str {
        &self.outcome
    }

    /// In the order in which they were given.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldValue<'a>)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    /// The same with one field more. A name that is there already gets the new value.
    #[must_use]
    pub fn field(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<FieldValue<'a>>) -> Entry<'a> {
        let (name, value) = (name.into(), value.into());
        let has_room = self.fields.len() < FIELDS_MAX;
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None if has_room => self.fields.push((name, value)),
            None => self.left_out += 1,
        }
        self
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Count(u64),
    Flag(bool),
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> Self {
        FieldValue::Text(Cow::Borrowed(text))
    }
}

impl From<String> for FieldValue<'_> {
    fn from(text: String) -> Self {
        FieldValue::Text(Cow::Owned(text))
    }
}

impl From<i64> for FieldValue<'_> {
    fn from(number: i64) -> Self {
        FieldValue::Integer(number)
    }
}

impl From<u64> for FieldValue<'_> {
    fn from(number: u64) -> Self {
        FieldValue::Count(number)
    }
}

impl From<bool> for FieldValue<'_> {
    fn from(flag: bool) -> Self {
        FieldValue::Flag(flag)
    }
}
