//! Families by their name.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::cell::{Counter, FloatCounter, Gauge, Histogram};
use crate::closed::ClosedValue;
use crate::collect::{Collector, Series};
use crate::desc::{Desc, MetricKind};
use crate::encode::{self, Format, Plain, Sample, SampleLines, TextLines};
use crate::family::{Cell, Family, ReadFamily};
use crate::foreign::{self, Foreign};
use crate::gather::{Asked, Failure, Guarded, gather};
use crate::hot::{HotCounter, HotHistogram};
use crate::labels::{LabelSet, NoLabels};
use crate::own::Own;
use crate::patched::PatchedText;
use crate::states::{CurrentState, Info, StateSet};
use crate::summary::Summary;

/// How long a collector may take where nobody says otherwise.
const COLLECTOR_DEADLINE: Duration = Duration::from_secs(1);

/// The metrics of one program, or of one part of it. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

impl Default for Registry {
    fn default() -> Self {
        Self::with_collector_deadline(COLLECTOR_DEADLINE)
    }
}

struct Inner {
    /// Replaced as a whole by each registration, so that a scrape waits for none and none for a scrape.
    sources: ArcSwap<Sources>,
    /// Every name of a family or a sample that is in use. Held by who registers.
    taken_names: Mutex<HashSet<String>>,
    own: Arc<Own>,
    foreign: ArcSwap<Vec<Arc<Foreign>>>,
    collector_deadline: Duration,
    /// Held by who asks collectors: nobody but scrapes.
    gathering: Mutex<()>,
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
    Collector(Arc<Guarded>),
    /// What the registry tells of itself; read last, so that it tells of this scrape too.
    Own {
        descs: Vec<Desc>,
        own: Arc<Own>,
    },
}

