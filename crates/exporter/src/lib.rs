//! `/metrics`, `/healthz` and `/readyz` over HTTP/1, and collectors for what every service exposes.
//!
//! The principal type is [`Bound`]: an address that is taken ([`bind`]) and then served. What it tells comes from a
//! [`Registry`](nkudo_metrics_core::Registry) and from [`Probes`]. [`collectors::register`] adds the process, the
//! async runtime and the build.
//!
//! ```
//! use std::sync::Arc;
//!
//! use nkudo_exporter::{ProbeAnswer, Probes, bind, parse_addr};
//! use nkudo_metrics_core::{Desc, Registry};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new();
//! registry.counter(&Desc::counter("jobs_total", "Jobs done.")).inc();
//! let fine = || ProbeAnswer { ok: true, body: "fine\n".to_owned() };
//! let probes = Probes { health: Arc::new(fine), ready: Arc::new(fine) };
//!
//! let bound = bind(parse_addr("127.0.0.1:0")?, "addr").await?;
//! let addr = bound.local_addr();
//! let shutdown = CancellationToken::new();
//! let scrape = async {
//!     let mut stream = tokio::net::TcpStream::connect(addr).await?;
//!     stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: me\r\n\r\n").await?;
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text).await?;
//!     shutdown.cancel();
//!     Ok::<_, std::io::Error>(text)
//! };
//! let ((), text) = tokio::join!(bound.serve(registry, probes, shutdown.clone()), scrape);
//! assert!(text?.contains("\njobs_total 1\n"));
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** a connection carries one request and ends by a deadline, whatever its other end does.
//!
//! **Invariant:** connections, and the size of what a request says, are bounded.
//!
//! **Invariant:** a scrape is encoded and compressed off the async workers.

pub mod collectors;

mod addr;
mod answer;
mod bound;
mod negotiation;
mod probes;

pub use addr::{AddrError, parse_addr};
pub use answer::{Answer, Answers};
pub use bound::{Bound, ExporterError, Limits, bind};
pub use collectors::descs;
pub use probes::{Probe, ProbeAnswer, Probes};
