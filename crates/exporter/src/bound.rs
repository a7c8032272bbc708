//! The listening socket and its connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nkudo_metrics_core::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Answers};
use crate::probes::Probes;

/// Largest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 16 << 10;
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long open requests may take once the end is asked for.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// After a connection could not be accepted, out of descriptors for example.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Why the address is not served. The sentence names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    #[error("address {addr} is already in use: choose another with --{flag}")]
    InUse { addr: SocketAddr, flag: String, source: io::Error },
    #[error("address {addr} is not one of this host: choose another with --{flag}")]
    NotOurs { addr: SocketAddr, flag: String, source: io::Error },
    #[error("address {addr} is not permitted: choose a port above 1023 with --{flag}")]
    NotPermitted { addr: SocketAddr, flag: String, source: io::Error },
    #[error("cannot listen on {addr}, the address of --{flag}")]
    Listen { addr: SocketAddr, flag: String, source: io::Error },
}

/// How much the other ends may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// From the acceptance of a connection to its end: a request is written and its answer read in that time.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 256, request_timeout: Duration::from_secs(5) }
    }
}

/// An address that is listened on, and not yet served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    limits: Limits,
    patched_text: bool,
}

/// Listens on an address; port 0 takes a free one. `flag` is the name of the option that a user would choose
/// another address with, for errors.
///
/// # Errors
/// When the address is in use, not of this host, or not permitted.
pub async fn bind(addr: SocketAddr, flag: &str) -> Result<Bound, ExporterError> {
    let refused = |source: io::Error| {
        let flag = flag.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => ExporterError::InUse { addr, flag, source },
            io::ErrorKind::AddrNotAvailable => ExporterError::NotOurs { addr, flag, source },
            io::ErrorKind::PermissionDenied => ExporterError::NotPermitted { addr, flag, source },
            _ => ExporterError::Listen { addr, flag, source },
        }
    };
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let local_addr = listener.local_addr().map_err(refused)?;
    Ok(Bound { listener, local_addr, limits: Limits::default(), patched_text: false })
}

impl Bound {
    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The listening socket, for a service that serves more than metrics.
    pub fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same with a text that is kept between scrapes: see [`Answers::with_patched_text`].
    #[must_use]
    pub fn with_patched_text(self) -> Self {
        Self { patched_text: true, ..self }
    }

    /// Serves until `shutdown`, then lets open requests end for a second. Can be called again: the address stays
    /// taken as long as this lives. When the future is dropped its connections are cut.
    pub async fn serve(&self, registry: Registry, probes: Probes, shutdown: CancellationToken) {
        let answers = Answers::new(registry, probes);
        let answers = if self.patched_text { answers.with_patched_text() } else { answers };
        let mut connections = JoinSet::new();
        loop {
            // Accepting and joining are cancel safe.
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = self.listener.accept(), if connections.len() < self.limits.connections_max => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(connection(stream, answers.clone(), self.limits, shutdown.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be accepted");
                            sleep(ACCEPT_BACKOFF).await;
                        }
                    }
                }
            }
        }
        let all = async {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        };
        if timeout(STOP_WAIT, all).await.is_err() {
            tracing::debug!(open = connections.len(), "connections cut at the end");
        }
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn std::error::Error, "a connection's task failed");
    }
}

/// One request and its answer.
async fn connection(stream: TcpStream, answers: Answers, limits: Limits, shutdown: CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| {
        let answers = &answers;
        async move {
            let (head, _) = request.into_parts();
            let answer = answers.answer(&head.method, head.uri.path(), &head.headers).await;
            Ok::<Answer, Infallible>(answer)
        }
    });
    let mut served = pin!(
        http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .timer(TokioTimer::new())
            .header_read_timeout(limits.request_timeout)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut deadline = pin!(sleep(limits.request_timeout));
    let mut stopping = false;
    loop {
        // The connection is polled on in the next turn; nothing is dropped but at its end.
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "connection broken");
                }
                return;
            }
            () = deadline.as_mut() => {
                tracing::debug!("connection cut at its deadline");
                return;
            }
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}
