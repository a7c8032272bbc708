//! Each planted mistake is found.

use nkudo_sim::{Bug, Plan, run};

/// Within so many seeds each is found.
const SEEDS: u64 = 400;

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = (0..SEEDS).find_map(|seed| Some((seed, run(&Plan::of(seed), Some(bug)).err()?)));
        match found {
            Some((seed, failure)) => println!("{bug:?}: {} seeds, {}", seed + 1, failure.broken.invariant),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
