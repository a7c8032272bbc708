//! What runs microVMs: the [`Provider`] trait and its implementations.
//!
//! A provider performs single deeds and reports what it finds; it decides nothing about actions. All it needs to
//! know about a VM is in the VM's run directory, so a deed that was dropped half-way, by a cancellation or by the
//! end of the program, is understood afterwards from what is there.
//!
//! **Invariant:** a VM outlives the program that started it.
//! **Invariant:** nothing is spawned for a VM while the lock of its run directory is held.
//! **Invariant:** every wait for a hypervisor has a deadline; silence is reported, never taken for death.

pub mod conformance;
mod error;
mod evidence;
pub mod guest;
mod provider;
pub mod qemu;
pub mod simulated;

pub use error::ProviderError;
pub use evidence::{EVENTS_MAX, Fact, Findings, VmEvent};
pub use provider::{Counters, Probe, Provider};
