//! The house, as it stands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fleet;
mod house;
mod layers;
