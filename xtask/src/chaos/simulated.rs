//! `cargo xtask chaos --seeds`: worlds that try to break the fleet, each from a seed.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use nkudo_sim::{Broken, Bug, Failure, Plan, Report, run, shrink};

use super::judge::{Breach, Fault};
use super::{Figures, Tried};

/// Seeds that fail until no more are tried.
const FAILED_MAX: usize = 20;
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

/// The worlds that did not hold.
#[derive(Debug, Default)]
struct Failed {
    /// Each seed with what broke first.
    broken: Vec<(u64, Broken)>,
    /// The one with the lowest seed, whichever thread was faster.
    lowest: Option<Failure>,
}

impl Failed {
    fn add(&mut self, failure: Failure) {
        self.broken.push((failure.plan.seed, failure.broken.clone()));
        if self.lowest.as_ref().is_none_or(|other| failure.plan.seed < other.plan.seed) {
            self.lowest = Some(failure);
        }
    }
}

/// Plays so many plans, on all cores; of those that fail, the first is shrunk and told.
pub fn seeds(from: u64, count: u64, json: Option<&Path>) -> Result<()> {
    let began = Instant::now();
    let (next, until) = (AtomicU64::new(from), from.saturating_add(count));
    let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(Failed::default()));
    let play = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= until || failed.lock().is_ok_and(|failed| failed.broken.len() >= FAILED_MAX) {
            return;
        }
        match run(&Plan::of(seed), None) {
            Ok(report) => totals.lock().expect("no thread panics with it").add(&report),
            Err(failure) => failed.lock().expect("no thread panics with it").add(*failure),
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(play)));
    });
    let totals = totals.into_inner()?;
    let mut failed = failed.into_inner()?;
    failed.broken.sort_by_key(|(seed, _)| *seed);
    figures(count, &totals, &failed).write(json)?;
    if let Some(failure) = failed.lowest {
        let seed = failure.plan.seed;
        let failure = shrink(failure, None);
        println!("{}\n{}", failure.plan, failure.history.join("\n"));
        for (seed, broken) in &failed.broken {
            println!("seed {seed}: {broken}");
        }
        bail!("{}; again with: cargo xtask chaos --seed {seed} --seeds 1", failure.broken);
    }
    let Totals { events, ended, restarts, hours } = totals;
    println!(
        "{count} worlds held, seeds {from} to {}: {hours:.0} hours of theirs, {events} events, {ended} actions ended, \
         {restarts} programs started again; {:.0} s",
        until - 1,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn figures(count: u64, totals: &Totals, failed: &Failed) -> Figures {
    let mut figures = Figures::new(Tried::Seeds(count));
    figures.actions = totals.ended as u64;
    for (seed, broken) in &failed.broken {
        match fault(broken) {
            Some(fault) => figures.count(*seed, &[Breach { fault, what: broken.what.clone() }]),
            None => figures.failed_seeds.push(*seed),
        }
    }
    figures
}

/// Every invariant that the judge of a world knows, with the way in which a world breaks without it. Those without one make
/// their seed one that failed, and are no loss, nothing doubled and no orphan.
const INVARIANTS: &[(&str, Option<Fault>)] = &[
    ("acknowledged is durable", Some(Fault::Lost)),
    ("nothing is lost", Some(Fault::Lost)),
    ("everything comes to rest", Some(Fault::Lost)),
    ("each action once", Some(Fault::Doubled)),
    ("an end is told once", Some(Fault::Doubled)),
    ("one deed at a time on a VM", Some(Fault::Doubled)),
    ("one command at a time on a host", Some(Fault::Doubled)),
    ("a command runs at most once", Some(Fault::Doubled)),
    ("no restart has the id of another", Some(Fault::Doubled)),
    ("what was lost is not done again", Some(Fault::Doubled)),
    ("what is held is what is there", Some(Fault::Orphan)),
    ("VMs outlive the agent", None),
    ("deadlines are kept", None),
    ("intent before deed", None),
    ("nothing begins past its deadline", None),
    ("nothing expires early", None),
    ("nothing begins when it has expired", None),
    ("nothing foreign is touched", None),
    ("only who was asked", None),
    ("outcome before report", None),
    ("permanent errors are not retried", None),
    ("the books say what the hosts did", None),
    ("what ended stays as it ended", None),
    ("what is told as not run did not run", None),
    ("what succeeded ran wholly", None),
];

/// In which way a world broke, where it is one of those that are counted.
fn fault(broken: &Broken) -> Option<Fault> {
    INVARIANTS.iter().find(|(name, _)| *name == broken.invariant).and_then(|(_, fault)| *fault)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shell::root;

    fn check(invariant: &'static str, expected: Option<Fault>) {
        assert_eq!(fault(&Broken { invariant, what: String::new() }), expected, "{invariant}");
    }

    #[test]
    fn what_is_done_again_after_a_loss_is_doubled() {
        check("what was lost is not done again", Some(Fault::Doubled));
        check("each action once", Some(Fault::Doubled));
        check("a command runs at most once", Some(Fault::Doubled));
        check("nothing is lost", Some(Fault::Lost));
        check("only who was asked", None);
    }

    #[test]
    fn every_invariant_of_the_judge_has_its_place() {
        let mut judged = BTreeSet::new();
        for entry in std::fs::read_dir(root().join("crates/sim/src")).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let calls = text.split("breaks(").skip(1);
            let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
            judged.extend(names.map(str::to_owned));
        }
        let known: BTreeSet<String> = INVARIANTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(known, judged);
        assert_eq!(known.len(), INVARIANTS.len(), "each has one place");
    }
}
