//! Hot cells and closed families against a model behind one mutex, under random work on several threads that end in
//! between.
//!
//! Each step is noted in the model before it is begun and after it is done. So a scrape shows at least what was done
//! before it and at most what was begun when it had ended, and at the end exactly what was done.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use nkudo_metrics_core::{
    ClosedFamily, ClosedLabelSet, Desc, Family, HotCounter, HotHistogram, Registry, Sample,
};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::prop_oneof;

use crate::{ByOutcome, ByWord};

const BOUNDS: &[f64] = &[3.0, 100.0];
/// Labels that all workers write to, and those that each one has for itself.
const SHARED: [&str; 3] = ["a", "b", "c"];
const OWN: [[&str; 2]; 4] = [["d", "e"], ["f", "g"], ["h", "i"], ["j", "k"]];

/// What a worker does next.
#[derive(Debug, Clone)]
enum Step {
    /// To a closed counter and to the closed histogram.
    Closed {
        index: usize,
        by: u8,
    },
    /// To a series that all write to, by its handle or by its labels.
    Shared {
        label: usize,
        by: u8,
        by_handle: bool,
    },
    /// To a series of its own, which comes into being by it.
    Own {
        label: usize,
        by: u8,
    },
    /// Of a series of its own, which need not be there.
    Remove {
        label: usize,
    },
    /// A cell without a family takes the place of the one that the worker had.
    Renew,
    /// To that cell, by a thread that ends at once.
    ByAnother {
        by: u8,
    },
    Scrape,
    /// The thread ends and another one goes on with the worker's steps.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let by = any::<u8>();
    prop_oneof![
        6 => (0..ByOutcome::COUNT, by).prop_map(|(index, by)| Step::Closed { index, by }),
        6 => (0..SHARED.len(), by, any::<bool>())
            .prop_map(|(label, by, by_handle)| Step::Shared { label, by, by_handle }),
        4 => (0..2_usize, by).prop_map(|(label, by)| Step::Own { label, by }),
        2 => (0..2_usize).prop_map(|label| Step::Remove { label }),
        1 => proptest::strategy::Just(Step::Renew),
        1 => by.prop_map(|by| Step::ByAnother { by }),
        1 => proptest::strategy::Just(Step::Scrape),
        1 => proptest::strategy::Just(Step::End),
    ]
}

/// Sums by the name of a sample, with its labels.
type Sums = BTreeMap<String, u64>;

/// Sums of what everybody writes to.
#[derive(Debug, Default, Clone)]
struct Model {
    begun: Sums,
    done: Sums,
}

struct World {
    registry: Registry,
    calls: ClosedFamily<ByOutcome, HotCounter>,
    values: ClosedFamily<ByOutcome, HotHistogram>,
    words: Family<ByWord, HotCounter>,
    model: Mutex<Model>,
    /// The series of each worker that are there, with their sums.
    own: Mutex<Sums>,
}

fn word(name: &'static str) -> ByWord {
    ByWord { name }
}

fn of_word(name: &str) -> String {
    format!("words_total[(\"name\", \"{name}\")]")
}

