//! What is done from time to time: sealing, merging, removing what is old or too much.

use super::Samples;
use crate::clock::Now;
use crate::config::MINUTE_MS;
use crate::database::{ChunkHead, Level};
use crate::error::SamplesError;
use crate::series::SeriesId;

/// How long a failed seal waits for the next attempt.
const RETRY_MS: i64 = MINUTE_MS;
/// A series that had no sample for so long makes room for another where there are too many.
const SILENT_MS: i64 = 10 * MINUTE_MS;

/// What became of a call of [`Samples::tend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tended {
    /// What was due is done.
    Done,
    /// It failed less than a minute ago, and was not tried.
    Waiting,
}

impl Samples {
    /// Does what is due: seals, merges, removes what has been kept long enough or is over the bound on disk, and gives
    /// that disk back. Mostly nothing is, and it costs nothing; call it after each row or so.
    ///
    /// What is old is removed when the wall clock says so and is believed: not when it has gone ahead of the steady one, or
    /// at the start of the samples that there are, by more than [`Config::jump_ms`](crate::Config::jump_ms), until it has
    /// stayed so for [`Config::calm_ms`](crate::Config::calm_ms).
    ///
    /// # Errors
    /// [`SamplesError::Gone`] each time that the files are found deleted or replaced: [`reopen`](Self::reopen) mends it.
    /// Else the first thing that failed; the others were done. All of it is tried again a minute later.
    pub async fn tend(&mut self, now: Now) -> Result<Tended, SamplesError> {
        self.check_files()?;
        let now_ms = now.wall_ms;
        let believed = self.believes(now).await;
        let waits = |retry: i64| now_ms < retry && now_ms >= retry.saturating_sub(RETRY_MS);
        if self.retry_at_ms.is_some_and(waits) {
            return Ok(Tended::Waiting);
        }
        self.retry_at_ms = None;
        let mut failure = None;
        // What frees space comes first.
        if believed {
            failure = failure.or(self.remove_old(now_ms).await.err());
        }
        if self.is_seal_due(now_ms) {
            failure = failure.or(self.seal().await.err());
        }
        failure = failure.or(self.merge().await.err());
        if !self.bounds_checked {
            failure = failure.or(self.keep_bounds(believed.then_some(now_ms)).await.err());
        }
        if self.wants_room {
            failure = failure.or(self.make_room(now_ms).await.err());
        }
        if self.log.is_broken() {
            self.rewrite_log();
        }
        match failure {
            None => Ok(Tended::Done),
            Some(error) => {
                self.stats.failures += 1;
                self.retry_at_ms = Some(now_ms.saturating_add(RETRY_MS));
                Err(error)
            }
        }
    }

    fn is_seal_due(&self, now_ms: i64) -> bool {
        let Some((start_ms, end_ms)) = self.block().span() else { return self.blocks.len() > 1 };
        self.blocks.len() > 1
            || end_ms.max(now_ms).saturating_sub(start_ms) >= self.config.block_ms
            || self.open_bytes() >= self.config.open_bytes / 4 * 3
    }

    /// Chunks whose time is over.
    async fn remove_old(&mut self, now_ms: i64) -> Result<(), SamplesError> {
        let old = expired(&self.chunks, now_ms.saturating_sub(self.config.retention.raw_ms));
        for _ in 0..old {
            self.remove_front().await?;
        }
        Ok(())
    }

    async fn remove_front(&mut self) -> Result<u64, SamplesError> {
        let Some(chunk) = self.chunks.first().copied() else { return Ok(0) };
        self.database.remove_chunk(&chunk).await?;
        self.chunks.remove(0);
        self.raw_removed = true;
        self.bounds_checked = false;
        Ok(chunk.samples)
    }

    /// Aggregates and series whose time is over, where the time is believed, and what is too much.
    async fn keep_bounds(&mut self, now_ms: Option<i64>) -> Result<(), SamplesError> {
        let retention = self.config.retention;
        if let Some(now_ms) = now_ms {
            for (level, kept_ms) in [(Level::Hours, retention.hourly_ms), (Level::Days, retention.daily_ms)] {
                self.database.remove_spans(level, now_ms.saturating_sub(kept_ms)).await?;
            }
            self.forget_series(now_ms.saturating_sub(retention.daily_ms)).await?;
        }
        loop {
            let (used, _) = self.database.bytes().await?;
            if used + self.log.bytes() <= retention.disk_bytes || !self.evict().await? {
                break;
            }
        }
        self.database.shrink().await?;
        let (used, free) = self.database.bytes().await?;
        self.database_bytes = used + free;
        self.bounds_checked = true;
        Ok(())
    }

    /// Removes the oldest. Whether there was something.
    async fn evict(&mut self) -> Result<bool, SamplesError> {
        if !self.chunks.is_empty() {
            self.stats.evicted += self.remove_front().await?;
            return Ok(true);
        }
        for level in Level::ALL {
            let removed = self.database.remove_oldest_spans(level).await?;
            if removed > 0 {
                self.stats.evicted_aggregates += removed;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets some of the series that have been silent the longest, so that new ones find room.
    async fn make_room(&mut self, now_ms: i64) -> Result<(), SamplesError> {
        let before_ms = now_ms.saturating_sub(SILENT_MS);
        let silent = self.catalogue.iter().filter(|(_, entry)| entry.seen_ms < before_ms);
        let mut silent: Vec<(i64, SeriesId)> = silent.map(|(id, entry)| (entry.seen_ms, id)).collect();
        silent.sort_unstable();
        silent.truncate((self.config.series_max / 8).max(1));
        let silent: Vec<SeriesId> = silent.into_iter().map(|(_, id)| id).collect();
        if !silent.is_empty() {
            // What is in memory is by their ids.
            self.seal().await?;
            self.database.remove_series(&silent).await?;
            self.stats.evicted_series += silent.len() as u64;
            silent.into_iter().for_each(|id| self.catalogue.remove(id));
        }
        self.wants_room = false;
        Ok(())
    }

    async fn forget_series(&mut self, before_ms: i64) -> Result<(), SamplesError> {
        let open = |id: &SeriesId| self.blocks.iter().any(|block| block.columns.contains_key(id));
        let silent = self.catalogue.iter().filter(|(_, entry)| entry.seen_ms < before_ms).map(|(id, _)| id);
        let silent: Vec<SeriesId> = silent.filter(|id| !open(id)).collect();
        if !silent.is_empty() {
            self.database.remove_series(&silent).await?;
            silent.into_iter().for_each(|id| self.catalogue.remove(id));
        }
        Ok(())
    }
}

/// How many chunks in front are to go: all up to the last one that ended before a time. What was recorded before that is
/// older still, whatever the clock said then.
fn expired(chunks: &[ChunkHead], before_ms: i64) -> usize {
    chunks.iter().rposition(|chunk| chunk.end_ms < before_ms).map_or(0, |last| last + 1)
}
