//! Connections: taken, kept within bounds, and handed their router.

mod connection;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use nkudo_rpc::Caller;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use connection::Protocol;

/// Connections at once on the TLS port; more are refused.
const TLS_CONNECTIONS_MAX: usize = 16_384;
/// Connections at once on the local port.
const PLAIN_CONNECTIONS_MAX: usize = 512;
/// How long a TLS handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How soon connections are accepted again after one could not be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The TLS configuration in force: renewing the server's certificate changes it for new connections.
pub(crate) type TlsConfig = Arc<ArcSwap<rustls::ServerConfig>>;

/// What a connection is served with.
#[derive(Clone)]
pub(crate) struct Routers {
    pub(crate) rest: Router,
    /// On the TLS port only.
    pub(crate) grpc: Option<Router>,
    pub(crate) control: Arc<Control>,
}

/// Serves the TLS port until `shutdown`, then lets open requests end within `last_answers`.
pub(crate) async fn serve_tls(
    listener: &TcpListener,
    routers: Routers,
    tls: TlsConfig,
    shutdown: CancellationToken,
    last_answers: Duration,
) {
    let control = Arc::clone(&routers.control);
    let serve = move |stream, remote, shutdown| {
        let (routers, acceptor) = (routers.clone(), TlsAcceptor::from(tls.load_full()));
        async move {
            let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await;
            let stream = match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    routers.control.metrics.handshake_failed();
                    tracing::debug!(%remote, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    routers.control.metrics.handshake_failed();
                    tracing::debug!(%remote, "TLS handshake did not end in time");
                    return;
                }
            };
            let (_, session) = stream.get_ref();
            let peer = match session.peer_certificates().and_then(|chain| chain.first()) {
                None => None,
                Some(certificate) => match nkudo_pki::peer(certificate) {
                    Ok(peer) => Some(peer),
                    Err(error) => {
                        routers.control.metrics.handshake_failed();
                        tracing::warn!(%remote, %error, "a certificate of ours names no agent");
                        return;
                    }
                },
            };
            let http2 = session.alpn_protocol() == Some(b"h2");
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            let caller = Caller { remote, peer, traceparent: None };
            Box::pin(connection::serve(stream, protocol, routers, Some(caller), shutdown)).await;
        }
    };
    accept(listener, &control, TLS_CONNECTIONS_MAX, serve, shutdown, last_answers).await;
}

/// Serves the local port until `shutdown`, then lets open requests end within `last_answers`.
pub(crate) async fn serve_plain(
    listener: &TcpListener,
    routers: Routers,
    shutdown: CancellationToken,
    last_answers: Duration,
) {
    let control = Arc::clone(&routers.control);
    let serve = move |stream, _remote, shutdown| {
        Box::pin(connection::serve(stream, Protocol::Http1, routers.clone(), None, shutdown))
    };
    accept(listener, &control, PLAIN_CONNECTIONS_MAX, serve, shutdown, last_answers).await;
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: &TcpListener,
    control: &Control,
    connections_max: usize,
    serve: impl Fn(TcpStream, SocketAddr, CancellationToken) -> F,
    shutdown: CancellationToken,
    last_answers: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        // Nothing is lost when a branch is dropped: what was not accepted waits, what ended stays in the set.
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                control.metrics.open_connections.dec();
                if let Err(error) = ended {
                    tracing::error!(error = &error as &dyn std::error::Error, "a connection's task failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) if connections.len() < connections_max => {
                    // Small messages are to go at once; without it they still go.
                    drop(stream.set_nodelay(true));
                    control.metrics.open_connections.inc();
                    connections.spawn(serve(stream, remote, shutdown.clone()));
                }
                Ok((_, remote)) => {
                    control.metrics.connection_over_limit();
                    tracing::debug!(%remote, connections_max, "connection refused: there are too many");
                }
                // Out of descriptors, for example: those that are open go on, and end.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
    let last = async {
        while connections.join_next().await.is_some() {
            control.metrics.open_connections.dec();
        }
    };
    if tokio::time::timeout(last_answers, last).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut at the end");
    }
}
