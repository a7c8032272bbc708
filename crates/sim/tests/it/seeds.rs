//! Plans of many seeds, and what a world must be itself.

use nkudo_sim::{Plan, run, shrink};

/// Seeds of a test run; `cargo xtask chaos` plays more.
const SEEDS: u64 = 200;

#[test]
fn two_hundred_worlds_hold() {
    for seed in 0..SEEDS {
        let plan = Plan::of(seed);
        if let Err(failure) = run(&plan, None) {
            let failure = shrink(*failure, None);
            panic!("{failure}\n{}\n{}", failure.plan, failure.history.join("\n"));
        }
    }
}

#[test]
fn a_world_goes_the_same_way_each_time() {
    for seed in 0..10 {
        let plan = Plan::of(seed);
        assert_eq!(plan, Plan::of(seed));
        assert_eq!(run(&plan, None).unwrap(), run(&plan, None).unwrap(), "seed {seed}");
    }
}
