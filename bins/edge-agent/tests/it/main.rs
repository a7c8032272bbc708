//! The built program, from outside: real sockets, real QEMU, real signals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adoption;
mod audit;
mod bad_input;
mod commands;
mod doctor;
mod explain;
mod full_disk;
mod harness;
mod history;
mod lifecycle;
mod logs;
mod many;
mod metrics;
mod simulated;
mod table;
mod traces;
