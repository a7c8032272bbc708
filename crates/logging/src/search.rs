//! Search over log files, also while another process writes them.
//!
//! Files are read in blocks, from the end or from the beginning; nothing is kept of them between two questions. A file
//! whose name says that it cannot have what is asked for is not opened. Its lines may be ten minutes older or newer than
//! the period in its name, as far as this is relied on.

mod cursor;
mod follow;
mod gather;
mod lines;
mod matcher;
mod query;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::files::{FileName, FilesError, Listed, check_name, list};
use gather::Gather;
use lines::{Backwards, Forwards};

pub use cursor::Cursor;
pub use follow::Follow;
pub use gather::Skipped;
pub use query::{Order, Query, QueryError};

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub timestamp: Timestamp,
    /// As it stands in the file, without its line feed.
    pub line: String,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order that was asked for.
    pub hits: Vec<Hit>,
    /// Where the search goes on; none when everything was looked through. There may be fewer hits than the limit before
    /// it, or none: an answer has at most [`Query::max_bytes`] and looks through at most 256 MiB.
    pub next: Option<Cursor>,
    /// The end of the log when it was searched: [`Follow`] gives what came after it.
    pub end: Cursor,
    pub skipped: Skipped,
}

/// The log was not searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Name(#[from] FilesError),
    #[error("there is no log in {}: give the directory that the program logs to", path.display())]
    NoDirectory { path: PathBuf },
    #[error("cannot read the log {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Searches the log files of a name. It reads from the disk, and blocks its thread meanwhile.
///
/// # Errors
/// When the query makes no sense, there is no such directory, or a file cannot be read. A file that is pruned meanwhile is
/// passed over.
pub fn search(directory: &Path, name: &str, query: &Query) -> Result<Found, SearchError> {
    query.check()?;
    check_name(name)?;
    let missing = || SearchError::NoDirectory { path: directory.to_owned() };
    let files = list_files(directory, name)?.ok_or_else(missing)?;
    let end = end_of(directory, name, &files)?;
    let mut gather = Gather::new(query);
    let mut next = None;
    let from = query.from.filter(|from| !is_begun_anew(&files, *from));
    let floor = |file: FileName| from.map_or(Some(0), |from| from.floor(file));
    let is_asked =
        |file: &&Listed| floor(file.name).is_some() && file.name.period.may_have(query.since, query.until);
    let wanted: Vec<Listed> = match query.order {
        Order::NewestFirst => files.iter().rev().filter(is_asked).copied().collect(),
        Order::OldestFirst => files.iter().filter(is_asked).copied().collect(),
    };
    for file in wanted {
        let path = directory.join(file.name.of(name));
        let opened = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.and_then(|file| Ok((file.metadata()?.len(), file))),
        };
        let in_file = opened.and_then(|(bytes, opened)| {
            // What was written since the search began is for whoever follows.
            let bytes = if file.name == end.file { end.offset.min(bytes) } else { bytes };
            let range = floor(file.name).unwrap_or(bytes)..bytes;
            match query.order {
                Order::NewestFirst => backwards(opened, file.name, range, query.cursor, &mut gather),
                Order::OldestFirst => forwards(opened, file.name, range, query.cursor, &mut gather),
            }
        });
        next = match in_file {
            // It was cut while it was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            in_file => in_file.map_err(|source| SearchError::Io { path, source })?,
        };
        if next.is_some() {
            break;
        }
    }
    Ok(Found { hits: gather.hits, next, end, skipped: gather.skipped })
}

/// The end of a log as it is now: what is written later comes after it. Of a log that is not there it is the beginning. It
/// reads from the disk, and blocks its thread meanwhile.
///
/// # Errors
/// When the log cannot be read.
pub fn log_end(directory: &Path, name: &str) -> Result<Cursor, SearchError> {
    check_name(name)?;
    end_of(directory, name, &list_files(directory, name)?.unwrap_or_default())
}

/// Whether all files are older than a place that was in one of them: they were thrown away and begun anew since.
fn is_begun_anew(files: &[Listed], place: Cursor) -> bool {
    files.last().is_some_and(|newest| newest.name < place.file)
}

/// Looks through a range of a file from its end. Gives the place where the answer is full.
fn backwards(
    file: File,
    name: FileName,
    range: Range<u64>,
    cursor: Option<Cursor>,
    gather: &mut Gather,
) -> io::Result<Option<Cursor>> {
    let from = match cursor {
        Some(cursor) if cursor.file < name => return Ok(None),
        Some(cursor) if cursor.file == name => cursor.offset.min(range.end),
        Some(_) | None => range.end,
    };
    let mut lines = Backwards::new(file, from);
    while let Some(piece) = lines.next()?.filter(|piece| piece.offset >= range.start) {
        if !gather.take(&piece) {
            return Ok(Some(Cursor::backwards(name, piece.offset + piece.bytes)));
        }
        if gather.is_full() {
            return Ok(Some(Cursor::backwards(name, piece.offset)));
        }
    }
    Ok(None)
}

/// Looks through a range of a file from its beginning. Gives the place where the answer is full.
fn forwards(
    file: File,
    name: FileName,
    range: Range<u64>,
    cursor: Option<Cursor>,
    gather: &mut Gather,
) -> io::Result<Option<Cursor>> {
    let from = match cursor {
        Some(cursor) if cursor.file > name => return Ok(None),
        Some(cursor) if cursor.file == name => cursor.offset.clamp(range.start.min(range.end), range.end),
        Some(_) | None => range.start.min(range.end),
    };
    let mut lines = Forwards::new(file, from);
    while let Some(piece) = lines.next(range.end)? {
        if !gather.take(&piece) {
            return Ok(Some(Cursor::forwards(name, piece.offset)));
        }
        if gather.is_full() {
            return Ok(Some(Cursor::forwards(name, lines.offset())));
        }
    }
    gather.skipped.unreadable += u64::from(lines.has_rest());
    Ok(None)
}

/// The files of a name, oldest first; none when there is no directory.
fn list_files(directory: &Path, name: &str) -> Result<Option<Vec<Listed>>, SearchError> {
    match list(directory, name) {
        Ok(files) => Ok(Some(files)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SearchError::Io { path: directory.to_owned(), source }),
    }
}

/// The place behind the last whole line.
fn end_of(directory: &Path, name: &str, files: &[Listed]) -> Result<Cursor, SearchError> {
    let Some(newest) = files.last() else { return Ok(Cursor::forwards(FileName::BEGINNING, 0)) };
    let path = directory.join(newest.name.of(name));
    let offset = || -> io::Result<u64> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let mut lines = Backwards::new(file, bytes);
        Ok(lines.next()?.filter(|piece| !piece.is_ended).map_or(bytes, |piece| piece.offset))
    };
    match offset() {
        Ok(offset) => Ok(Cursor::forwards(newest.name, offset)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            Ok(Cursor::forwards(newest.name, 0))
        }
        Err(source) => Err(SearchError::Io { path, source }),
    }
}
