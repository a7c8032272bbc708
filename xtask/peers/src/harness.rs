//! Interleaved rounds of the same work by several subjects, and the loops in them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::row::Figures;

/// Times that a thread does work of nanoseconds in one round.
const SPINS: u64 = 4_000_000;
/// Series of a scrape.
pub(crate) const SERIES: u32 = 100_000;
/// Series that are made while others are scraped, and how often one is due.
const MADE: u32 = 10_000;
const DUE_EVERY: Duration = Duration::from_micros(50);
/// Series whose memory is counted.
pub(crate) const COUNTED: u32 = 10_000;
/// Upper bounds of every histogram.
pub(crate) const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Label values of the families by two strings.
pub(crate) const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
pub(crate) const ROUTES: [&str; 4] = ["/v1/agents", "/v1/vms", "/v1/actions", "/v1/executions"];

/// Whom a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Limit,
    Peer(&'static str),
}

impl Whose {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Limit => "limit",
            Self::Peer(name) => name,
        }
    }
}

/// Somebody who does the work of a row: one round of it for each call, which answers the figure.
pub(crate) struct Subject {
    pub(crate) whose: Whose,
    pub(crate) round: Box<dyn FnMut() -> f64>,
}

impl Subject {
    pub(crate) fn new(whose: Whose, round: impl FnMut() -> f64 + 'static) -> Self {
        Self { whose, round: Box::new(round) }
    }
}

/// Work that several subjects do.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    subjects: Vec<Subject>,
    /// How many times as many rounds as others it has.
    rounds_by: usize,
}

impl Row {
    pub(crate) fn new(name: String, unit: &'static str, subjects: Vec<Subject>) -> Self {
        Self { name, unit, subjects, rounds_by: 1 }
    }

    pub(crate) fn rounds_by(self, rounds_by: usize) -> Self {
        Self { rounds_by, ..self }
    }
}

/// What the rounds of one subject came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

/// Takes rounds in which each subject has its turn, another one first in each.
pub(crate) fn measure(mut row: Row, rounds: usize) -> Figures {
    let (count, rounds) = (row.subjects.len(), rounds * row.rounds_by);
    let mut taken: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); count];
    for round in 0..rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            taken[at].push((row.subjects[at].round)());
        }
    }
    let taken = row.subjects.iter().zip(taken).map(|(subject, taken)| (subject.whose, Taken::of(taken)));
    Figures::of(&row.name, row.unit, taken.collect())
}

impl Taken {
    fn of(mut taken: Vec<f64>) -> Self {
        taken.sort_by(f64::total_cmp);
        Self { least: taken[0], median: taken[taken.len() / 2], greatest: taken[taken.len() - 1] }
    }
}

/// Nanoseconds for each time that `work` is done, by so many threads at once on the same metric.
pub(crate) fn spin(threads: usize, work: impl Fn(u64) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = || {
        barrier.wait();
        let began = Instant::now();
        for i in 0..SPINS {
            work(i);
        }
        began.elapsed().as_nanos() as f64 / SPINS as f64
    };
    let each: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    each.iter().sum::<f64>() / each.len() as f64
}

/// Values that fall into every bucket in an order that no processor guesses.
pub(crate) fn observations() -> Vec<f64> {
    (0..1_024_u32).map(|i| f64::from(i * 7_919 % 1_024) / 1_024.0 * 12.0).collect()
}

/// Milliseconds of one scrape by `scrape`.
pub(crate) fn time_scrape(scrape: impl FnOnce()) -> f64 {
    let began = Instant::now();
    scrape();
    began.elapsed().as_secs_f64() * 1e3
}

/// The microseconds within which all but one in a thousand series are made by `make`, while `scrape` goes on. They count
/// from when a series was due: one that waits makes those after it late.
pub(crate) fn time_creation(make: impl Fn(u32), scrape: impl Fn() + Sync) -> f64 {
    let done = AtomicBool::new(false);
    let mut taken: Vec<f64> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                scrape();
            }
        });
        let began = Instant::now();
        let taken = (0..MADE)
            .map(|i| {
                let due = DUE_EVERY * i;
                while began.elapsed() < due {
                    std::hint::spin_loop();
                }
                make(i);
                (began.elapsed() - due).as_nanos() as f64 / 1e3
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        taken
    });
    taken.sort_by(f64::total_cmp);
    taken[taken.len() * 999 / 1_000]
}
