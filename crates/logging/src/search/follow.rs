//! New lines as they are written.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::gather::{ANSWER_MAX_BYTES, Gather, Skipped};
use super::lines::Forwards;
use super::query::{Order, Query};
use super::{Hit, SearchError, end_of, is_begun_anew, list_files};
use crate::files::{FileName, Identity, Listed, check_name};

/// Most lines that one look gives.
const HITS_MAX: usize = 1_000;

/// Gives new lines that match, from a place on, over rotation, pruning and the loss of the directory. It does not wait:
/// the caller looks as often as it likes. A log that was thrown away and begun anew is given from its beginning.
#[derive(Debug)]
pub struct Follow {
    directory: PathBuf,
    name: String,
    query: Query,
    skipped: Skipped,
    /// The file being read; none before there is one.
    open: Option<Open>,
    /// Where to go on when none is open.
    from: Cursor,
    /// What was there at the last look.
    known: Vec<Listed>,
}

#[derive(Debug)]
struct Open {
    name: FileName,
    identity: Identity,
    reader: Forwards,
}

impl Follow {
    /// Follows the log from the query's cursor on, which is [`Found::end`](super::Found::end) or one of this order, or
    /// else from now on. Order, limits and `from` of the query do not matter.
    ///
    /// # Errors
    /// When the query makes no sense, or the log cannot be read. That there is none yet is no error.
    pub fn new(directory: &Path, name: &str, query: &Query) -> Result<Self, SearchError> {
        check_name(name)?;
        let query = Query {
            order: Order::OldestFirst,
            limit: HITS_MAX,
            max_bytes: ANSWER_MAX_BYTES,
            ..query.clone()
        };
        query.check()?;
        let known = list_files(directory, name)?.unwrap_or_default();
        let from = match query.cursor {
            Some(cursor) => cursor,
            None => end_of(directory, name, &known)?,
        };
        let known = if is_begun_anew(&known, from) { Vec::new() } else { known };
        let (directory, name) = (directory.to_owned(), name.to_owned());
        Ok(Self { directory, name, query, skipped: Skipped::default(), open: None, from, known })
    }

    /// Lines that match and came since the last look, oldest first; at most 1,000 and 8 MiB, more at the next look.
    ///
    /// # Errors
    /// When the log cannot be read; the next look goes on where this one was.
    pub fn poll(&mut self) -> Result<Vec<Hit>, SearchError> {
        let mut gather = Gather::new(&self.query);
        let result = self.gather(&mut gather);
        self.skipped += gather.skipped;
        result.map(|()| gather.hits)
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Where the next look goes on.
    pub fn cursor(&self) -> Cursor {
        self.open.as_ref().map_or(self.from, |open| Cursor::forwards(open.name, open.reader.offset()))
    }

    fn gather(&mut self, gather: &mut Gather) -> Result<(), SearchError> {
        loop {
            // What is in the file when another one follows it, is all that it will ever have. So look, then read.
            let files = list_files(&self.directory, &self.name)?.unwrap_or_default();
            let Some(open) = &mut self.open else {
                let from = self.from;
                let later = files.iter().find(|file| file.name >= from.file);
                let Some(file) = later.or_else(|| begun_anew(&files, &self.known)).copied() else {
                    self.known = files;
                    return Ok(());
                };
                self.begin(file, if file.name == from.file { from.offset } else { 0 })?;
                self.known = files;
                continue;
            };
            let path = self.directory.join(open.name.of(&self.name));
            let at_path = |source| SearchError::Io { path: path.clone(), source };
            while let Some(piece) = open.reader.next(u64::MAX).map_err(at_path)? {
                if !gather.take(&piece) {
                    let offset = piece.offset;
                    let file = open.reader.file().try_clone().map_err(at_path)?;
                    open.reader = Forwards::new(file, offset);
                    return Ok(());
                }
                if gather.is_full() {
                    return Ok(());
                }
            }
            let next = next_file(open, &files, &self.known).copied();
            let is_truncated = open.reader.file().metadata().map_err(at_path)?.len() < open.reader.offset();
            self.known = files;
            match next {
                Some(next) => {
                    self.skipped.unreadable += u64::from(open.reader.has_rest());
                    self.begin(next, 0)?;
                }
                None if is_truncated => {
                    let file = open.reader.file().try_clone().map_err(at_path)?;
                    open.reader = Forwards::new(file, 0);
                }
                None => return Ok(()),
            }
        }
    }

    /// Opens a file; one that was pruned meanwhile is passed over.
    fn begin(&mut self, listed: Listed, offset: u64) -> Result<(), SearchError> {
        let path = self.directory.join(listed.name.of(&self.name));
        let opened = File::open(&path).and_then(|file| Ok((Identity::of(&file.metadata()?), file)));
        match opened {
            Ok((identity, file)) => {
                self.open = Some(Open { name: listed.name, identity, reader: Forwards::new(file, offset) });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.open = None;
                let name =
                    FileName { sequence: listed.name.sequence.saturating_add(1), ..FileName::BEGINNING };
                self.from = Cursor::forwards(name, 0);
                Ok(())
            }
            Err(source) => Err(SearchError::Io { path, source }),
        }
    }
}

/// The file that comes after the open one, if that will get no more lines.
fn next_file<'f>(open: &Open, files: &'f [Listed], known: &[Listed]) -> Option<&'f Listed> {
    let later = files.iter().find(|file| file.name > open.name);
    let is_in_place = || files.iter().any(|file| (file.name, file.identity) == (open.name, open.identity));
    if later.is_some() || is_in_place() {
        return later;
    }
    begun_anew(files, known)
}

/// The oldest file that was not there before: the directory was made anew, and a new run counts its files from the
/// beginning.
fn begun_anew<'f>(files: &'f [Listed], known: &[Listed]) -> Option<&'f Listed> {
    // An inode may be used again, but a log only grows.
    let is_same = |known: &Listed, file: &Listed| {
        (known.name, known.identity) == (file.name, file.identity) && known.bytes <= file.bytes
    };
    files.iter().find(|file| !known.iter().any(|known| is_same(known, file)))
}
