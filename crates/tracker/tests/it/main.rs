//! The tracker in a small deterministic world: a journal, a provider, time as numbers, and crashes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asking;
mod bounds;
mod cancellation;
mod commands;
mod deadlines;
mod dedupe;
mod durability;
mod lanes;
mod lost;
mod outbox;
mod outputs;
mod provider;
mod random;
mod recovery;
mod restarts;
mod retries;
mod table;
mod vms;
mod world;
