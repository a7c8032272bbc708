//! Labels as typed structs.

use std::fmt::{Display, Write as _};
use std::hash::Hash;

/// Longest label value that is kept, in bytes; the rest is cut.
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
#[derive(Debug, Default)]
pub struct LabelWriter {
    values: Vec<String>,
    was_cut: bool,
}

impl LabelWriter {
    pub fn value(&mut self, value: &impl LabelValue) {
        let mut text = String::new();
        value.write_value(&mut text);
        self.was_cut |= text.len() > VALUE_MAX_BYTES;
        self.values.push(bounded(text));
    }

    /// The values, and whether one of them is not whole.
    pub(crate) fn values_of(labels: &impl LabelSet) -> (Vec<String>, bool) {
        let mut writer = Self::default();
        labels.write(&mut writer);
        (writer.values, writer.was_cut)
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

macro_rules! displayed {
    ($($type:ty),+) => {
        $(impl LabelValue for $type {
            fn write_value(&self, out: &mut String) {
                display(self, out);
            }

            #[inline]
            fn identity(&self) -> Option<(usize, usize)> {
                Some((usize::try_from(*self).ok()?, 0))
            }
        })+
    };
}

displayed!(bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

fn display(value: &impl Display, out: &mut String) {
    write!(out, "{value}").expect("a String takes whatever is written");
}

/// Makes a struct of labels: `label_set! { pub struct ByState { state: &'static str } }`. Each field is a label.
#[macro_export]
macro_rules! label_set {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        $vis struct $name { $($vis $field: $type),+ }

        impl $crate::LabelSet for $name {
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
