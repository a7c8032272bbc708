//! Where lines go.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nkudo_metrics_core::Counter;

/// Takes lines, each whole and with its line feed.
pub trait Output: Send + Sync + 'static {
    fn write_line(&self, line: &[u8]) -> io::Result<()>;
}

/// Lines that wait for standard error; more are dropped and counted.
const QUEUE_MAX: usize = 4_096;

/// Standard error, written by a thread of its own: a reader that does not read keeps nobody waiting.
#[derive(Debug, Clone)]
pub(crate) struct Stderr(SyncSender<Message>);

enum Message {
    Line(Vec<u8>),
    /// Everything before this was written; say so.
    Flush(SyncSender<()>),
}

impl Stderr {
    /// Starts the thread. It ends with the program.
    pub(crate) fn start(dropped: Counter) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&receiver, &dropped))?;
        Ok(Self(sender))
    }

    /// Waits until what was logged before is written, or the time is over. Says whether it was.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let (written, is_written) = sync_channel(1);
        // A full queue has a reader that does not read: there is nothing to wait for.
        self.0.try_send(Message::Flush(written)).is_ok() && is_written.recv_timeout(deadline).is_ok()
    }
}

impl Output for Stderr {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let full = |_| io::Error::from(io::ErrorKind::WouldBlock);
        self.0.try_send(Message::Line(line.to_vec())).map_err(full)
    }
}

/// A line that cannot be written is lost and counted; the next may be written again.
fn write_all(lines: &Receiver<Message>, dropped: &Counter) {
    let mut stderr = io::stderr();
    for message in lines {
        match message {
            Message::Line(line) => {
                if stderr.write_all(&line).is_err() {
                    dropped.inc();
                }
            }
            // Whoever does not wait any more need not hear it.
            Message::Flush(written) => drop(written.try_send(())),
        }
    }
}

/// Lines in memory, for tests. Cheap to clone; all clones hold the same lines.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Everything written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Output for Lines {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(())
    }
}
