//! Metric cells, families of them by label, registries, and the text that scrapers read.
//!
//! The principal type is [`Registry`]. It is an instance and never global; it hands out cells ([`Counter`],
//! [`Gauge`], [`Histogram`]) and families of cells ([`Family`]), which are cheap to clone and take no lock to write.
//! For the hottest places there are [`HotCounter`] and [`HotHistogram`], whose cells each thread has for itself, and
//! [`ClosedFamily`], which finds a cell by the index of its labels. Text is an [`Info`], states are a [`StateSet`] or a
//! [`CurrentState`]. A [`Summary`] tells quantiles over a sliding window. A counter or histogram that is [`Traced`] keeps
//! the trace of what it counted last. A scraper that comes often can be given a [`PatchedText`].
//!
//! ```
//! use nkudo_metrics_core::{Desc, Format, Registry, label_set};
//!
//! label_set! {
//!     /// By the outcome of a request.
//!     pub struct Outcome { outcome: &'static str }
//! }
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family::<Outcome>(
//!     &Desc::counter("requests_total", "Requests, by their outcome.").labels(&["outcome"]),
//! );
//! requests.get(&Outcome { outcome: "ok" }).inc();
//!
//! let mut text = Vec::new();
//! registry.encode(Format::Text004, &mut text);
//! assert!(String::from_utf8_lossy(&text).contains("requests_total{outcome=\"ok\"} 1\n"));
//! ```
//!
//! **Invariant:** writing to a cell waits for no lock and allocates nothing, but for the room that first values need in
//! a hot cell or a summary.
//! **Invariant:** a scrape takes no lock that a writer needs, neither to a cell nor to make a series.
//! **Invariant:** a collector that hangs or panics costs a scrape its own samples and no others.
//! **Invariant:** what a thread counted is never lost and never counted twice, also when it ends.
//! **Invariant:** a family holds a bounded number of series; what the bound refuses is counted and written to a cell
//! that nobody reads.
//! **Invariant:** no sample is exposed without the HELP and TYPE of its family.

mod cell;
mod closed;
mod collect;
mod desc;
mod encode;
mod exemplar;
mod family;
mod foreign;
mod gather;
mod hot;
mod interop;
mod labels;
mod lines;
mod own;
mod owned;
mod patched;
mod recent;
mod registry;
mod scale;
mod series;
mod sketch;
mod states;
mod summary;
mod sync;
mod traced;

pub use cell::{Counter, FloatCounter, Gauge, Histogram};
pub use closed::{ClosedFamily, ClosedLabelSet, ClosedValue};
pub use collect::{Collector, SampleSink};
pub use desc::{AGES, Desc, MetricKind, SERIES_MAX, WINDOW};
pub use encode::{Format, Sample};
pub use exemplar::{Exemplar, TRACE_ID_MAX_BYTES};
pub use family::{Cell, Family};
pub use hot::{HotCounter, HotHistogram};
pub use labels::{Identity, LabelSet, LabelValue, LabelWriter, NoLabels};
pub use patched::PatchedText;
pub use registry::Registry;
pub use states::{CurrentState, Info, StateSet};
pub use summary::Summary;
pub use traced::Traced;
