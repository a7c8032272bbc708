//! Aggregates of hours and days. A row holds those of a series over a day, or over eight days.

use std::collections::BTreeMap;

use sqlx::{Row as _, SqliteConnection, query};

use super::{Database, SERIES_BITS, SERIES_MASK, json};
use crate::aggregate::{Spans, decode_spans, encode_spans};
use crate::codec::{Malformed, Writer, sealed, unsealed};
use crate::config::{DAY_MS, HOUR_MS};
use crate::error::SamplesError;
use crate::series::SeriesId;

/// The spans that aggregates are kept of, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Hours,
    Days,
}

impl Level {
    pub(crate) const ALL: [Self; 2] = [Self::Hours, Self::Days];

    pub(crate) const fn span_ms(self) -> i64 {
        match self {
            Self::Hours => HOUR_MS,
            Self::Days => DAY_MS,
        }
    }

    /// Spans in a row of the database.
    pub(crate) const fn per_row(self) -> i64 {
        match self {
            Self::Hours => 24,
            Self::Days => 8,
        }
    }

    fn row_ms(self) -> i64 {
        self.span_ms() * self.per_row()
    }

    fn key(self, row: i64, id: SeriesId) -> i64 {
        row << SERIES_BITS | i64::from(id.0)
    }
}

/// The aggregates of a series as they were read.
#[derive(Debug, Default)]
pub(crate) struct SpansRead {
    pub(crate) spans: Spans,
    /// Where they were damaged, from and to, in milliseconds.
    pub(crate) corrupt: Vec<(i64, i64)>,
}

/// Adds to the aggregates of a series, and tells how many rows of the database were damaged and begun anew.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    level: Level,
    id: SeriesId,
    spans: &Spans,
) -> Result<u64, sqlx::Error> {
    let mut corrupt = 0;
    let mut rows: BTreeMap<i64, Spans> = BTreeMap::new();
    for (span, one) in spans {
        rows.entry(span.div_euclid(level.per_row())).or_default().insert(*span, *one);
    }
    for (row, later) in rows {
        let key = level.key(row, id);
        let (select, replace) = match level {
            Level::Hours => (
                "SELECT data FROM hours WHERE key = ?",
                "INSERT OR REPLACE INTO hours (key, data) VALUES (?, ?)",
            ),
            Level::Days => (
                "SELECT data FROM days WHERE key = ?",
                "INSERT OR REPLACE INTO days (key, data) VALUES (?, ?)",
            ),
        };
        let found = query(select).bind(key).fetch_optional(&mut *connection).await?;
        let mut all = match found.map(|found| found.try_get::<Vec<u8>, _>(0)).transpose()? {
            None => Spans::new(),
            Some(data) => decode(key, &data).unwrap_or_else(|Malformed| {
                corrupt += 1;
                Spans::new()
            }),
        };
        later.iter().for_each(|(span, one)| crate::aggregate::add(&mut all, *span, one));
        let mut out = Writer::default();
        encode_spans(&all, &mut out);
        query(replace).bind(key).bind(sealed(key, &out.bytes)).execute(&mut *connection).await?;
    }
    Ok(corrupt)
}

fn decode(key: i64, data: &[u8]) -> Result<Spans, Malformed> {
    decode_spans(unsealed(key, data)?, LONGEST_ROW)
}

const LONGEST_ROW: usize = 24;

impl Database {
    /// The first and the last row of a level, of whatever series; none where there are none.
    async fn rows_there(&mut self, level: Level) -> Result<Option<(i64, i64)>, SamplesError> {
        let select = query(match level {
            Level::Hours => {
                "SELECT (SELECT MIN(key) FROM hours) AS first, (SELECT MAX(key) FROM hours) AS last"
            }
            Level::Days => "SELECT (SELECT MIN(key) FROM days) AS first, (SELECT MAX(key) FROM days) AS last",
        });
        let row = select.fetch_one(&mut self.connection).await.map_err(self.failed("read"))?;
        let key = |name: &str| row.try_get::<Option<i64>, _>(name);
        let (first, last) = (key("first"), key("last"));
        let (first, last) = (first.map_err(self.failed("read"))?, last.map_err(self.failed("read"))?);
        Ok(first.zip(last).map(|(first, last)| (first >> SERIES_BITS, last >> SERIES_BITS)))
    }

    /// The aggregates of a series that begin in a range.
    pub(crate) async fn spans(
        &mut self,
        level: Level,
        id: SeriesId,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<SpansRead, SamplesError> {
        let asked = (from_ms.div_euclid(level.row_ms()), to_ms.saturating_sub(1).div_euclid(level.row_ms()));
        let Some((first, last)) = self.rows_there(level).await? else { return Ok(SpansRead::default()) };
        // However far the range goes, only rows that may be there are looked for.
        let rows = asked.0.max(first)..=asked.1.min(last);
        let keys = json(rows.map(|row| level.key(row, id)));
        let select = query(match level {
            Level::Hours => {
                "SELECT key, data FROM hours WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key"
            }
            Level::Days => {
                "SELECT key, data FROM days WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key"
            }
        });
        let found = select.bind(keys).fetch_all(&mut self.connection).await.map_err(self.failed("read"))?;
        let mut read = SpansRead::default();
        for row in found {
            let (key, data) = key_and_data(&row).map_err(self.failed("read"))?;
            match decode(key, &data) {
                Ok(spans) => read.spans.extend(spans),
                Err(Malformed) => {
                    let start_ms = (key >> SERIES_BITS) * level.row_ms();
                    read.corrupt.push((start_ms, start_ms + level.row_ms()));
                }
            }
        }
        let inside = |span: i64| (from_ms..to_ms).contains(&(span * level.span_ms()));
        read.spans.retain(|span, _| inside(*span));
        Ok(read)
    }

    /// Where the oldest aggregates begin, in milliseconds.
    pub(crate) async fn oldest_spans(&mut self, level: Level) -> Result<Option<i64>, SamplesError> {
        let select = query(match level {
            Level::Hours => "SELECT MIN(key) FROM hours",
            Level::Days => "SELECT MIN(key) FROM days",
        });
        let found = select.fetch_one(&mut self.connection).await.and_then(|row| row.try_get(0));
        let key: Option<i64> = found.map_err(self.failed("read"))?;
        Ok(key.map(|key| (key >> SERIES_BITS) * level.row_ms()))
    }

    /// Removes rows of aggregates that end before a time, and tells how many of a series each.
    pub(crate) async fn remove_spans(&mut self, level: Level, before_ms: i64) -> Result<u64, SamplesError> {
        let below = before_ms.div_euclid(level.row_ms()) << SERIES_BITS;
        let delete = query(match level {
            Level::Hours => "DELETE FROM hours WHERE key < ?",
            Level::Days => "DELETE FROM days WHERE key < ?",
        });
        let done = delete.bind(below).execute(&mut self.connection).await;
        Ok(done.map_err(self.failed("remove aggregates"))?.rows_affected())
    }

    /// Removes the oldest row of aggregates of all series.
    pub(crate) async fn remove_oldest_spans(&mut self, level: Level) -> Result<u64, SamplesError> {
        match self.oldest_spans(level).await? {
            Some(start_ms) => self.remove_spans(level, start_ms + level.row_ms()).await,
            None => Ok(0),
        }
    }
}

/// A row of two columns.
pub(super) fn key_and_data(row: &sqlx::sqlite::SqliteRow) -> Result<(i64, Vec<u8>), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The series of a key.
pub(super) fn series_of(key: i64) -> SeriesId {
    SeriesId(u32::try_from(key & SERIES_MASK).expect("a series has 24 bits in a key"))
}
