//! Text and states as metrics: a value of 1 with the text in labels, and a value of 0 or 1 for each state.
//!
//! Source: OpenMetrics 1.0, "StateSet" and "Info". The older format has both as gauges.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::closed::ClosedValue;
use crate::desc::{Desc, MetricKind};
use crate::encode;
use crate::family::{Cell, kept_whole};
use crate::lines::Lines;

/// Most states of a set: each is a bit of one number, so that a scrape sees all of them at one moment.
const STATES_MAX: usize = 64;

/// Text in the labels of its series: a version, a model. It holds nothing; when the text changes, its series is removed
/// and another one made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info;

impl Cell for Info {
    const KIND: MetricKind = MetricKind::Info;
    kept_whole!();

    fn make(_desc: &Desc) -> Self {
        Self
    }

    fn write(&self, lines: &mut dyn Lines) {
        lines.integer(1, &[]);
    }
}

/// States of which any number are on, none at first: conditions that hold beside each other. Cheap to clone.
///
/// The states are an enum of [`label_enum!`](crate::label_enum), of 64 at most.
pub struct StateSet<S>(Arc<AtomicU64>, PhantomData<fn() -> S>);

impl<S: ClosedValue> StateSet<S> {
    pub fn set(&self, state: S, is_on: bool) {
        if is_on {
            self.0.fetch_or(bit(state), Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit(state), Ordering::Relaxed);
        }
    }

    /// Puts these states on and all others off, at one moment.
    pub fn replace(&self, on: impl IntoIterator<Item = S>) {
        self.0.store(on.into_iter().fold(0, |bits, state| bits | bit(state)), Ordering::Relaxed);
    }

    pub fn is_on(&self, state: S) -> bool {
        self.0.load(Ordering::Relaxed) & bit(state) != 0
    }
}

fn bit<S: ClosedValue>(state: S) -> u64 {
    1 << state.index()
}

/// States of which exactly one is on, the first at first: where something stands. Cheap to clone.
///
/// The states are an enum of [`label_enum!`](crate::label_enum), of 64 at most.
pub struct CurrentState<S>(Arc<AtomicUsize>, PhantomData<fn() -> S>);

impl<S: ClosedValue> CurrentState<S> {
    pub fn set(&self, state: S) {
        self.0.store(state.index(), Ordering::Relaxed);
    }

    pub fn get(&self) -> S {
        S::ALL[self.0.load(Ordering::Relaxed)]
    }
}

macro_rules! state_cells {
    ($($cell:ident: $load:expr),+) => {
        $(impl<S> Clone for $cell<S> {
            fn clone(&self) -> Self {
                Self(Arc::clone(&self.0), PhantomData)
            }
        }

        impl<S> Default for $cell<S> {
            fn default() -> Self {
                Self(Arc::default(), PhantomData)
            }
        }

        impl<S: ClosedValue> fmt::Debug for $cell<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let is_on = $load(self);
                let on = (0..S::ALL.len()).filter(|index| is_on(*index)).map(name::<S>);
                f.debug_tuple(stringify!($cell)).field(&on.collect::<Vec<_>>()).finish()
            }
        }

        impl<S: ClosedValue> Cell for $cell<S> {
            const KIND: MetricKind = MetricKind::StateSet;
            kept_whole!();

            fn fault(_desc: &Desc) -> Option<&'static str> {
                fault::<S>()
            }

            fn own_values(_desc: &Desc) -> Box<[Box<str>]> {
                (0..S::ALL.len()).map(escaped::<S>).collect()
            }

            fn make(_desc: &Desc) -> Self {
                Self::default()
            }

            fn write(&self, lines: &mut dyn Lines) {
                lines.states(S::ALL.len(), &name::<S>, &$load(self));
            }
        })+
    };
}

state_cells!(
    StateSet: |cell: &Self| {
        let bits = cell.0.load(Ordering::Relaxed);
        move |index: usize| bits & 1 << index != 0
    },
    CurrentState: |cell: &Self| {
        let current = cell.0.load(Ordering::Relaxed);
        move |index: usize| index == current
    }
);

/// The state with this index as it reads.
fn name<S: ClosedValue>(index: usize) -> String {
    let mut name = String::new();
    S::ALL[index].write_value(&mut name);
    name
}

fn escaped<S: ClosedValue>(index: usize) -> Box<str> {
    let mut text = String::new();
    encode::label_value(&name::<S>(index), &mut text);
    text.into()
}

fn fault<S: ClosedValue>() -> Option<&'static str> {
    let names: Vec<String> = (0..S::ALL.len()).map(name::<S>).collect();
    if names.is_empty() || names.len() > STATES_MAX {
        Some("it has no state, or more than 64")
    } else if names.iter().any(String::is_empty) {
        Some("a state has no name, which reads as if it had no label")
    } else if (1..names.len()).any(|at| names[..at].contains(&names[at])) {
        Some("a state is there twice")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_enum;

    label_enum! {
        enum Phase { Idle = "idle", Busy = "busy", Ended = "ended" }
    }

    #[test]
    fn any_states_are_on_or_exactly_one() {
        let conditions = StateSet::default();
        conditions.set(Phase::Busy, true);
        conditions.set(Phase::Ended, true);
        conditions.set(Phase::Busy, false);
        assert_eq!(format!("{conditions:?}"), "StateSet([\"ended\"])");
        conditions.replace([Phase::Idle, Phase::Busy]);
        assert_eq!(
            Phase::ALL.iter().map(|state| conditions.is_on(*state)).collect::<Vec<_>>(),
            [true, true, false]
        );
        let phase = CurrentState::default();
        assert_eq!(phase.get(), Phase::Idle);
        phase.clone().set(Phase::Ended);
        assert_eq!(
            (phase.get(), format!("{phase:?}")),
            (Phase::Ended, "CurrentState([\"ended\"])".to_owned())
        );
    }

    #[test]
    fn names_of_states_are_there_and_differ() {
        label_enum! {
            enum Nameless { A = "a", None = "" }
        }
        label_enum! {
            enum Twice { A = "a", B = "b", C = "a" }
        }
        let check =
            |fault: Option<&str>, sentence: &str| assert!(fault.unwrap().contains(sentence), "{fault:?}");
        assert_eq!(fault::<Phase>(), None);
        check(fault::<Nameless>(), "no name");
        check(fault::<Twice>(), "twice");
    }
}
