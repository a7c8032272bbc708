//! One request on one connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, Fuse, FutureExt, select};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nkudo_pki::TlsFault;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{ClientError, connect_error};
use crate::{Answer, Peer, Server};

/// Largest answer that is taken, in bytes.
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// How long a connection may take to come about, with name, TCP and TLS.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How a connection is made, and who says they are asking.
#[derive(Clone)]
pub(crate) enum Way {
    Unix(PathBuf),
    Http {
        server: Server,
        bearer: Option<HeaderValue>,
    },
    Https {
        server: Server,
        name: ServerName<'static>,
        tls: Arc<rustls::ClientConfig>,
        bearer: Option<HeaderValue>,
    },
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.peer().fmt(f)
    }
}

impl Way {
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Unix(socket) => Peer::Daemon(socket.clone()),
            Self::Http { server, .. } | Self::Https { server, .. } => Peer::Server(server.clone()),
        }
    }

    /// What the `Host` header says.
    fn host(&self) -> String {
        match self {
            Self::Unix(_) => "agent".to_owned(),
            Self::Http { server, .. } | Self::Https { server, .. } => server.authority(),
        }
    }

    fn bearer(&self) -> Option<&HeaderValue> {
        match self {
            Self::Unix(_) => None,
            Self::Http { bearer, .. } | Self::Https { bearer, .. } => bearer.as_ref(),
        }
    }

    async fn connect(&self) -> Result<Connected, ClientError> {
        match self {
            Self::Unix(socket) => {
                let stream = nkudo_host::unix::connect(socket).await;
                handshake(stream.map_err(|source| connect_error(socket, source))?).await
            }
            Self::Http { server, .. } => handshake(bounded(server, dial(server)).await?).await,
            Self::Https { server, name, tls, .. } => {
                let stream = bounded(server, async {
                    let tcp = dial(server).await?;
                    encrypt(server, name, tls, tcp).await
                });
                handshake(Box::pin(stream).await?).await
            }
        }
    }
}

/// What moves the bytes of a connection. It must be polled for the answer to come; once it has ended it may be polled
/// further.
pub(crate) type Driver = Fuse<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>;

/// Where a request is given, and what moves it.
type Connected = (SendRequest<Full<Bytes>>, Driver);

async fn handshake<S>(stream: S) -> Result<Connected, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|source| ClientError::Broken { source })?;
    let connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> = Box::pin(connection);
    Ok((sender, connection.fuse()))
}

async fn bounded<T>(
    server: &Server,
    connect: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(CONNECT_DEADLINE, connect).await.unwrap_or_else(|_| {
        Err(ClientError::ConnectTimeout { server: server.clone(), deadline: CONNECT_DEADLINE })
    })
}

/// A TCP connection to the first of the server's addresses that takes one.
async fn dial(server: &Server) -> Result<TcpStream, ClientError> {
    let resolved = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let addrs: Vec<SocketAddr> =
        resolved.map_err(|source| ClientError::Name { server: server.clone(), source })?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for addr in addrs {
        match TcpStream::connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    let server = server.clone();
    Err(match last.kind() {
        io::ErrorKind::ConnectionRefused => ClientError::Refused { server },
        _ => ClientError::Connect { peer: Peer::Server(server), source: last },
    })
}

async fn encrypt(
    server: &Server,
    name: &ServerName<'static>,
    tls: &Arc<rustls::ClientConfig>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let server = server.clone();
    TlsConnector::from(Arc::clone(tls)).connect(name.clone(), tcp).await.map_err(|source| {
        match TlsFault::from_io(&source) {
            Some(fault) => ClientError::Tls { server, fault },
            None => ClientError::Connect { peer: Peer::Server(server), source },
        }
    })
}

/// Connects and sends a request; gives the answer's head and what brings its body.
pub(crate) async fn open(
    way: &Way,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(Response<Incoming>, Driver), ClientError> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, way.host())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|source| ClientError::Path { path: path.to_owned(), source })?;
    if let Some(bearer) = way.bearer() {
        request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
    }
    let (mut sender, mut driver) = way.connect().await?;
    let sent = while_driven(&mut driver, sender.send_request(request)).await;
    let response = sent.map_err(|source| ClientError::Broken { source })?;
    Ok((response, driver))
}

/// Waits for `work` and moves the connection's bytes meanwhile. A connection that ends lets the work see it.
/// As cancel safe as `work` is: the connection stays where it was.
pub(crate) async fn while_driven<T>(driver: &mut Driver, work: impl Future<Output = T>) -> T {
    let work = std::pin::pin!(work);
    match select(work, driver).await {
        Either::Left((done, _)) => done,
        Either::Right((_ended, work)) => work.await,
    }
}

/// A request with its whole answer.
pub(crate) async fn exchange(
    way: &Way,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Answer, ClientError> {
    let (response, mut driver) = open(way, method, path, body).await?;
    whole(response, &mut driver).await
}

/// The answer to a response's head, with its body as far as the bound.
pub(crate) async fn whole(response: Response<Incoming>, driver: &mut Driver) -> Result<Answer, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect();
    match while_driven(driver, body).await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes().to_vec() }),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ClientError::TooLarge { max_bytes: ANSWER_MAX_BYTES })
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(ClientError::Broken { source: *source }),
            Err(_) => Err(ClientError::Status { status: status.as_u16() }),
        },
    }
}
