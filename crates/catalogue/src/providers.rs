//! Calls of the providers that run VMs.

use std::time::Duration;

use nkudo_domain::ProviderKind;
use nkudo_metrics_core::{Counter, Desc, Family, Histogram, Registry, label_set};

/// From an answer out of memory to a boot under emulation.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.5, 2.5, 7.5, 12.5, 37.5, 62.5];

const CALLS_TOTAL: Desc =
    Desc::counter("nkudo_provider_calls_total", "Calls of a provider, the failed included.")
        .labels(&["provider", "operation"]);
const ERRORS_TOTAL: Desc = Desc::counter("nkudo_provider_errors_total", "Calls of a provider that failed.")
    .labels(&["provider", "operation"]);
const DURATION: Desc = Desc::histogram(
    "nkudo_provider_call_duration_seconds",
    "How long calls of a provider took, in seconds.",
    SECONDS,
)
.unit("seconds")
.labels(&["provider", "operation"]);

pub(crate) fn descs() -> Vec<Desc> {
    vec![CALLS_TOTAL, ERRORS_TOTAL, DURATION]
}

label_set! {
    struct ByOperation { provider: &'static str, operation: &'static str }
}

#[derive(Debug, Clone)]
pub(crate) struct Providers {
    calls: Family<ByOperation, Counter>,
    errors: Family<ByOperation, Counter>,
    duration: Family<ByOperation, Histogram>,
}

impl Providers {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            calls: registry.counter_family(&CALLS_TOTAL),
            errors: registry.counter_family(&ERRORS_TOTAL),
            duration: registry.histogram_family(&DURATION),
        }
    }

    pub(crate) fn called(
        &self,
        provider: ProviderKind,
        operation: &'static str,
        duration: Duration,
        succeeded: bool,
    ) {
        let by = ByOperation { provider: provider.as_str(), operation };
        self.calls.get(&by).inc();
        self.duration.get(&by).observe(duration.as_secs_f64());
        // Asked for in any case, so that it is there at zero before the first error.
        self.errors.get(&by).inc_by(u64::from(!succeeded));
    }
}
