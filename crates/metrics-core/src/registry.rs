//! Families by their name.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;

use crate::cell::{Counter, FloatCounter, Gauge, Histogram};
use crate::closed::ClosedValue;
use crate::collect::{Collector, SampleSink, Series};
use crate::desc::{Desc, MetricKind};
use crate::encode::{self, Format, Sample, SampleLines, TextLines};
use crate::family::{Cell, Family, ReadFamily};
use crate::hot::{HotCounter, HotHistogram};
use crate::labels::{LabelSet, NoLabels};
use crate::states::{CurrentState, Info, StateSet};
use crate::summary::Summary;

const SERIES_REFUSED: Desc = Desc::counter(
    "metrics_series_refused_total",
    "Times that a family refused a series because it holds as many as it may.",
)
.labels(&["family"]);

/// The metrics of one program, or of one part of it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Replaced as a whole by each registration, so that a scrape waits for none and none for a scrape.
    sources: ArcSwap<Sources>,
    /// Every name of a family or a sample that is in use. Held by who registers.
    taken_names: Mutex<HashSet<String>>,
    refused: Arc<Refused>,
}

#[derive(Default, Clone)]
struct Sources {
    all: Vec<Arc<Source>>,
    /// Families by their name: the source, and the family's position in it.
    order: Vec<(usize, usize)>,
}

/// Where the series of some families come from.
enum Source {
    Family(Box<dyn ReadFamily>),
    Collector { descs: Vec<Desc>, collector: Arc<dyn Collector>, refused: Vec<Counter> },
}

impl Source {
    fn descs(&self) -> &[Desc] {
        match self {
            Self::Family(family) => std::slice::from_ref(family.desc()),
            Self::Collector { descs, .. } => descs,
        }
    }

