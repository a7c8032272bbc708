//! Assembles the edge agent of one host.
//!
//! [`daemon::run`] is the daemon: it takes the state directory's lock, starts the executor, the metrics endpoint, the
//! local socket and the sampler as supervised components, and ends them in order. [`offline`] does without a daemon
//! what can be done without one. [`checks`] looks whether the host can run microVMs at all.
//!
//! **Invariant:** whoever writes to a state directory holds its lock exclusively; whoever reads its files holds it
//! shared, or asks the daemon over its socket.

mod addr_file;
pub mod audit;
pub mod checks;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod embedded;
pub mod explain;
pub mod history;
pub mod identity;
mod link;
mod local;
pub mod offline;
pub mod origin;
pub mod outages;
pub mod providers;
mod reload;
mod sampler;
mod samples;
pub mod state_dir;
mod status;
pub mod traces;

pub use local::SOCKET_NAME;
