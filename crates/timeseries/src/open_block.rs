//! Samples that are not in the database yet.

use std::collections::BTreeMap;

use crate::aggregate::Steps;
use crate::codec::Presence;
use crate::series::SeriesId;

/// Columns grow by so many values at least, and by a quarter: doubling would leave half of the memory unused.
const GROWTH_MIN: usize = 16;
/// What a column costs beside its values, roughly, in bytes.
const COLUMN_BYTES: usize = 96;
/// Rows of a block, whatever the time.
pub(crate) const ROWS_MAX: usize = 20_000;

/// The samples of a series in a block.
#[derive(Debug)]
pub(crate) struct Column {
    /// As they stand before the first sample.
    pub(crate) steps: Steps,
    pub(crate) presence: Presence,
    pub(crate) values: Vec<f64>,
}

impl Column {
    fn new(steps: Steps) -> Self {
        Self { steps, presence: Presence::default(), values: Vec::new() }
    }

    fn heap_bytes(&self) -> usize {
        COLUMN_BYTES + self.values.capacity() * size_of::<f64>() + self.presence.heap_bytes()
    }

    fn push(&mut self, row: u32, value: f64) {
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(GROWTH_MIN.max(self.values.len() / 4));
        }
        self.values.push(value);
        self.presence.push(row);
    }

    /// Samples with the times of their rows.
    pub(crate) fn samples<'a>(&'a self, times: &'a [i64]) -> impl Iterator<Item = (i64, f64)> + 'a {
        self.presence.rows().map(|row| times[row as usize]).zip(self.values.iter().copied())
    }

    /// The last sample in one of the first rows.
    fn last_before(&self, cut: u32, times: &[i64]) -> Option<(i64, f64)> {
        let rows = self.presence.rows().zip(self.values.iter().copied());
        rows.take_while(|(row, _)| *row < cut).last().map(|(row, value)| (times[row as usize], value))
    }
}

/// Rows in the order in which they were recorded, all from one era of the clock.
#[derive(Debug, Default)]
pub(crate) struct OpenBlock {
    /// How often the clock had been set back before.
    pub(crate) era: i64,
    /// The number of the last row, which all rows of the store are counted by.
    pub(crate) last_row: u64,
    pub(crate) times: Vec<i64>,
    pub(crate) columns: BTreeMap<SeriesId, Column>,
    pub(crate) samples: u64,
    columns_bytes: usize,
}

impl OpenBlock {
    pub(crate) fn new(era: i64) -> Self {
        Self { era, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.columns_bytes + self.times.capacity() * size_of::<i64>()
    }

    /// The earliest and the latest time.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        Some((*self.times.iter().min()?, *self.times.iter().max()?))
    }

    /// Makes a column for a series that has none; `steps` says what came before.
    pub(crate) fn begin(&mut self, id: SeriesId, steps: impl FnOnce() -> Steps) {
        self.columns.entry(id).or_insert_with(|| {
            self.columns_bytes += COLUMN_BYTES;
            Column::new(steps())
        });
    }

    /// Adds a row of series that have columns; each has one sample at most.
    pub(crate) fn push(&mut self, row_number: u64, at_ms: i64, row: &[(SeriesId, f64)]) {
        let row_index = u32::try_from(self.times.len()).expect("a block is sealed before it has 2^32 rows");
        self.last_row = row_number;
        self.times.push(at_ms);
        for (id, value) in row {
            let Some(column) = self.columns.get_mut(id) else { continue };
            let before = column.heap_bytes();
            column.push(row_index, *value);
            self.columns_bytes += column.heap_bytes() - before;
            self.samples += 1;
        }
    }

    /// Drops so many of the oldest rows, and tells how many samples went with them.
    pub(crate) fn drop_front(&mut self, rows: usize) -> u64 {
        let rows = rows.min(self.times.len());
        let cut = u32::try_from(rows).expect("a block is sealed before it has 2^32 rows");
        let mut dropped = 0;
        let times = &self.times;
        self.columns.retain(|_, column| {
            if let Some(sample) = column.last_before(cut, times) {
                column.steps.resume(sample);
            }
            let gone = column.presence.drop_front(cut);
            column.values.drain(..gone);
            column.values.shrink_to_fit();
            dropped += gone as u64;
            !column.values.is_empty()
        });
        self.times.drain(..rows);
        self.times.shrink_to_fit();
        self.columns_bytes = self.columns.values().map(Column::heap_bytes).sum();
        self.samples -= dropped;
        dropped
    }

    /// Every row as it was recorded, for a new journal.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (i64, Vec<(SeriesId, f64)>)> + '_ {
        let mut columns: Vec<_> = self
            .columns
            .iter()
            .map(|(id, column)| (*id, column.presence.rows().zip(column.values.iter().copied()).peekable()))
            .collect();
        self.times.iter().enumerate().map(move |(index, at_ms)| {
            let mut row = Vec::new();
            for (id, samples) in &mut columns {
                if let Some((_, value)) = samples.next_if(|(row, _)| *row as usize == index) {
                    row.push((*id, value));
                }
            }
            (*at_ms, row)
        })
    }
}
