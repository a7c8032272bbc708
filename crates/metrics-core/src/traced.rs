//! Counters and histograms that keep an example of what they counted last.

use std::sync::Arc;

use crate::cell::{Counter, FloatCounter, Histogram};
use crate::desc::{Desc, MetricKind};
use crate::exemplar::{Exemplar, Slot};
use crate::family::{Cell, kept_whole};
use crate::hot::{HotCounter, HotHistogram};
use crate::lines::Lines;

/// A counter or a histogram with the last exemplar of the counter, or of each bucket. OpenMetrics exposes them, the older
/// format does not know them. Cheap to clone.
///
/// It costs 152 bytes for the counter or for each bucket; to keep an exemplar is some ten stores. Where none is given it is
/// as quick as the cell without, which it does not change.
///
/// ```
/// use nkudo_metrics_core::{Desc, Exemplar, Format, Histogram, Registry, Traced};
///
/// let registry = Registry::new();
/// let seconds = Desc::histogram("request_seconds", "Time to answer.", &[0.1, 1.0]).unit("seconds");
/// let seconds = registry.cell::<Traced<Histogram>>(&seconds);
/// seconds.observe(0.25, Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736"));
/// seconds.observe(0.05, None);
///
/// let mut text = Vec::new();
/// registry.encode(Format::OpenMetrics100, &mut text);
/// let line = "le=\"1.0\"} 2 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.25\n";
/// assert!(String::from_utf8_lossy(&text).contains(line));
/// ```
#[derive(Debug, Clone)]
pub struct Traced<C> {
    cell: C,
    slots: Arc<[Slot]>,
}

impl<C> Traced<C> {
    fn with_slots(cell: C, count: usize) -> Self {
        Self { cell, slots: (0..count).map(|_| Slot::default()).collect() }
    }

    /// The cell, to read it or to write to it without exemplars.
    pub fn cell(&self) -> &C {
        &self.cell
    }

    #[inline]
    fn keep(&self, slot: usize, value: f64, exemplar: Option<Exemplar<'_>>) {
        if let Some(exemplar) = exemplar {
            self.slots[slot].keep(value, exemplar);
        }
    }
}

macro_rules! traced_counters {
    ($($cell:ty),+) => {
        $(impl Traced<$cell> {
            /// Adds one, of which this is an example.
            #[inline]
            pub fn inc(&self, exemplar: Option<Exemplar<'_>>) {
                self.inc_by(1, exemplar);
            }

            /// Adds so many, of which this is an example.
            #[inline]
            pub fn inc_by(&self, by: u64, exemplar: Option<Exemplar<'_>>) {
                self.cell.inc_by(by);
                self.keep(0, by as f64, exemplar);
            }
        }

        impl Cell for Traced<$cell> {
            const KIND: MetricKind = MetricKind::Counter;
            kept_whole!();

            fn make(desc: &Desc) -> Self {
                Self::with_slots(<$cell>::make(desc), 1)
            }

            fn write(&self, lines: &mut dyn Lines) {
                lines.integer(self.cell.get(), &self.slots);
            }
        })+
    };
}

traced_counters!(Counter, HotCounter);

impl Traced<FloatCounter> {
    /// Adds `by`, of which this is an example; what is negative or not a number is ignored with it.
    #[inline]
    pub fn inc_by(&self, by: f64, exemplar: Option<Exemplar<'_>>) {
        self.cell.inc_by(by);
        self.keep(0, by, exemplar.filter(|_| by > 0.0));
    }
}

impl Cell for Traced<FloatCounter> {
    const KIND: MetricKind = MetricKind::Counter;
    kept_whole!();

    fn make(desc: &Desc) -> Self {
        Self::with_slots(FloatCounter::make(desc), 1)
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.float(self.cell.get(), &self.slots);
    }
}

macro_rules! traced_histograms {
    ($($cell:ty),+) => {
        $(impl Traced<$cell> {
            /// Counts an observation, of which this is an example; one that is not a number is ignored with it.
            #[inline]
            pub fn observe(&self, value: f64, exemplar: Option<Exemplar<'_>>) {
                self.cell.observe(value);
                if exemplar.is_some() && !value.is_nan() {
                    self.keep(self.cell.scale().bucket(value), value, exemplar);
                }
            }
        }

        impl Cell for Traced<$cell> {
            const KIND: MetricKind = MetricKind::Histogram;
            kept_whole!();

            fn own_values(desc: &Desc) -> Box<[Box<str>]> {
                <$cell>::own_values(desc)
            }

            fn make(desc: &Desc) -> Self {
                Self::with_slots(<$cell>::make(desc), desc.buckets.len() + 1)
            }

            fn write(&self, lines: &mut dyn Lines) {
                let (bounds, sum) = (self.cell.bounds(), self.cell.sum());
                lines.buckets(bounds, &mut |bucket| self.cell.in_bucket(bucket), sum, &self.slots);
            }
        })+
    };
}

traced_histograms!(Histogram, HotHistogram);
