//! Why there is no answer, or not the one that was hoped for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::Problem;

use crate::Answer;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the daemon does not run: nobody listens on {}; start it with `edge-agent run`", socket.display())]
    NotRunning { socket: PathBuf },
    #[error("cannot connect to {}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the daemon behind {} did not answer within {deadline:?}", socket.display())]
    Timeout { socket: PathBuf, deadline: Duration },
    #[error("the daemon refused")]
    Problem(#[source] Problem),
    #[error("the daemon answered {status} without a reason")]
    Status { status: u16 },
    #[error("the connection to the daemon broke")]
    Broken { source: hyper::Error },
    #[error("the path {path} cannot be asked for")]
    Path { path: String, source: http::Error },
    #[error("the answer is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("the answer is not what was asked for; is the daemon of another version?")]
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
        _ => ClientError::Connect { socket, source },
    }
}

pub(crate) fn refusal(answer: &Answer) -> ClientError {
    match serde_json::from_slice(&answer.body) {
        Ok(problem) => ClientError::Problem(problem),
        Err(_) => ClientError::Status { status: answer.status.as_u16() },
    }
}
