//! `cargo xtask chaos`: worlds that try to break the fleet, each from a seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use nkudo_sim::{Bug, Failure, Plan, Report, run, shrink};

/// Within so many seeds a planted bug is to be found.
const BUG_SEEDS_MAX: u64 = 2_000;

/// What all worlds came to.
#[derive(Debug, Default)]
struct Totals {
    events: u64,
    ended: usize,
    restarts: u64,
    hours: f64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        let Report { events, ended, restarts, rested_at_ms } = *report;
        self.events += events;
        self.ended += ended;
        self.restarts += restarts;
        self.hours += std::time::Duration::from_millis(rested_at_ms).as_secs_f64() / 3_600.0;
    }
}

/// Plays so many plans, on all cores; the first that fails is shrunk and told.
pub fn seeds(from: u64, count: u64) -> Result<()> {
    let began = Instant::now();
    let (next, until) = (AtomicU64::new(from), from.saturating_add(count));
    let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(None::<Failure>));
    let play = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= until || failed.lock().is_ok_and(|failed| failed.is_some()) {
            return;
        }
        match run(&Plan::of(seed), None) {
            Ok(report) => totals.lock().expect("no thread panics with it").add(&report),
            Err(failure) => {
                let mut failed = failed.lock().expect("no thread panics with it");
                // The lowest seed is told, whichever thread was faster.
                if failed.as_ref().is_none_or(|other| failure.plan.seed < other.plan.seed) {
                    *failed = Some(*failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(play)));
    });
    if let Some(failure) = failed.into_inner()? {
        let seed = failure.plan.seed;
        let failure = shrink(failure, None);
        println!("{}\n{}", failure.plan, failure.history.join("\n"));
        bail!("{}; again with: cargo xtask chaos --from {seed} --seeds 1", failure.broken);
    }
    let Totals { events, ended, restarts, hours } = totals.into_inner()?;
    println!(
        "{count} worlds held, seeds {from} to {}: {hours:.0} hours of theirs, {events} events, {ended} actions ended, \
         {restarts} programs started again; {:.0} s",
        until - 1,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Plants each bug and counts the seeds until it is found.
pub fn bugs() -> Result<()> {
    let mut missed = Vec::new();
    println!("| planted bug | seeds until it was found | by the invariant |\n|---|---|---|");
    for bug in Bug::ALL {
        let plays = |seed| run(&Plan::of(seed), Some(bug)).err().map(|failure| (seed, failure));
        match (0..BUG_SEEDS_MAX).find_map(plays) {
            Some((seed, failure)) => println!("| {bug:?} | {} | {} |", seed + 1, failure.broken.invariant),
            None => missed.push(bug),
        }
    }
    if !missed.is_empty() {
        bail!("not found within {BUG_SEEDS_MAX} seeds: {missed:?}");
    }
    Ok(())
}
