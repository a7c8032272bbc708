//! Cells of one metric, one for each set of label values.

use std::borrow::{Borrow, Cow};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::cell::{Counter, FloatCounter, Gauge, Histogram};
use crate::closed::{ClosedFamily, ClosedLabelSet};
use crate::desc::{Desc, MetricKind};
use crate::encode::{self, Format, Plain, Sample, SampleLines, TextLines};
use crate::hot::{HotCounter, HotHistogram};
use crate::labels::{Identity, LabelSet, LabelWriter};
use crate::lines::Lines;
use crate::owned;
use crate::patched::{FamilyText, PatchFamily};
use crate::recent::{self, Stamp};
use crate::scale::Scale;
use crate::series::{Entry, SeriesList, SharedEntry};

/// A kind of cell that a family can hold.
pub trait Cell: Clone + Send + Sync + fmt::Debug + 'static {
    /// The kind of metric that it is a cell of.
    #[doc(hidden)]
    const KIND: MetricKind;
    /// What each series keeps of it, and what all series of a family have in common: together they are a cell.
    #[doc(hidden)]
    type Kept: Send + Sync + fmt::Debug + 'static;
    #[doc(hidden)]
    type Common: Send + Sync + fmt::Debug + 'static;
    #[doc(hidden)]
    fn common(desc: &Desc) -> Self::Common;
    #[doc(hidden)]
    fn keep(&self) -> Self::Kept;
    #[doc(hidden)]
    fn kept<'k>(kept: &'k Self::Kept, common: &Self::Common) -> Cow<'k, Self>;
    /// The rule of this kind of cell that the description breaks, if any.
    #[doc(hidden)]
    fn fault(_desc: &Desc) -> Option<&'static str> {
        None
    }
    /// The values of the label that it writes itself, if any, as they stand between the quotes; once for all series.
    #[doc(hidden)]
    fn own_values(_desc: &Desc) -> Box<[Box<str>]> {
        Box::default()
    }
    #[doc(hidden)]
    fn make(desc: &Desc) -> Self;
    /// The cells of all series of a closed family.
    #[doc(hidden)]
    fn make_all(desc: &Desc, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::make(desc)).collect()
    }
    #[doc(hidden)]
    fn write(&self, lines: &mut dyn Lines);
}

/// Of a cell that a series keeps as it is.
macro_rules! kept_whole {
    () => {
        type Kept = Self;
        type Common = ();

        fn common(_desc: &Desc) {}

        fn keep(&self) -> Self {
            self.clone()
        }

        fn kept<'k>(kept: &'k Self, _common: &()) -> std::borrow::Cow<'k, Self> {
            std::borrow::Cow::Borrowed(kept)
        }
    };
}
pub(crate) use kept_whole;

impl Cell for Counter {
    const KIND: MetricKind = MetricKind::Counter;
    kept_whole!();

    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.integer(self.get(), &[]);
    }
}

impl Cell for HotCounter {
    const KIND: MetricKind = MetricKind::Counter;
    kept_whole!();

    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn make_all(_desc: &Desc, count: usize) -> Vec<Self> {
        Self::row(count)
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.integer(self.get(), &[]);
    }
}

impl Cell for FloatCounter {
    const KIND: MetricKind = MetricKind::Counter;
    kept_whole!();

    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.float(self.get(), &[]);
    }
}

impl Cell for Gauge {
    const KIND: MetricKind = MetricKind::Gauge;
    kept_whole!();

    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.float(self.get(), &[]);
    }
}

impl Cell for Histogram {
    const KIND: MetricKind = MetricKind::Histogram;
    type Kept = Arc<[AtomicU64]>;
    type Common = &'static Scale;

    fn common(desc: &Desc) -> &'static Scale {
        Scale::of(desc.buckets)
    }

    fn keep(&self) -> Arc<[AtomicU64]> {
        Arc::clone(self.cells())
    }

    fn kept<'k>(kept: &'k Arc<[AtomicU64]>, common: &&'static Scale) -> Cow<'k, Self> {
        Cow::Owned(Self::of(common, Arc::clone(kept)))
    }

    fn own_values(desc: &Desc) -> Box<[Box<str>]> {
        encode::bounds(desc.buckets)
    }

    fn make(desc: &Desc) -> Self {
        Self::new(desc.buckets)
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.buckets(self.bounds(), &mut |bucket| self.in_bucket(bucket), self.sum(), &[]);
    }
}

