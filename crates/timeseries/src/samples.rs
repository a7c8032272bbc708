//! The store: takes rows of samples, and keeps them.

mod aging;
mod files;
mod keeping;
mod opening;
mod reading;
mod sealing;
mod stored;

use std::collections::VecDeque;

use crate::aggregate::Steps;
use crate::clock::Trust;
use crate::config::Config;
use crate::database::{ChunkHead, Database};
use crate::error::SamplesError;
use crate::open_block::{OpenBlock, ROWS_MAX};
use crate::record;
use crate::row_log::RowLog;
use crate::series::{Catalogue, Kind, Refusal, SeriesId, SeriesKey};
use crate::stats::Stats;

use files::Files;
pub use keeping::Tended;
pub use stored::StoredSamples;

/// Samples in a directory. See the crate's documentation.
///
/// It belongs to one task. [`record`](Self::record) writes a few kilobytes to a file and now and then syncs it; the
/// asynchronous methods wait for SQLite's own thread, and compress in between: [`tend`](Self::tend) may keep its thread
/// for some tens of milliseconds.
#[derive(Debug)]
pub struct Samples {
    config: Config,
    files: Files,
    database: Database,
    log: RowLog,
    catalogue: Catalogue,
    /// The last one is open; those before it wait to be sealed.
    blocks: VecDeque<OpenBlock>,
    /// By their last row.
    chunks: Vec<ChunkHead>,
    raw_removed: bool,
    next_row: u64,
    /// The latest time since the clock was set.
    newest_ms: Option<i64>,
    /// A seal that failed is not tried again before this.
    retry_at_ms: Option<i64>,
    /// Whether the bounds were looked at since something was written.
    bounds_checked: bool,
    trust: Trust,
    /// Nothing is removed by its age, as the clock is not believed.
    doubts: bool,
    /// A series was refused because there are too many.
    wants_room: bool,
    database_bytes: u64,
    stats: Stats,
}

/// What became of the samples of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    pub taken: usize,
    /// Refused, as they are not later than the last one of their series.
    pub late: usize,
    /// Refused, as there is no such series (any more): ask for it anew.
    pub unknown: usize,
}

impl Samples {
    /// The series of this name with these labels, in any order. A new one is known to the disk with its first sample.
    ///
    /// # Errors
    /// When it may not be; that is counted.
    pub fn series(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        kind: Kind,
        now_ms: i64,
    ) -> Result<SeriesId, Refusal> {
        let key = SeriesKey::new(name, labels, kind);
        if let Some(id) = self.catalogue.id(&key) {
            return Ok(id);
        }
        let limits = (self.config.series_max, self.config.series_bytes_max);
        self.catalogue.add(key, now_ms, limits).inspect_err(|refusal| match refusal {
            Refusal::TooMany => {
                self.stats.series_over_limit += 1;
                self.wants_room = true;
            }
            Refusal::TooLong | Refusal::Malformed => self.stats.series_malformed += 1,
        })
    }

    /// Takes samples that belong to one time (Unix, in milliseconds). A row should have many: its time is kept once.
    ///
    /// A sample is refused when it is not later than the last one of its series. When the time is further back than
    /// [`Config::step_back_ms`] the clock is taken to have been set: samples are taken again, and where time passes a
    /// second time, what is recorded later counts.
    ///
    /// It never fails: what cannot be written to the journal is in memory only, and what does not fit in there pushes
    /// out the oldest; both are counted. Call [`tend`](Self::tend) after each row or so.
    pub fn record(&mut self, at_ms: i64, row: &[(SeriesId, f64)]) -> Recorded {
        let (recorded, taken) = self.take(self.next_row, at_ms, row);
        if !taken.is_empty() {
            let new = self.undeclared(&taken);
            let keys = new.iter().filter_map(|id| Some((*id, &*self.catalogue.get(*id)?.key)));
            let keys: Vec<(SeriesId, &SeriesKey)> = keys.collect();
            let payload = record::encode(self.next_row, at_ms, keys.into_iter(), &taken);
            if self.log.append(at_ms, &payload) {
                new.into_iter().for_each(|id| self.set_journaled(id));
            } else {
                self.stats.unjournaled += 1;
            }
            self.next_row += 1;
            self.keep_within_memory();
        }
        recorded
    }

