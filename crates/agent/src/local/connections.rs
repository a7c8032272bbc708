//! The connections of the local socket: so many, each with a deadline for its request's head and body.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send the head of a request. It also ends connections on which nothing is asked.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How soon connections are accepted again after one could not be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long requests that are open at the end may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then lets open requests be answered within a bound. What is still open after that is cut; a
/// client asks again with the same action_id.
pub(super) async fn serve(listener: UnixListener, router: Router, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        // Nothing is lost when a branch is dropped: what was not accepted waits, what ended stays in the set.
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                match accepted {
                    Ok((stream, _)) => drop(connections.spawn(serve_one(stream, router.clone(), shutdown.clone()))),
                    // Out of descriptors, for example: those that are open go on, and end.
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the local socket was not accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                }
            }
        }
    }
    let last = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, last).await.is_err() {
        tracing::debug!("requests were cut at the end");
    }
}

async fn serve_one(stream: UnixStream, router: Router, shutdown: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    // A connection that is told to end answers what was asked and closes.
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            poll_fn(|context| served.as_mut().poll(context)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection of the local socket broke");
    }
}
