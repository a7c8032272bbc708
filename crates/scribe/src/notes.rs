//! Entries of a program that does not write the log itself: files that the writer takes up.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nkudo_audit::{Entry, FieldValue};
use nkudo_journal::{Disk, atomic_replace};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::book::Book;
use crate::error::{NoteError, ScribeError};
use crate::metrics::ScribeMetrics;
use crate::owner::OwnersDisk;
use crate::pending::Pending;
use crate::place::{Options, Place};

/// Notes that are taken up at once.
const TAKEN_MAX: usize = 256;
/// Notes that a program leaves which could not write the log, together with those that are there.
pub(crate) const LEFT_MAX: usize = 1_024;
/// A note longer than this is none.
const NOTE_MAX_BYTES: u64 = 256 * 1024;
const EXTENSION: &str = ".json";
/// What is no note is renamed to this and left.
const STRANGE: &str = ".unreadable";

/// An entry in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    timestamp: Timestamp,
    component: String,
    operation: String,
    actor: String,
    outcome: String,
    fields: Map<String, Value>,
}

impl From<&Entry<'_>> for Note {
    fn from(entry: &Entry<'_>) -> Note {
        let value = |value: &FieldValue<'_>| match value {
            FieldValue::Text(text) => Value::from(text.as_ref()),
            FieldValue::Integer(number) => Value::from(*number),
            FieldValue::Count(number) => Value::from(*number),
            FieldValue::Flag(flag) => Value::from(*flag),
        };
        Note {
            timestamp: entry.at(),
            component: entry.component().to_owned(),
            operation: entry.operation().to_owned(),
            actor: entry.actor().to_owned(),
            outcome: entry.outcome().to_owned(),
            fields: entry.fields().map(|(name, field)| (name.to_owned(), value(field))).collect(),
        }
    }
}

impl From<Note> for Entry<'static> {
    fn from(note: Note) -> Entry<'static> {
        let Note { timestamp, component, operation, actor, outcome, fields } = note;
        let entry = Entry::new(timestamp, component, operation, actor, outcome);
        fields.into_iter().fold(entry, |entry, (name, value)| match value {
            Value::String(text) => entry.field(name, text),
            Value::Bool(flag) => entry.field(name, flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => entry.field(name, number),
                (None, Some(number)) => entry.field(name, number),
                (None, None) => entry.field(name, number.to_string()),
            },
            other @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                entry.field(name, other.to_string())
            }
        })
    }
}

/// Has entries written by whoever writes the log of this place: by this program while nobody else does, and by the other
/// within a second otherwise. On its return they are on the disk, in the log or as notes. Nothing is pruned, whatever its
/// age: that is for the program whose log it is, which knows for how long lines are kept.
///
/// # Errors
/// When they are not.
pub fn leave(
    place: &Place,
    options: Options,
    entries: Vec<Entry<'static>>,
    now: Timestamp,
) -> Result<(), ScribeError> {
    let options = Options { keep: Duration::MAX, ..options };
    let disk = OwnersDisk::within(place.dir());
    let mut notes = NoteWriter::default();
    let mut book = Book::new(disk, place.clone(), options, ScribeMetrics::default());
    book.tick(now, Duration::ZERO);
    // Notes of before that did not reach the log are there still; these would come before them.
    let left = if book.is_settled() {
        book.take(entries.into_iter().map(Pending::from).collect(), now);
        book.close(now);
        book.into_waiting()
    } else {
        entries
    };
    left.iter().try_for_each(|entry| notes.write(&disk, &place.notes, entry, now))
}

/// Leaves notes.
#[derive(Debug, Default)]
pub(crate) struct NoteWriter {
    /// Of this program so far.
    written: u64,
    /// How many there are that nobody has taken up, once that is known.
    left: Option<usize>,
}

impl NoteWriter {
    /// Writes a note of an entry, and tells whether it is on the disk: not where there are many that nobody has taken up.
    pub(crate) fn leave<D: Disk>(&mut self, disk: &D, dir: &Path, entry: &Entry<'_>, now: Timestamp) -> bool {
        let left = *self.left.get_or_insert_with(|| disk.list(dir).map_or(0, |names| names.len()));
        if left >= LEFT_MAX {
            return false;
        }
        let written = self.write(disk, dir, entry, now);
        if let Err(error) = &written {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "a line waits for the audit log in memory only"
            );
        }
        self.left = Some(left + usize::from(written.is_ok()));
        written.is_ok()
    }

    /// Some may have been taken up.
    pub(crate) fn look_again(&mut self) {
        self.left = None;
    }

    /// The order of their names is the one in which they are written.
    fn write<D: Disk>(
        &mut self,
        disk: &D,
        dir: &Path,
        entry: &Entry<'_>,
        now: Timestamp,
    ) -> Result<(), ScribeError> {
        let name =
            format!("{:020}-{}-{:06}{EXTENSION}", now.as_nanosecond(), std::process::id(), self.written);
        self.written += 1;
        let path = dir.join(name);
        let write = || -> Result<(), NoteError> {
            disk.create_dir_all(dir)?;
            Ok(atomic_replace(disk, &path, &serde_json::to_vec(&Note::from(entry))?)?)
        };
        write().map_err(|source| ScribeError::Note { path, source })
    }
}

/// Notes that were read and are to be removed once they are in the log.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) entries: Vec<Entry<'static>>,
    pub(crate) paths: Vec<PathBuf>,
    /// Why there may be others.
    pub(crate) failure: Option<ScribeError>,
}

/// Reads the oldest notes. What is none is set aside with an entry of its own.
pub(crate) fn read<D: Disk>(disk: &D, dir: &Path, now: Timestamp) -> Taken {
    let mut taken = Taken::default();
    let mut names = match disk.list(dir) {
        Ok(names) => names,
        // Without a directory there is no note.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return taken,
        Err(source) => {
            taken.failure = Some(ScribeError::Notes { path: dir.to_owned(), source });
            return taken;
        }
    };
    names.retain(|name| name.ends_with(EXTENSION));
    names.sort_unstable();
    for name in names.into_iter().take(TAKEN_MAX) {
        let path = dir.join(&name);
        let bytes = match disk.read_at(&path, 0, NOTE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(source) => {
                taken.failure = Some(ScribeError::Notes { path, source });
                continue;
            }
        };
        match serde_json::from_slice::<Note>(&bytes) {
            Ok(note) => {
                taken.entries.push(note.into());
                taken.paths.push(path);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was left for the audit log is no note");
                if disk.rename(&path, &dir.join(format!("{name}{STRANGE}"))).is_ok() {
                    let entry = Entry::new(now, "audit", "note", "unknown", "unreadable");
                    taken.entries.push(entry.field("file", name));
                }
            }
        }
    }
    taken
}

/// Removes notes that are in the log.
pub(crate) fn remove<D: Disk>(disk: &D, dir: &Path, paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = disk.remove(path) {
            tracing::warn!(path = %path.display(), %error, "a note that is in the audit log cannot be removed");
        }
    }
    if !paths.is_empty()
        && let Err(error) = disk.sync_dir(dir)
    {
        tracing::warn!(%error, "the directory of notes for the audit log cannot be synced");
    }
}
