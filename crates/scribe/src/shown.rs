//! What everybody may know of the writer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nkudo_audit::Head;

/// Whether something new may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Free,
    /// Only what makes an end of something.
    Reserve,
    /// Nothing: the log is full.
    None,
    /// Nothing: the log cannot be written. [`Scribe::trouble`](crate::Scribe::trouble) says why.
    Broken,
}

/// How the writer does.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) room: Room,
    /// Why there is not room for everything, or what others left does not reach the log.
    pub(crate) trouble: Option<String>,
    /// How far the log is durable; none before it was opened.
    pub(crate) head: Option<Head>,
    /// Where the log ended when it was opened, until somebody elsewhere knows.
    pub(crate) opened: Option<Head>,
    /// What was not let in for want of room, and is not written yet.
    pub(crate) refused: u64,
}

/// Written by the thread, read by everybody.
#[derive(Debug)]
pub(crate) struct Shown(Mutex<Standing>);

impl Shown {
    pub(crate) fn new() -> Shown {
        Shown(Mutex::new(Standing {
            room: Room::Broken,
            trouble: None,
            head: None,
            opened: None,
            refused: 0,
        }))
    }

    pub(crate) fn with(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
