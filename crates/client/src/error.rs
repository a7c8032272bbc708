//! Why there is no answer, or not the one that was hoped for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::Problem;
use nkudo_pki::{PkiError, TlsFault};

use crate::{Answer, Peer, Server};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the daemon does not run: nobody listens on {}; start it with `edge-agent run`", socket.display())]
    NotRunning { socket: PathBuf },
    #[error("`{uri}` {detail}; write it like http://127.0.0.1:8080 or https://cp.example.com:8443")]
    Uri { uri: String, detail: String },
    #[error("the authority's certificate cannot be used")]
    Authority { source: PkiError },
    #[error("the token has characters that no token has")]
    Token,
    #[error("{server}: the name cannot be resolved; look at its spelling and at this host's resolver")]
    Name { server: Server, source: io::Error },
    #[error("{server} refused the connection: nobody listens there")]
    Refused { server: Server },
    #[error("cannot connect to {peer}")]
    Connect { peer: Peer, source: io::Error },
    #[error("no connection to {server} within {deadline:?}; does a firewall let it through?")]
    ConnectTimeout { server: Server, deadline: Duration },
    #[error("no TLS with {server}: {fault}")]
    Tls { server: Server, fault: TlsFault },
    #[error("{peer} did not answer within {deadline:?}")]
    Timeout { peer: Peer, deadline: Duration },
    #[error("the request was refused")]
    Problem(#[source] Problem),
    #[error("the answer was {status} without a reason")]
    Status { status: u16 },
    #[error("the connection broke")]
    Broken { source: hyper::Error },
    #[error("the path {path} cannot be asked for")]
    Path { path: String, source: http::Error },
    #[error("the answer is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the answer is not what was asked for; is the other end of another version?")]
    Unexpected { source: serde_json::Error },
    #[error("the request cannot be written")]
    Encode { source: serde_json::Error },
}

pub(crate) fn connect_error(socket: &Path, source: io::Error) -> ClientError {
    let socket = socket.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
            ClientError::NotRunning { socket }
        }
        _ => ClientError::Connect { peer: Peer::Daemon(socket), source },
    }
}

pub(crate) fn refusal(answer: &Answer) -> ClientError {
    match serde_json::from_slice(&answer.body) {
        Ok(problem) => ClientError::Problem(problem),
        Err(_) => ClientError::Status { status: answer.status.as_u16() },
    }
}
