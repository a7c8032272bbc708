//! Chunks of raw samples: the times of some rows, and a block of each series that has samples in them.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Row as _, SqliteConnection, query};

use super::spans::{key_and_data, series_of};
use super::state::Last;
use super::{Database, Level, SERIES_BITS, SERIES_MASK, failed, json, spans, state};
use crate::aggregate::{Spans, add};
use crate::codec::{
    Bundle, Malformed, Presence, Reader, Writer, decode_ints, decode_values, encode_ints, encode_values,
    find_in_bundle, sealed, unsealed,
};
use crate::error::SamplesError;
use crate::open_block::{Column, OpenBlock};
use crate::series::{SeriesId, SeriesKey};

/// Rows of a merged chunk, so that reading one takes little memory.
pub(crate) const CHUNK_ROWS_MAX: usize = 50_000;

/// Where the blocks of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// With others that are to be merged.
    Recent,
    /// With what was merged.
    Merged,
    /// With those that are to be merged, and left there, as something in it is damaged.
    Left,
}

impl Place {
    pub(super) fn of(number: i64) -> Self {
        match number {
            0 => Self::Recent,
            1 => Self::Merged,
            _ => Self::Left,
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Recent => 0,
            Self::Merged => 1,
            Self::Left => 2,
        }
    }
}

/// A bundle of blocks ends with the one that makes it this long, in bytes.
const BUNDLE_BYTES: usize = 48 << 10;

/// The last bundle that was read of each chunk: series are asked for one after the other.
#[derive(Debug, Default)]
pub(crate) struct Bundles(HashMap<i64, (i64, Vec<u8>)>);

/// What is known of a chunk without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) id: i64,
    /// How often the clock had been set back before.
    pub(crate) era: i64,
    /// Chunks are in the order of this.
    pub(crate) last_row: u64,
    pub(crate) start_ms: i64,
    /// Of the last sample.
    pub(crate) end_ms: i64,
    pub(crate) rows: usize,
    pub(crate) samples: u64,
    pub(crate) place: Place,
}

/// What is sealed in one transaction.
#[derive(Debug)]
pub(crate) struct NewChunk<'a> {
    pub(crate) block: &'a OpenBlock,
    pub(crate) series: Vec<(SeriesId, &'a SeriesKey)>,
    pub(crate) next_series: u32,
    pub(crate) lasts: Vec<Last>,
}

/// The samples of a series in a chunk.
#[derive(Debug)]
pub(crate) enum Block {
    Whole { presence: Presence, values: Vec<f64> },
    Corrupt,
}

/// What became of a merge.
#[derive(Debug)]
pub(crate) enum Merged {
    Done(ChunkHead),
    /// This one has a block that cannot be read, and is left as it is.
    Damaged(i64),
}

impl Database {
    /// Writes a block as a chunk, with the aggregates of its samples. The second is how many rows of aggregates were
    /// found damaged.
    pub(crate) async fn seal(&mut self, new: &NewChunk<'_>) -> Result<(ChunkHead, u64), SamplesError> {
        self.begin().await.map_err(self.failed("seal samples"))?;
        let done = write(&mut self.connection, new).await;
        self.end(done).await.map_err(self.failed("seal samples"))
    }

    /// The times of a chunk's rows. Nothing when they are damaged.
    pub(crate) async fn times(&mut self, chunk: &ChunkHead) -> Result<Option<Vec<i64>>, SamplesError> {
        let times = times(&mut self.connection, chunk).await;
        times.map_err(self.failed("read samples"))
    }

    /// The blocks of a series in some chunks, in their order; those that there are.
    pub(crate) async fn blocks(
        &mut self,
        id: SeriesId,
        chunks: &[ChunkHead],
        bundles: &mut Bundles,
    ) -> Result<Vec<(usize, Block)>, SamplesError> {
        let found = async {
            let mut found = blocks(&mut self.connection, id, chunks).await?;
            for (nth, chunk) in chunks.iter().enumerate().filter(|(_, chunk)| chunk.place == Place::Merged) {
                let block = bundled(&mut self.connection, id, chunk, bundles).await?;
                found.extend(block.map(|block| (nth, block)));
            }
            found.sort_by_key(|(nth, _)| *nth);
            Ok(found)
        };
        found.await.map_err(failed(self.path.clone(), "read samples"))
    }

