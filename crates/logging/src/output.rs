//! Where lines go.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes lines, each whole and with its line feed.
pub trait Output: Send + Sync + 'static {
    fn write_line(&self, line: &[u8]) -> io::Result<()>;
}

/// Standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

impl Output for Stderr {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(line)
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
