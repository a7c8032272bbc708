//! What became of spans before they were traces. The caller gives the prefix of the names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nkudo_metrics_core::{Collector, Desc, Registry, SampleSink};
use nkudo_spans::SpansHandle;

const FINISHED: Desc = Desc::counter("spans_finished_total", "Spans that ended and were handed on.");
const DROPPED: Desc =
    Desc::counter("spans_dropped_total", "Spans that were lost for want of room, open or finished.");
const REFUSED: Desc = Desc::counter(
    "spans_refused_total",
    "Spans of other programs that were lost because too much waited to be recorded.",
);
const RING_BYTES: Desc = Desc::gauge("span_ring_bytes", "Memory in which finished spans wait.").unit("bytes");

/// Every metric of this crate, and those of the traces.
pub fn descs(prefix: &str) -> Vec<Desc> {
    let mut descs = own_descs(prefix);
    descs.extend(nkudo_traces::descs(prefix));
    descs
}

fn own_descs(prefix: &str) -> Vec<Desc> {
    [FINISHED, DROPPED, REFUSED, RING_BYTES].map(|desc| desc.with_prefix(prefix)).into()
}

struct Rings(SpansHandle, Arc<AtomicU64>);

impl Collector for Rings {
    #[expect(clippy::cast_precision_loss, reason = "samples are f64 in the exposition's data model")]
    fn collect(&self, sink: &mut SampleSink<'_>) {
        sink.sample(0, &[], self.0.finished() as f64);
        sink.sample(1, &[], self.0.dropped() as f64);
        sink.sample(2, &[], self.1.load(Ordering::Relaxed) as f64);
        sink.sample(3, &[], self.0.ring_bytes() as f64);
    }
}

pub(crate) fn register(spans: SpansHandle, refused: Arc<AtomicU64>, registry: &Registry, prefix: &str) {
    registry.collector(own_descs(prefix), Arc::new(Rings(spans, refused)));
}
