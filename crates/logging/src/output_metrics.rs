//! What became of lines on their way to files. The caller gives the prefix of the names.

use std::sync::Arc;

use nkudo_metrics_core::{Collector, Counter, Desc, Registry, SampleSink};

type Read = fn(&OutputCounts) -> &Counter;

const TABLE: [(Desc, Read); 11] = [
    (Desc::counter("log_file_bytes_written_total", "Bytes written to log files."), |counts| {
        &counts.bytes_written
    }),
    (
        Desc::counter(
            "log_file_rotations_total",
            "Log files that were ended for a new one, by time or by size.",
        ),
        |counts| &counts.rotations,
    ),
    (Desc::counter("log_files_pruned_total", "Log files deleted to stay within the bounds."), |counts| {
        &counts.pruned
    }),
    (
        Desc::counter(
            "log_files_vanished_total",
            "Times the log file was gone from its place and begun anew.",
        ),
        |counts| &counts.vanished,
    ),
    (
        Desc::counter(
            "log_file_cut_lines_total",
            "Lines without an end that were found in log files and ended.",
        ),
        |counts| &counts.cut,
    ),
    (
        Desc::counter(
            "log_file_write_failures_total",
            "Times that writing log files began to fail, or to fail for another reason.",
        ),
        |counts| &counts.failures,
    ),
    (Desc::counter("log_file_lines_lost_total", "Lines that no log file took."), |counts| &counts.lost),
    (
        Desc::counter(
            "log_stderr_lines_lost_total",
            "Lines that are in log files, but found no way to standard error.",
        ),
        |counts| &counts.stderr_lost,
    ),
    (
        Desc::counter(
            "log_lines_suppressed_total",
            "Log lines that were not written since their call site had said enough in its period.",
        ),
        |counts| &counts.suppressed,
    ),
    (
        Desc::counter(
            "log_lines_unlimited_total",
            "Log lines written without regard to repeats, as there was no room to count their call site.",
        ),
        |counts| &counts.unlimited,
    ),
    (
        Desc::counter(
            "log_redactions_total",
            "Secrets that were found in finished log lines and spans and replaced: somebody logs what they should not.",
        ),
        |counts| &counts.redactions,
    ),
];

/// Every metric of lines on their way to files.
pub fn output_descs(prefix: &str) -> Vec<Desc> {
    TABLE.iter().map(|(desc, _)| desc.with_prefix(prefix)).collect()
}

/// Counts of lines on their way to files. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct OutputCounts {
    /// Bytes that are in files.
    pub bytes_written: Counter,
    /// Files that were ended for a new one.
    pub rotations: Counter,
    /// Files deleted to stay within the bounds.
    pub pruned: Counter,
    /// Times that the file or its directory was gone.
    pub vanished: Counter,
    /// Lines without an end that were found and ended.
    pub cut: Counter,
    /// Times that writing began to fail, or to fail for another reason.
    pub failures: Counter,
    /// Lines that were not written, or not whole.
    pub lost: Counter,
    /// Lines that standard error did not take while there were files.
    pub stderr_lost: Counter,
    /// Lines that were not written as they repeat what their call site said.
    pub suppressed: Counter,
    /// Lines that were not limited for want of room.
    pub unlimited: Counter,
    /// Secrets that were replaced in lines.
    pub redactions: Counter,
}

impl OutputCounts {
    /// Exposes all of them with this prefix.
    pub fn register(&self, registry: &Registry, prefix: &str) {
        registry.collector(output_descs(prefix), Arc::new(self.clone()));
    }
}

impl Collector for OutputCounts {
    #[expect(clippy::cast_precision_loss, reason = "samples are f64 in the exposition's data model")]
    fn collect(&self, sink: &mut SampleSink<'_>) {
        for (index, (_, read)) in TABLE.iter().enumerate() {
            sink.sample(index, &[], read(self).get() as f64);
        }
    }
}
