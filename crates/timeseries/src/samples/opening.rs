//! From a directory to a store: the database first, which also is the lock, then what the journal has beyond it.

use std::collections::VecDeque;
use std::path::Path;

use nkudo_journal::{Disk as _, RealDisk, Replay};

use super::{Files, Samples};
use crate::clock::Trust;
use crate::config::Config;
use crate::database::{Database, State, file_error};
use crate::error::SamplesError;
use crate::open_block::OpenBlock;
use crate::record;
use crate::row_log::RowLog;
use crate::series::Catalogue;
use crate::stats::Stats;

pub(super) const DATABASE: &str = "samples.db";
pub(super) const JOURNAL: &str = "rows";

impl Samples {
    /// Opens the samples in a directory, which is made when there is none. A database that is damaged as a whole is set
    /// aside as `samples.db.damaged`, in place of one before, and begun anew; that is counted.
    ///
    /// # Errors
    /// When the directory cannot be used, or what is in it is in use, foreign or of a newer version: each with a remedy.
    pub async fn open(dir: &Path, config: Config) -> Result<Self, SamplesError> {
        RealDisk.create_dir_all(dir).map_err(file_error(dir))?;
        let opened = Database::open(&dir.join(DATABASE)).await?;
        let (log, replay) = RowLog::open(&dir.join(JOURNAL), config.sync_ms)?;
        let mut samples = Self::assemble(dir, config, opened.database, log, replay).await?;
        samples.stats.databases_set_aside = u64::from(opened.set_aside);
        Ok(samples)
    }

    /// From what was opened.
    pub(super) async fn assemble(
        dir: &Path,
        config: Config,
        mut database: Database,
        log: RowLog,
        replay: Replay,
    ) -> Result<Self, SamplesError> {
        let state = database.state().await?;
        let (database_bytes, _) = database.bytes().await?;
        let mut samples = Self {
            config,
            files: Files::of(dir)?,
            database,
            log,
            catalogue: Catalogue::default(),
            blocks: VecDeque::new(),
            chunks: Vec::new(),
            raw_removed: state.raw_removed,
            next_row: 0,
            newest_ms: None,
            retry_at_ms: None,
            bounds_checked: false,
            trust: Trust::default(),
            doubts: false,
            wants_room: false,
            database_bytes,
            stats: Stats::default(),
        };
        let sealed_row = state.sealed_row;
        samples.restore(state);
        samples.replay(replay, sealed_row);
        Ok(samples)
    }

    /// As it stood after the last seal.
    fn restore(&mut self, state: State) {
        self.stats.corrupt += state.corrupt;
        self.chunks = state.chunks;
        self.next_row = state.sealed_row + 1;
        self.blocks.push_back(OpenBlock::new(state.era));
        let newest = self.chunks.iter().map(|chunk| chunk.end_ms).max().unwrap_or(0);
        for (id, key) in state.series {
            self.catalogue.restore(id, key, newest);
            if let Some(entry) = self.catalogue.get_mut(id) {
                entry.kept = true;
            }
        }
        self.catalogue.next = self.catalogue.next.max(state.next_series);
        for last in state.lasts {
            if let Some(entry) = self.catalogue.get_mut(last.id) {
                (entry.last, entry.sealed, entry.seen_ms) = (last.last, last.last, last.seen_ms);
            }
        }
        self.newest_ms =
            self.catalogue.iter().filter_map(|(_, entry)| entry.last).map(|(at_ms, _)| at_ms).max();
    }

    /// What was recorded since then. A row that is in the database already is passed over.
    fn replay(&mut self, replay: Replay, sealed_row: u64) {
        self.stats.journal_damaged_bytes = replay.discarded.map_or(0, |discarded| discarded.bytes);
        for (_, payload) in replay.records {
            let Ok(record) = record::decode(&payload) else {
                self.stats.journal_malformed += 1;
                continue;
            };
            for (id, key) in record.series {
                if self.catalogue.get(id).is_none() && self.catalogue.id(&key).is_none() {
                    self.catalogue.restore(id, key, record.at_ms);
                }
                self.set_journaled(id);
            }
            if record.row_number <= sealed_row {
                continue;
            }
            self.take(record.row_number, record.at_ms, &record.row);
            self.next_row = self.next_row.max(record.row_number + 1);
            self.keep_within_memory();
        }
    }
}
