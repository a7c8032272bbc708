//! Why a VM is as it is: what the journal says, what is found on the host, what follows, and what comes next.
//!
//! The daemon answers while it runs, as the monitors of its VMs may be busy with it; without one the same is read from
//! the journal and the host.
//!
//! **Invariant:** nothing is altered by asking.

mod words;

use nkudo_api::nearest;
use nkudo_api::time::WallTime;
use nkudo_api::view::explain::{ExplainView, FactView, JournalView, VmEventView};
use nkudo_domain::{Observation, Outcome, ProviderKind, Request, VmId, VmName};
use nkudo_executor::Providers;
use nkudo_executor::projection::action_view;
use nkudo_providers::{Fact, Findings, ProviderError, VmEvent};
use nkudo_tracker::{Phase, Tracked, Tracker};

use crate::config::Settings;
use crate::offline::{OfflineError, Recorded};
use crate::providers::providers;
use words::{Position, word};

/// Why a VM cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("`{0}` is neither a VM's id nor a name; a name has letters, digits, `.`, `_` and `-`")]
    NoName(String),
    #[error("no vm {which} on this host{}", near.as_ref().map_or("; `edge-agent vms` lists them".to_owned(), |near| format!("; did you mean {near}?")))]
    Unknown { which: String, near: Option<String> },
    #[error("vm {0} is not on this host any more: the journal says that it was deleted")]
    Deleted(VmId),
    #[error("the evidence about vm {vm_id} cannot be gathered")]
    Evidence { vm_id: VmId, source: ProviderError },
    #[error(transparent)]
    Offline(#[from] OfflineError),
}

/// What somebody calls a VM: its id or its name.
#[derive(Debug, Clone)]
pub struct Called(String);

impl std::str::FromStr for Called {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        match text.parse::<VmName>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(ExplainError::NoName(text.to_owned())),
        }
    }
}

impl Called {
    /// As it stands in a path of the REST interface: a name needs no escapes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the journal says of one VM, between two steps of the tracker.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// None where a name was given that nobody has.
    vm_id: Option<VmId>,
    journal: Option<JournalView>,
    provider: Option<ProviderKind>,
    deleted: bool,
    near: Option<String>,
}

impl Told {
    pub(crate) fn of(tracker: &Tracker, called: &Called) -> Self {
        let id: Option<VmId> = called.0.parse().ok();
        let is_it = |vm_id: VmId, name: &VmName| Some(vm_id) == id || name.as_str() == called.0;
        let found = tracker.vms().find(|(vm_id, vm)| is_it(*vm_id, &vm.spec.vm_name));
        let Some((vm_id, vm)) = found else {
            let words: Vec<(String, VmId)> = tracker
                .vms()
                .flat_map(|(vm_id, vm)| [(vm.spec.vm_name.to_string(), vm_id), (vm_id.to_string(), vm_id)])
                .collect();
            let near = nearest(&called.0, words.iter().map(|(word, _)| word.as_str())).map(str::to_owned);
            let deleted =
                id.is_some() && tracker.actions().filter_map(deleted_by).any(|(vm_id, _)| Some(vm_id) == id);
            return Self { vm_id: id, journal: None, provider: None, deleted, near };
        };
        let mut actions: Vec<&Tracked> =
            tracker.actions().filter(|tracked| tracked.action.request.vm_id() == Some(vm_id)).collect();
        actions.sort_by_key(|tracked| (tracked.admitted.wall_ms, tracked.action.action_id.clone()));
        let (ended, open): (Vec<&Tracked>, Vec<&Tracked>) =
            actions.into_iter().partition(|tracked| tracked.has_ended());
        let journal = JournalView {
            state: vm.state,
            reason: vm.reason.clone(),
            since: WallTime(vm.since_ms),
            restart_policy: vm.spec.restart_policy,
            restarts: vm.restarts,
            spec: (*vm.spec).clone(),
            last_action: ended.last().map(|tracked| action_view(tracked)),
            open_actions: open.into_iter().map(action_view).collect(),
        };
        Self {
            vm_id: Some(vm_id),
            journal: Some(journal),
            provider: Some(vm.provider),
            deleted: false,
            near: None,
        }
    }
}

