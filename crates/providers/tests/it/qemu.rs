//! QEMU.

mod conformance;
mod ending;
mod explaining;
mod finding;
mod inventory;
mod spans;
mod starting;
mod writing;