    /// Makes one chunk of several that follow each other.
    pub(crate) async fn merge(&mut self, chunks: &[ChunkHead]) -> Result<Merged, SamplesError> {
        self.begin().await.map_err(self.failed("merge samples"))?;
        match merge(&mut self.connection, chunks).await {
            Ok(Merged::Damaged(id)) => {
                self.roll_back().await;
                self.begun = false;
                Ok(Merged::Damaged(id))
            }
            done => self.end(done).await.map_err(self.failed("merge samples")),
        }
    }

    /// Leaves a chunk as it is from now on.
    pub(crate) async fn leave(&mut self, chunk_id: i64) -> Result<(), SamplesError> {
        let update = query("UPDATE chunks SET place = 2 WHERE chunk_id = ?").bind(chunk_id);
        let done = update.execute(&mut self.connection).await;
        done.map(drop).map_err(self.failed("mark samples"))
    }

    /// Removes a chunk with its blocks.
    pub(crate) async fn remove_chunk(&mut self, chunk: &ChunkHead) -> Result<(), SamplesError> {
        self.begin().await.map_err(self.failed("remove samples"))?;
        let done = async {
            remove(&mut self.connection, chunk).await?;
            let note = query("INSERT OR IGNORE INTO meta (name, value) VALUES ('raw_removed', x'01')");
            note.execute(&mut self.connection).await.map(drop)
        };
        let done = done.await;
        self.end(done).await.map_err(self.failed("remove samples"))
    }

    /// Forgets series.
    pub(crate) async fn remove_series(&mut self, ids: &[SeriesId]) -> Result<(), SamplesError> {
        let list = json(ids.iter().map(|id| i64::from(id.0)));
        let delete =
            query("DELETE FROM series WHERE series_id IN (SELECT value FROM json_each(?))").bind(list);
        let done = delete.execute(&mut self.connection).await;
        done.map(drop).map_err(self.failed("forget series"))
    }
}

async fn write(
    connection: &mut SqliteConnection,
    new: &NewChunk<'_>,
) -> Result<(ChunkHead, u64), sqlx::Error> {
    let block = new.block;
    let (start_ms, end_ms) = block.span().unwrap_or((0, 0));
    let head = ChunkHead {
        id: next_id(connection).await?,
        era: block.era,
        last_row: block.last_row,
        start_ms,
        end_ms,
        rows: block.times.len(),
        samples: block.samples,
        place: Place::Recent,
    };
    state::add_series(connection, new.series.iter().copied()).await?;
    insert_head(connection, &head, &block.times).await?;
    let mut corrupt = 0;
    for (id, column) in &block.columns {
        insert_block(connection, key_of(&head, *id), &column.presence, &column.values).await?;
        for level in Level::ALL {
            corrupt += spans::add(connection, level, *id, &spans_of(level, column, &block.times)).await?;
        }
    }
    state::write(connection, (block.last_row, new.next_series, block.era), &new.lasts).await?;
    Ok((head, corrupt))
}

/// The aggregates of a column.
pub(crate) fn spans_of(level: Level, column: &Column, times: &[i64]) -> Spans {
    let mut spans = Spans::new();
    let mut steps = column.steps;
    for (at_ms, value) in column.samples(times) {
        add(&mut spans, at_ms.div_euclid(level.span_ms()), &steps.step(at_ms, value));
    }
    spans
}

async fn next_id(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    query("SELECT COALESCE(MAX(chunk_id), 0) + 1 FROM chunks").fetch_one(connection).await?.try_get(0)
}

