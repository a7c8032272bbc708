//! An agent's end: from a URL to an open connection, each step with its own failure.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use nkudo_pki::TlsFault;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};
use tracing::{Instrument as _, Span};

use crate::MESSAGE_MAX_BYTES;
use crate::convert::Heard;
use crate::error::{RpcError, RpcErrorKind};
use crate::generated as wire;
use crate::generated::agent_service_client::AgentServiceClient;
use crate::message::{Enrol, Enrolled, FromAgent, Heartbeat, HeartbeatAnswer, NewCertificate, ToAgent};
use crate::trace_context::traced;

/// The span of a call to the control plane.
macro_rules! call_span {
    ($level:ident, $name:literal) => {
        tracing::$level!($name, otel.kind = "client", error = tracing::field::Empty)
    };
}

/// How often a silent connection is asked whether it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);
/// Messages that may wait to be sent on a link.
const LINK_QUEUE_MAX: usize = 64;

/// Where a control plane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl Target {
    /// The port where a URL names none.
    const DEFAULT_PORT: u16 = 8443;
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("`{}` {what}; write it like https://cp.example.com:8443", nkudo_pki::shown_url(text))
        };
        let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(wrong("has no TLS, and agents speak over TLS only")),
            Some(_) | None => return Err(wrong("does not begin with https://")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("names a user"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(Self::DEFAULT_PORT) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

/// Why there is no connection, by the step that failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("DNS: the name {host} cannot be resolved; look at its spelling and at this host's resolver")]
    Dns { host: String, source: io::Error },
    #[error(
        "TCP: no connection to {addrs}; is the control plane running, and does a firewall let it through?"
    )]
    Tcp { addrs: String, source: io::Error },
    #[error("TLS: {0}")]
    Tls(TlsFault),
    #[error(
        "no answer from {target} within {} s{}", deadline.as_secs(),
        if *reached { "; its host took the connection and said nothing on it" } else { "" }
    )]
    Deadline {
        target: Target,
        deadline: Duration,
        /// There was a TCP connection.
        reached: bool,
    },
    #[error("{host} is neither a DNS name nor an address")]
    Name { host: String },
    #[error("the connection to {target} was not taken up")]
    Http2 { target: Target, source: tonic::transport::Error },
}

/// An open connection to a control plane. Cheap to clone. It is not mended when it breaks: its owner opens another.
#[derive(Debug, Clone)]
pub struct Connection {
    client: AgentServiceClient<Channel>,
    fault: FaultSlot,
}

/// What the TLS layer complained of after the handshake: in TLS 1.3 a server refuses a client's certificate only then.
type FaultSlot = Arc<Mutex<Option<TlsFault>>>;

impl Connection {
    /// Resolves, connects, shakes hands, all within `deadline`.
    pub async fn open(
        target: &Target,
        tls: Arc<rustls::ClientConfig>,
        deadline: Duration,
    ) -> Result<Self, ConnectError> {
        let reached = AtomicBool::new(false);
        let opened = tokio::time::timeout(deadline, Self::open_unbounded(target, tls, &reached)).await;
        opened.unwrap_or_else(|_| {
            let reached = reached.load(Ordering::Relaxed);
            Err(ConnectError::Deadline { target: target.clone(), deadline, reached })
        })
    }

    async fn open_unbounded(
        target: &Target,
        tls: Arc<rustls::ClientConfig>,
        reached: &AtomicBool,
    ) -> Result<Self, ConnectError> {
        let tcp = connect_tcp(target).await?;
        reached.store(true, Ordering::Relaxed);
        Self::over(tcp, target, tls).await
    }

