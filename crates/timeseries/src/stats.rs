//! What the store tells of itself.

/// Counts since the store was opened, and where it stands. For a product to export as its own metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples taken, those found in the journal at the start included.
    pub recorded: u64,
    /// Samples refused because they are not later than the last one of their series.
    pub late: u64,
    /// Samples refused because their series is not one that was given out, or was forgotten since.
    pub unknown: u64,
    /// Series refused because there are too many.
    pub series_over_limit: u64,
    /// Series refused because their name and labels are too long, or have no form that is known.
    pub series_malformed: u64,
    /// Samples dropped from memory because they could not be sealed in time.
    pub dropped: u64,
    /// Samples that were removed before their time because of the bound on disk.
    pub evicted: u64,
    /// Aggregates of whole days or more (one of a series counts one) that were removed before their time.
    pub evicted_aggregates: u64,
    /// Series that were forgotten before their time, longest silent first, because others came and there were too many.
    pub evicted_series: u64,
    /// Rows that are in memory only, as the journal could not be written.
    pub unjournaled: u64,
    /// Bytes of the journal that could not be read at the start; they are kept aside.
    pub journal_damaged_bytes: u64,
    /// Records of the journal that were whole and made no sense.
    pub journal_malformed: u64,
    /// Blocks found damaged, each time one is read.
    pub corrupt: u64,
    /// Databases that were found damaged, set aside and begun anew.
    pub databases_set_aside: u64,
    /// Times the files were found deleted or replaced, and were begun anew.
    pub directories_gone: u64,
    /// Times the clock was set back.
    pub steps_back: u64,
    /// Times the clock was found far ahead, so that nothing was removed by its age until it had stayed so.
    pub clock_doubts: u64,
    /// Seals and merges that were done, and those that failed.
    pub seals: u64,
    pub merges: u64,
    pub failures: u64,
    /// Series that are known.
    pub series: u64,
    /// Memory of samples that are not in the database yet, in bytes, and how many these are.
    pub open_bytes: u64,
    pub open_samples: u64,
    /// Chunks of raw samples in the database, and the samples in them. A chunk has a block of each series.
    pub chunks: u64,
    pub sealed_samples: u64,
    /// Database and journal on disk, in bytes.
    pub disk_bytes: u64,
}
