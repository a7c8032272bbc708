//! The executor on a disk that loses power, and the spans of what it does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod durability;
mod spans;
mod world;
