//! The executor on a disk that loses power, with VMs that fail in every way, and the spans of what it does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod deeds;
mod durability;
mod full_disk;
mod lost;
mod recovery;
mod spans;
mod stubborn;
mod talking;
mod witness;
mod world;
