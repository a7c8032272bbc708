//! A text that is patched against one that is written anew, under random work and under work of other threads.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nkudo_metrics_core::{
    Collector, Counter, CurrentState, Desc, Family, FloatCounter, Format, Gauge, Histogram, HotCounter,
    HotHistogram, PatchedText, Registry, SampleSink, StateSet, Summary, Traced, label_enum, label_set,
};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::{prop_assert_eq, prop_oneof};

use crate::{ByName, text};

label_set! {
    struct ByNumber { number: u32 }
}

label_enum! {
    enum Phase { Idle = "idle", Busy = "bu\"sy" }
}

const BOUNDS: &[f64] = &[0.5, 2.0, 1_000.0];

/// What it wrote, and that without the blanks that OpenMetrics would not have.
fn patched(patched: &mut PatchedText) -> (String, String) {
    let mut out = Vec::new();
    patched.encode(&mut out);
    let text = String::from_utf8(out).expect("an exposition is text");
    let plain = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((head, value)) if !line.starts_with('#') => format!("{} {value}\n", head.trim_end_matches(' ')),
        _ => format!("{line}\n"),
    });
    let plain = plain.collect();
    (text, plain)
}

/// Of each kind of family one.
struct World {
    registry: Registry,
    counters: Family<ByName, Counter>,
    floats: Family<ByName, FloatCounter>,
    gauges: Family<ByName, Gauge>,
    histograms: Family<ByName, Histogram>,
    hot_counters: Family<ByName, HotCounter>,
    hot_histograms: Family<ByName, HotHistogram>,
    states: Family<ByName, StateSet<Phase>>,
    currents: Family<ByName, CurrentState<Phase>>,
    summaries: Family<ByName, Summary>,
    traced: Family<ByName, Traced<Histogram>>,
    read: Arc<AtomicU64>,
    later: u32,
}

struct Read(Arc<AtomicU64>);

impl Collector for Read {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let value = self.0.load(Ordering::Relaxed);
        (0..value % 3).for_each(|which| sink.sample(0, &[&which.to_string()], value as f64));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { family: usize, series: u8, value: f64 },
    Remove { family: usize, series: u8 },
    Retain { family: usize, below: u8 },
    Collected(u64),
    Register,
    Scrape,
}

