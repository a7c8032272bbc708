//! From memory to the database.

use super::Samples;
use crate::database::{ChunkHead, Last, Merged, NewChunk, Place};
use crate::error::SamplesError;
use crate::open_block::OpenBlock;
use crate::series::SeriesKey;

impl Samples {
    /// Writes all that is in memory to the database, and empties the journal. [`tend`](Self::tend) does it when it is
    /// due; a crash at any point neither loses nor doubles a sample.
    ///
    /// # Errors
    /// When the database fails. Samples stay in memory then.
    pub async fn seal(&mut self) -> Result<(), SamplesError> {
        let mut sealed = false;
        while self.blocks.front().is_some_and(|block| !block.is_empty()) {
            self.seal_front().await?;
            sealed = true;
        }
        if sealed {
            self.rewrite_log();
        }
        Ok(())
    }

    async fn seal_front(&mut self) -> Result<(), SamplesError> {
        let Some(block) = self.blocks.front() else { return Ok(()) };
        let new = |(id, key): (_, &std::sync::Arc<SeriesKey>)| (id, std::sync::Arc::clone(key));
        let unkept: Vec<_> =
            self.catalogue.iter().filter(|(_, one)| !one.kept).map(|(id, one)| new((id, &one.key))).collect();
        let chunk = NewChunk {
            block,
            series: unkept.iter().map(|(id, key)| (*id, &**key)).collect(),
            next_series: self.catalogue.next,
            lasts: self.lasts_after(block),
        };
        let (head, corrupt) = self.database.seal(&chunk).await?;
        for last in chunk.lasts {
            if let Some(entry) = self.catalogue.get_mut(last.id) {
                entry.sealed = last.last;
            }
        }
        for (id, _) in unkept {
            if let Some(entry) = self.catalogue.get_mut(id) {
                entry.kept = true;
            }
        }
        self.stats.corrupt += corrupt;
        self.stats.seals += 1;
        self.chunks.push(head);
        self.bounds_checked = false;
        let era = self.blocks.pop_front().map_or(0, |block| block.era);
        if self.blocks.is_empty() {
            self.blocks.push_back(OpenBlock::new(era));
        }
        Ok(())
    }

    /// The last sample of each series once a block is sealed.
    fn lasts_after(&self, block: &OpenBlock) -> Vec<Last> {
        let sealed_era = self.chunks.last().map(|chunk| chunk.era);
        let same_era = sealed_era.is_none_or(|era| era == block.era);
        let lasts = self.catalogue.iter().map(|(id, entry)| {
            let here = block.columns.get(&id).and_then(|column| column.samples(&block.times).last());
            let last = here.or(entry.sealed.filter(|_| same_era));
            Last { id, seen_ms: entry.seen_ms, last }
        });
        lasts.collect()
    }

    /// Merges the oldest chunks that are to be. Whether there was something to do.
    pub(super) async fn merge(&mut self) -> Result<bool, SamplesError> {
        let Some(range) = to_merge(&self.chunks, self.config.merge_ms) else { return Ok(false) };
        let chunks = &self.chunks[range.clone()];
        match self.database.merge(chunks).await? {
            Merged::Done(head) => {
                self.chunks.splice(range, [head]);
                self.stats.merges += 1;
            }
            Merged::Damaged(id) => {
                self.stats.corrupt += 1;
                self.database.leave(id).await?;
                self.chunks
                    .iter_mut()
                    .filter(|chunk| chunk.id == id)
                    .for_each(|chunk| chunk.place = Place::Left);
            }
        }
        self.bounds_checked = false;
        Ok(true)
    }
}

/// The oldest chunks that are not merged and to which no more can come: they span the whole time of a merged one, or
/// what follows does not fit.
fn to_merge(chunks: &[ChunkHead], merge_ms: i64) -> Option<std::ops::Range<usize>> {
    let start = chunks.iter().position(|chunk| chunk.place == Place::Recent)?;
    let first = chunks[start];
    let (mut rows, mut end) = (first.rows, start + 1);
    // As much again as the last chunk would be too much.
    let full = |last: &ChunkHead| {
        last.end_ms.saturating_sub(first.start_ms).saturating_add((last.end_ms - last.start_ms) / 2)
            >= merge_ms
    };
    for chunk in chunks.iter().skip(start + 1) {
        let follows = chunk.place == Place::Recent && chunk.era == first.era && !full(&chunks[end - 1]);
        let fits = chunk.end_ms.saturating_sub(first.start_ms) <= merge_ms.saturating_mul(5) / 4;
        if !follows || !fits || rows + chunk.rows > crate::database::CHUNK_ROWS_MAX {
            return Some(start..end);
        }
        rows += chunk.rows;
        end += 1;
    }
    full(&chunks[end - 1]).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(era: i64, start_ms: i64, end_ms: i64, merged: bool) -> ChunkHead {
        let place = if merged { Place::Merged } else { Place::Recent };
        ChunkHead { id: start_ms, era, last_row: 0, start_ms, end_ms, rows: 10, samples: 10, place }
    }

    #[test]
    fn chunks_are_merged_when_they_span_the_time_or_nothing_more_fits() {
        let two = |nth: i64| chunk(0, nth * 200, nth * 200 + 199, false);
        let cases = [
            (vec![], None),
            (vec![two(0), two(1)], None),
            (vec![two(0), two(1), two(2)], Some(0..3)),
            (vec![chunk(0, 0, 500, true), two(3), two(4), two(5), two(6)], Some(1..4)),
            // A gap, and a clock that was set.
            (vec![two(0), two(1), two(9)], Some(0..2)),
            (vec![two(0), chunk(1, 100, 150, false)], Some(0..1)),
        ];
        for (chunks, expected) in cases {
            assert_eq!(to_merge(&chunks, 600), expected, "{chunks:?}");
        }
    }
}
