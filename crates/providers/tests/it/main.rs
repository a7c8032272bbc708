//! The providers, with real hypervisors and processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod guest;
mod qemu;
mod simulated;
mod world;
