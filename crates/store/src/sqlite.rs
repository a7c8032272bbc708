//! The books in SQLite: one connection that writes, some that read.

mod actions;
mod agents;
mod cursor;
mod deed;
mod executions;
mod fault;
mod keys;
mod opening;
mod outages;
mod results;
mod retention;
mod row;
mod sites;
mod tokens;
mod trial;
mod vms;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nkudo_audit::Head;
use nkudo_domain::{ActionId, AgentId, EndStatus, Outage, SiteId, TenantId, VmId};
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool, Transaction};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::error::StoreError;
use crate::page::{Listed, Page};
use crate::records::{
    ActionFilter, ActionRecord, AgentFilter, AgentRecord, AgentStanding, Asked, Cancelled, CertificateRecord,
    Counts, Enrolled, Enrolment, ExecutionFilter, ExecutionRecord, Facts, Forgotten, KeyRecord, OutageFilter,
    Recorded, ResultBatch, SiteDeleted, SiteRecord, TokenRecord, VmFilter, VmRecord,
};
use crate::store::Store;
use deed::Deed;

/// Hears of every operation, for metrics.
pub trait StoreObserver: fmt::Debug + Send + Sync {
    /// An operation, by its name, took so long and failed or not.
    fn query(&self, query: &'static str, duration: Duration, failed: bool);
}

/// The books in a file, or in memory. Cheap to share; see [`Store`].
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    reader: SqlitePool,
    observer: Option<Arc<dyn StoreObserver>>,
    /// Something has failed since a write was last tried: see [`Store::ping`].
    in_doubt: AtomicBool,
}

impl SqliteStore {
    /// Opens `sqlite:FILE` or `sqlite::memory:`, makes the file (mode 0600) when there is none, and brings it up to
    /// date.
    ///
    /// # Errors
    /// When the address is none of these, or the database cannot be used.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        Ok(Self::of(opening::pools(address, opening::BUSY_TIMEOUT).await?, None))
    }

    /// The same, telling every operation to an observer.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_observed(address: &str, observer: Arc<dyn StoreObserver>) -> Result<Self, StoreError> {
        Ok(Self::of(opening::pools(address, opening::BUSY_TIMEOUT).await?, Some(observer)))
    }

    /// The same, with another wait for locks of other programs.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_patient(address: &str, busy_timeout: Duration) -> Result<Self, StoreError> {
        Ok(Self::of(opening::pools(address, busy_timeout).await?, None))
    }

    fn of((writer, reader): (SqlitePool, SqlitePool), observer: Option<Arc<dyn StoreObserver>>) -> Self {
        Self { writer, reader, observer, in_doubt: AtomicBool::new(false) }
    }

    /// Lets go of the database; what was answered is on disk before and after.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Connections at work and idle ones.
    pub fn connections(&self) -> (u32, u32) {
        let pools = [&self.writer, &self.reader];
        let open: u32 = pools.iter().map(|pool| pool.size()).sum();
        let idle: usize = pools.iter().map(|pool| pool.num_idle()).sum();
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        (open - idle, idle)
    }

    async fn write(&self, name: &'static str) -> Result<Deed<Transaction<'static, Sqlite>>, StoreError> {
        let started = Instant::now();
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        Deed::begun(name, started, self.observer.clone(), begun)
    }

    async fn read(&self, name: &'static str) -> Result<Deed<PoolConnection<Sqlite>>, StoreError> {
        let started = Instant::now();
        let begun = self.reader.acquire().await;
        Deed::begun(name, started, self.observer.clone(), begun)
    }
}

/// One operation and its span: `perform!(self.write "name", connection => future)`.
macro_rules! perform {
    ($store:ident.$how:ident $name:literal, $connection:ident => $work:expr) => {{
        let span = nkudo_spans::step!(concat!("store ", $name), otel.kind = "client", error = Empty);
        let performed = async {
            let mut deed = $store.$how($name).await?;
            let $connection = deed.connection();
            let done = $work.await;
            deed.end(done).await
        };
        within(&$store.in_doubt, span, performed).await
    }};
}

