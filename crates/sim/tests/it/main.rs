//! The world, played; and the real transport on a network that breaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bugs;
mod seeds;
mod transport;