    /// Shakes hands over a stream that somebody else has opened to `target`; without a deadline of its own.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        target: &Target,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, ConnectError> {
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| ConnectError::Name { host: target.host.clone() })?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| {
            ConnectError::Tls(TlsFault::from_io(&error).unwrap_or_else(|| TlsFault::Other(error.to_string())))
        })?;
        let fault = FaultSlot::default();
        let watched = Watched { stream, fault: Arc::clone(&fault) };
        let http2 = |source| ConnectError::Http2 { target: target.clone(), source };
        let endpoint = Endpoint::from_shared(target.to_string())
            .map_err(http2)?
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
            .keep_alive_while_idle(true);
        let mut once = Some(watched);
        let connector = tower::service_fn(move |_| {
            let taken = once.take().map(TokioIo::new);
            async move { taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let channel =
            endpoint.connect_with_connector(connector).await.map_err(|source| match told(&fault) {
                // In TLS 1.3 the server looks at the client's certificate only after the handshake of the client is over.
                Some(fault) => ConnectError::Tls(fault),
                None => http2(source),
            })?;
        // What is too large to send is refused by the other end, with its words.
        let client = AgentServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(usize::MAX);
        Ok(Self { client, fault })
    }

    /// A failed call; where TLS is to blame, in its words.
    fn failed(&self, status: &Status) -> RpcError {
        match told(&self.fault) {
            Some(fault) => RpcError::new(RpcErrorKind::Tls, fault.to_string()),
            None => RpcError::from_status(status),
        }
    }

    /// The answer to a call, which is made and answered in this span.
    async fn answer<A>(
        &self,
        span: Span,
        call: impl Future<Output = Result<Response<A>, Status>>,
    ) -> Result<A, RpcError> {
        let answer = call.instrument(span.clone()).await.map_err(|status| self.failed(&status));
        if let Err(error) = &answer {
            span.record("error", error as &dyn std::error::Error);
        }
        answer.map(Response::into_inner)
    }

    pub async fn enrol(&self, enrol: Enrol) -> Result<Enrolled, RpcError> {
        let Enrol { token, csr_pem, facts } = enrol;
        let request = wire::EnrollRequest { token, csr_pem, facts: Some(facts.into()) };
        let call = async { self.client.clone().enroll(traced(request)).await };
        Ok(self.answer(call_span!(info_span, "call Enroll"), call).await?.try_into()?)
    }

    pub async fn renew(&self, csr_pem: String) -> Result<NewCertificate, RpcError> {
        let call = async { self.client.clone().renew(traced(wire::RenewRequest { csr_pem })).await };
        Ok(self.answer(call_span!(info_span, "call Renew"), call).await?.into())
    }

    pub async fn unenrol(&self) -> Result<(), RpcError> {
        let call = async { self.client.clone().unenroll(traced(wire::UnenrollRequest {})).await };
        self.answer(call_span!(info_span, "call Unenroll"), call).await.map(drop)
    }

    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatAnswer, RpcError> {
        let request: wire::HeartbeatRequest = heartbeat.into();
        let call = async { self.client.clone().heartbeat(traced(request)).await };
        // Made every few seconds.
        Ok(self.answer(call_span!(debug_span, "call Heartbeat"), call).await?.into())
    }

    /// Opens the link; the first message each way is a hello.
    pub async fn link(&self) -> Result<(LinkSender, LinkReceiver), RpcError> {
        let (sender, queue) = tokio::sync::mpsc::channel(LINK_QUEUE_MAX);
        let call = async { self.client.clone().link(traced(ReceiverStream::new(queue))).await };
        let stream = self.answer(call_span!(info_span, "call Link"), call).await?;
        Ok((LinkSender(Some(sender)), LinkReceiver { stream, connection: self.clone() }))
    }
}

/// Where an agent speaks.
#[derive(Debug)]
pub struct LinkSender(Option<tokio::sync::mpsc::Sender<wire::AgentMessage>>);

impl LinkSender {
    /// Waits for room for one message; none when the link is over. Cancel safe.
    pub async fn room(&self) -> Option<Room> {
        self.0.clone()?.reserve_owned().await.ok().map(Room)
    }

    /// Nothing more will be said; what was said is still heard.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

/// Room for one message on a link.
#[derive(Debug)]
pub struct Room(tokio::sync::mpsc::OwnedPermit<wire::AgentMessage>);

impl Room {
    pub fn send(self, message: FromAgent) {
        self.0.send(message.into());
    }
}

/// Where an agent hears.
#[derive(Debug)]
pub struct LinkReceiver {
    stream: Streaming<wire::ServerMessage>,
    connection: Connection,
}

impl LinkReceiver {
    /// The next message; none when the control plane has closed the link. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Heard<ToAgent>>, RpcError> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message.try_into())),
            Some(Err(status)) => Err(self.connection.failed(&status)),
        }
    }
}

fn told(fault: &FaultSlot) -> Option<TlsFault> {
    fault.lock().ok()?.clone()
}

async fn connect_tcp(target: &Target) -> Result<TcpStream, ConnectError> {
    let resolved = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addrs: Vec<SocketAddr> =
        resolved.map_err(|source| ConnectError::Dns { host: target.host.clone(), source })?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in &addrs {
        match TcpStream::connect(addr).await {
            Ok(stream) => {
                // Small messages are to go at once; without it they still go.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    let addrs = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(ConnectError::Tcp { addrs, source: last })
}

/// A TLS stream that remembers what TLS complained of.
struct Watched<S> {
    stream: TlsStream<S>,
    fault: FaultSlot,
}

impl<S> Watched<S> {
    fn remember<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && let Some(fault) = TlsFault::from_io(error)
            && let Ok(mut slot) = self.fault.lock()
        {
            slot.get_or_insert(fault);
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        Poll::Ready(self.remember(read))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.remember(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
