//! REST over a unix socket: how the command line talks to the daemon of its host.
//!
//! The principal type is [`Client`]. Each request has a connection of its own and a deadline; answers are bounded.
//!
//! **Invariant:** no answer is waited for without a deadline, and none is read without a bound.
//! **Invariant:** a daemon that does not run is told apart from one that does not answer.

mod connection;
mod error;
mod events;

use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use events::{Event, Events};

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A way to the daemon behind a socket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
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
        Self { socket: socket.into(), deadline: DEADLINE }
    }

    /// The same client with another deadline for each request.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What is at `path`, which may end in a query.
    ///
    /// # Errors
    /// `NotRunning` when nobody listens, `Timeout` after the deadline, `Problem` or `Status` for a refusal, `TooLarge`
    /// for more than 16 MiB, `Unexpected` for what is not a `T`.
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

    /// Sends a request and takes the whole answer, whatever its status: a refusal is no error here.
    pub async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        let exchange = connection::exchange(&self.socket, method, path, body);
        tokio::time::timeout(self.deadline, exchange).await.map_err(|_| self.late())?
    }

    /// Opens a stream of server-sent events. The deadline holds for its beginning only. Errors as [`Client::get`].
    pub async fn events(&self, path: &str) -> Result<Events, ClientError> {
        let opened = Events::open(&self.socket, path);
        tokio::time::timeout(self.deadline, opened).await.map_err(|_| self.late())?
    }

    fn late(&self) -> ClientError {
        ClientError::Timeout { socket: self.socket.clone(), deadline: self.deadline }
    }
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
