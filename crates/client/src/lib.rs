//! REST over a unix socket or over the network: how command lines talk to the daemon of their host and to a control
//! plane.
//!
//! The principal type is [`Client`]. Each request has a connection of its own and a deadline; answers are bounded.
//!
//! **Invariant:** no answer is waited for without a deadline, and none is read without a bound.
//! **Invariant:** a daemon that does not run is told apart from one that does not answer.
//! **Invariant:** a token is in no error and in no `Debug`, and goes to nobody but the server that was named.

mod connection;
mod error;
mod events;
mod peer;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use events::{Event, Events};
pub use nkudo_pki::{TlsFault, shown_url};
pub use peer::{Peer, Server};

use crate::connection::Way;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A way to the daemon behind a socket, or to a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    way: Way,
    deadline: Duration,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// At most 16 MiB.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the daemon that listens on this socket.
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self { way: Way::Unix(socket.into()), deadline: DEADLINE }
    }

    /// A client of the server at `uri`, like `http://127.0.0.1:8080`. The token goes over the wire as it is: without TLS
    /// it belongs on this host only.
    ///
    /// # Errors
    /// `Uri` for what is no such address, `Token` for a token that no header can carry.
    pub fn http(uri: &str, token: Option<&SecretString>) -> Result<Self, ClientError> {
        let way = Way::Http { server: Server::parse(uri, "http")?, bearer: bearer(token)? };
        Ok(Self { way, deadline: DEADLINE })
    }

    /// A client of the server at `uri`, like `https://cp.example.com:8443`, over TLS 1.3. The server must show a
    /// certificate that the authority in `ca_pem` has signed, for the name or address in `uri`.
    ///
    /// # Errors
    /// As [`Client::http`], and `Authority` for what is no authority's certificate.
    pub fn https(uri: &str, ca_pem: &str, token: Option<&SecretString>) -> Result<Self, ClientError> {
        let server = Server::parse(uri, "https")?;
        let name = server.name()?;
        let tls = nkudo_pki::trusting_client(ca_pem).map_err(|source| ClientError::Authority { source })?;
        Ok(Self { way: Way::Https { server, name, tls, bearer: bearer(token)? }, deadline: DEADLINE })
    }

    /// The same client with another deadline for each request.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Who is talked to.
    pub fn peer(&self) -> Peer {
        self.way.peer()
    }

    /// What is at `path`, which may end in a query.
    ///
    /// # Errors
    /// `NotRunning`, `Name`, `Refused`, `Connect`, `ConnectTimeout` or `Tls` where there is no connection, `Timeout`
    /// after the deadline, `Problem` or `Status` for a refusal, `TooLarge` for more than 16 MiB, `Unexpected` for what
    /// is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(&self.request(Method::GET, path, Vec::new()).await?)
    }

    /// Sends `body` as JSON. Errors as [`Client::get`], and `Encode` for what is no JSON.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        read(&self.request(Method::POST, path, encode(body)?).await?)
    }

    /// Puts `body` as JSON. Errors as [`Client::post`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        read(&self.request(Method::PUT, path, encode(body)?).await?)
    }

    /// Deletes what is at `path`. Errors as [`Client::get`], save that no body is expected.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        let answer = self.request(Method::DELETE, path, Vec::new()).await?;
        if answer.status.is_success() { Ok(()) } else { Err(error::refusal(&answer)) }
    }

    /// Sends a request and takes the whole answer, whatever its status: a refusal is no error here.
    pub async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        let exchange = connection::exchange(&self.way, method, path, body);
        tokio::time::timeout(self.deadline, exchange).await.map_err(|_| self.late())?
    }

    /// Opens a stream of server-sent events. The deadline holds for its beginning only. Errors as [`Client::get`].
    pub async fn events(&self, path: &str) -> Result<Events, ClientError> {
        let opened = Events::open(&self.way, path);
        tokio::time::timeout(self.deadline, opened).await.map_err(|_| self.late())?
    }

    fn late(&self) -> ClientError {
        ClientError::Timeout { peer: self.peer(), deadline: self.deadline }
    }
}

/// The token as a header that `Debug` does not show.
fn bearer(token: Option<&SecretString>) -> Result<Option<HeaderValue>, ClientError> {
    let Some(token) = token else { return Ok(None) };
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| ClientError::Token)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|source| ClientError::Encode { source })
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ClientError> {
    if answer.status.is_success() {
        serde_json::from_slice(&answer.body).map_err(|source| ClientError::Unexpected { source })
    } else {
        Err(error::refusal(answer))
    }
}
