//! What waits to be written to the log.

use nkudo_audit::Entry;

/// An entry on its way to the log.
pub(crate) struct Pending {
    pub(crate) entry: Entry<'static>,
    /// Nobody can tell it again: where the log does not take it, it is left as a note.
    pub(crate) told_once: bool,
}

/// One that is made again when this program ends before it is written, or stands somewhere else.
impl From<Entry<'static>> for Pending {
    fn from(entry: Entry<'static>) -> Self {
        Self { entry, told_once: false }
    }
}