    /// What a collector reads now; nothing of a family, which is read when its turn comes.
    fn collect(&self) -> Vec<Vec<Series>> {
        match self {
            Self::Family(_) => Vec::new(),
            Self::Collector { descs, collector, refused } => {
                let mut sink = SampleSink::new(descs);
                collector.collect(&mut sink);
                let (taken, past_bound) = sink.into_parts();
                refused.iter().zip(past_bound).for_each(|(counter, count)| counter.inc_by(count));
                taken
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.descs().into_iter().map(|desc| desc.name.into_owned()).collect();
        f.debug_tuple("Registry").field(&names).finish()
    }
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter without labels.
    ///
    /// # Panics
    /// As all registrations do, when the description breaks a rule of naming or one of its names is taken: a
    /// mistake of the program, found at its first start.
    pub fn counter(&self, desc: &Desc) -> Counter {
        self.counter_family(desc).get(&NoLabels)
    }

    /// A counter of fractions without labels.
    pub fn float_counter(&self, desc: &Desc) -> FloatCounter {
        self.float_counter_family(desc).get(&NoLabels)
    }

    /// A gauge without labels.
    pub fn gauge(&self, desc: &Desc) -> Gauge {
        self.gauge_family(desc).get(&NoLabels)
    }

    /// A histogram without labels.
    pub fn histogram(&self, desc: &Desc) -> Histogram {
        self.histogram_family(desc).get(&NoLabels)
    }

    /// A counter without labels for places where a shared atomic is too slow.
    pub fn hot_counter(&self, desc: &Desc) -> HotCounter {
        self.hot_counter_family(desc).get(&NoLabels)
    }

    /// A histogram without labels for places where a shared one is too slow.
    pub fn hot_histogram(&self, desc: &Desc) -> HotHistogram {
        self.hot_histogram_family(desc).get(&NoLabels)
    }

    /// Counters by label. A family of [`NoLabels`] is a metric that may have a sample or none.
    pub fn counter_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, Counter> {
        self.family(desc)
    }

    pub fn float_counter_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, FloatCounter> {
        self.family(desc)
    }

    pub fn gauge_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, Gauge> {
        self.family(desc)
    }

    pub fn histogram_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, Histogram> {
        self.family(desc)
    }

    pub fn hot_counter_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, HotCounter> {
        self.family(desc)
    }

    pub fn hot_histogram_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, HotHistogram> {
        self.family(desc)
    }

    /// Texts in labels that stay as they are: `registry.info(&BUILD_INFO, &Build { version, commit })`.
    pub fn info<L: LabelSet>(&self, desc: &Desc, text: &L) {
        self.family::<L, Info>(desc).get(text);
    }

    /// Texts in labels that come, go and change.
    pub fn info_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, Info> {
        self.family(desc)
    }

    /// States without further labels, of which any number are on.
    pub fn state_set<S: ClosedValue>(&self, desc: &Desc) -> StateSet<S> {
        self.cell(desc)
    }

    /// States without further labels, of which exactly one is on.
    pub fn current_state<S: ClosedValue>(&self, desc: &Desc) -> CurrentState<S> {
        self.cell(desc)
    }

    /// Quantiles without labels.
    pub fn summary(&self, desc: &Desc) -> Summary {
        self.cell(desc)
    }

    pub fn summary_family<L: LabelSet>(&self, desc: &Desc) -> Family<L, Summary> {
        self.family(desc)
    }

    /// A cell of any kind, without labels: `registry.cell::<FloatCounter>(&desc)`.
    pub fn cell<C: Cell>(&self, desc: &Desc) -> C {
        self.family(desc).get(&NoLabels)
    }

    /// Cells of any kind by label: `registry.family::<ByDisk, CurrentState<Health>>(&desc)`.
    pub fn family<L: LabelSet, C: Cell>(&self, desc: &Desc) -> Family<L, C> {
        assert_eq!(desc.kind, C::KIND, "metric {} is declared as another type", desc.name);
        assert_eq!(desc.labels, L::names(), "metric {} is declared with other labels", desc.name);
        if let Some(fault) = C::fault(desc) {
            panic!("metric {}: {fault}", desc.name);
        }
        let family = Family::new(desc.clone(), self.0.refused.counter(&desc.name));
        self.add(Source::Family(Box::new(family.clone())));
        family
    }

    /// Has these families read from `collector` at each scrape. They are counters, gauges and summaries.
    pub fn collector(&self, descs: Vec<Desc>, collector: Arc<dyn Collector>) {
        for desc in &descs {
            let kind = desc.kind.as_str();
            let is_read = matches!(desc.kind, MetricKind::Counter | MetricKind::Gauge | MetricKind::Summary);
            assert!(is_read, "metric {}: no collector has {kind}s", desc.name);
        }
        let refused: Vec<Counter> = descs.iter().map(|desc| self.0.refused.counter(&desc.name)).collect();
        self.add(Source::Collector { descs, collector, refused });
    }

    fn add(&self, source: Source) {
        let mut taken_names = self.0.taken_names.lock().unwrap_or_else(PoisonError::into_inner);
        for desc in source.descs() {
            if let Some(fault) = desc.fault() {
                panic!("metric {}: {fault}", desc.name);
            }
            for name in desc.taken_names() {
                assert!(!taken_names.contains(&name), "metric {}: {name} is registered twice", desc.name);
                taken_names.insert(name);
            }
        }
        let mut sources = Sources::clone(&self.0.sources.load());
        let at = sources.all.len();
        sources.order.extend((0..source.descs().len()).map(|family| (at, family)));
        sources.all.push(Arc::new(source));
        let Sources { all, order } = &mut sources;
        order.sort_by(|a, b| all[a.0].descs()[a.1].name.cmp(&all[b.0].descs()[b.1].name));
        self.0.sources.store(Arc::new(sources));
    }

    /// Every family's description, by name.
    pub fn descs(&self) -> Vec<Desc> {
        let sources = self.0.sources.load();
        sources.order.iter().map(|(at, family)| sources.all[*at].descs()[*family].clone()).collect()
    }

    /// How often bounds refused a series, over all families.
    pub fn refused(&self) -> u64 {
        self.0.refused.read().iter().map(|(_, count)| count).sum()
    }

    /// Exposes what the bounds of families refuse as `<prefix>metrics_series_refused_total{family}`.
    pub fn register_refused(&self, prefix: &str) {
        let refused: Arc<dyn Collector> = Arc::clone(&self.0.refused) as _;
        self.collector(Self::descs_of_refused(prefix), refused);
    }

    /// What [`register_refused`](Self::register_refused) registers.
    pub fn descs_of_refused(prefix: &str) -> Vec<Desc> {
        vec![SERIES_REFUSED.with_prefix(prefix)]
    }

    /// Appends every family, by name, in the form that a scraper asked for.
    pub fn encode(&self, format: Format, out: &mut Vec<u8>) {
        let sources = self.0.sources.load();
        let collected: Vec<_> = sources.all.iter().map(|source| source.collect()).collect();
        for (at, family) in &sources.order {
            let source = &sources.all[*at];
            let desc = &source.descs()[*family];
            encode::head(format, desc, out);
            match source.as_ref() {
                Source::Family(family) => family.text(format, out),
                Source::Collector { .. } => {
                    for series in &collected[*at][*family] {
                        let labels = encode::labels(desc.labels, &series.values);
                        let (name, labels) = (desc.name.as_ref(), labels.as_str());
                        series.point.write(&mut TextLines {
                            format,
                            name,
                            labels,
                            own_values: &[],
                            out: &mut *out,
                        });
                    }
                }
            }
        }
        encode::end(format, out);
    }

    /// Every sample as it would be exposed, by the name of its family.
    pub fn snapshot(&self) -> Vec<Sample> {
        let sources = self.0.sources.load();
        let collected: Vec<_> = sources.all.iter().map(|source| source.collect()).collect();
        let mut samples = Vec::new();
        for (at, family) in &sources.order {
            match sources.all[*at].as_ref() {
                Source::Family(family) => family.samples(&mut samples),
                Source::Collector { descs, .. } => {
                    for Series { values, point } in &collected[*at][*family] {
                        point.write(&mut SampleLines { desc: &descs[*family], values, out: &mut samples });
                    }
                }
            }
        }
        samples
    }
}

/// What the bounds refused, by the name of the family.
#[derive(Debug, Default)]
struct Refused(RwLock<BTreeMap<String, Counter>>);

impl Refused {
    fn counter(&self, family: &str) -> Counter {
        let mut families = self.0.write().unwrap_or_else(PoisonError::into_inner);
        families.entry(family.to_owned()).or_default().clone()
    }

    fn read(&self) -> Vec<(String, u64)> {
        let families = self.0.read().unwrap_or_else(PoisonError::into_inner);
        families.iter().map(|(family, counter)| (family.clone(), counter.get())).collect()
    }
}

/// Families that refused nothing have no sample.
impl Collector for Refused {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        for (family, count) in self.read().iter().filter(|(_, count)| *count > 0) {
            sink.sample(0, &[family], *count as f64);
        }
    }
}