impl Cell for HotHistogram {
    const KIND: MetricKind = MetricKind::Histogram;
    kept_whole!();

    fn own_values(desc: &Desc) -> Box<[Box<str>]> {
        encode::bounds(desc.buckets)
    }

    fn make(desc: &Desc) -> Self {
        Self::new(desc.buckets)
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.buckets(self.bounds(), &mut |bucket| self.in_bucket(bucket), self.sum(), &[]);
    }
}

/// The series of one metric. Cheap to clone. A cell that is asked for exists from then on, at zero.
#[derive(Debug)]
pub struct Family<L: LabelSet, C: Cell>(Arc<Inner<L, C>>);

impl<L: LabelSet, C: Cell> Clone for Family<L, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<L: LabelSet, C: Cell> {
    desc: Desc,
    /// See [`Cell::own_values`].
    own_values: Box<[Box<str>]>,
    /// See [`Cell::Common`].
    common: C::Common,
    /// For those who look a series up or change which there are; never for a scrape.
    index: RwLock<Index<L, C>>,
    series: SeriesList<L, C::Kept>,
    refused: Counter,
    stamp: Stamp,
}

#[derive(Debug)]
struct Index<L, C: Cell> {
    by_labels: HashSet<ByLabels<L, C::Kept>>,
    /// Series whose labels were cut, so that two sets may have become one.
    cut: HashMap<Box<str>, C>,
}

/// An entry that is found by its labels.
#[derive(Debug)]
struct ByLabels<L, K>(SharedEntry<L, K>);

impl<L: Hash, K> Hash for ByLabels<L, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.labels.hash(state);
    }
}

impl<L: PartialEq, K> PartialEq for ByLabels<L, K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.labels == other.0.labels
    }
}

impl<L: Eq, K> Eq for ByLabels<L, K> {}

impl<L, K> Borrow<L> for ByLabels<L, K> {
    fn borrow(&self) -> &L {
        &self.0.labels
    }
}

impl<L: LabelSet, C: Cell> Family<L, C> {
    pub(crate) fn new(desc: Desc, refused: Counter) -> Self {
        let own_values = C::own_values(&desc);
        let index = RwLock::new(Index { by_labels: HashSet::new(), cut: HashMap::new() });
        let (common, series, stamp) = (C::common(&desc), SeriesList::default(), Stamp::default());
        Self(Arc::new(Inner { desc, own_values, common, index, series, refused, stamp }))
    }

    /// The cell of these labels. Keep it where it is written often: looking it up takes a lock, though none that a
    /// scrape takes. Past the bound a cell that nobody reads is given, and counted.
    pub fn get(&self, labels: &L) -> C {
        let index = self.0.index.read().unwrap_or_else(PoisonError::into_inner);
        let known = index.by_labels.get(labels).map(|known| self.cell_of(&known.0).into_owned());
        drop(index);
        known.unwrap_or_else(|| self.add(labels, C::make))
    }

