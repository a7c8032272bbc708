//! The async runtime.

use nkudo_metrics_core::{Collector, Desc, SampleSink};
use tokio::runtime::Handle;

const DESCS: [Desc; 3] = [
    Desc::gauge("runtime_workers", "Worker threads of the async runtime."),
    Desc::gauge("runtime_alive_tasks", "Tasks of the async runtime that have not ended."),
    Desc::gauge("runtime_global_queue_depth", "Tasks that wait in the queue shared by all workers."),
];

pub(super) fn descs(prefix: &str) -> Vec<Desc> {
    DESCS.iter().map(|desc| desc.with_prefix(prefix)).collect()
}

/// Reads the runtime's own counts at each scrape.
pub(super) struct Runtime(pub(super) Handle);

impl Collector for Runtime {
    fn collect(&self, sink: &mut SampleSink<'_>) {
        let metrics = self.0.metrics();
        let values = [metrics.num_workers(), metrics.num_alive_tasks(), metrics.global_queue_depth()];
        values.into_iter().enumerate().for_each(|(family, value)| sink.sample(family, &[], value as f64));
    }
}