    /// Puts a row into the open block, and gives back what of it was taken, by series.
    fn take(
        &mut self,
        row_number: u64,
        at_ms: i64,
        row: &[(SeriesId, f64)],
    ) -> (Recorded, Vec<(SeriesId, f64)>) {
        let stepped = |newest: i64| at_ms < newest.saturating_sub(self.config.step_back_ms);
        if self.newest_ms.is_some_and(stepped) {
            self.begin_era();
        }
        if self.block().times.len() >= ROWS_MAX {
            let era = self.block().era;
            self.blocks.push_back(OpenBlock::new(era));
        }
        let (mut recorded, mut taken) = (Recorded::default(), Vec::with_capacity(row.len()));
        let block = self.blocks.back_mut().expect("there is always an open block");
        for (id, value) in row {
            let Some(entry) = self.catalogue.get_mut(*id) else {
                recorded.unknown += 1;
                continue;
            };
            if entry.last.is_some_and(|(last_ms, _)| at_ms <= last_ms) {
                recorded.late += 1;
                continue;
            }
            let counter = entry.key.kind == Kind::Counter;
            block.begin(*id, || Steps::new(counter, self.config.lookback_ms, entry.last));
            entry.last = Some((at_ms, *value));
            entry.seen_ms = at_ms;
            taken.push((*id, *value));
        }
        recorded.taken = taken.len();
        taken.sort_by_key(|(id, _)| *id);
        if !taken.is_empty() {
            block.push(row_number, at_ms, &taken);
            self.newest_ms = Some(self.newest_ms.map_or(at_ms, |newest| newest.max(at_ms)));
        }
        self.stats.recorded += recorded.taken as u64;
        self.stats.late += recorded.late as u64;
        self.stats.unknown += recorded.unknown as u64;
        (recorded, taken)
    }

    /// The clock was set back: all that was before is another time.
    fn begin_era(&mut self) {
        let era = self.block().era + 1;
        if self.block().is_empty() {
            self.blocks.pop_back();
        }
        self.blocks.push_back(OpenBlock::new(era));
        self.catalogue.iter_mut().for_each(|(_, entry)| entry.last = None);
        self.newest_ms = None;
        self.stats.steps_back += 1;
    }

    fn block(&self) -> &OpenBlock {
        self.blocks.back().expect("there is always an open block")
    }

    fn open_bytes(&self) -> usize {
        self.blocks.iter().map(OpenBlock::heap_bytes).sum()
    }

    /// Series that the journal and the database do not know yet.
    fn undeclared(&self, row: &[(SeriesId, f64)]) -> Vec<SeriesId> {
        let unknown = |id: &SeriesId| self.catalogue.get(*id).is_some_and(|one| !one.journaled && !one.kept);
        row.iter().map(|(id, _)| *id).filter(unknown).collect()
    }

    fn set_journaled(&mut self, id: SeriesId) {
        if let Some(entry) = self.catalogue.get_mut(id) {
            entry.journaled = true;
        }
    }

    /// Drops the oldest rows, a quarter of a block at a time, until memory is within its bound.
    fn keep_within_memory(&mut self) {
        let mut dropped = 0;
        while self.open_bytes() > self.config.open_bytes {
            let last = self.blocks.len() == 1;
            let Some(block) = self.blocks.front_mut().filter(|block| !block.is_empty()) else { break };
            dropped += block.drop_front(block.times.len().div_ceil(4));
            if block.is_empty() && !last {
                self.blocks.pop_front();
            }
        }
        if dropped > 0 {
            self.stats.dropped += dropped;
            self.rewrite_log();
        }
    }

    /// Has the journal hold what is in memory, no more and no less.
    fn rewrite_log(&mut self) -> bool {
        let mut new: Vec<(SeriesId, &SeriesKey)> =
            self.catalogue.iter().filter(|(_, one)| !one.kept).map(|(id, one)| (id, &*one.key)).collect();
        let rows = self
            .blocks
            .iter()
            .flat_map(|block| block.rows().map(|(at_ms, row)| (block.last_row, at_ms, row)));
        // The first row brings the names.
        let records = rows.map(|(row_number, at_ms, row)| {
            record::encode(row_number, at_ms, std::mem::take(&mut new).into_iter(), &row)
        });
        let replaced = self.log.replace(records);
        let any_row = self.blocks.iter().any(|block| !block.is_empty());
        if replaced {
            self.catalogue.iter_mut().for_each(|(_, entry)| entry.journaled = any_row);
        }
        replaced
    }

    /// Counts, and where it stands.
    pub fn stats(&self) -> Stats {
        Stats {
            series: self.catalogue.len() as u64,
            open_bytes: self.open_bytes() as u64,
            open_samples: self.blocks.iter().map(|block| block.samples).sum(),
            chunks: self.chunks.len() as u64,
            sealed_samples: self.chunks.iter().map(|chunk| chunk.samples).sum(),
            disk_bytes: self.database_bytes + self.log.bytes(),
            ..self.stats
        }
    }

    /// Makes the journal survive a loss of power and lets go of the files. What is in memory is read from the journal at
    /// the next opening.
    ///
    /// # Errors
    /// When the database cannot be closed.
    pub async fn close(mut self) -> Result<(), SamplesError> {
        if self.log.is_broken() {
            self.rewrite_log();
        }
        self.log.sync();
        self.database.close().await
    }
}
