//! What is on the disk, read and not changed.

use std::path::Path;

use nkudo_journal::{RealDisk, replay_read_only};
use tempfile::TempDir;

use super::opening::{DATABASE, JOURNAL};
use super::{Samples, Stats};
use crate::config::Config;
use crate::database::Database;
use crate::error::{QueryError, SamplesError};
use crate::query::{Answer, Query};
use crate::row_log::RowLog;

/// The samples that a directory holds, for queries while no program records there: any number of these at once, and
/// whoever begins to record waits until they are gone or is told that the directory is in use.
///
/// It changes nothing on the disk, needs no permission but to read, and repairs nothing: what a killed program left half
/// done is read as if it had not been begun (from a copy in the directory for temporary files), and what is damaged is told.
#[derive(Debug)]
pub struct StoredSamples {
    samples: Samples,
    /// Removed with it.
    _copy: Option<TempDir>,
}

impl StoredSamples {
    /// Opens the samples in a directory. Where there are none it is empty.
    ///
    /// # Errors
    /// When they are in use, damaged as a whole, foreign or of a newer version, or may not be read.
    pub async fn open(dir: &Path, config: Config) -> Result<Self, SamplesError> {
        let stored = Database::open_stored(&dir.join(DATABASE)).await.map_err(left_as_it_is)?;
        // From here on nobody writes, so that rows and database are of the same moment.
        let replay = replay_read_only(&RealDisk, &dir.join(JOURNAL))?;
        let samples = Samples::assemble(dir, config, stored.database, RowLog::none(), replay).await;
        Ok(Self { samples: samples.map_err(left_as_it_is)?, _copy: stored.copy })
    }

    /// Answers a query.
    ///
    /// # Errors
    /// As [`Samples::query`].
    pub async fn query(&mut self, query: &Query) -> Result<Answer, QueryError> {
        let answer = self.samples.query(query).await;
        answer.map_err(|error| match error {
            QueryError::Samples(error) => QueryError::Samples(left_as_it_is(error)),
            other => other,
        })
    }

    /// What was found, damage included.
    pub fn stats(&self) -> Stats {
        self.samples.stats()
    }
}

/// Nobody restarts a reader for that.
fn left_as_it_is(error: SamplesError) -> SamplesError {
    match error {
        SamplesError::Damaged { path } => SamplesError::DamagedAsFound { path },
        other => other,
    }
}