async fn insert_head(
    connection: &mut SqliteConnection,
    head: &ChunkHead,
    times: &[i64],
) -> Result<(), sqlx::Error> {
    let mut out = Writer::default();
    encode_ints(times, &mut out);
    query(
        "INSERT INTO chunks (chunk_id, era, last_row, start_ms, end_ms, row_count, samples, place, times)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(head.id)
    .bind(head.era)
    .bind(head.last_row.cast_signed())
    .bind(head.start_ms)
    .bind(head.end_ms)
    .bind(i64::try_from(head.rows).unwrap_or(i64::MAX))
    .bind(head.samples.cast_signed())
    .bind(head.place.number())
    .bind(sealed(head.id << SERIES_BITS | SERIES_MASK, &out.bytes))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_block(
    connection: &mut SqliteConnection,
    key: i64,
    presence: &Presence,
    values: &[f64],
) -> Result<(), sqlx::Error> {
    let insert = query("INSERT INTO recent (key, data) VALUES (?, ?)");
    insert.bind(key).bind(encode_block(key, presence, values)).execute(connection).await.map(drop)
}

fn encode_block(key: i64, presence: &Presence, values: &[f64]) -> Vec<u8> {
    let mut out = Writer::default();
    presence.encode(&mut out);
    encode_values(values, &mut out);
    sealed(key, &out.bytes)
}

/// The block of a series in a chunk that was merged.
async fn bundled(
    connection: &mut SqliteConnection,
    id: SeriesId,
    chunk: &ChunkHead,
    bundles: &mut Bundles,
) -> Result<Option<Block>, sqlx::Error> {
    let key = key_of(chunk, id);
    let cached = bundles.0.get(&chunk.id).filter(|(first, _)| *first <= key);
    let found = cached.map(|(first, bundle)| find_block(*first, bundle, key, chunk.rows));
    if let Some(Ok(Some(block))) = found {
        return Ok(Some(block));
    }
    let select = query("SELECT key, data FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1");
    let found = select.bind(key & !SERIES_MASK).bind(key).fetch_optional(connection).await?;
    let Some(found) = found else { return Ok(None) };
    let (first, bundle) = key_and_data(&found)?;
    let block = find_block(first, &bundle, key, chunk.rows);
    bundles.0.insert(chunk.id, (first, bundle));
    Ok(block.unwrap_or(Some(Block::Corrupt)))
}

fn find_block(first: i64, bundle: &[u8], key: i64, rows: usize) -> Result<Option<Block>, Malformed> {
    let Some(data) = find_in_bundle(first, bundle, series_of(key).0)? else { return Ok(None) };
    Ok(Some(unsealed(key, data).and_then(|payload| decode_block(payload, rows)).unwrap_or(Block::Corrupt)))
}

fn key_of(chunk: &ChunkHead, id: SeriesId) -> i64 {
    chunk.id << SERIES_BITS | i64::from(id.0)
}

async fn times(
    connection: &mut SqliteConnection,
    chunk: &ChunkHead,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let found = query("SELECT times FROM chunks WHERE chunk_id = ?").bind(chunk.id).fetch_one(connection);
    let data: Vec<u8> = found.await?.try_get(0)?;
    let decode = |payload: &[u8]| {
        let mut input = Reader::new(payload);
        let times = decode_ints(&mut input, chunk.rows)?;
        input.end().map(|()| times)
    };
    let fits = chunk.rows <= CHUNK_ROWS_MAX;
    Ok(unsealed(chunk.id << SERIES_BITS | SERIES_MASK, &data).and_then(decode).ok().filter(|_| fits))
}

/// The blocks of a series in chunks that were not merged.
async fn blocks(
    connection: &mut SqliteConnection,
    id: SeriesId,
    chunks: &[ChunkHead],
) -> Result<Vec<(usize, Block)>, sqlx::Error> {
    let found = query("SELECT key, data FROM recent WHERE key IN (SELECT value FROM json_each(?))")
        .bind(json(chunks.iter().map(|chunk| key_of(chunk, id))))
        .fetch_all(connection)
        .await?;
    let mut blocks = Vec::with_capacity(found.len());
    for row in &found {
        let (key, data) = key_and_data(row)?;
        let Some(nth) = chunks.iter().position(|chunk| key_of(chunk, id) == key) else { continue };
        let whole = unsealed(key, &data).and_then(|payload| decode_block(payload, chunks[nth].rows));
        blocks.push((nth, whole.unwrap_or(Block::Corrupt)));
    }
    blocks.sort_by_key(|(nth, _)| *nth);
    Ok(blocks)
}

fn decode_block(payload: &[u8], rows: usize) -> Result<Block, Malformed> {
    let mut input = Reader::new(payload);
    let presence = Presence::decode(&mut input, rows)?;
    let values = decode_values(&mut input, presence.len())?;
    input.end()?;
    Ok(Block::Whole { presence, values })
}

async fn remove(connection: &mut SqliteConnection, chunk: &ChunkHead) -> Result<(), sqlx::Error> {
    let first = chunk.id << SERIES_BITS;
    let delete = query(match chunk.place {
        Place::Merged => "DELETE FROM blocks WHERE key BETWEEN ? AND ?",
        Place::Recent | Place::Left => "DELETE FROM recent WHERE key BETWEEN ? AND ?",
    });
    delete.bind(first).bind(first | SERIES_MASK).execute(&mut *connection).await?;
    query("DELETE FROM chunks WHERE chunk_id = ?").bind(chunk.id).execute(&mut *connection).await.map(drop)
}

async fn insert_bundle(
    connection: &mut SqliteConnection,
    chunk: &ChunkHead,
    bundle: &Bundle,
) -> Result<(), sqlx::Error> {
    let Some(first) = bundle.first() else { return Ok(()) };
    let key = key_of(chunk, SeriesId(first));
    let insert = query("INSERT INTO blocks (key, data) VALUES (?, ?)");
    insert.bind(key).bind(bundle.encode(key)).execute(connection).await.map(drop)
}

async fn merge(connection: &mut SqliteConnection, chunks: &[ChunkHead]) -> Result<Merged, sqlx::Error> {
    let mut all_times = Vec::new();
    let mut offsets = Vec::new();
    let mut ids = BTreeSet::new();
    for chunk in chunks {
        let Some(times) = times(connection, chunk).await? else { return Ok(Merged::Damaged(chunk.id)) };
        offsets.push(u32::try_from(all_times.len()).expect("a merged chunk has a bounded number of rows"));
        all_times.extend(times);
        let first = chunk.id << SERIES_BITS;
        let keys =
            query("SELECT key FROM recent WHERE key BETWEEN ? AND ?").bind(first).bind(first | SERIES_MASK);
        for row in keys.fetch_all(&mut *connection).await? {
            ids.insert(series_of(row.try_get(0)?));
        }
    }
    let (first, last) = (chunks[0], chunks[chunks.len() - 1]);
    let head = ChunkHead {
        id: next_id(connection).await?,
        start_ms: chunks.iter().map(|chunk| chunk.start_ms).min().unwrap_or(first.start_ms),
        end_ms: chunks.iter().map(|chunk| chunk.end_ms).max().unwrap_or(last.end_ms),
        rows: all_times.len(),
        samples: chunks.iter().map(|chunk| chunk.samples).sum(),
        place: Place::Merged,
        ..last
    };
    insert_head(connection, &head, &all_times).await?;
    let mut bundle = Bundle::default();
    for id in ids {
        let mut presence = Presence::default();
        let mut values = Vec::new();
        for (nth, block) in blocks(connection, id, chunks).await? {
            match block {
                Block::Corrupt => return Ok(Merged::Damaged(chunks[nth].id)),
                Block::Whole { presence: part, values: part_values } => {
                    part.rows().for_each(|row| presence.push(row + offsets[nth]));
                    values.extend(part_values);
                }
            }
        }
        bundle.push(id.0, &encode_block(key_of(&head, id), &presence, &values));
        if bundle.bytes() >= BUNDLE_BYTES {
            insert_bundle(connection, &head, &std::mem::take(&mut bundle)).await?;
        }
    }
    insert_bundle(connection, &head, &bundle).await?;
    for chunk in chunks {
        remove(connection, chunk).await?;
    }
    Ok(Merged::Done(head))
}
