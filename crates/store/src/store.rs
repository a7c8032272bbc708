//! The trait.

use std::fmt::Debug;

use async_trait::async_trait;
use nkudo_audit::Head;
use nkudo_domain::{ActionId, AgentId, EndStatus, Outage, SiteId, TenantId, VmId};

use crate::error::StoreError;
use crate::page::{Listed, Page};
use crate::records::{
    ActionFilter, ActionRecord, AgentFilter, AgentRecord, AgentStanding, Asked, Cancelled, CertificateRecord,
    Counts, Enrolled, Enrolment, ExecutionFilter, ExecutionRecord, Facts, Forgotten, KeyRecord, OutageFilter,
    Recorded, ResultBatch, SiteDeleted, SiteRecord, TokenRecord, VmFilter, VmRecord,
};

/// The control plane's books. Every method is one transaction; when it answers Ok, what it wrote is on disk.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    // Tenants, sites, keys, tokens.

    /// Makes the tenant when it does not exist; answers whether it made it.
    async fn create_tenant(&self, tenant_id: &TenantId, now_ms: i64) -> Result<bool, StoreError>;
    /// Removes the tenant with all that belongs to it; answers whether it was there.
    async fn delete_tenant(&self, tenant_id: &TenantId) -> Result<bool, StoreError>;

    /// Makes the site when it does not exist (its tenant must); answers the one that is there now.
    async fn create_site(
        &self,
        tenant_id: &TenantId,
        site_id: &SiteId,
        now_ms: i64,
    ) -> Result<SiteRecord, StoreError>;
    /// By name.
    async fn sites(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<SiteRecord>, StoreError>;
    /// Removes a site that has no enrolled agent and no token that is still good.
    async fn delete_site(
        &self,
        tenant_id: &TenantId,
        site_id: &SiteId,
        now_ms: i64,
    ) -> Result<SiteDeleted, StoreError>;

    async fn insert_key(&self, key: &KeyRecord) -> Result<(), StoreError>;
    /// For authentication, so across tenants.
    async fn key(&self, key_id: &str) -> Result<Option<KeyRecord>, StoreError>;
    /// By key id.
    async fn keys(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<KeyRecord>, StoreError>;
    async fn delete_key(&self, tenant_id: &TenantId, key_id: &str) -> Result<bool, StoreError>;

    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError>;
    /// For enrolment, so across tenants.
    async fn token(&self, token_id: &str) -> Result<Option<TokenRecord>, StoreError>;
    /// By token id; expired and used ones are among them.
    async fn tokens(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<TokenRecord>, StoreError>;
    async fn delete_token(&self, tenant_id: &TenantId, token_id: &str) -> Result<bool, StoreError>;

    // Agents and their certificates.

    /// Takes one use from the token and adds the agent (tenant and site are the token's) with its first certificate,
    /// all or nothing.
    async fn enrol(&self, enrolment: &Enrolment, now_ms: i64) -> Result<Enrolled, StoreError>;
    /// Adds a certificate of an enrolled agent; false when the agent is not enrolled.
    async fn add_certificate(&self, certificate: &CertificateRecord) -> Result<bool, StoreError>;
    /// For authentication, so across tenants. None also when it was never issued.
    async fn certificate(&self, serial: &str) -> Result<Option<CertificateRecord>, StoreError>;
    /// Revokes every certificate of the agent and ends its actions that have not ended: those that were not sent as
    /// `cancelled`, the others as `failure` with a sentence that says that the agent was unenrolled and the outcome is
    /// unknown. Its VMs leave the books. Answers the actions that ended by it; none when the agent was not enrolled.
    async fn unenrol(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        now_ms: i64,
    ) -> Result<Option<Vec<ActionRecord>>, StoreError>;

    async fn agent(&self, tenant_id: &TenantId, agent_id: AgentId)
    -> Result<Option<AgentRecord>, StoreError>;
    /// By agent id.
    async fn agents(
        &self,
        tenant_id: &TenantId,
        filter: &AgentFilter,
        page: &Page,
    ) -> Result<Listed<AgentRecord>, StoreError>;
    /// Every enrolled agent of every tenant: how the control plane finds its fleet when it starts.
    async fn standings(&self) -> Result<Vec<AgentStanding>, StoreError>;
    /// What the agent says of itself; forgets its goodbye.
    async fn record_facts(&self, agent_id: AgentId, facts: &Facts, now_ms: i64) -> Result<(), StoreError>;
    /// When agents were last heard of, many at once, with the time of this flush (see [`Store::seen_flushed_at`]).
    async fn record_seen(&self, seen: &[(AgentId, i64)], now_ms: i64) -> Result<(), StoreError>;
    /// The last time [`Store::record_seen`] was called: until then the control plane was alive.
    async fn seen_flushed_at(&self) -> Result<Option<i64>, StoreError>;
    /// The newest lines of agents' audit logs that were seen, many at once.
    async fn record_audit_heads(&self, heads: &[(AgentId, Head)]) -> Result<(), StoreError>;
    async fn record_goodbye(&self, agent_id: AgentId, reason: &str, now_ms: i64) -> Result<(), StoreError>;

    // VMs.

    /// The VMs of an agent are these and no others.
    async fn replace_vms(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        vms: &[VmRecord],
    ) -> Result<(), StoreError>;
    /// Some VMs of an agent have changed, some are gone.
    async fn change_vms(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        changed: &[VmRecord],
        gone: &[VmId],
    ) -> Result<(), StoreError>;
    /// By VM id, then agent id.
    async fn vms(
        &self,
        tenant_id: &TenantId,
        filter: &VmFilter,
        page: &Page,
    ) -> Result<Listed<VmRecord>, StoreError>;

    // Actions and their executions.

    /// Takes an action in as `queued`, unless its id is known in the tenant. `record` is a new one: its state members
    /// are those of a queued action. A VM is made on one host of the tenant only. Repeated when agent and body are the same ([`nkudo_domain::Action::asks_the_same`]). At most
    /// `open_max` actions of an agent are open.
    async fn ask(&self, record: &ActionRecord, open_max: u32) -> Result<Asked, StoreError>;
    async fn action(
        &self,
        tenant_id: &TenantId,
        action_id: &ActionId,
    ) -> Result<Option<ActionRecord>, StoreError>;
    /// The newest first (by creation, then id).
    async fn actions(
        &self,
        tenant_id: &TenantId,
        filter: &ActionFilter,
        page: &Page,
    ) -> Result<Listed<ActionRecord>, StoreError>;
    /// Up to `limit` open actions of the agent in the order in which they were asked for, from the one after `after`
    /// (an ordinal of the store; 0 for the first); each with its ordinal. Open: queued, delivered or running.
    async fn open_actions(
        &self,
        agent_id: AgentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ActionRecord)>, StoreError>;
    /// Notes that these are about to be sent; those that have ended meanwhile (cancelled, expired) are left out of the
    /// answer. The time of the first sending stays.
    async fn mark_sent(
        &self,
        agent_id: AgentId,
        action_ids: &[ActionId],
        now_ms: i64,
    ) -> Result<Vec<ActionId>, StoreError>;
    /// The agents have them, durably: queued ones become `delivered`.
    async fn mark_delivered(&self, agent_id: AgentId, action_ids: &[ActionId]) -> Result<(), StoreError>;
    /// They run: queued and delivered ones become `running`.
    async fn mark_started(&self, agent_id: AgentId, started: &[(ActionId, i64)]) -> Result<(), StoreError>;
    /// The agent will not run it: it ends with this status and sentence. None when it is unknown or has ended.
    async fn end_unrun(
        &self,
        agent_id: AgentId,
        action_id: &ActionId,
        status: EndStatus,
        error: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<ActionRecord>, StoreError>;
    async fn cancel(
        &self,
        tenant_id: &TenantId,
        action_id: &ActionId,
        now_ms: i64,
    ) -> Result<Cancelled, StoreError>;
    /// Ends as `expired` what has not been sent and is past its time, over all tenants; answers what it ended.
    async fn expire(&self, now_ms: i64) -> Result<Vec<ActionRecord>, StoreError>;

    /// The last result of this outbox that is recorded; 0 where there is none.
    async fn results_recorded(&self, agent_id: AgentId, outbox_id: &str) -> Result<u64, StoreError>;
    /// Records ends of actions, each once. Results at or below what
    /// was recorded for the same `outbox_id` are left out, but those of actions that are open; another `outbox_id` starts anew. An action that is open ends
    /// with its result; one that has ended stays as it is; one that is unknown in the tenant is added with origin
    /// [`Origin::Host`](crate::Origin::Host). Executions are kept by agent and action id.
    async fn record_results(&self, batch: &ResultBatch, now_ms: i64) -> Result<Recorded, StoreError>;
    /// The newest first (by start, then id).
    async fn executions(
        &self,
        tenant_id: &TenantId,
        filter: &ExecutionFilter,
        page: &Page,
    ) -> Result<Listed<ExecutionRecord>, StoreError>;

    // Outages.

    /// Records why an agent was away, each once: by its ledger and its number there. Of each agent the
    /// [`OUTAGES_MAX`](crate::OUTAGES_MAX) that ended last stay. An agent that is not in the tenant has none.
    async fn record_outages(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        ledger_id: &str,
        outages: &[(u64, Outage)],
    ) -> Result<(), StoreError>;
    /// The newest first (by their end, then ledger and number).
    async fn outages(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        filter: &OutageFilter,
        page: &Page,
    ) -> Result<Listed<Outage>, StoreError>;

    // For the control plane itself.

    /// Removes what has been of no use since `before_ms`: actions and executions whose end was recorded before,
    /// certificates and enrolment tokens that had expired (not the last certificate of an agent), agents that were
    /// unenrolled. The oldest first, of each kind at most `limit`. What a former version has ended counts as ended now.
    async fn forget(&self, before_ms: i64, now_ms: i64, limit: u32) -> Result<Forgotten, StoreError>;

    async fn counts(&self) -> Result<Counts, StoreError>;
    /// Whether it answers and, where something has failed before, whether it can be written again; for readiness.
    async fn ping(&self) -> Result<(), StoreError>;
}
