//! Long-lived parts of a program as supervised components with instrumented mailboxes.
//!
//! The principal type is [`Supervisor`]. [`Supervisor::start`] runs a component, starts it again when it fails or
//! panics, with a growing delay and within a budget, and gives up loudly when the budget is spent
//! ([`Supervisor::failed`]). [`Supervisor::mailbox`] makes a bounded queue whose depth, waiting time and handling time
//! are measured without hand-work. [`Supervisor::health`] tells how every part does, and since when: what each says of
//! itself, and what the checks find: a stuck or full mailbox, errors, no progress, and a component's own [`Check`]s.
//!
//! ```
//! use std::time::Duration;
//!
//! use nkudo_metrics_core::Registry;
//! use nkudo_supervision::{ComponentSpec, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let supervisor = Supervisor::new(&Registry::new(), "app_", || 0);
//! supervisor.start(ComponentSpec::new("worker"), |context| async move {
//!     context.shutdown.cancelled().await;
//!     Ok(())
//! });
//! assert!(supervisor.health().overall.is_healthy());
//! assert!(supervisor.shutdown(Duration::from_secs(1)).await.is_empty());
//! # }
//! ```
//!
//! The start and the stop of a component are spans; so is a message from its sending to the end of its handling, where it
//! is sent within a span. What is handled is told by the handler, who knows it.
//!
//! **Invariant:** every queue is bounded; what does not fit waits or is refused, and counted.
//! **Invariant:** a component that ends is started again or its end is told; it never just stays away.
//! **Invariant:** components end in the reverse order of their start, each within the deadline, or are named.

mod check;
mod component;
mod health;
mod life;
mod mailbox;
pub mod metrics;
mod operations;
mod restart;
mod supervisor;
mod task;
mod traffic;
mod watch;

pub use check::Check;
pub use component::{ComponentError, ComponentSpec, Context};
pub use health::{ComponentReport, Health, HealthChange, HealthReporter, Report};
pub use mailbox::{Closed, Receiver, Sender, TrySendError};
pub use operations::{Operation, Operations};
pub use restart::RestartBudget;
pub use supervisor::{Failed, Supervisor};
