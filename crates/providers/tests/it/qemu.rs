//! QEMU.

mod conformance;
mod ending;
mod finding;
mod starting;
mod writing;
