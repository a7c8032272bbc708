//! QEMU.

mod conformance;
mod ending;
mod explaining;
mod finding;
mod in_the_way;
mod inventory;
mod spans;
mod starting;
mod writing;