    pub(crate) fn cell_of<'e>(&self, entry: &'e Entry<L, C::Kept>) -> Cow<'e, C> {
        C::kept(&entry.cell, &self.0.common)
    }

    pub(crate) fn series(&self) -> &SeriesList<L, C::Kept> {
        &self.0.series
    }

    pub(crate) fn own_values(&self) -> &[Box<str>] {
        &self.0.own_values
    }

    fn add(&self, labels: &L, make: impl FnOnce(&Desc) -> C) -> C {
        let mut index = self.write();
        if let Some(known) = index.by_labels.get(labels) {
            return self.cell_of(&known.0).into_owned();
        }
        let mut writer = LabelWriter::of_text(self.0.desc.labels);
        let (text, was_cut) = writer.text_of(labels);
        if let Some(same) = index.cut.get(text).filter(|_| was_cut) {
            return same.clone();
        }
        let cell = make(&self.0.desc);
        if index.by_labels.len() >= self.0.desc.series_max {
            self.0.refused.inc();
            return cell;
        }
        if was_cut {
            index.cut.insert(Box::from(text), cell.clone());
        }
        let entry = Entry::new(labels.clone(), cell.keep());
        self.0.series.push(entry.clone());
        index.by_labels.insert(ByLabels(entry));
        cell
    }

    fn forget_cut(&self, cut: &mut HashMap<Box<str>, C>, labels: &L) {
        if !cut.is_empty() {
            cut.remove(LabelWriter::of_text(self.0.desc.labels).text_of(labels).0);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index<L, C>> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a series; whoever still holds its cell writes to nobody. Answers whether it was there.
    pub fn remove(&self, labels: &L) -> bool {
        let mut index = self.write();
        let Some(ByLabels(entry)) = index.by_labels.take(labels) else { return false };
        self.forget_cut(&mut index.cut, labels);
        self.0.series.remove(&entry);
        self.0.stamp.renew();
        true
    }

    /// Removes the series for which `keep` is false.
    pub fn retain(&self, mut keep: impl FnMut(&L) -> bool) {
        let Index { by_labels, cut } = &mut *self.write();
        by_labels.retain(|ByLabels(entry)| {
            let kept = keep(&entry.labels);
            if !kept {
                self.forget_cut(cut, &entry.labels);
                self.0.series.remove(entry);
            }
            kept
        });
        self.0.stamp.renew();
    }

    /// The same family with all its series from now on, found by an index.
    ///
    /// # Panics
    /// When it has series already: a mistake of the program, found at its first start.
    pub fn closed(self) -> ClosedFamily<L, C>
    where
        L: ClosedLabelSet,
    {
        assert!(self.write().by_labels.is_empty(), "metric {}: it has series already", self.0.desc.name);
        let cells = C::make_all(&self.0.desc, L::COUNT);
        for (index, cell) in cells.iter().enumerate() {
            self.add(&L::at(index), |_| cell.clone());
        }
        ClosedFamily::new(cells, self)
    }

    /// How often the bound refused a series, so far.
    pub fn refused(&self) -> u64 {
        self.0.refused.get()
    }
}

impl<L: LabelSet> Family<L, HotCounter> {
    /// Adds one to the counter of these labels. A thread remembers the counters that it used last when all values are
    /// numbers or `&'static str`, and finds them again without a lock.
    #[inline]
    pub fn inc(&self, labels: &L) {
        self.inc_by(labels, 1);
    }

    #[inline]
    pub fn inc_by(&self, labels: &L, by: u64) {
        let stamp = self.0.stamp.get();
        let remembered = |identity: Identity| recent::cell(stamp, &identity, L::names().len());
        match labels.identity().and_then(remembered) {
            Some(cell) => owned::add(cell, by),
            None => self.inc_other(stamp, labels, by),
        }
    }

    #[inline(never)]
    fn inc_other(&self, stamp: u64, labels: &L, by: u64) {
        let counter = self.get(labels);
        counter.inc_by(by);
        if let Some(identity) = labels.identity() {
            recent::remember(stamp, &identity, L::names().len(), counter);
        }
    }
}

/// A family as a scrape sees it.
pub(crate) trait ReadFamily: Send + Sync {
    fn desc(&self) -> &Desc;
    /// Appends the lines of its series.
    fn text(&self, format: Format, out: &mut Vec<u8>);
    fn samples(&self, out: &mut Vec<Sample>);
    /// Its text, to be kept and patched.
    fn patched(&self) -> Box<dyn PatchFamily>;
}

impl<L: LabelSet, C: Cell> ReadFamily for Family<L, C> {
    fn desc(&self) -> &Desc {
        &self.0.desc
    }

    fn text(&self, format: Format, out: &mut Vec<u8>) {
        let (name, own_values) = (self.0.desc.name.as_ref(), self.0.own_values.as_ref());
        let mut writer = LabelWriter::of_text(self.0.desc.labels);
        self.0.series.each(|entry| {
            let (labels, _) = writer.text_of(&entry.labels);
            let values = Plain;
            let mut lines = TextLines { format, name, labels, own_values, values, out: &mut *out };
            self.cell_of(entry).write(&mut lines);
        });
    }

    fn samples(&self, out: &mut Vec<Sample>) {
        self.0.series.each(|entry| {
            let values = LabelWriter::values_of(&entry.labels);
            self.cell_of(entry).write(&mut SampleLines {
                desc: &self.0.desc,
                values: &values,
                out: &mut *out,
            });
        });
    }

    fn patched(&self) -> Box<dyn PatchFamily> {
        Box::new(FamilyText::new(self.clone()))
    }
}
