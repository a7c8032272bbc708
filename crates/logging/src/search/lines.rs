//! The lines of a file, from its end or from its beginning, in bounded memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use memchr::{memchr, memrchr};

/// How much is read at once, in bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// A longer line is passed over, in bytes without its line feed.
pub(super) const LINE_MAX_BYTES: usize = 1 << 20;

/// A line, or what there is of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'l> {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// How long it is in the file.
    pub(super) bytes: u64,
    /// Without its line feed; none when it is too long.
    pub(super) line: Option<&'l [u8]>,
    /// Whether it has a line feed.
    pub(super) is_ended: bool,
}

/// Reads lines from a place in the file towards its beginning.
#[derive(Debug)]
pub(super) struct Backwards {
    file: File,
    /// Where in the file the last line that was given out begins.
    given_from: u64,
    window: Vec<u8>,
    /// Where the window begins in the file.
    base: u64,
    /// What of the window is not given out yet.
    end: usize,
    /// What of that may have a line feed.
    unseen: usize,
    /// Whether there is a line feed at `end`.
    is_ended: bool,
    /// Whether the line at `end` is too long, and the window has none of it.
    is_long: bool,
    is_done: bool,
}

impl Backwards {
    pub(super) fn new(file: File, from: u64) -> Self {
        let (end, unseen, is_ended, is_long, is_done) = (0, 0, false, false, false);
        let window = Vec::new();
        Self { file, given_from: from, window, base: from, end, unseen, is_ended, is_long, is_done }
    }

    /// The line before; none at the beginning of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        while !self.is_done {
            let (unseen, _) = self.window.split_at(self.unseen);
            let (range, next_end) = match memrchr(b'\n', unseen) {
                Some(at) => (at + 1..self.end, Some(at)),
                None if self.base == 0 => (0..self.end, None),
                None => {
                    self.grow()?;
                    continue;
                }
            };
            self.is_done = next_end.is_none();
            (self.end, self.unseen) = (next_end.unwrap_or(0), next_end.unwrap_or(0));
            let is_ended = std::mem::replace(&mut self.is_ended, true);
            let is_long = std::mem::take(&mut self.is_long) || range.len() > LINE_MAX_BYTES;
            // Behind the last line feed there is no line when there is nothing.
            if is_ended || is_long || !range.is_empty() {
                let offset = self.base + range.start as u64;
                let bytes = std::mem::replace(&mut self.given_from, offset) - offset;
                return Ok(Some(Piece { offset, bytes, line: line(&self.window, range, is_long), is_ended }));
            }
        }
        Ok(None)
    }

    /// Puts a block before what is not given out yet.
    fn grow(&mut self) -> io::Result<()> {
        if self.is_long || self.end > LINE_MAX_BYTES {
            (self.is_long, self.end) = (true, 0);
        }
        let bytes = usize::try_from(self.base).map_or(BLOCK_BYTES, |base| base.min(BLOCK_BYTES));
        let mut window = vec![0; bytes];
        self.file.read_exact_at(&mut window, self.base - bytes as u64)?;
        let (rest, _) = self.window.split_at(self.end);
        window.extend_from_slice(rest);
        self.window = window;
        self.base -= bytes as u64;
        self.end += bytes;
        self.unseen = bytes;
        Ok(())
    }
}

/// Reads lines from a place in the file towards its end, which may move on meanwhile.
#[derive(Debug)]
pub(super) struct Forwards {
    file: File,
    window: Vec<u8>,
    /// Where in the file it is read next.
    read_to: u64,
    /// Where in the window the next line begins.
    start: usize,
    /// What of the window has no line feed behind `start`.
    seen: usize,
    /// Where the line at `start` begins in the file, when it is too long and the window does not have all of it.
    long_from: Option<u64>,
}

impl Forwards {
    pub(super) fn new(file: File, from: u64) -> Self {
        Self { file, window: Vec::new(), read_to: from, start: 0, seen: 0, long_from: None }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.long_from.unwrap_or(self.read_to - (self.window.len() - self.start) as u64)
    }

    /// Whether there is the beginning of a line that has no end yet.
    pub(super) fn has_rest(&self) -> bool {
        self.offset() < self.read_to
    }

    /// The next line that has its line feed before `until`; none when there is none yet.
    pub(super) fn next(&mut self, until: u64) -> io::Result<Option<Piece<'_>>> {
        loop {
            let (_, unseen) = self.window.split_at(self.seen);
            if let Some(at) = memchr(b'\n', unseen) {
                let offset = self.offset();
                let range = self.start..self.seen + at;
                (self.start, self.seen) = (range.end + 1, range.end + 1);
                let is_long = self.long_from.take().is_some() || range.len() > LINE_MAX_BYTES;
                let (bytes, is_ended) = (self.offset() - offset, true);
                return Ok(Some(Piece { offset, bytes, line: line(&self.window, range, is_long), is_ended }));
            }
            if !self.grow(until)? {
                return Ok(None);
            }
        }
    }

    /// Puts a block behind what is not given out yet. Says whether there was anything.
    fn grow(&mut self, until: u64) -> io::Result<bool> {
        if self.long_from.is_some() || self.window.len() - self.start > LINE_MAX_BYTES {
            self.long_from = Some(self.offset());
            self.start = self.window.len();
        }
        self.window.drain(..self.start);
        self.start = 0;
        let kept = self.window.len();
        self.seen = kept;
        let room = usize::try_from(until.saturating_sub(self.read_to))
            .map_or(BLOCK_BYTES, |room| room.min(BLOCK_BYTES));
        self.window.resize(kept + room, 0);
        let (_, block) = self.window.split_at_mut(kept);
        let read = loop {
            match self.file.read_at(block, self.read_to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.window.truncate(kept + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.read_to += read as u64;
        Ok(read > 0)
    }
}

fn line(window: &[u8], range: Range<usize>, is_long: bool) -> Option<&[u8]> {
    window.get(range).filter(|_| !is_long)
}
