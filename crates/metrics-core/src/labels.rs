//! Labels as typed structs.

use std::hash::Hash;

use crate::encode;

/// Longest label value that is kept, in bytes; the rest is cut. All else is exposed as it is, control characters
/// included, which both formats allow.
const VALUE_MAX_BYTES: usize = 1_024;

/// Labels by what they are and not by what they read: a text by its address and length, a number by its value. Equal
/// identities are equal labels; equal labels may have several.
pub type Identity = [(usize, usize); 4];

/// A set of labels with fixed names. Made with [`label_set!`](crate::label_set).
pub trait LabelSet: Clone + Eq + Hash + Send + Sync + 'static {
    /// The names, in their order.
    fn names() -> &'static [&'static str];

    /// Writes each value, in the order of the names.
    fn write(&self, writer: &mut LabelWriter);

    /// What the labels are recognised by without reading them; none where that is not possible.
    fn identity(&self) -> Option<Identity> {
        None
    }
}

/// The labels of a metric that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoLabels;

impl LabelSet for NoLabels {
    fn names() -> &'static [&'static str] {
        &[]
    }

    fn write(&self, _writer: &mut LabelWriter) {}
}

/// Takes the values of a label set.
#[derive(Debug)]
pub struct LabelWriter {
    taken: Taken,
    /// The value in hand.
    value: String,
    was_cut: bool,
}

/// What becomes of the values.
#[derive(Debug)]
enum Taken {
    Values(Vec<String>),
    /// The labels as they stand between the braces.
    Text {
        names: &'static [&'static str],
        /// Values so far.
        count: usize,
        text: String,
    },
}

impl LabelWriter {
    pub fn value(&mut self, value: &impl LabelValue) {
        self.value.clear();
        value.write_value(&mut self.value);
        if self.value.len() > VALUE_MAX_BYTES {
            self.was_cut = true;
            self.value.truncate(self.value.floor_char_boundary(VALUE_MAX_BYTES));
        }
        match &mut self.taken {
            Taken::Values(values) => values.push(self.value.clone()),
            Taken::Text { names, count, text } => {
                if let Some(name) = names.get(*count) {
                    encode::label(name, &self.value, text);
                }
                *count += 1;
            }
        }
    }

    fn new(taken: Taken) -> Self {
        Self { taken, value: String::new(), was_cut: false }
    }

    pub(crate) fn values_of(labels: &impl LabelSet) -> Vec<String> {
        let mut writer = Self::new(Taken::Values(Vec::new()));
        labels.write(&mut writer);
        match writer.taken {
            Taken::Values(values) => values,
            Taken::Text { .. } => Vec::new(),
        }
    }

    /// Writes the text of one label set after the other, in one buffer.
    pub(crate) fn of_text(names: &'static [&'static str]) -> Self {
        Self::new(Taken::Text { names, count: 0, text: String::new() })
    }

    /// The labels as they stand between the braces, and whether one of the values is not whole.
    pub(crate) fn text_of(&mut self, labels: &impl LabelSet) -> (&str, bool) {
        self.was_cut = false;
        if let Taken::Text { count, text, .. } = &mut self.taken {
            *count = 0;
            text.clear();
        }
        labels.write(self);
        match &self.taken {
            Taken::Text { text, .. } => (text, self.was_cut),
            Taken::Values(_) => ("", self.was_cut),
        }
    }
}

/// Cuts a value that is too long.
pub(crate) fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(VALUE_MAX_BYTES));
    text
}

/// What can be the value of a label. Few values, known in advance or bounded by what they name.
pub trait LabelValue {
    /// Appends the value, unescaped.
    fn write_value(&self, out: &mut String);

    /// Two numbers that no other value of the type has; none where there are no such.
    fn identity(&self) -> Option<(usize, usize)> {
        None
    }
}

impl LabelValue for String {
    fn write_value(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl LabelValue for &'static str {
    fn write_value(&self, out: &mut String) {
        out.push_str(self);
    }

    #[inline]
    fn identity(&self) -> Option<(usize, usize)> {
        Some((self.as_ptr().addr(), self.len()))
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl LabelValue for $type {
            fn write_value(&self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(*self));
            }

            #[inline]
            fn identity(&self) -> Option<(usize, usize)> {
                Some((usize::try_from(*self).ok()?, 0))
            }
        })+
    };
}

numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl LabelValue for bool {
    fn write_value(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    #[inline]
    fn identity(&self) -> Option<(usize, usize)> {
        Some((usize::from(*self), 0))
    }
}

/// Makes a struct of labels: `label_set! { pub struct ByState { state: &'static str } }`. Each field is a label.
#[macro_export]
macro_rules! label_set {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        $vis struct $name { $($vis $field: $type),+ }

        impl $crate::LabelSet for $name {
            #[inline]
            fn names() -> &'static [&'static str] {
                &[$(stringify!($field)),+]
            }

            fn write(&self, writer: &mut $crate::LabelWriter) {
                $(writer.value(&self.$field);)+
            }

            #[inline]
            fn identity(&self) -> Option<$crate::Identity> {
                let mut identity = $crate::Identity::default();
                let mut places = identity.iter_mut();
                $(*places.next()? = $crate::LabelValue::identity(&self.$field)?;)+
                Some(identity)
            }
        }
    };
}
