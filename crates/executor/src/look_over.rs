//! Looking the host over: every VM of which there is anything, asked how it is, all at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use nkudo_domain::{Observation, ProviderKind, VmId};
use nkudo_tracker::{Config, Found, Input, Now, Record, Tracker};

use crate::deed::look;
use crate::error::ExecutorError;
use crate::executor::Providers;

/// What is found of the VMs that the tracker knows, and of those that only their run directories tell of.
pub(crate) async fn look_over(tracker: &Tracker, providers: &Providers) -> Result<Vec<Found>, ExecutorError> {
    let mut wanted: BTreeSet<(ProviderKind, VmId)> =
        tracker.vms().map(|(vm_id, vm)| (vm.provider, vm_id)).collect();
    for (kind, provider) in &providers.0 {
        // What cannot be listed is not the same as nothing: VMs would be forgotten.
        let listed = provider.list().await;
        let vm_ids = listed.map_err(|source| ExecutorError::ListVms { provider: *kind, source })?;
        wanted.extend(vm_ids.into_iter().map(|vm_id| (*kind, vm_id)));
    }
    let looks = wanted.into_iter().map(|(kind, vm_id)| async move {
        // Of a VM whose provider is not configured any more nothing is known; that is not its absence.
        let Some(provider) = providers.0.get(&kind) else {
            return Found { vm_id, provider: kind, spec: None, observation: Observation::Unresponsive };
        };
        let observation = look(&**provider, vm_id).await;
        Found { vm_id, provider: kind, spec: provider.spec(vm_id).await, observation }
    });
    Ok(join_all(looks).await)
}

/// The state of a host whose agent is down: its records and what is found now, brought together as the agent would,
/// but nothing is done or written.
pub async fn replay_view(
    config: Config,
    records: Vec<Record>,
    providers: &Providers,
    now: Now,
) -> Result<Tracker, ExecutorError> {
    let mut tracker = Tracker::replay(config, records);
    let found = look_over(&tracker, providers).await?;
    drop(tracker.step(Input::Recovered { found }, now));
    Ok(tracker)
}
