//! The executor on a disk that loses power.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod durability;
mod world;