/// The samples that change when this closed series takes this value, with what each grows by.
fn of_index(index: usize, by: u8) -> Vec<(String, u64)> {
    let ByOutcome { outcome, first } = ByOutcome::at(index);
    let labels = format!("(\"outcome\", \"{}\"), (\"first\", \"{first}\")", outcome.as_str());
    let up_to = ["3.0", "100.0", "+Inf"].into_iter().zip(BOUNDS.iter().chain(&[f64::INFINITY]));
    let buckets = up_to.map(|(text, bound)| {
        (format!("values_bucket[{labels}, (\"le\", \"{text}\")]"), u64::from(f64::from(by) <= *bound))
    });
    let rest = [("calls_total", u64::from(by)), ("values_sum", u64::from(by)), ("values_count", 1)];
    buckets.chain(rest.map(|(name, by)| (format!("{name}[{labels}]"), by))).collect()
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let labels = &["outcome", "first"];
        let closed = registry.hot_counter_family(&Desc::counter("calls_total", "C.").labels(labels)).closed();
        let values =
            registry.hot_histogram_family(&Desc::histogram("values", "V.", BOUNDS).labels(labels)).closed();
        let words = registry.hot_counter_family(&Desc::counter("words_total", "W.").labels(&["name"]));
        let (model, own) = Default::default();
        let world = Self { registry, calls: closed, values, words, model, own };
        SHARED
            .iter()
            .for_each(|name| world.noted(&[(of_word(name), 0)], || drop(world.words.get(&word(name)))));
        (0..ByOutcome::COUNT).for_each(|index| {
            let zero = of_index(index, 0).into_iter().map(|(name, _)| (name, 0)).collect::<Vec<_>>();
            world.noted(&zero, || {});
        });
        world
    }

    /// Does what makes these samples grow.
    fn noted(&self, growth: &[(String, u64)], act: impl FnOnce()) {
        let note = |sums: fn(&mut Model) -> &mut Sums| {
            let mut model = self.model.lock().expect("no worker panicked");
            growth.iter().for_each(|(name, by)| *sums(&mut model).entry(name.clone()).or_default() += by);
        };
        note(|model| &mut model.begun);
        act();
        note(|model| &mut model.done);
    }

    /// Whole numbers, and so few that each is itself as a float.
    fn samples(&self) -> BTreeMap<String, f64> {
        let name = |sample: &Sample| format!("{}{:?}", sample.name, sample.labels);
        let samples = self.registry.snapshot();
        let seen: BTreeMap<_, _> = samples.iter().map(|sample| (name(sample), sample.value)).collect();
        assert_eq!(seen.len(), samples.len(), "a series comes twice");
        seen
    }

    fn scrape(&self) {
        let model = || self.model.lock().expect("no worker panicked").clone();
        let done = model().done;
        let seen = self.samples();
        let begun = model().begun;
        for (name, at_least) in done {
            let (at_least, at_most) = (at_least as f64, begun[&name] as f64);
            assert!(
                (at_least..=at_most).contains(&seen[&name]),
                "{name}: {at_least}, {}, {at_most}",
                seen[&name]
            );
        }
    }

    fn work(&self, worker: usize, steps: &[Step]) {
        let handles = SHARED.map(|name| self.words.get(&word(name)));
        let (mut alone, mut sum) = (HotCounter::default(), 0);
        for step in steps {
            match *step {
                Step::Closed { index, by } => self.noted(&of_index(index, by), || {
                    self.calls.inc_by(&ByOutcome::at(index), u64::from(by));
                    self.values.get(&ByOutcome::at(index)).observe(f64::from(by));
                }),
                Step::Shared { label, by, by_handle } => {
                    self.noted(&[(of_word(SHARED[label]), u64::from(by))], || {
                        if by_handle {
                            handles[label].inc_by(u64::from(by));
                        } else {
                            self.words.inc_by(&word(SHARED[label]), u64::from(by));
                        }
                    });
                }
                Step::Own { label, by } => {
                    let name = OWN[worker][label];
                    self.words.inc_by(&word(name), u64::from(by));
                    let mut own = self.own.lock().expect("no worker panicked");
                    let sum = own.entry(of_word(name)).or_default();
                    *sum += u64::from(by);
                    assert_eq!(self.words.get(&word(name)).get(), *sum, "{name}");
                }
                Step::Remove { label } => {
                    let name = OWN[worker][label];
                    let was_there =
                        self.own.lock().expect("no worker panicked").remove(&of_word(name)).is_some();
                    assert_eq!(self.words.remove(&word(name)), was_there, "{name}");
                }
                Step::Renew => (alone, sum) = (HotCounter::default(), 0),
                Step::ByAnother { by } => {
                    thread::scope(|scope| {
                        scope.spawn(|| alone.inc_by(u64::from(by)));
                    });
                    alone.inc();
                    sum += u64::from(by) + 1;
                }
                Step::Scrape => self.scrape(),
                Step::End => unreachable!("steps are split there"),
            }
            assert_eq!(alone.get(), sum, "a cell that nobody else has");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hot_cells_and_closed_families_are_those_of_the_model(workers in vec(vec(step(), 0..80), 1..=OWN.len())) {
        let world = World::new();
        thread::scope(|scope| {
            for (worker, steps) in workers.iter().enumerate() {
                let world = &world;
                scope.spawn(move || {
                    // One thread after the other; what each counted stays when it has ended.
                    for steps in steps.split(|step| matches!(step, Step::End)) {
                        thread::scope(|inner| {
                            inner.spawn(|| world.work(worker, steps));
                        });
                    }
                });
            }
            scope.spawn(|| (0..10).for_each(|_| world.scrape()));
        });
        world.scrape();
        let mut model = world.model.lock().expect("no worker panicked").done.clone();
        model.append(&mut world.own.lock().expect("no worker panicked"));
        let model: BTreeMap<String, f64> = model.into_iter().map(|(name, sum)| (name, sum as f64)).collect();
        assert_eq!(world.samples(), model);
    }
}
