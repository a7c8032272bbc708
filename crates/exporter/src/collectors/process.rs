//! This process, under the names that Prometheus' client libraries agreed on.

use nkudo_host::process::own_stats;
use nkudo_metrics_core::{Collector, Desc, SampleSink};

const DESCS: [Desc; 7] = [
    Desc::counter(
        "process_cpu_seconds_total",
        "CPU time that the process used, in user and kernel mode, in seconds.",
    )
    .unit("seconds"),
    Desc::gauge("process_resident_memory_bytes", "Memory of the process that is in RAM, in bytes.")
        .unit("bytes"),
    Desc::gauge("process_virtual_memory_bytes", "Address space of the process, in bytes.").unit("bytes"),
    Desc::gauge("process_open_fds", "File descriptors that the process has open."),
    Desc::gauge("process_max_fds", "File descriptors that the process may have open."),
    Desc::gauge("process_threads", "Threads of the process."),
    Desc::gauge(
        "process_start_time_seconds",
        "When the process was started, in seconds since the Unix epoch.",
    )
    .unit("seconds"),
];

pub(super) fn descs() -> Vec<Desc> {
    DESCS.to_vec()
}

/// Reads procfs at each scrape.
pub(super) struct Process;

impl Collector for Process {
    /// What cannot be read has no sample.
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let stats = match own_stats() {
            Ok(stats) => stats,
            Err(error) => return tracing::debug!(%error, "the process cannot be measured"),
        };
        let values = [
            stats.cpu_seconds,
            stats.resident_bytes as f64,
            stats.virtual_bytes as f64,
            stats.open_fds as f64,
            stats.max_fds as f64,
            stats.threads as f64,
            stats.start_time_unix_seconds,
        ];
        values.into_iter().enumerate().for_each(|(family, value)| sink.sample(family, &[], value));
    }
}
