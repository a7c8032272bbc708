//! QEMU.

mod conformance;
mod ending;
mod finding;
mod spans;
mod starting;
mod writing;
