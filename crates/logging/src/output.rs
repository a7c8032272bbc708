//! Where lines go.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes lines.
pub trait Output: Send + Sync + 'static {
    /// Writes one or several whole lines, each with its line feed.
    ///
    /// # Errors
    /// When they were not all written: they are counted as dropped.
    fn write_lines(&self, lines: &[u8]) -> io::Result<()>;
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
    fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }
}
