//! The decisions of a fleet, on both ends of the link, without I/O, clock or chance.
//!
//! On the control plane [`PresenceOf`] says whether an agent is heard of, and [`Dispatch`] which actions go onto its
//! stream next. On the agent [`Schedule`] says when to heartbeat, [`Backoff`] when to dial again, [`Telling`] which
//! results to send, [`Skew`] how far the clocks are apart, [`renew_at_ms`] when to renew the certificate, and
//! [`outage::Ledger`] why it was away and how long. Time comes in as an argument and chance as a number.
//!
//! **Invariant:** one heartbeat that is late makes nobody offline, and one that comes makes nobody online who was
//! given up.
//! **Invariant:** after an outage the agents of a fleet come back spread over time, not all at once.
//! **Invariant:** what is on its way and not confirmed is bounded, on both ends.

mod backoff;
mod dispatch;
pub mod outage;
mod presence;
mod renewal;
mod schedule;
mod skew;
mod telling;

pub use backoff::Backoff;
pub use dispatch::{Dispatch, Fetch, OVERTAKING_LOOK, overtaking};
pub use presence::{Missed, PresenceOf};
pub use renewal::renew_at_ms;
pub use schedule::Schedule;
pub use skew::{Skew, TheirTime};
pub use telling::Telling;
