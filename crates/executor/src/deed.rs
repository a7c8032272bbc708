//! One deed, from its beginning to the look at what is so after it.

use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_domain::{Deed, Observation, VmId, VmSpec};
use nkudo_providers::{Provider, ProviderError};
use nkudo_supervision::{Operation, Operations};
use nkudo_tracker::{DeedFailure, DeedReport, Work};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::{Empty, debug};
use tracing::{Instrument as _, Span};

use crate::error::chain;
use crate::meter::Meter;

/// How often the process is measured while a deed goes on.
const METER_INTERVAL: Duration = Duration::from_millis(50);
/// How often a VM that does not answer is looked at before it counts as unresponsive.
const LOOKS_MAX: u32 = 3;
/// How soon it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long the look after a deed may take before the VM counts as unresponsive.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(5);

/// Performs the work, or drops it where it stands once `interrupt` is cancelled, and looks what is so.
pub(crate) async fn perform(
    provider: Arc<dyn Provider>,
    work: Box<Work>,
    interrupt: CancellationToken,
    jitter_permille: u16,
    metrics: AgentMetrics,
    operations: Operations,
) -> DeedReport {
    let vm_id = work.spec.vm_id;
    let mut meter = Meter::begin(&*provider, vm_id);
    let result = {
        let calls = Calls { provider: &*provider, metrics: &metrics, operations: &operations };
        let mut deed = std::pin::pin!(do_work(&calls, &work));
        let mut interval = tokio::time::interval(METER_INTERVAL);
        loop {
            // Dropping the deed at any await is what providers allow; the interval and the token hold no state.
            tokio::select! {
                biased;
                result = &mut deed => {
                    break result.map_err(|error| DeedFailure::Failed {
                        error: chain(&error),
                        transient: error.is_transient(),
                    });
                }
                () = interrupt.cancelled() => break Err(DeedFailure::Interrupted),
                _ = interval.tick() => meter.read(&*provider),
            }
        }
    };
    let usage = meter.end(&*provider);
    if let Err(DeedFailure::Failed { error, .. }) = &result {
        Span::current().record("error", error);
    }
    let looked = tracing::info_span!("provider observe", observation = Empty);
    let observation = look(&*provider, vm_id).instrument(looked.clone()).await;
    looked.record("observation", debug(&observation));
    DeedReport { result, observation, usage, jitter_permille }
}

/// How a VM is. What cannot be found out in time is unresponsive, not dead; and one silence is not enough for that,
/// because a hypervisor may be busy.
pub(crate) async fn look(provider: &dyn Provider, vm_id: VmId) -> Observation {
    let patient = async {
        for _ in 1..LOOKS_MAX {
            match look_once(provider, vm_id).await {
                Observation::Unresponsive => tokio::time::sleep(LOOK_AGAIN).await,
                known => return known,
            }
        }
        look_once(provider, vm_id).await
    };
    tokio::time::timeout(OBSERVE_DEADLINE, patient).await.unwrap_or_else(|_| {
        let deadline_ms = OBSERVE_DEADLINE.as_millis();
        tracing::warn!(%vm_id, deadline_ms, "vm was not observed in time");
        Observation::Unresponsive
    })
}

async fn look_once(provider: &dyn Provider, vm_id: VmId) -> Observation {
    provider.observe(vm_id).await.unwrap_or_else(|error| {
        tracing::warn!(%vm_id, error = chain(&error), "vm could not be observed");
        Observation::Unresponsive
    })
}

/// One call of a provider, counted, and a span named after it.
macro_rules! call {
    ($calls:expr, $operation:literal, $call:expr) => {{
        let provider = $calls.provider.kind().as_str();
        let span = tracing::info_span!(
            concat!("provider ", $operation),
            otel.kind = "client",
            provider,
            error = Empty
        );
        $calls.call($operation, span, $call)
    }};
}

/// Calls a provider and counts the calls.
struct Calls<'c> {
    provider: &'c dyn Provider,
    metrics: &'c AgentMetrics,
    operations: &'c Operations,
}

impl Calls<'_> {
    /// Measures a call of this name within its span.
    async fn call(
        &self,
        operation: &'static str,
        span: Span,
        call: impl Future<Output = Result<(), ProviderError>>,
    ) -> Result<(), ProviderError> {
        let began = Instant::now();
        let result = call.instrument(span.clone()).await;
        if let Err(error) = &result {
            span.record("error", error as &dyn std::error::Error);
        }
        self.metrics.provider_call(self.provider.kind(), operation, began.elapsed(), result.is_ok());
        result
    }

    async fn create(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        call!(self, "create", self.provider.create(spec)).await
    }

    async fn boot(&self, spec: &VmSpec) -> Result<(), ProviderError> {
        let began = Instant::now();
        let booted = call!(self, "boot", self.provider.boot(spec)).await;
        self.operations.ended(Operation::ProcessStart, 0, began.elapsed(), booted.is_ok());
        booted
    }

    async fn force_off(&self, vm_id: VmId) -> Result<(), ProviderError> {
        let began = Instant::now();
        let ended = call!(self, "force_off", self.provider.force_off(vm_id)).await;
        self.operations.ended(Operation::ProcessSignal, 0, began.elapsed(), ended.is_ok());
        ended
    }

    async fn delete(&self, vm_id: VmId) -> Result<(), ProviderError> {
        call!(self, "delete", self.provider.delete(vm_id)).await
    }
}

async fn do_work(calls: &Calls<'_>, work: &Work) -> Result<(), ProviderError> {
    let (spec, vm_id) = (&*work.spec, work.spec.vm_id);
    match work.deed {
        Deed::Create => {
            if work.afresh {
                calls.delete(vm_id).await?;
            }
            calls.create(spec).await?;
            if work.autostart { calls.boot(spec).await } else { Ok(()) }
        }
        Deed::Boot => {
            if work.afresh {
                calls.force_off(vm_id).await?;
            }
            calls.boot(spec).await
        }
        Deed::PowerOff => call!(calls, "power_off", calls.provider.power_off(vm_id, work.grace)).await,
        Deed::ForceOff | Deed::SettleStopped => calls.force_off(vm_id).await,
        Deed::Pause => call!(calls, "pause", calls.provider.pause(vm_id)).await,
        Deed::Resume => call!(calls, "resume", calls.provider.resume(vm_id)).await,
        Deed::Delete => {
            calls.delete(vm_id).await?;
            if work.delete_disks { remove_disks(work).await } else { Ok(()) }
        }
    }
}

/// Removes the VM's disk images. One that is gone already is fine.
async fn remove_disks(work: &Work) -> Result<(), ProviderError> {
    for disk in &work.spec.disks {
        match tokio::fs::remove_file(&disk.path).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ProviderError::File {
                    operation: "cannot remove disk",
                    path: disk.path.clone(),
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
