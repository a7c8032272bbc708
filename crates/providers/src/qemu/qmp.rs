//! QEMU's monitor protocol: one connection, a few commands, one deadline.
//!
//! QEMU talks to one client at a time on a socket; the next one waits for its turn, within its own deadline. The
//! protocol: <https://www.qemu.org/docs/master/interop/qmp-spec.html>.

use std::io;
use std::path::Path;
use std::time::Duration;

use nkudo_domain::VmId;
use nkudo_host::unix;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::field::{Empty, debug};
use tracing::{Instrument as _, Span};

use crate::error::ProviderError;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How much of a line that is not understood is told, in characters.
const EXCERPT_CHARS: usize = 80;
/// How soon a connection is tried again when QEMU's queue of clients is full.
const FULL_QUEUE_RETRY: Duration = Duration::from_millis(5);

/// Why a command has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// What was being done.
    pub(super) command: &'static str,
    pub(super) reason: Reason,
}

#[derive(Debug)]
pub(super) enum Reason {
    /// Nobody listens.
    Unreachable(io::Error),
    /// No whole answer in time.
    Silent { deadline: Duration },
    /// The connection was closed before the answer was whole.
    Ended,
    /// Something else than QMP.
    Garbage(String),
    /// QEMU will not.
    Refused(String),
}

impl Failure {
    /// As the provider tells it.
    pub(super) fn of(self, vm_id: VmId, socket: &Path) -> ProviderError {
        let command = self.command;
        match self.reason {
            Reason::Unreachable(source) => {
                ProviderError::File { operation: "cannot connect to", path: socket.to_owned(), source }
            }
            Reason::Silent { deadline } => {
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                ProviderError::Silent { vm_id, command, deadline_ms }
            }
            Reason::Ended => ProviderError::EndedDuring { vm_id, command },
            Reason::Garbage(detail) => ProviderError::Garbage { vm_id, command, detail },
            Reason::Refused(detail) => ProviderError::Refused { vm_id, command, detail },
        }
    }
}

/// Gives the commands one after the other, without arguments, and tells the answer of the last. Cancel safe but for
/// the commands: one that was sent may be carried out.
pub(super) async fn execute(
    socket: &Path,
    commands: &[&'static str],
    deadline: Duration,
) -> Result<Value, Failure> {
    // No span: a QEMU that starts is tried again every few milliseconds until it listens.
    let mut session = Session::open(socket, deadline).await?;
    let mut answer = Value::Null;
    for command in commands {
        let span = command_span(command);
        let answered = session.execute(command).instrument(span.clone()).await;
        if let Err(failure) = &answered {
            span.record("error", debug(&failure.reason));
        }
        answer = answered?;
    }
    Ok(answer)
}

/// Names of spans are written in the program, so the commands are as well.
fn command_span(command: &'static str) -> Span {
    macro_rules! named {
        ($($command:literal),+) => {
            match command {
                $($command => {
                    nkudo_spans::step!(concat!("qmp ", $command), otel.kind = "client", error = Empty)
                })+
                _ => nkudo_spans::step!("qmp command", otel.kind = "client", command, error = Empty),
            }
        };
    }
    named!("query-status", "query-blockstats", "stop", "cont", "system_powerdown", "quit")
}

/// One connection. Dropping it closes it.
struct Session {
    stream: BufReader<UnixStream>,
    command: &'static str,
    last_id: u64,
    deadline: Duration,
    ends_at: Instant,
}

/// Everything that QEMU says after its greeting.
#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    desc: String,
}

impl Session {
    /// Connects, is greeted and settles on the protocol's capabilities.
    async fn open(socket: &Path, deadline: Duration) -> Result<Session, Failure> {
        let ends_at = Instant::now() + deadline;
        let command = "connect";
        let reason = match timeout_at(ends_at, connect(socket)).await {
            Ok(Ok(stream)) => {
                let stream = BufReader::new(stream);
                let mut session = Session { stream, command: "greeting", last_id: 0, deadline, ends_at };
                session.expect_greeting().await?;
                session.execute("qmp_capabilities").await?;
                return Ok(session);
            }
            Ok(Err(error)) => Reason::Unreachable(error),
            Err(_) => Reason::Silent { deadline },
        };
        Err(Failure { command, reason })
    }

    async fn expect_greeting(&mut self) -> Result<(), Failure> {
        let line = self.line().await?;
        match serde_json::from_slice::<Value>(&line) {
            Ok(greeting) if greeting.get("QMP").is_some() => Ok(()),
            Ok(_) | Err(_) => Err(self.garbage(&line)),
        }
    }

    async fn execute(&mut self, command: &'static str) -> Result<Value, Failure> {
        self.command = command;
        self.last_id += 1;
        self.send(json!({ "execute": command, "id": self.last_id }).to_string()).await?;
        loop {
            let line = self.line().await?;
            let Ok(message) = serde_json::from_slice::<Message>(&line) else {
                return Err(self.garbage(&line));
            };
            match message {
                Message { event: Some(_), .. } => {}
                Message { id, answer: Some(answer), .. } if id == Some(self.last_id) => return Ok(answer),
                Message { id, error: Some(refusal), .. } if id == Some(self.last_id) => {
                    return Err(self.failure(Reason::Refused(refusal.desc)));
                }
                Message { .. } => return Err(self.garbage(&line)),
            }
        }
    }

    async fn send(&mut self, mut line: String) -> Result<(), Failure> {
        line.push('\n');
        match timeout_at(self.ends_at, self.stream.get_mut().write_all(line.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.failure(Reason::Ended)),
            Err(_) => Err(self.failure(Reason::Silent { deadline: self.deadline })),
        }
    }

    /// One line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        loop {
            let piece = match timeout_at(self.ends_at, self.stream.fill_buf()).await {
                Ok(Ok(piece)) if !piece.is_empty() => piece,
                Ok(Ok(_) | Err(_)) => return Err(self.failure(Reason::Ended)),
                Err(_) => return Err(self.failure(Reason::Silent { deadline: self.deadline })),
            };
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(piece.len());
            line.extend_from_slice(&piece[..taken]);
            self.stream.consume(taken + usize::from(end.is_some()));
            if line.len() > LINE_BYTES_MAX {
                return Err(self.failure(Reason::Garbage(format!("a line of over {LINE_BYTES_MAX} bytes"))));
            }
            if end.is_some() {
                return Ok(line);
            }
        }
    }

    fn failure(&self, reason: Reason) -> Failure {
        Failure { command: self.command, reason }
    }

    fn garbage(&self, line: &[u8]) -> Failure {
        let excerpt = String::from_utf8_lossy(line).trim().chars().take(EXCERPT_CHARS).collect();
        self.failure(Reason::Garbage(excerpt))
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match unix::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL_QUEUE_RETRY).await,
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests;
