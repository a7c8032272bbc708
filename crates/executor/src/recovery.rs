//! From the journal's bytes to the tracker's records.

use std::path::Path;

use nkudo_journal::{Discarded, Seq};
use nkudo_tracker::Record;

use crate::error::ExecutorError;

/// Takes the records of a journal as they are read, so that their bytes are never in memory together.
#[derive(Debug)]
pub struct Decoding<'d> {
    dir: &'d Path,
    records: Result<Vec<Record>, ExecutorError>,
}

impl<'d> Decoding<'d> {
    /// Of the journal in this directory.
    pub fn of(dir: &'d Path) -> Self {
        Self { dir, records: Ok(Vec::new()) }
    }

    /// The next record. After one that is not known no more are taken.
    pub fn take(&mut self, seq: Seq, bytes: &[u8]) {
        let Ok(records) = &mut self.records else { return };
        match serde_json::from_slice(bytes) {
            Ok(record) => records.push(record),
            Err(source) => {
                let (dir, seq) = (self.dir.to_owned(), seq.get());
                self.records = Err(ExecutorError::UnknownRecord { dir, seq, source });
            }
        }
    }

    /// All records, when there are no more.
    ///
    /// # Errors
    /// When one was not known.
    pub fn end(self, discarded: Option<&Discarded>) -> Result<Vec<Record>, ExecutorError> {
        if let Some(discarded) = discarded {
            tracing::error!(
                dir = %self.dir.display(),
                segment = %discarded.segment,
                offset = discarded.offset,
                bytes = discarded.bytes,
                reason = %discarded.reason,
                kept_as = ?discarded.kept,
                "the journal's tail was not readable; it is kept aside"
            );
        }
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_that_is_not_known_is_named_with_a_remedy() {
        let mut decoding = Decoding::of(Path::new("/state/journal"));
        decoding.take(Seq::new(7), b"{\"from_the_future\":{}}");
        decoding.take(Seq::new(8), b"no JSON");
        let refused = decoding.end(None).unwrap_err();
        assert!(matches!(refused, ExecutorError::UnknownRecord { seq: 7, .. }), "{refused:?}");
        let expected =
            "record 7 of the journal in /state/journal is not one this version knows; use the version";
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
}
