//! The only loop that performs the tracker's effects.
//!
//! [`Executor::run`] replays the journal, looks the host over, and from then on feeds the tracker with what happens
//! (requests, durable records, ended deeds, dead processes, time) and does what it decides, in its order. It owns the
//! action journal, `edge-state.json`, the calls to providers and the one timer. The rest of the program talks to it
//! through a [`Handle`].
//!
//! **Invariant:** it decides nothing about actions; where it waits, it does not choose.
//! **Invariant:** the tracker hears that a record is durable only after the journal's fsync returned.
//! **Invariant:** the spans of an action have ended before anybody can learn its outcome: they go where the result goes.
//! **Invariant:** what follows from a step of an action waits until the step is on record, as far as its [`Witness`] can.
//! **Invariant:** there is one executor on a state directory: its caller holds the directory's lock.

mod action_spans;
mod boot_file;
mod command;
mod deed;
mod error;
mod executor;
mod handle;
mod host_command;
mod journal_writer;
mod look_over;
mod meter;
mod observer;
pub mod projection;
mod recovery;
mod reserve;
mod running;
mod state_file;
mod witness;

pub use command::{Command, Event};
pub use error::ExecutorError;
pub use executor::{Executor, ExecutorConfig, Providers};
pub use handle::{Handle, NoAnswer};
pub use look_over::replay_view;
pub use recovery::Decoding;
pub use reserve::has_reserve;
pub use witness::{OnRecord, Room, Step, Witness, Witnessed};
