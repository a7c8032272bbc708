//! What every part of the control plane works with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nkudo_audit::Head;
use nkudo_catalogue::ControlMetrics;
use nkudo_domain::{ActionId, ActionStatus, AgentId, EndStatus, TenantId};
use nkudo_logbook::LogBook;
use nkudo_pki::{AgentIdentity, Authority};
use nkudo_recorder::Recorder;
use nkudo_store::{ActionRecord, Store, StoreError};
use nkudo_supervision::Supervisor;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::deeds::Deeds;
use crate::roster::Roster;

/// Changes that a slow listener may be behind by; more, and it looks into the books.
const CHANGES_MAX: usize = 1_024;

/// The shared state.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Authority,
    pub(crate) roster: Roster,
    pub(crate) metrics: ControlMetrics,
    pub(crate) limits: Limits,
    pub(crate) version: &'static str,
    pub(crate) supervisor: Supervisor,
    /// None where nothing is recorded.
    pub(crate) recorder: Option<Recorder>,
    /// The server's own log; none where no files are written.
    pub(crate) logs: Option<LogBook>,
    pub(crate) audit: Audit,
    pub(crate) deeds: Deeds,
    /// Whether the books answered the last time they were asked.
    pub(crate) ready: AtomicBool,
    changes: broadcast::Sender<Change>,
    /// Cancelled when open streams are to end.
    pub(crate) shutdown: CancellationToken,
}

/// How long things last and how many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) certificate_lifetime: Duration,
    /// From the request to the moment after which an action is not started.
    pub(crate) action_lifetime: Duration,
    /// Open actions of one agent.
    pub(crate) open_actions_max: u32,
    /// How long what has ended, expired or left stays in the books.
    pub(crate) retention: Duration,
}

/// What those hear who follow actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// An action has changed in the books.
    Action { tenant_id: TenantId, action_id: ActionId },
    /// Something else holds up what is queued for an agent, or nothing any more.
    HoldsUp(AgentId),
}

impl Control {
    #[expect(clippy::too_many_arguments, reason = "each part is given once, where the server is assembled")]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        authority: Authority,
        roster: Roster,
        metrics: ControlMetrics,
        limits: Limits,
        version: &'static str,
        supervisor: Supervisor,
        recorder: Option<Recorder>,
    ) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let shutdown = CancellationToken::new();
        Self {
            store,
            authority,
            roster,
            metrics,
            limits,
            version,
            supervisor,
            recorder,
            logs: None,
            audit: Audit::nowhere(),
            deeds: Deeds::default(),
            ready: AtomicBool::new(true),
            changes,
            shutdown,
        }
    }

    /// The same with the server's own log, for whoever may read it.
    pub(crate) fn with_logs(self, logs: Option<LogBook>) -> Self {
        Self { logs, ..self }
    }

    /// The same with a log of who did what.
    pub(crate) fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// Changes of actions from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Tells whoever follows the action.
    pub(crate) fn changed(&self, tenant_id: &TenantId, action_id: &ActionId) {
        // Nobody may be listening.
        drop(
            self.changes.send(Change::Action { tenant_id: tenant_id.clone(), action_id: action_id.clone() }),
        );
    }

    /// Tells whoever follows actions that are queued for this agent.
    pub(crate) fn holds_up_changed(&self, agent_id: AgentId) {
        // Nobody may be listening.
        drop(self.changes.send(Change::HoldsUp(agent_id)));
    }

    /// Actions have ended in the books.
    pub(crate) fn ended(&self, actions: &[ActionRecord]) {
        // Both on this clock: when it ended by its agent's is no measure of what an operator waited.
        let now_ms = nkudo_host::clock::wall_ms();
        for record in actions {
            let took_ms = now_ms.saturating_sub(record.created_at_ms);
            let took = Duration::from_millis(took_ms.max(0).unsigned_abs());
            self.metrics.task_ended(record.status == ActionStatus::Success, took);
            tracing::info!(
                action_id = %record.action.action_id,
                trace_id = record.action.trace_id.map(|id| id.to_string()),
                agent_id = %record.agent_id,
                status = record.status.as_str(),
                "action ended"
            );
            self.changed(&record.tenant_id, &record.action.action_id);
        }
    }

    /// Ends an action that its agent will not run.
    pub(crate) async fn end_unrun(
        &self,
        agent_id: AgentId,
        action_id: &ActionId,
        status: EndStatus,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let now_ms = nkudo_host::clock::wall_ms();
        let ended = self.store.end_unrun(agent_id, action_id, status, error, now_ms).await?;
        self.ended(ended.as_slice());
        Ok(())
    }

    /// The audit log of an agent is shorter than it was, or another one: lines were taken out of it, or it was begun anew.
    pub(crate) async fn agent_log_went_back(&self, identity: &AgentIdentity, kept: Head, told: Head) {
        self.metrics.agent_logs_went_back.inc();
        tracing::warn!(
            agent_id = %identity.agent_id, kept = %kept, told = %told, "audit log of an agent went back"
        );
        self.audit.agent_log_went_back(identity, kept, told).await;
    }

    /// Takes an agent out of the fleet: its certificates are revoked, its link is ended. False when it was not in it.
    pub(crate) async fn unenrol(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        by: &str,
    ) -> Result<bool, StoreError> {
        let now_ms = nkudo_host::clock::wall_ms();
        let Some(ended) = self.store.unenrol(tenant_id, agent_id, now_ms).await? else { return Ok(false) };
        if let Some(site_id) = self.roster.remove(agent_id) {
            self.metrics.forget_agent(agent_id, &site_id);
        }
        tracing::info!(%agent_id, %tenant_id, "agent unenrolled; its certificates are revoked");
        self.ended(&ended);
        self.audit.unenrolled(tenant_id, agent_id, by).await;
        Ok(true)
    }
}
