//! One connection: its protocol, its deadlines, and which router answers a request.

mod activity;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nkudo_rpc::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Routers;
use crate::grpc;
use crate::rest::Refused;
use activity::Activity;

/// How long a client may take to send the head of a request. It also ends connections on which nothing is asked.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Largest head of a request that is read, in bytes; beyond it the connection is ended with a bare 431.
const HEAD_READ_MAX_BYTES: usize = 64 << 10;
/// Largest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 16 << 10;
/// Most header lines of a request.
const HEADERS_MAX: usize = 128;
/// Open requests of one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// What one HTTP/2 stream may have waiting to be sent, in bytes.
const SEND_BUFFER_MAX_BYTES: usize = 64 << 10;
/// How often a silent HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);

/// How long an HTTP/2 connection may go without an open request: one that is kept for the next, or for nothing.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// How long a connection may take to end after it was told that nothing more is answered on it.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(5);

/// What is spoken, agreed in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection until it ends; at `shutdown` it answers what was asked and closes.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    protocol: Protocol,
    routers: Routers,
    caller: Option<Caller>,
    shutdown: CancellationToken,
) {
    let activity = Arc::new(Activity::default());
    let counted = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = counted.begin();
        let (routers, caller) = (routers.clone(), caller.clone());
        async move { Ok::<_, Infallible>(open.until_end_of(answer(routers, caller, request).await)) }
    });
    let io = TokioIo::new(stream);
    let ended = match protocol {
        Protocol::Http1 => {
            let mut served = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_DEADLINE)
                    .max_buf_size(HEAD_READ_MAX_BYTES)
                    .max_headers(HEADERS_MAX)
                    .serve_connection(io, service)
            );
            tokio::select! {
                ended = served.as_mut() => ended,
                () = shutdown.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    poll_fn(|context| served.as_mut().poll(context)).await
                }
            }
        }
        Protocol::Http2 => {
            let tasks = Tasks(TaskTracker::new());
            let mut served = pin!(
                http2::Builder::new(tasks.clone())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS_MAX)
                    .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX))
                    .max_send_buf_size(SEND_BUFFER_MAX_BYTES)
                    .keep_alive_interval(KEEP_ALIVE_INTERVAL)
                    .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
                    .serve_connection(io, service)
            );
            let ended = tokio::select! {
                ended = served.as_mut() => ended,
                () = activity.idle(HEAD_DEADLINE, IDLE_MAX) => {
                    served.as_mut().graceful_shutdown();
                    let farewell = poll_fn(|context| served.as_mut().poll(context));
                    tokio::time::timeout(FAREWELL_DEADLINE, farewell).await.unwrap_or(Ok(()))
                }
                () = shutdown.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    poll_fn(|context| served.as_mut().poll(context)).await
                }
            };
            tasks.0.close();
            // Their streams are reset by now; what still works on an answer for nobody is not waited for.
            drop(tokio::time::timeout(FAREWELL_DEADLINE, tasks.0.wait()).await);
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

/// The tasks of one HTTP/2 connection.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send + 'static> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}

async fn answer(routers: Routers, caller: Option<Caller>, request: Request<Incoming>) -> Response<Body> {
    let mut request = request.map(Body::new);
    if head_bytes(request.headers()) > HEAD_MAX_BYTES {
        let detail = format!("the headers are larger than {HEAD_MAX_BYTES} bytes together");
        return Refused::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail).into_response();
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    match &routers.grpc {
        Some(router) if is_grpc(request.headers()) => {
            let (started, route) = (Instant::now(), grpc::route(request.uri().path()));
            let response = infallible(router.clone().oneshot(request).await);
            let (status, size) = (response.status().as_u16(), response.body().size_hint().exact());
            routers.control.metrics.request("POST", route, status, started.elapsed(), 0, size);
            response
        }
        Some(_) | None => infallible(routers.rest.clone().oneshot(request).await),
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
