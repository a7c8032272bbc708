//! From the journal's bytes to the tracker's records.

use std::path::Path;

use nkudo_journal::Replay;
use nkudo_tracker::Record;

use crate::error::ExecutorError;

/// The records of a journal, and whether some of its tail was lost.
pub fn decode(replay: Replay, dir: &Path) -> Result<Vec<Record>, ExecutorError> {
    if let Some(discarded) = &replay.discarded {
        tracing::error!(
            dir = %dir.display(),
            segment = %discarded.segment,
            offset = discarded.offset,
            bytes = discarded.bytes,
            reason = %discarded.reason,
            kept_as = ?discarded.kept,
            "the journal's tail was not readable; it is kept aside"
        );
    }
    replay
        .records
        .into_iter()
        .map(|(seq, bytes)| {
            serde_json::from_slice(&bytes).map_err(|source| ExecutorError::UnknownRecord {
                dir: dir.to_owned(),
                seq: seq.get(),
                source,
            })
        })
        .collect()
}
