//! The bounds: how long, how much, how many.

/// A minute, an hour and a day in milliseconds.
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// How long samples are kept, each at least so long, and how much disk they may take in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Samples as they were recorded, in milliseconds.
    pub raw_ms: i64,
    /// Aggregates of an hour, in milliseconds.
    pub hourly_ms: i64,
    /// Aggregates of a day, in milliseconds. A series that has had no sample for so long is forgotten.
    pub daily_ms: i64,
    /// Database and journal together, in bytes. Past it the oldest goes, raw samples before aggregates.
    pub disk_bytes: u64,
}

impl Default for Retention {
    /// A day, seven days, thirty days, 64 MiB.
    fn default() -> Self {
        Self { raw_ms: DAY_MS, hourly_ms: 7 * DAY_MS, daily_ms: 30 * DAY_MS, disk_bytes: 64 << 20 }
    }
}

/// The bounds of [`Samples`](crate::Samples).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub retention: Retention,
    /// Most memory of samples that are not in the database yet, in bytes. Blocks are sealed early when three quarters
    /// of it are used; past it the oldest samples are dropped.
    pub open_bytes: usize,
    /// The time that a block spans when it is sealed, in milliseconds.
    pub block_ms: i64,
    /// The time that a merged block spans at most, in milliseconds: longer ones take less disk a sample, but raw
    /// samples go by whole blocks.
    pub merge_ms: i64,
    /// Most series; what is refused is counted.
    pub series_max: usize,
    /// The longest name with its labels, in bytes.
    pub series_bytes_max: usize,
    /// The longest time between two samples of a counter for which its increase counts, in milliseconds. What happened
    /// over a longer gap is not known.
    pub lookback_ms: i64,
    /// The clock is taken to have been set when it goes back by more than this, in milliseconds. Samples from a
    /// shorter way back are refused as late.
    pub step_back_ms: i64,
    /// A clock that goes ahead by more than this, in milliseconds, beyond the time that has passed, is not believed at once:
    /// nothing is removed by its age until the clock has stayed so for `calm_ms`, or samples were recorded all through
    /// that time.
    pub jump_ms: i64,
    pub calm_ms: i64,
    /// How often what is in the journal is made to survive a loss of power, in milliseconds. A killed program loses
    /// nothing that was written.
    pub sync_ms: i64,
    /// Most points in the answer to a query, over all of its series.
    pub query_points_max: usize,
    /// Most series that a query may read.
    pub query_series_max: usize,
}

impl Default for Config {
    /// Two hours a block and six a merged one, 4 MiB of memory, 2,000 series of 1 KiB, a journal synced each minute,
    /// gaps and steps of five minutes, an hour for a clock that went ahead by more than an hour, 50,000 points of 500 series a query.
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            open_bytes: 4 << 20,
            block_ms: 2 * HOUR_MS,
            merge_ms: 6 * HOUR_MS,
            series_max: 2_000,
            series_bytes_max: 1 << 10,
            lookback_ms: 5 * MINUTE_MS,
            step_back_ms: 5 * MINUTE_MS,
            jump_ms: HOUR_MS,
            calm_ms: HOUR_MS,
            sync_ms: MINUTE_MS,
            query_points_max: 50_000,
            query_series_max: 500,
        }
    }
}
