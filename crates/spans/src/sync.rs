//! What the ring is made of: the standard library's atomics, or, in `tests/loom.rs`, stand-ins whose every interleaving is
//! gone through.

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Keeps what one thread writes out of the cache lines that another one writes. 128 bytes, because processors fetch lines
/// in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
