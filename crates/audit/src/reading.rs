//! Reading entries for people, the newest first. Nothing is verified here.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use nkudo_journal::Disk;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::files::Listing;
use crate::lines::{Lines, Piece};

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub timestamp: Timestamp,
    pub component: String,
    pub operation: String,
    pub actor: String,
    pub outcome: String,
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Hands the entries of a log to `take`, the newest first, until it breaks. Checkpoints are left out, and so is what is no
/// line: [`crate::verify()`] tells of that. One file at a time is in memory. A file that is pruned meanwhile is the end.
///
/// # Errors
/// When the directory or a file cannot be read. A log that is not there has no entry.
pub fn newest_first<D: Disk>(
    disk: &D,
    dir: &Path,
    mut take: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<(), AuditError> {
    let listing = match Listing::read(disk, dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        listing => listing?,
    };
    for file in listing.files.iter().rev() {
        let lines = match lines_of(disk, &dir.join(file.name())) {
            Err(error) if error.is_not_found() => return Ok(()),
            lines => lines?,
        };
        for line in lines.iter().rev() {
            if let Some(record) = entry(line)
                && take(record).is_break()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn lines_of<D: Disk>(disk: &D, path: &Path) -> Result<Vec<Vec<u8>>, AuditError> {
    let (mut reading, mut lines) = (Lines::new(disk, path.to_owned()), Vec::new());
    while let Some(piece) = reading.next()? {
        match piece {
            Piece::Line(line) => lines.push(line.to_owned()),
            Piece::TooLong | Piece::Cut => {}
        }
    }
    Ok(lines)
}

fn entry(line: &[u8]) -> Option<Record> {
    let record: Record = serde_json::from_slice(line).ok()?;
    let is_checkpoint = record.component == "audit" && record.operation == "checkpoint";
    (!is_checkpoint).then_some(record)
}
