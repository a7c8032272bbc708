//! What a program says, up to a bound.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Receiver;

/// How much is read at once; a pipe of Linux holds 64 KiB.
const READ_BYTES: usize = 16 * 1024;

/// The beginning of what a program wrote to one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    pub bytes: Vec<u8>,
    /// It wrote more, or may have: the stream could not be read to its end.
    pub truncated: bool,
}

/// One stream of a running program.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: Receiver,
    max: usize,
    captured: Captured,
    at_end: bool,
}

impl Stream {
    /// A stream, and what a program is to write it to.
    pub(super) fn new(max: usize) -> io::Result<(Stream, File)> {
        let (reader, writer) = io::pipe()?;
        let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((Stream { pipe, max, captured: Captured::default(), at_end: false }, OwnedFd::from(writer).into()))
    }

    /// Reads until nobody can write any more. Past the bound it reads on, so that the program does not wait for us.
    /// Cancel safe: what was read is kept before it waits again.
    pub(super) async fn fill(&mut self) {
        let mut buffer = vec![0; READ_BYTES];
        while !self.at_end {
            let read = match self.pipe.readable().await {
                Ok(()) => self.pipe.try_read(&mut buffer),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => self.at_end = true,
                Ok(read) => self.captured.keep(buffer.get(..read).unwrap_or_default(), self.max),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.captured.truncated = true;
                    self.at_end = true;
                }
            }
        }
    }

    /// What was read. It counts as truncated when the end was not seen.
    pub(super) fn take(&mut self) -> Captured {
        let mut captured = std::mem::take(&mut self.captured);
        captured.truncated |= !self.at_end;
        captured
    }
}

impl Captured {
    fn keep(&mut self, read: &[u8], max: usize) {
        let room = max.saturating_sub(self.bytes.len());
        self.bytes.extend(read.iter().take(room));
        self.truncated |= read.len() > room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_kept_to_the_byte() {
        let check = |reads: &[&str], max: usize, expected: &str, truncated: bool| {
            let mut captured = Captured::default();
            reads.iter().for_each(|read| captured.keep(read.as_bytes(), max));
            let expected = Captured { bytes: expected.into(), truncated };
            assert_eq!(captured, expected, "{reads:?}, at most {max}");
        };
        check(&[], 0, "", false);
        check(&["a"], 0, "", true);
        check(&["ab", "cd"], 4, "abcd", false);
        check(&["ab", "cd"], 3, "abc", true);
        check(&["abcd", "e"], 3, "abc", true);
    }
}
