//! A place between two lines.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::query::{Order, QueryError};
use crate::files::FileName;

/// A place between two lines of the log, from where an answer goes on. It stays right when lines are written and files
/// pruned. What its text looks like is nobody's business but this file's; it needs no escaping in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(super) order: Order,
    pub(super) file: FileName,
    /// Bytes of the file that are on the older side.
    pub(super) offset: u64,
}

impl Cursor {
    pub(super) fn forwards(file: FileName, offset: u64) -> Self {
        Self { order: Order::OldestFirst, file, offset }
    }

    /// From where on a file has what comes after this place; none when all of it comes before.
    pub(super) fn floor(self, file: FileName) -> Option<u64> {
        match file.cmp(&self.file) {
            Ordering::Less => None,
            Ordering::Equal => Some(self.offset),
            Ordering::Greater => Some(0),
        }
    }

    pub(super) fn backwards(file: FileName, offset: u64) -> Self {
        Self { order: Order::NewestFirst, file, offset }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::NewestFirst => "n",
            Order::OldestFirst => "o",
        };
        write!(f, "{order}_{}_{}", self.file, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let read = || {
            let (order, rest) = text.split_once('_')?;
            let (file, offset) = rest.split_once('_')?;
            let order = match order {
                "n" => Order::NewestFirst,
                "o" => Order::OldestFirst,
                _ => return None,
            };
            Some(Self { order, file: FileName::parse(file)?, offset: offset.parse().ok()? })
        };
        read().ok_or_else(|| QueryError::Cursor { text: text.chars().take(64).collect() })
    }
}
