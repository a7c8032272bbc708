//! What an answer has so far.

use std::ops::AddAssign;

use super::Hit;
use super::lines::Piece;
use super::matcher::{Judged, Matcher};
use super::query::Query;

/// Most bytes of lines in an answer.
pub(super) const ANSWER_MAX_BYTES: usize = 8 << 20;
/// Most bytes that are looked through for an answer, and the rest of a line; then it goes on with the cursor.
const SCAN_MAX_BYTES: u64 = 256 << 20;

/// Lines that were passed over since they could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that are cut, or no object of JSON with a timestamp. Lines that cannot match are looked at only as far as
    /// their first and last byte.
    pub unreadable: u64,
    /// Lines over 1 MiB.
    pub too_long: u64,
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.unreadable += other.unreadable;
        self.too_long += other.too_long;
    }
}

/// Takes lines and keeps those that match, up to the bounds of an answer.
#[derive(Debug)]
pub(super) struct Gather {
    matcher: Matcher,
    limit: usize,
    max_bytes: usize,
    pub(super) hits: Vec<Hit>,
    pub(super) skipped: Skipped,
    hit_bytes: usize,
    scanned_bytes: u64,
}

impl Gather {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            matcher: Matcher::new(query),
            limit: query.limit,
            max_bytes: query.max_bytes.min(ANSWER_MAX_BYTES),
            hits: Vec::new(),
            skipped: Skipped::default(),
            hit_bytes: 0,
            scanned_bytes: 0,
        }
    }

    /// Takes a line. Says whether the answer had room for it: where it had none, the next one begins with it.
    pub(super) fn take(&mut self, piece: &Piece<'_>) -> bool {
        self.scanned_bytes += piece.bytes;
        let Some(line) = piece.line else {
            self.skipped.too_long += 1;
            return true;
        };
        if !piece.is_ended {
            self.skipped.unreadable += 1;
            return true;
        }
        match self.matcher.judge(line) {
            Judged::Other => {}
            Judged::Unreadable => self.skipped.unreadable += 1,
            Judged::Hit(timestamp) => {
                let line = String::from_utf8_lossy(line).into_owned();
                // The first has room in any case, else the search would not go on.
                if !self.hits.is_empty() && self.hit_bytes + line.len() > self.max_bytes {
                    return false;
                }
                self.hit_bytes += line.len();
                self.hits.push(Hit { timestamp, line });
            }
        }
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.hits.len() >= self.limit
            || self.hit_bytes >= self.max_bytes
            || self.scanned_bytes >= SCAN_MAX_BYTES
    }
}
