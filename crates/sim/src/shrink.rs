//! A smaller plan that fails as well.

use crate::bug::Bug;
use crate::plan::Plan;
use crate::world::{Failure, run};

/// Most plans that are tried.
const TRIES_MAX: usize = 400;

/// Leaves out asks and faults as long as the same invariant is broken without them, halves first, then one by one.
pub fn shrink(failure: Failure, bug: Option<Bug>) -> Failure {
    let mut best = failure;
    let mut tries = 0;
    loop {
        let before = size(&best.plan);
        for of_asks in [true, false] {
            let mut piece = length(&best.plan, of_asks).div_ceil(2).max(1);
            loop {
                let mut from = 0;
                while from < length(&best.plan, of_asks) && tries < TRIES_MAX {
                    tries += 1;
                    let smaller = without(&best.plan, of_asks, from, piece);
                    match run(&smaller, bug) {
                        Err(failed) if failed.broken.invariant == best.broken.invariant => best = *failed,
                        Ok(_) | Err(_) => from += piece,
                    }
                }
                if piece == 1 {
                    break;
                }
                piece = piece.div_ceil(2);
            }
        }
        if size(&best.plan) == before || tries >= TRIES_MAX {
            return best;
        }
    }
}

fn length(plan: &Plan, of_asks: bool) -> usize {
    if of_asks { plan.asks.len() } else { plan.faults.len() }
}

fn size(plan: &Plan) -> usize {
    plan.asks.len() + plan.faults.len()
}

fn without(plan: &Plan, of_asks: bool, from: usize, count: usize) -> Plan {
    let mut smaller = plan.clone();
    let to = (from + count).min(length(plan, of_asks));
    if of_asks {
        smaller.asks.drain(from..to);
    } else {
        smaller.faults.drain(from..to);
    }
    smaller
}
