//! The host's own history of metrics.

use std::time::Duration;

use nkudo_metrics_core::{Counter, Desc, Gauge, Histogram, Registry};

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Counts and gauges that are read of the store: each with its field.
macro_rules! read {
    ($($field:ident: $make:ident($name:literal, $help:literal)),+ $(,)?) => {
        /// How the history stands, as the store tells it.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct HistoryReading {
            $(#[doc = $help] pub $field: u64,)+
        }

        #[derive(Debug, Clone)]
        struct Read {
            $($field: read!(@cell $make),)+
        }

        impl Read {
            fn descs() -> Vec<Desc> {
                vec![$(Desc::$make($name, $help)),+]
            }

            fn register(registry: &Registry) -> Self {
                Self { $($field: registry.$make(&Desc::$make($name, $help)),)+ }
            }

            fn show(&self, reading: &HistoryReading) {
                $(read!(@show $make, self.$field, reading.$field);)+
            }
        }
    };
    (@cell counter) => { Counter };
    (@cell gauge) => { Gauge };
    (@show counter, $cell:expr, $value:expr) => { $cell.follow($value) };
    (@show gauge, $cell:expr, $value:expr) => { $cell.set($value as f64) };
}

read! {
    recorded: counter("nkudo_history_samples_total", "Samples taken into the host's history."),
    refused: counter("nkudo_history_samples_refused_total", "Samples that were not later than the last one of their series."),
    series_refused: counter("nkudo_history_series_refused_total", "Times that a series was refused: too many, or too long a name."),
    dropped: counter("nkudo_history_samples_dropped_total", "Samples dropped from memory because the disk did not take them."),
    series_evicted: counter("nkudo_history_series_evicted_total", "Series forgotten before their time, the longest silent first, because new ones came and there were too many."),
    unjournaled: counter("nkudo_history_rows_unjournaled_total", "Rows that are in memory only because the journal of the history could not be written."),
    evicted: counter("nkudo_history_samples_evicted_total", "Samples removed before their time because of the bound on disk."),
    corrupt: counter("nkudo_history_corrupt_total", "Damaged blocks, journal records and databases that were passed over."),
    gone: counter("nkudo_history_gone_total", "Times that the files of the history were found deleted or replaced, and were begun anew."),
    seals: counter("nkudo_history_seals_total", "Times that samples in memory were compressed into the database."),
    merges: counter("nkudo_history_merges_total", "Times that compressed blocks were merged into longer ones."),
    failures: counter("nkudo_history_failures_total", "Seals and merges that failed."),
    clock_steps: counter("nkudo_history_clock_steps_total", "Times that the clock was found set back."),
    clock_doubts: counter("nkudo_history_clock_doubts_total", "Times that the clock was found far ahead, so that nothing was removed by its age until it had stayed so."),
    series: gauge("nkudo_history_series", "Series in the host's history."),
    open_bytes: gauge("nkudo_history_open_bytes", "Memory of samples that are not compressed yet, in bytes."),
    disk_bytes: gauge("nkudo_history_disk_bytes", "Disk that the host's history takes, in bytes."),
}

const ROW_DURATION: Desc = Desc::histogram(
    "nkudo_history_row_duration_seconds",
    "How long it took to record one row of all samples, in seconds.",
    SECONDS,
)
.unit("seconds");

pub(crate) fn descs() -> Vec<Desc> {
    let mut descs = Read::descs();
    descs.push(ROW_DURATION);
    descs
}

/// The metrics of the host's own history. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HistoryMetrics {
    read: Read,
    row_duration: Histogram,
}

impl HistoryMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self { read: Read::register(registry), row_duration: registry.histogram(&ROW_DURATION) }
    }

    /// A row was recorded and took so long.
    pub fn row(&self, duration: Duration) {
        self.row_duration.observe(duration.as_secs_f64());
    }

    /// How the store stands now.
    pub fn show(&self, reading: &HistoryReading) {
        self.read.show(reading);
    }
}
