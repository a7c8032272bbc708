//! Families whose label values are all known when the program is compiled: a cell is found by its index.

use std::sync::Arc;

use crate::family::{Cell, Family};
use crate::hot::HotCounter;
use crate::labels::{LabelSet, LabelValue};

/// A label value out of a few that are known: an enum. Made with [`label_enum!`](crate::label_enum).
pub trait ClosedValue: LabelValue + Copy + 'static {
    /// Every value, in the order of their indices.
    const ALL: &'static [Self];

    /// Its place in [`ClosedValue::ALL`].
    fn index(self) -> usize;
}

impl ClosedValue for bool {
    const ALL: &'static [Self] = &[false, true];

    #[inline]
    fn index(self) -> usize {
        usize::from(self)
    }
}

/// A label set of closed values. Made with [`closed_label_set!`](crate::closed_label_set).
pub trait ClosedLabelSet: LabelSet {
    /// How many sets there are; at least one.
    const COUNT: usize;

    /// Below [`ClosedLabelSet::COUNT`], another for each set.
    fn index(&self) -> usize;

    /// The set with this index.
    fn at(index: usize) -> Self;
}

/// A family whose series are all there from the start, at zero. Cheap to clone.
///
/// That they are there is what alert rules want: a rate over a counter that appears with its first increment misses that
/// increment.
#[derive(Debug, Clone)]
pub struct ClosedFamily<L: ClosedLabelSet, C: Cell> {
    /// That of the index 0, at hand.
    first: C,
    cells: Arc<[C]>,
    family: Family<L, C>,
}

impl<L: ClosedLabelSet, C: Cell> ClosedFamily<L, C> {
    /// With a cell for each index, which the family exposes.
    pub(crate) fn new(cells: Vec<C>, family: Family<L, C>) -> Self {
        Self { first: cells[0].clone(), cells: cells.into(), family }
    }

    /// The cell of these labels: an index into an array, no lock and no hash.
    #[inline]
    pub fn get(&self, labels: &L) -> &C {
        &self.cells[labels.index()]
    }

    /// How often the bound refused a series: as many as the family should have and does not show.
    pub fn refused(&self) -> u64 {
        self.family.refused()
    }
}

impl<L: ClosedLabelSet> ClosedFamily<L, HotCounter> {
    /// Adds one to the counter of these labels, quicker than by its cell.
    #[inline]
    pub fn inc(&self, labels: &L) {
        self.inc_by(labels, 1);
    }

    #[inline]
    pub fn inc_by(&self, labels: &L, by: u64) {
        self.first.inc_other(labels.index(), by);
    }
}

/// Makes an enum of label values:
/// `label_enum! { pub enum Outcome { Success = "success", Failure = "failure" } }`.
#[macro_export]
macro_rules! label_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            /// The value as the label has it.
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::LabelValue for $name {
            fn write_value(&self, out: &mut String) {
                out.push_str(self.as_str());
            }
        }

        impl $crate::ClosedValue for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// Makes a struct of labels whose values are [closed](ClosedValue):
/// `closed_label_set! { pub struct ByOutcome { outcome: Outcome } }`. Each field is a label.
#[macro_export]
macro_rules! closed_label_set {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $crate::label_set! { $(#[$meta])* $vis struct $name { $($field: $type),+ } }

        impl $crate::ClosedLabelSet for $name {
            const COUNT: usize = 1 $(* <$type as $crate::ClosedValue>::ALL.len())+;

            #[inline]
            fn index(&self) -> usize {
                let mut index = 0;
                $(index = index * <$type as $crate::ClosedValue>::ALL.len()
                    + $crate::ClosedValue::index(self.$field);)+
                index
            }

            fn at(index: usize) -> Self {
                let mut rest = Self::COUNT;
                $(
                    rest /= <$type as $crate::ClosedValue>::ALL.len();
                    let $field = <$type as $crate::ClosedValue>::ALL
                        [index / rest % <$type as $crate::ClosedValue>::ALL.len()];
                )+
                Self { $($field),+ }
            }
        }
    };
}
