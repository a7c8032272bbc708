//! Reads the lines of a file in pieces: memory does not grow with the file, nor with a line.

use std::path::PathBuf;

use nkudo_journal::{Deed, Disk};

use crate::error::{AuditError, failed};
use crate::line::LINE_MAX_BYTES;

/// What is read at once.
const READ_BYTES: u64 = 256 * 1024;

/// A piece of a file.
#[derive(Debug)]
pub(crate) enum Piece<'b> {
    /// A line without its end.
    Line(&'b [u8]),
    /// A line longer than any that is written.
    TooLong,
    /// The end of the file, in a line.
    Cut,
}

/// A file that is read.
#[derive(Debug)]
pub(crate) struct Lines<'d, D> {
    disk: &'d D,
    path: PathBuf,
    buffer: Vec<u8>,
    /// What of the buffer was given out.
    taken: usize,
    read_to: u64,
    /// Where the newest whole line ends.
    whole: u64,
    /// Inside of a line that is too long.
    is_skipping: bool,
    at_end: bool,
    /// The last thing that is told.
    cut_is_told: bool,
}

impl<'d, D: Disk> Lines<'d, D> {
    pub(crate) fn new(disk: &'d D, path: PathBuf) -> Lines<'d, D> {
        Lines {
            disk,
            path,
            buffer: Vec::new(),
            taken: 0,
            read_to: 0,
            whole: 0,
            is_skipping: false,
            at_end: false,
            cut_is_told: false,
        }
    }

    /// Bytes up to the end of the newest whole line.
    pub(crate) fn whole_bytes(&self) -> u64 {
        self.whole
    }

    /// Bytes that were read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_to
    }

    /// Nothing at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Piece<'_>>, AuditError> {
        loop {
            let start = self.taken;
            let rest = self.buffer.get(start..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', rest) {
                self.taken += length + 1;
                self.whole = self.read_to - (self.buffer.len() - self.taken) as u64;
                if std::mem::take(&mut self.is_skipping) || length > LINE_MAX_BYTES {
                    return Ok(Some(Piece::TooLong));
                }
                return Ok(self.buffer.get(start..start + length).map(Piece::Line));
            }
            if self.at_end {
                let is_cut = self.whole < self.read_to && !self.cut_is_told;
                self.cut_is_told = true;
                return Ok(is_cut.then_some(Piece::Cut));
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Result<(), AuditError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.len() > LINE_MAX_BYTES {
            self.is_skipping = true;
            self.buffer.clear();
        }
        let piece = self.disk.read_at(&self.path, self.read_to, READ_BYTES);
        let piece = piece.map_err(failed(Deed::Read, &self.path))?;
        self.at_end = piece.is_empty();
        self.read_to += piece.len() as u64;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nkudo_journal::{DiskFile as _, SimulatedDisk};

    use super::*;

    #[test]
    fn memory_does_not_grow_with_a_line() {
        let (disk, path) = (SimulatedDisk::new(), Path::new("/log/1.jsonl"));
        disk.create_dir_all(Path::new("/log")).expect("a directory");
        let mut file = disk.create_new(path).expect("a file");
        for piece in [vec![b'x'; 4 << 20], b"\nshort\n".to_vec(), vec![b'y'; 3 << 20]] {
            file.append(&piece).expect("written");
        }
        let mut lines = Lines::new(&disk, path.to_owned());
        let mut found = Vec::new();
        while let Some(piece) = lines.next().expect("readable") {
            found.push(match piece {
                Piece::Line(line) => String::from_utf8_lossy(line).into_owned(),
                Piece::TooLong => "too long".to_owned(),
                Piece::Cut => "cut".to_owned(),
            });
            assert!(lines.buffer.capacity() <= 1 << 20, "{}", lines.buffer.capacity());
        }
        assert_eq!(found, ["too long", "short", "cut"]);
        assert_eq!((lines.whole_bytes(), lines.read_bytes()), ((4 << 20) + 7, (7 << 20) + 7));
    }
}
