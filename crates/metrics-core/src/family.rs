//! Cells of one metric, one for each set of label values.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::cell::{Counter, FloatCounter, Gauge, Histogram};
use crate::desc::Desc;
use crate::encode::{Point, Series};
use crate::hot::{HotCounter, HotHistogram};
use crate::labels::{LabelSet, LabelWriter};

/// A kind of cell that a family can hold.
pub trait Cell: Clone + Send + Sync + fmt::Debug + 'static {
    #[doc(hidden)]
    fn make(desc: &Desc) -> Self;
    #[doc(hidden)]
    fn point(&self) -> Point;
}

impl Cell for Counter {
    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn point(&self) -> Point {
        Point::Integer(self.get())
    }
}

impl Cell for FloatCounter {
    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn point(&self) -> Point {
        Point::Float(self.get())
    }
}

impl Cell for Gauge {
    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn point(&self) -> Point {
        Point::Float(self.get())
    }
}

impl Cell for Histogram {
    fn make(desc: &Desc) -> Self {
        Self::new(desc.buckets)
    }

    fn point(&self) -> Point {
        Point::Buckets { cumulative: self.cumulative(), sum: self.sum() }
    }
}

impl Cell for HotCounter {
    fn make(_desc: &Desc) -> Self {
        Self::default()
    }

    fn point(&self) -> Point {
        Point::Integer(self.get())
    }
}

impl Cell for HotHistogram {
    fn make(desc: &Desc) -> Self {
        Self::new(desc.buckets)
    }

    fn point(&self) -> Point {
        Point::Buckets { cumulative: self.cumulative(), sum: self.sum() }
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
    series: RwLock<HashMap<L, C>>,
    refused: Counter,
}

impl<L: LabelSet, C: Cell> Family<L, C> {
    pub(crate) fn new(desc: Desc, refused: Counter) -> Self {
        Self(Arc::new(Inner { desc, series: RwLock::default(), refused }))
    }

    /// The cell of these labels. Keep it where it is written often: looking it up takes a lock. Past the bound a
    /// cell that nobody reads is given, and counted.
    pub fn get(&self, labels: &L) -> C {
        let known = self.0.series.read().unwrap_or_else(PoisonError::into_inner).get(labels).cloned();
        if let Some(cell) = known {
            return cell;
        }
        let mut series = self.0.series.write().unwrap_or_else(PoisonError::into_inner);
        if series.len() >= self.0.desc.series_max && !series.contains_key(labels) {
            self.0.refused.inc();
            return C::make(&self.0.desc);
        }
        series.entry(labels.clone()).or_insert_with(|| C::make(&self.0.desc)).clone()
    }

    /// Removes a series; whoever still holds its cell writes to nobody. Answers whether it was there.
    pub fn remove(&self, labels: &L) -> bool {
        self.0.series.write().unwrap_or_else(PoisonError::into_inner).remove(labels).is_some()
    }

    /// Removes the series for which `keep` is false.
    pub fn retain(&self, mut keep: impl FnMut(&L) -> bool) {
        self.0.series.write().unwrap_or_else(PoisonError::into_inner).retain(|labels, _| keep(labels));
    }

    /// How often the bound refused a series, so far.
    pub fn refused(&self) -> u64 {
        self.0.refused.get()
    }

    pub(crate) fn series(&self) -> Vec<Series> {
        let series = self.0.series.read().unwrap_or_else(PoisonError::into_inner);
        series
            .iter()
            .map(|(labels, cell)| Series { labels: LabelWriter::values_of(labels), point: cell.point() })
            .collect()
    }
}