impl Source {
    fn descs(&self) -> &[Desc] {
        match self {
            Self::Family(family) => std::slice::from_ref(family.desc()),
            Self::Collector(guarded) => &guarded.descs,
            Self::Own { descs, .. } => descs,
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

    /// A registry whose collectors and included registries may take so long each, at a scrape. One that takes longer, hangs or panics has no
    /// samples in that scrape, which goes on without it; it is named in
    /// `metrics_collector_failures_total` ([`Registry::register_own`]).
    pub fn with_collector_deadline(deadline: Duration) -> Self {
        Self(Arc::new(Inner {
            sources: ArcSwap::default(),
            taken_names: Mutex::default(),
            own: Arc::default(),
            foreign: ArcSwap::default(),
            collector_deadline: deadline,
            gathering: Mutex::default(),
        }))
    }

    /// A counter without labels.
    ///
    /// # Panics
    /// As all registrations do, when the description breaks a rule of naming or one of its names is taken: a
    /// mistake of the program, found at its first start. The registry is then as it was before.
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
        let family = Family::new(desc.clone(), self.0.own.refused(&desc.name));
        self.add(Source::Family(Box::new(family.clone())));
        family
    }

    /// Has these families read from `collector` at each scrape. They are counters, gauges and summaries.
    pub fn collector(&self, descs: Vec<Desc>, collector: Arc<dyn Collector>) {
        assert!(!descs.is_empty(), "a collector has a family to read");
        for desc in &descs {
            let kind = desc.kind.as_str();
            let is_read = matches!(desc.kind, MetricKind::Counter | MetricKind::Gauge | MetricKind::Summary);
            assert!(is_read, "metric {}: no collector has {kind}s", desc.name);
        }
        let refused: Vec<Counter> = descs.iter().map(|desc| self.0.own.refused(&desc.name)).collect();
        let at_work = AtomicBool::new(false);
        self.add(Source::Collector(Arc::new(Guarded { descs, collector, refused, at_work })));
    }

    fn add(&self, source: Source) {
        let mut taken_names = self.0.taken_names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = HashSet::new();
        for desc in source.descs() {
            if let Some(fault) = desc.fault() {
                panic!("metric {}: {fault}", desc.name);
            }
            for name in desc.taken_names() {
                let is_new = !taken_names.contains(&name) && !names.contains(&name);
                assert!(is_new, "metric {}: {name} is registered twice", desc.name);
                names.insert(name);
            }
        }
        taken_names.extend(names);
        let mut sources = Sources::clone(&self.0.sources.load());
        let at = sources.all.len();
        sources.order.extend((0..source.descs().len()).map(|family| (at, family)));
        sources.all.push(Arc::new(source));
        let Sources { all, order } = &mut sources;
        order.sort_by(|a, b| all[a.0].descs()[a.1].name.cmp(&all[b.0].descs()[b.1].name));
        self.0.sources.store(Arc::new(sources));
    }

    /// Exposes the metrics of a registry of prometheus-client too, after ours and in its order. What it exposes now and
    /// later must have other names than ours; so must what is registered here afterwards.
    ///
    /// It has the deadline of a collector for all of its metrics. One that takes longer, hangs or panics is left out of that
    /// scrape as a whole, and named `prometheus_client` in `metrics_collector_failures_total`
    /// ([`register_own`](Self::register_own)). It is asked here for the first time, without a deadline.
    ///
    /// # Panics
    /// When one of its names is taken.
    pub fn include(&self, registry: Arc<prometheus_client::registry::Registry>) {
        let foreign = Arc::new(Foreign::new(registry));
        let names = foreign::names(&foreign.ask().unwrap_or_default());
        let mut taken_names = self.0.taken_names.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &names {
            assert!(!taken_names.contains(name), "{name} is registered here and in the registry to include");
        }
        taken_names.extend(names);
        let mut all = Vec::clone(&self.0.foreign.load());
        all.push(foreign);
        self.0.foreign.store(Arc::new(all));
    }

    /// What included registries expose now; one that fails is counted and left out.
    fn foreign_texts(&self) -> Vec<String> {
        let texts = self.ask_all(&self.0.foreign.load());
        let text = |text: Result<String, Failure>| {
            text.map_err(|failure| self.0.own.failed("prometheus_client", failure)).ok()
        };
        texts.into_iter().filter_map(text).collect()
    }

    /// Asks each within the deadline. Scrapes take turns: one that comes meanwhile asks anew and finds nobody at work.
    fn ask_all<A: Asked>(&self, asked: &[Arc<A>]) -> Vec<Result<A::Answer, Failure>> {
        let _one_at_a_time = self.0.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        gather(asked, self.0.collector_deadline)
    }

    /// Every family's description, by name; those of included registries have none.
    pub fn descs(&self) -> Vec<Desc> {
        let sources = self.0.sources.load();
        sources.order.iter().map(|(at, family)| sources.all[*at].descs()[*family].clone()).collect()
    }

    /// How often bounds refused a series, over all families.
    pub fn refused(&self) -> u64 {
        self.0.own.refused_in_all()
    }

    /// Exposes what bounds refuse as `<prefix>metrics_series_refused_total{family}`, and which collectors failed as
    /// `<prefix>metrics_collector_failures_total{collector, cause}`: a collector is named by its first family, the cause is
    /// `deadline`, `busy` (it has not come back from an earlier scrape) or `panic`.
    pub fn register_own(&self, prefix: &str) {
        self.add(Source::Own { descs: Self::own_descs(prefix), own: Arc::clone(&self.0.own) });
    }

    /// What [`register_own`](Self::register_own) registers.
    pub fn own_descs(prefix: &str) -> Vec<Desc> {
        Own::descs(prefix)
    }

    /// What collectors read now, by their source; nothing of families, which are read when their turn comes.
    fn gather(&self, sources: &Sources) -> Vec<Vec<Vec<Series>>> {
        let collector = |source: &Arc<Source>| match source.as_ref() {
            Source::Collector(guarded) => Some(Arc::clone(guarded)),
            Source::Family(_) | Source::Own { .. } => None,
        };
        let collectors: Vec<Arc<Guarded>> = sources.all.iter().filter_map(collector).collect();
        let mut gathered = self.ask_all(&collectors).into_iter().zip(&collectors).map(|(answer, guarded)| {
            answer.unwrap_or_else(|failure| {
                self.0.own.failed(&guarded.descs[0].name, failure);
                guarded.descs.iter().map(|_| Vec::new()).collect()
            })
        });
        let mut of_sources: Vec<Vec<Vec<Series>>> = Vec::with_capacity(sources.all.len());
        for source in &sources.all {
            of_sources.push(match source.as_ref() {
                Source::Collector(_) => gathered.next().unwrap_or_default(),
                Source::Family(_) | Source::Own { .. } => Vec::new(),
            });
        }
        drop(gathered);
        for (source, series) in sources.all.iter().zip(&mut of_sources) {
            if let Source::Own { descs, own } = source.as_ref() {
                *series = own.series(descs);
            }
        }
        of_sources
    }

    /// Appends every family, by name, in the form that a scraper asked for.
    pub fn encode(&self, format: Format, out: &mut Vec<u8>) {
        self.encode_with(format, out, |_, family, out| {
            encode::head(format, family.desc(), out);
            family.text(format, out);
        });
    }

    /// A text of all families that is kept, and patched at each scrape.
    pub fn patched(&self) -> PatchedText {
        PatchedText::new(self.clone())
    }

    /// Each family that is written to is appended by `text`, which is told the position of its source.
    pub(crate) fn encode_with(
        &self,
        format: Format,
        out: &mut Vec<u8>,
        mut text: impl FnMut(usize, &dyn ReadFamily, &mut Vec<u8>),
    ) {
        let sources = self.0.sources.load();
        let theirs = self.foreign_texts();
        let collected = self.gather(&sources);
        for (at, family) in &sources.order {
            let source = &sources.all[*at];
            let desc = &source.descs()[*family];
            match source.as_ref() {
                Source::Family(family) => text(*at, family.as_ref(), out),
                Source::Collector(_) | Source::Own { .. } => {
                    encode::head(format, desc, out);
                    for series in &collected[*at][*family] {
                        let labels = encode::labels(desc.labels, &series.values);
                        let (name, labels) = (desc.name.as_ref(), labels.as_str());
                        series.point.write(&mut TextLines {
                            format,
                            name,
                            labels,
                            own_values: &[],
                            values: Plain,
                            out: &mut *out,
                        });
                    }
                }
            }
        }
        for text in &theirs {
            foreign::append(format, text, out);
        }
        encode::end(format, out);
    }

    /// Every sample as it would be exposed, by the name of its family.
    pub fn snapshot(&self) -> Vec<Sample> {
        let sources = self.0.sources.load();
        let theirs = self.foreign_texts();
        let collected = self.gather(&sources);
        let mut samples = Vec::new();
        for (at, family) in &sources.order {
            match sources.all[*at].as_ref() {
                Source::Family(family) => family.samples(&mut samples),
                source @ (Source::Collector(_) | Source::Own { .. }) => {
                    let descs = source.descs();
                    for Series { values, point } in &collected[*at][*family] {
                        point.write(&mut SampleLines { desc: &descs[*family], values, out: &mut samples });
                    }
                }
            }
        }
        theirs.iter().for_each(|text| foreign::samples(text, &mut samples));
        samples
    }
}