fn step() -> impl Strategy<Value = Step> {
    let family = 0..10_usize;
    prop_oneof![
        12 => (family.clone(), 0..12_u8, any::<f64>())
            .prop_map(|(family, series, value)| Step::Write { family, series, value }),
        2 => (family.clone(), 0..12_u8).prop_map(|(family, series)| Step::Remove { family, series }),
        1 => (family, 0..12_u8).prop_map(|(family, below)| Step::Retain { family, below }),
        1 => any::<u64>().prop_map(Step::Collected),
        1 => proptest::strategy::Just(Step::Register),
        6 => proptest::strategy::Just(Step::Scrape),
    ]
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &'static str| Desc::counter(name, "C  c.").labels(&["name"]);
        let gauge = |name: &'static str| Desc::gauge(name, "G.").labels(&["name"]);
        let histogram = |name: &'static str| Desc::histogram(name, "H.", BOUNDS).labels(&["name"]);
        let states = |name: &'static str| Desc::state_set(name, "S.").labels(&["name"]);
        let summary = Desc::summary("summary", "Q.").labels(&["name"]).quantiles(&[0.5, 0.99]);
        let read = Arc::new(AtomicU64::new(0));
        let which = Desc::gauge("read", "R.").labels(&["which"]);
        registry.collector(vec![which], Arc::new(Read(Arc::clone(&read))));
        registry.register_own("own_");
        Self {
            counters: registry.counter_family(&counter("counter_total")),
            floats: registry.float_counter_family(&counter("float_total")),
            gauges: registry.gauge_family(&gauge("gauge")),
            histograms: registry.histogram_family(&histogram("histogram").series_max(8)),
            hot_counters: registry.hot_counter_family(&counter("hot_total")),
            hot_histograms: registry.hot_histogram_family(&histogram("hot_histogram")),
            states: registry.family(&states("states")),
            currents: registry.family(&states("current")),
            summaries: registry.summary_family(&summary.window(Duration::from_hours(1), 1)),
            traced: registry.family(&histogram("traced")),
            registry,
            read,
            later: 0,
        }
    }

    fn write(&self, family: usize, name: &ByName, value: f64) {
        let (bits, phase) = (value.to_bits(), if value > 0.0 { Phase::Busy } else { Phase::Idle });
        match family {
            0 => self.counters.get(name).follow(bits),
            1 => self.floats.get(name).follow(value),
            2 => self.gauges.get(name).set(value),
            3 => self.histograms.get(name).observe(value),
            4 => self.hot_counters.get(name).inc_by(bits),
            5 => self.hot_histograms.get(name).observe(value),
            6 => self.states.get(name).set(phase, bits % 2 == 0),
            7 => self.currents.get(name).set(phase),
            8 => self.summaries.get(name).observe(value),
            _ => self.traced.get(name).observe(value, None),
        }
    }

    fn retain(&self, family: usize, keep: impl Fn(&ByName) -> bool) {
        match family {
            0 => self.counters.retain(keep),
            1 => self.floats.retain(keep),
            2 => self.gauges.retain(keep),
            3 => self.histograms.retain(keep),
            4 => self.hot_counters.retain(keep),
            5 => self.hot_histograms.retain(keep),
            6 => self.states.retain(keep),
            7 => self.currents.retain(keep),
            8 => self.summaries.retain(keep),
            _ => self.traced.retain(keep),
        }
    }

    fn step(&mut self, step: &Step) {
        // Names have blanks, quotes and braces, and one is a part of another.
        let name = |series: u8| ByName { name: format!("a  \"}} {}", "b ".repeat(series.into())) };
        match *step {
            Step::Write { family, series, value } => self.write(family, &name(series), value),
            Step::Remove { family, series } => self.retain(family, |known| *known != name(series)),
            Step::Retain { family, below } => {
                self.retain(family, |known| known.name.len() < name(below).name.len());
            }
            Step::Collected(value) => self.read.store(value, Ordering::Relaxed),
            Step::Register => {
                let later = Desc::gauge("later", "L.").with_prefix(&format!("p{}_", self.later));
                self.registry.gauge(&later).set(f64::from(self.later));
                self.later += 1;
            }
            Step::Scrape => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn but_for_blanks_it_is_the_text_that_is_written_anew(steps in vec(step(), 0..150)) {
        let mut world = World::new();
        let mut kept = world.registry.patched();
        for step in &steps {
            world.step(step);
            if matches!(step, Step::Scrape) {
                prop_assert_eq!(patched(&mut kept).1, text(&world.registry, Format::Text004));
            }
        }
        prop_assert_eq!(patched(&mut kept).1, text(&world.registry, Format::Text004));
        prop_assert_eq!(patched(&mut kept).1, patched(&mut world.registry.patched()).1);
    }
}

#[test]
fn values_stand_at_the_right_of_their_room() {
    let registry = Registry::new();
    let counter = registry.counter(&Desc::counter("c_total", "C."));
    let gauge = registry.gauge(&Desc::gauge("g", "G."));
    let mut kept = registry.patched();
    let length = patched(&mut kept).0.len();
    for (whole, fraction, written) in [
        (u64::MAX, -f64::MIN_POSITIVE, ["18446744073709551615", "-2.2250738585072014e-308"]),
        (7, f64::NAN, ["                   7", "                     NaN"]),
        (0, f64::NEG_INFINITY, ["                   0", "                    -Inf"]),
    ] {
        counter.follow(whole);
        gauge.set(fraction);
        let text = patched(&mut kept).0;
        let values: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("c_total ").or(line.strip_prefix("g ")))
            .collect();
        assert_eq!((values.as_slice(), text.len()), (&written[..], length));
    }
}

/// The number of a series is the rest of its value, so that a value in another's place would be seen.
#[test]
fn while_series_come_and_go_each_value_is_that_of_its_series() {
    let registry = Registry::new();
    let desc = Desc::counter("x_total", "X.").labels(&["number"]);
    let family = registry.counter_family::<ByNumber>(&desc);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u32)
            .map(|writer| {
                let family = &family;
                scope.spawn(move || {
                    for i in 0..200_000_u32 {
                        let number = i * 7_919 % 300 * 2 + writer;
                        // Now gone for a while, now back at once.
                        if i % 1_024 == 0 {
                            family.remove(&ByNumber { number });
                        }
                        if i % 3_072 != 0 {
                            family.get(&ByNumber { number }).follow(u64::from(i) * 1_000 + u64::from(number));
                        }
                    }
                })
            })
            .collect();
        let (mut kept, mut scrapes) = (registry.patched(), 0_u32);
        scope.spawn(|| {
            writers.into_iter().for_each(|writer| writer.join().expect("a writer does not panic"));
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) || scrapes == 0 {
            let text = patched(&mut kept).1;
            let mut seen = HashSet::new();
            for line in text.lines().skip(2) {
                let (name, value) = line.rsplit_once(' ').expect("a line has a value");
                let number = name.strip_prefix("x_total{number=\"").and_then(|rest| rest.strip_suffix("\"}"));
                let (number, value): (u64, u64) = (number.unwrap().parse().unwrap(), value.parse().unwrap());
                assert!(seen.insert(name), "{name} came twice");
                assert!(value == 0 || value % 1_000 == number, "{line}");
            }
            scrapes += 1;
        }
        assert_eq!(patched(&mut kept).1, text(&registry, Format::Text004));
    });
}
