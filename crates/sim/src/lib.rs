//! A fleet as a discrete-event world: the real tracker, journal and fleet code, and around them hosts, disks, networks and
//! operators that are simulated, each as cruel as a seed makes it.
//!
//! [`Plan::of`] makes from a seed what operators ask for and what goes wrong. [`run`] plays a plan to its end and judges
//! it: after each step, and once more when all is healed and everything has come to rest. [`shrink()`] finds a smaller plan
//! that still fails. What is performed here in place of executor, link and session is kept as thin as those are: they
//! decide nothing either. [`Bug`] plants a mistake in that thin part, to see that the judge finds it.
//!
//! ```
//! let plan = nkudo_sim::Plan::of(7);
//! let report = nkudo_sim::run(&plan, None).expect("no invariant is broken");
//! assert!(report.ended > 0 && report.events > 0);
//! ```
//!
//! **Invariant:** a plan is played the same way each time, on every machine: there is one thread, one clock and no
//! chance but what the plan's seed gives.
//! **Invariant:** chance is drawn by what it is for, so that leaving out one ask or fault changes nothing else by itself:
//! plans can be shrunk.
//! **Invariant:** the judge believes the hosts and its own books of what was told, never the program it judges.
//!
//! A stream of messages is one of TCP: in order, each once, and when it breaks everything behind that is lost. What comes
//! twice, late, or in another order than it was sent comes so over several streams and after restarts.

mod books;
mod bug;
mod clocks;
mod commands;
mod control;
mod deeds;
mod edge;
mod effects;
mod faults;
mod host;
mod judge;
mod link;
mod network;
mod operators;
mod plan;
mod random;
mod rest;
mod shrink;
mod world;

pub use bug::Bug;
pub use judge::Broken;
pub use plan::{Ask, Fate, Fault, Kind, Part, Plan, What};
pub use shrink::shrink;
pub use world::{Failure, Report, run};
