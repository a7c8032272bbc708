//! The test guest: a few hundred bytes of our own that boot in milliseconds and speak.
//!
//! [`TINY`] is a PVH ELF image, made from `guest/tiny.S` with `as` and `ld` (a test makes it anew and compares). It
//! boots on QEMU `q35` and `microvm`, and on Cloud Hypervisor. On its serial console it writes
//!
//! - `READY <kernel command line>` once it runs,
//! - `TICK n` each second from then on, n counted from 1: it advances while the guest runs and stands still while
//!   it is paused.
//!
//! It reads its serial console too: `q` powers off, `r` resets. With a command line that begins with `pm` it obeys
//! the power button of a `q35` (`POWERBTN`, then `OFF`); otherwise it ignores the button, which is what a test of the
//! grace time wants. On a `microvm`, which has no such button, a command line that begins with `pm` makes it reset
//! itself four times a second.

/// The image. Whoever boots it writes it to a file first.
pub const TINY: &[u8] = include_bytes!("../guest/tiny.elf");
