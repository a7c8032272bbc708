//! The pure state machine of executions: what is admitted, in which order it runs, what it comes to.
//!
//! [`Tracker::step`] takes an [`Input`] and the time and answers with [`Effect`]s, which its caller performs in
//! their order. It decides on admission, the lane of each VM and that of commands, deadlines, cancellation, retries, the taking back of
//! what was half done, restarts by policy, and on what is so after a crash; it waits for nothing and reads no clock.
//! [`Tracker::next_wake`] says when it wants to be stepped with [`Input::Tick`].
//!
//! ```
//! use nkudo_tracker::{Config, Effect, Input, Now, Tracker};
//!
//! let mut tracker = Tracker::new(Config::default());
//! let now = Now { monotonic_ms: 0, boottime_ms: 0, wall_ms: 0 };
//! assert!(tracker.step(Input::Tick, now).is_empty());
//! assert_eq!(tracker.next_wake(), None);
//! ```
//!
//! **Invariant:** an effect that depends on durability is emitted only after [`Input::Persisted`] for the record it
//! depends on: a deed after its intent, a report after its outcome, the next action of a lane after the outcome of
//! the one before.
//! **Invariant:** at most one action at a time runs on a VM, and one command on the host, in the order of admission; only
//! a delete overtakes.
//! **Invariant:** while results are reported elsewhere none is forgotten before it is acknowledged, and none gets the
//! number of another.
//! **Invariant:** a command is run at most once: one of which only the start is on record ends as
//! `interrupted, outcome unknown`.
//! **Invariant:** an action id is admitted once; its repetition gets the recorded answer.
//! **Invariant:** what may have ended by a record that was lost is not done again: its end is told as unknown.

mod actions;
mod admission;
mod attempts;
mod begin;
mod commands;
mod conclude;
mod config;
mod deadlines;
mod decide;
mod history;
mod lost;
mod message;
mod outbox;
mod outputs;
mod record;
mod recovery;
mod replay;
mod tracker;
mod vm_changes;
mod vms;

pub use actions::{Phase, Tracked};
pub use config::{Config, Now};
pub use history::Aggregate;
pub use lost::Lost;
pub use message::{
    Admission, CancelAnswer, CommandEnd, CommandReport, DeedFailure, DeedReport, Effect, Found, Input, Known,
    Seq, Ticket, Work,
};
pub use outbox::Outbox;
pub use record::{Record, Stamp, VmChange};
pub use tracker::Tracker;
pub use vms::Vm;
