//! What the store has to know when it opens: series, their last samples, and how far the journal is sealed.

use sqlx::{Row as _, SqliteConnection, query};

use super::{ChunkHead, Database, Place};
use crate::codec::{Malformed, Reader, Writer, sealed, unsealed};
use crate::error::SamplesError;
use crate::record::{decode_key, encode_key, series_id};
use crate::series::{SeriesId, SeriesKey};

/// In place of a key, for the checksum.
const LASTS: i64 = -1;
/// In place of the key of a block, for the checksum of a series.
const SERIES: i64 = -2;

/// The last sample of a series in the database, with when it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Last {
    pub(crate) id: SeriesId,
    pub(crate) seen_ms: i64,
    pub(crate) last: Option<(i64, f64)>,
}

/// What the store opens with.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// All rows up to this one are in the database.
    pub(crate) sealed_row: u64,
    pub(crate) next_series: u32,
    pub(crate) era: i64,
    pub(crate) series: Vec<(SeriesId, SeriesKey)>,
    pub(crate) lasts: Vec<Last>,
    /// By their last row.
    pub(crate) chunks: Vec<ChunkHead>,
    /// Raw samples were removed at some time, so that aggregates begin before them.
    pub(crate) raw_removed: bool,
    /// Things that were there and could not be read.
    pub(crate) corrupt: u64,
}

impl Database {
    pub(crate) async fn state(&mut self) -> Result<State, SamplesError> {
        let read = read(&mut self.connection).await;
        read.map_err(self.failed("be read"))
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<State, sqlx::Error> {
    let mut state = State::default();
    for row in query("SELECT name, value FROM meta").fetch_all(&mut *connection).await? {
        let value: Vec<u8> = row.try_get(1)?;
        match row.try_get(0)? {
            "lasts" => match unsealed(LASTS, &value).and_then(decode_lasts) {
                Ok(lasts) => state.lasts = lasts,
                Err(Malformed) => state.corrupt += 1,
            },
            "counts" => match unsealed(LASTS, &value).and_then(decode_counts) {
                Ok((sealed_row, next_series, era)) => {
                    (state.sealed_row, state.next_series, state.era) = (sealed_row, next_series, era);
                }
                Err(Malformed) => state.corrupt += 1,
            },
            "raw_removed" => state.raw_removed = true,
            _ => {}
        }
    }
    for row in
        query("SELECT series_id, key FROM series ORDER BY series_id").fetch_all(&mut *connection).await?
    {
        let key: Vec<u8> = row.try_get(1)?;
        let decode = |payload: &[u8]| decode_key(&mut Reader::new(payload));
        match (series_id(row.try_get(0)?), unsealed(SERIES, &key).and_then(decode)) {
            (Ok(id), Ok(key)) => state.series.push((id, key)),
            (Err(Malformed), _) | (_, Err(Malformed)) => state.corrupt += 1,
        }
    }
    let chunks = query(
        "SELECT chunk_id, era, last_row, start_ms, end_ms, row_count, samples, place FROM chunks ORDER BY last_row",
    );
    for row in chunks.fetch_all(&mut *connection).await? {
        let unsigned = |column: i64| column.cast_unsigned();
        state.chunks.push(ChunkHead {
            id: row.try_get(0)?,
            era: row.try_get(1)?,
            last_row: unsigned(row.try_get(2)?),
            start_ms: row.try_get(3)?,
            end_ms: row.try_get(4)?,
            rows: usize::try_from(row.try_get::<i64, _>(5)?).unwrap_or(0),
            samples: unsigned(row.try_get(6)?),
            place: Place::of(row.try_get(7)?),
        });
    }
    // Each of these is known from more than one place, in case one of them was damaged.
    for chunk in &state.chunks {
        state.sealed_row = state.sealed_row.max(chunk.last_row);
        state.era = state.era.max(chunk.era);
    }
    Ok(state)
}

/// Writes what has to be known, as part of a seal.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    counts: (u64, u32, i64),
    lasts: &[Last],
) -> Result<(), sqlx::Error> {
    let (sealed_row, next_series, era) = counts;
    let mut out = Writer::default();
    out.unsigned(sealed_row);
    out.unsigned(u64::from(next_series));
    out.signed(era);
    let rows = [("counts", sealed(LASTS, &out.bytes)), ("lasts", sealed(LASTS, &encode_lasts(lasts)))];
    for (name, value) in rows {
        query("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)")
            .bind(name)
            .bind(value)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Adds series that are new.
pub(super) async fn add_series(
    connection: &mut SqliteConnection,
    series: impl Iterator<Item = (SeriesId, &SeriesKey)>,
) -> Result<(), sqlx::Error> {
    for (id, key) in series {
        let mut out = Writer::default();
        encode_key(key, &mut out);
        query("INSERT OR REPLACE INTO series (series_id, key) VALUES (?, ?)")
            .bind(i64::from(id.0))
            .bind(sealed(SERIES, &out.bytes))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn decode_counts(payload: &[u8]) -> Result<(u64, u32, i64), Malformed> {
    let mut input = Reader::new(payload);
    let counts = (input.unsigned()?, input.narrow()?, input.signed()?);
    input.end()?;
    Ok(counts)
}

fn encode_lasts(lasts: &[Last]) -> Vec<u8> {
    let mut out = Writer::default();
    out.size(lasts.len());
    for one in lasts {
        out.unsigned(u64::from(one.id.0));
        out.signed(one.seen_ms);
        match one.last {
            None => out.byte(0),
            Some((at_ms, value)) => {
                out.byte(1);
                out.signed(at_ms);
                out.fixed(value.to_bits());
            }
        }
    }
    out.bytes
}

fn decode_lasts(payload: &[u8]) -> Result<Vec<Last>, Malformed> {
    let mut input = Reader::new(payload);
    let mut lasts = Vec::new();
    for _ in 0..input.size(payload.len())? {
        let id = series_id(i64::from(input.narrow()?))?;
        let seen_ms = input.signed()?;
        let last = match input.byte()? {
            0 => None,
            1 => Some((input.signed()?, f64::from_bits(input.fixed()?))),
            _ => return Err(Malformed),
        };
        lasts.push(Last { id, seen_ms, last });
    }
    input.end()?;
    Ok(lasts)
}
