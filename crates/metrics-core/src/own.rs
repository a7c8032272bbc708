//! What a registry tells of itself: what bounds refused, and which collectors failed.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::cell::Counter;
use crate::collect::{SampleSink, Series};
use crate::desc::Desc;
use crate::gather::Failure;

const SERIES_REFUSED: Desc = Desc::counter(
    "metrics_series_refused_total",
    "Times that a family refused a series because it holds as many as it may.",
)
.labels(&["family"]);
const COLLECTOR_FAILURES: Desc = Desc::counter(
    "metrics_collector_failures_total",
    "Scrapes that went on without a collector, named by its first family: it was late, still busy with an earlier one, or panicked.",
)
.labels(&["collector", "cause"]);

#[derive(Debug, Default)]
pub(crate) struct Own {
    /// By the name of the family.
    refused: RwLock<BTreeMap<String, Counter>>,
    /// By the name of the collector, in the order of [`Failure::ALL`].
    failures: RwLock<BTreeMap<String, [u64; Failure::ALL.len()]>>,
}

impl Own {
    pub(crate) fn descs(prefix: &str) -> Vec<Desc> {
        vec![SERIES_REFUSED.with_prefix(prefix), COLLECTOR_FAILURES.with_prefix(prefix)]
    }

    /// Where the bound of this family counts what it refuses.
    pub(crate) fn refused(&self, family: &str) -> Counter {
        let mut families = self.refused.write().unwrap_or_else(PoisonError::into_inner);
        families.entry(family.to_owned()).or_default().clone()
    }

    pub(crate) fn refused_in_all(&self) -> u64 {
        self.refused.read().unwrap_or_else(PoisonError::into_inner).values().map(Counter::get).sum()
    }

    pub(crate) fn failed(&self, collector: &str, failure: Failure) {
        let mut failures = self.failures.write().unwrap_or_else(PoisonError::into_inner);
        let counts = failures.entry(collector.to_owned()).or_default();
        Failure::ALL
            .iter()
            .zip(counts)
            .filter(|(kind, _)| **kind == failure)
            .for_each(|(_, count)| *count += 1);
    }

    /// What there is to tell. Families that refused nothing and collectors that never failed have no sample.
    pub(crate) fn series(&self, descs: &[Desc]) -> Vec<Vec<Series>> {
        let mut sink = SampleSink::new(descs);
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        for (family, count) in refused.iter().map(|(family, counter)| (family, counter.get())) {
            if count > 0 {
                sink.sample(0, &[family], count as f64);
            }
        }
        let failures = self.failures.read().unwrap_or_else(PoisonError::into_inner);
        for (collector, counts) in failures.iter() {
            for (failure, count) in Failure::ALL.iter().zip(counts) {
                sink.sample(1, &[collector, failure.as_str()], *count as f64);
            }
        }
        sink.into_parts().0
    }
}