/// Performs an operation within its span, which says why when it fails.
async fn within<T>(
    in_doubt: &AtomicBool,
    span: Span,
    performed: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = performed.instrument(span.clone()).await;
    if let Err(error) = &done {
        span.record("error", error as &dyn std::error::Error);
        if error.is_of_the_disk() {
            in_doubt.store(true, Ordering::Release);
        }
    }
    done
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_tenant(&self, tenant_id: &TenantId, now_ms: i64) -> Result<bool, StoreError> {
        perform!(self.write "create_tenant", c => sites::create_tenant(c, tenant_id, now_ms))
    }

    async fn delete_tenant(&self, tenant_id: &TenantId) -> Result<bool, StoreError> {
        perform!(self.write "delete_tenant", c => sites::delete_tenant(c, tenant_id))
    }

    async fn create_site(
        &self,
        tenant_id: &TenantId,
        site_id: &SiteId,
        now_ms: i64,
    ) -> Result<SiteRecord, StoreError> {
        perform!(self.write "create_site", c => sites::create(c, tenant_id, site_id, now_ms))
    }

    async fn sites(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<SiteRecord>, StoreError> {
        perform!(self.read "sites", c => sites::list(c, tenant_id, page))
    }

    async fn delete_site(
        &self,
        tenant_id: &TenantId,
        site_id: &SiteId,
        now_ms: i64,
    ) -> Result<SiteDeleted, StoreError> {
        perform!(self.write "delete_site", c => sites::delete(c, tenant_id, site_id, now_ms))
    }

    async fn insert_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        perform!(self.write "insert_key", c => keys::insert(c, key))
    }

    async fn key(&self, key_id: &str) -> Result<Option<KeyRecord>, StoreError> {
        perform!(self.read "key", c => keys::one(c, key_id))
    }

    async fn keys(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<KeyRecord>, StoreError> {
        perform!(self.read "keys", c => keys::list(c, tenant_id, page))
    }

    async fn delete_key(&self, tenant_id: &TenantId, key_id: &str) -> Result<bool, StoreError> {
        perform!(self.write "delete_key", c => keys::delete(c, tenant_id, key_id))
    }

    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        perform!(self.write "insert_token", c => tokens::insert(c, token))
    }

    async fn token(&self, token_id: &str) -> Result<Option<TokenRecord>, StoreError> {
        perform!(self.read "token", c => tokens::one(c, token_id))
    }

    async fn tokens(&self, tenant_id: &TenantId, page: &Page) -> Result<Listed<TokenRecord>, StoreError> {
        perform!(self.read "tokens", c => tokens::list(c, tenant_id, page))
    }

    async fn delete_token(&self, tenant_id: &TenantId, token_id: &str) -> Result<bool, StoreError> {
        perform!(self.write "delete_token", c => tokens::delete(c, tenant_id, token_id))
    }

    async fn enrol(&self, enrolment: &Enrolment, now_ms: i64) -> Result<Enrolled, StoreError> {
        perform!(self.write "enrol", c => agents::enrol(c, enrolment, now_ms))
    }

    async fn add_certificate(&self, certificate: &CertificateRecord) -> Result<bool, StoreError> {
        perform!(self.write "add_certificate", c => agents::add_certificate(c, certificate))
    }

    async fn certificate(&self, serial: &str) -> Result<Option<CertificateRecord>, StoreError> {
        perform!(self.read "certificate", c => agents::certificate(c, serial))
    }

    async fn unenrol(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        now_ms: i64,
    ) -> Result<Option<Vec<ActionRecord>>, StoreError> {
        perform!(self.write "unenrol", c => agents::unenrol(c, tenant_id, agent_id, now_ms))
    }

    async fn agent(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError> {
        perform!(self.read "agent", c => agents::one(c, tenant_id, agent_id))
    }

    async fn agents(
        &self,
        tenant_id: &TenantId,
        filter: &AgentFilter,
        page: &Page,
    ) -> Result<Listed<AgentRecord>, StoreError> {
        perform!(self.read "agents", c => agents::list(c, tenant_id, filter, page))
    }

    async fn standings(&self) -> Result<Vec<AgentStanding>, StoreError> {
        perform!(self.read "standings", c => agents::standings(c))
    }

    async fn record_facts(&self, agent_id: AgentId, facts: &Facts, now_ms: i64) -> Result<(), StoreError> {
        perform!(self.write "record_facts", c => agents::record_facts(c, agent_id, facts, now_ms))
    }

    async fn record_seen(&self, seen: &[(AgentId, i64)], now_ms: i64) -> Result<(), StoreError> {
        perform!(self.write "record_seen", c => agents::record_seen(c, seen, now_ms))
    }

    async fn seen_flushed_at(&self) -> Result<Option<i64>, StoreError> {
        perform!(self.read "seen_flushed_at", c => agents::seen_flushed_at(c))
    }

    async fn record_audit_heads(&self, heads: &[(AgentId, Head)]) -> Result<(), StoreError> {
        perform!(self.write "record_audit_heads", c => agents::record_audit_heads(c, heads))
    }

    async fn record_goodbye(&self, agent_id: AgentId, reason: &str, now_ms: i64) -> Result<(), StoreError> {
        perform!(self.write "record_goodbye", c => agents::record_goodbye(c, agent_id, reason, now_ms))
    }

    async fn replace_vms(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        vms: &[VmRecord],
    ) -> Result<(), StoreError> {
        perform!(self.write "replace_vms", c => vms::replace(c, tenant_id, agent_id, vms))
    }

    async fn change_vms(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        changed: &[VmRecord],
        gone: &[VmId],
    ) -> Result<(), StoreError> {
        perform!(self.write "change_vms", c => vms::change(c, tenant_id, agent_id, changed, gone))
    }

    async fn vms(
        &self,
        tenant_id: &TenantId,
        filter: &VmFilter,
        page: &Page,
    ) -> Result<Listed<VmRecord>, StoreError> {
        perform!(self.read "vms", c => vms::list(c, tenant_id, filter, page))
    }

    async fn ask(&self, record: &ActionRecord, open_max: u32) -> Result<Asked, StoreError> {
        perform!(self.write "ask", c => actions::ask(c, record, open_max))
    }

    async fn action(
        &self,
        tenant_id: &TenantId,
        action_id: &ActionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        perform!(self.read "action", c => actions::one(c, tenant_id, action_id))
    }

    async fn actions(
        &self,
        tenant_id: &TenantId,
        filter: &ActionFilter,
        page: &Page,
    ) -> Result<Listed<ActionRecord>, StoreError> {
        perform!(self.read "actions", c => actions::list(c, tenant_id, filter, page))
    }

    async fn open_actions(
        &self,
        agent_id: AgentId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ActionRecord)>, StoreError> {
        perform!(self.read "open_actions", c => actions::open(c, agent_id, after, limit))
    }

    async fn mark_sent(
        &self,
        agent_id: AgentId,
        action_ids: &[ActionId],
        now_ms: i64,
    ) -> Result<Vec<ActionId>, StoreError> {
        perform!(self.write "mark_sent", c => actions::mark_sent(c, agent_id, action_ids, now_ms))
    }

    async fn mark_delivered(&self, agent_id: AgentId, action_ids: &[ActionId]) -> Result<(), StoreError> {
        perform!(self.write "mark_delivered", c => actions::mark_delivered(c, agent_id, action_ids))
    }

    async fn mark_started(&self, agent_id: AgentId, started: &[(ActionId, i64)]) -> Result<(), StoreError> {
        perform!(self.write "mark_started", c => actions::mark_started(c, agent_id, started))
    }

    async fn end_unrun(
        &self,
        agent_id: AgentId,
        action_id: &ActionId,
        status: EndStatus,
        error: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<ActionRecord>, StoreError> {
        perform!(self.write "end_unrun", c => actions::end_unrun(c, agent_id, action_id, status, error, now_ms))
    }

    async fn cancel(
        &self,
        tenant_id: &TenantId,
        action_id: &ActionId,
        now_ms: i64,
    ) -> Result<Cancelled, StoreError> {
        perform!(self.write "cancel", c => actions::cancel(c, tenant_id, action_id, now_ms))
    }

    async fn expire(&self, now_ms: i64) -> Result<Vec<ActionRecord>, StoreError> {
        // Most times there is nothing: then nobody waits for the connection that writes.
        let due = perform!(self.read "expire", c => actions::due_to_expire(c, now_ms))?;
        if !due {
            return Ok(Vec::new());
        }
        perform!(self.write "expire", c => actions::expire(c, now_ms))
    }

    async fn results_recorded(&self, agent_id: AgentId, outbox_id: &str) -> Result<u64, StoreError> {
        perform!(self.read "results_recorded", c => results::recorded(c, agent_id, outbox_id))
    }

    async fn record_results(&self, batch: &ResultBatch, now_ms: i64) -> Result<Recorded, StoreError> {
        perform!(self.write "record_results", c => results::record(c, batch, now_ms))
    }

    async fn forget(&self, before_ms: i64, now_ms: i64, limit: u32) -> Result<Forgotten, StoreError> {
        let due = perform!(self.read "forget", c => retention::due(c, before_ms))?;
        if !due {
            return Ok(Forgotten::default());
        }
        perform!(self.write "forget", c => retention::forget(c, before_ms, now_ms, limit))
    }

    async fn executions(
        &self,
        tenant_id: &TenantId,
        filter: &ExecutionFilter,
        page: &Page,
    ) -> Result<Listed<ExecutionRecord>, StoreError> {
        perform!(self.read "executions", c => executions::list(c, tenant_id, filter, page))
    }

    async fn record_outages(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        ledger_id: &str,
        outages: &[(u64, Outage)],
    ) -> Result<(), StoreError> {
        perform!(self.write "record_outages", c => outages::record(c, tenant_id, agent_id, ledger_id, outages))
    }

    async fn outages(
        &self,
        tenant_id: &TenantId,
        agent_id: AgentId,
        filter: &OutageFilter,
        page: &Page,
    ) -> Result<Listed<Outage>, StoreError> {
        perform!(self.read "outages", c => outages::list(c, tenant_id, agent_id, filter, page))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        perform!(self.read "counts", c => actions::counts(c))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        perform!(self.read "ping", c => trial::read(c))?;
        if self.in_doubt.load(Ordering::Acquire) {
            perform!(self.write "ping", c => trial::write(c))?;
            self.in_doubt.store(false, Ordering::Release);
            perform!(self.write "ping", c => trial::tidy(c))?;
        }
        Ok(())
    }
}