/// The VM that an action has deleted, if that is what it did, and when, in Unix milliseconds.
pub(crate) fn deleted_by(tracked: &Tracked) -> Option<(VmId, i64)> {
    let Phase::Ended { outcome: Outcome::Success { .. }, at_ms } = &tracked.phase else { return None };
    match &tracked.action.request {
        Request::Delete(delete) => Some((delete.vm_id, *at_ms)),
        Request::Create(_)
        | Request::Start(_)
        | Request::Stop(_)
        | Request::Pause(_)
        | Request::Resume(_)
        | Request::Execute(_) => None,
    }
}

/// Without a daemon, from the journal and the host.
///
/// # Errors
/// When nobody knows the VM, or journal or host cannot be read.
pub async fn offline(settings: &Settings, called: &Called) -> Result<ExplainView, ExplainError> {
    let providers = providers(settings);
    let recorded = Recorded::read(settings, &providers)?;
    let told = Told::of(&recorded.tracker, called);
    let view = explain(told, called, &providers, false).await?;
    Ok(ExplainView { unread: recorded.lacking(), ..view })
}

/// Brings what the journal says and what is found together.
pub(crate) async fn explain(
    told: Told,
    called: &Called,
    providers: &Providers,
    daemon_running: bool,
) -> Result<ExplainView, ExplainError> {
    let unknown = || ExplainError::Unknown { which: called.0.clone(), near: told.near.clone() };
    let vm_id = told.vm_id.ok_or_else(unknown)?;
    let gone = || if told.deleted { ExplainError::Deleted(vm_id) } else { unknown() };
    let (findings, spec_name) = find(&told, vm_id, providers).await?.ok_or_else(gone)?;
    let Findings { facts, events, observation, why } = findings;
    let position = Position {
        state: told.journal.as_ref().map(|journal| journal.state),
        open: told.journal.as_ref().and_then(|journal| journal.open_actions.first()),
        restart_policy: told.journal.as_ref().map(|journal| journal.restart_policy),
        deleted: told.deleted,
        daemon_running,
    };
    let (agrees, next, remedy) =
        (position.agrees(&observation), position.next(&observation), position.remedy(&observation));
    let fact = |fact: Fact| FactView { name: fact.name.to_owned(), holds: fact.holds, detail: fact.detail };
    let event =
        |event: VmEvent| VmEventView { at: WallTime(event.at_ms), event: event.event, reason: event.reason };
    Ok(ExplainView {
        vm_id,
        vm_name: told.journal.as_ref().map(|journal| journal.spec.vm_name.clone()).or(spec_name),
        daemon_running,
        found: word(&observation).to_owned(),
        why,
        agrees,
        next,
        remedy,
        journal: told.journal,
        evidence: facts.into_iter().map(fact).collect(),
        events: events.into_iter().map(event).collect(),
        unread: None,
    })
}

/// What the VM's provider finds; of a VM that the journal does not know, what any of them finds.
async fn find(
    told: &Told,
    vm_id: VmId,
    providers: &Providers,
) -> Result<Option<(Findings, Option<VmName>)>, ExplainError> {
    let failed = |source| ExplainError::Evidence { vm_id, source };
    if let Some(kind) = told.provider {
        let Some(provider) = providers.0.get(&kind) else {
            return Ok(Some((words::no_provider(kind), None)));
        };
        return Ok(Some((provider.evidence(vm_id).await.map_err(failed)?, None)));
    }
    for provider in providers.0.values() {
        let findings = provider.evidence(vm_id).await.map_err(failed)?;
        if findings.observation != Observation::Absent {
            let name = provider.spec(vm_id).await.map(|spec| spec.vm_name);
            return Ok(Some((findings, name)));
        }
    }
    Ok(None)
}
