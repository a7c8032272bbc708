//! Whether the files that are open are still those of the directory, and going on where they are not.
//!
//! A file that was deleted takes writes for as long as it is open, and all of them are lost. So the directory is looked at
//! from outside, as somebody who opens it would.

use std::io;
use std::path::{Path, PathBuf};

use super::opening::{DATABASE, JOURNAL};
use super::{Samples, Stats};
use crate::database::file_error;
use crate::error::SamplesError;
use crate::series::SeriesKey;

/// A directory with what had its names when they were opened.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    database: Identity,
    journal: Identity,
}

/// Device and inode: the same for as long as it is the same file. One that is held open is not given away.
type Identity = Option<(u64, u64)>;

impl Files {
    /// To be called once both are open.
    pub(super) fn of(dir: &Path) -> Result<Self, SamplesError> {
        let found = |name: &str| identity(&dir.join(name)).map_err(file_error(&dir.join(name)));
        Ok(Self { dir: dir.to_owned(), database: found(DATABASE)?, journal: found(JOURNAL)? })
    }

    /// The one that is gone, or that another has taken the place of. One that cannot be looked at is taken to be there.
    fn gone(&self) -> Option<PathBuf> {
        let both = [(DATABASE, self.database), (JOURNAL, self.journal)];
        let paths = both.map(|(name, opened)| (self.dir.join(name), opened));
        let gone = |path: &Path, opened: Identity| identity(path).is_ok_and(|found| found != opened);
        paths.into_iter().find(|(path, opened)| gone(path, *opened)).map(|(path, _)| path)
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    match path.symlink_metadata() {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Samples {
    /// Fails when what is written would be lost.
    pub(super) fn check_files(&self) -> Result<(), SamplesError> {
        self.files.gone().map_or(Ok(()), |path| Err(SamplesError::Gone { path }))
    }

    /// Opens the directory anew after [`SamplesError::Gone`], with what is there now, and records what is in memory once
    /// more: only what was sealed is lost. Counts go on. Series have other ids from then on: ask for them anew.
    ///
    /// # Errors
    /// As [`open`](Self::open). What is in memory is lost then.
    pub async fn reopen(self) -> Result<Self, SamplesError> {
        let Self { config, database, log, catalogue, blocks, stats, files, .. } = self;
        // What becomes of files without a name does not matter, but the lock on them does.
        drop(database.close().await);
        drop(log);
        let mut samples = Self::open(&files.dir, config).await?;
        let begun = samples.stats;
        for block in &blocks {
            for (at_ms, row) in block.rows() {
                let series = |id| catalogue.get(id).map(|entry| &*entry.key);
                let keys = row.into_iter().filter_map(|(id, value)| Some((series(id)?, value)));
                let row: Vec<_> =
                    keys.filter_map(|(key, value)| Some((samples.again(key, at_ms)?, value))).collect();
                samples.record(at_ms, &row);
            }
        }
        samples.stats = Stats {
            directories_gone: stats.directories_gone + 1,
            databases_set_aside: stats.databases_set_aside + begun.databases_set_aside,
            journal_damaged_bytes: stats.journal_damaged_bytes + begun.journal_damaged_bytes,
            dropped: stats.dropped + samples.stats.dropped,
            ..stats
        };
        Ok(samples)
    }

    fn again(&mut self, key: &SeriesKey, now_ms: i64) -> Option<crate::SeriesId> {
        let labels: Vec<(&str, &str)> =
            key.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.series(&key.name, &labels, key.kind, now_ms).ok()
    }
}
