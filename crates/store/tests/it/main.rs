//! The promises of the store, each kept by every implementation of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod actions;
mod database;
mod fleet;
mod outages;
mod results;
mod spans;

use std::path::Path;

use nkudo_domain::{
    Action, ActionStatus, AgentId, AskedBy, Request, SiteId, SpanId, TenantId, TraceId, VmId,
};
use nkudo_store::{ActionRecord, Enrolled, Enrolment, Facts, Origin, SqliteStore, Store, TokenRecord};

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Every store that is tested: in memory, and in a file.
pub(crate) async fn stores() -> Vec<(&'static str, SqliteStore, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(&address(dir.path())).await.unwrap();
    let memory = SqliteStore::open("sqlite::memory:").await.unwrap();
    vec![("memory", memory, None), ("file", file, Some(dir))]
}

pub(crate) fn address(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("books.db").display())
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(crate) fn agent_id(number: u128) -> AgentId {
    format!("{:08x}-0000-7000-8000-000000000000", number).parse().unwrap()
}

pub(crate) fn vm_id(number: u128) -> VmId {
    format!("01890a5d-ac96-774b-bcce-{number:012x}").parse().unwrap()
}

/// Lets an agent into a tenant, which is made when there is none.
pub(crate) async fn enrol(store: &dyn Store, tenant_id: &TenantId, number: u128) -> AgentId {
    store.create_tenant(tenant_id, 0).await.unwrap();
    store.create_site(tenant_id, &SiteId::default(), 0).await.unwrap();
    let token_id = format!("token-{tenant_id}-{number}");
    store.insert_token(&token(&token_id, tenant_id, 1)).await.unwrap();
    let enrolment = enrolment(&token_id, number);
    assert_eq!(store.enrol(&enrolment, 1).await.unwrap(), Enrolled::Done);
    enrolment.agent_id
}

pub(crate) fn token(token_id: &str, tenant_id: &TenantId, uses: u32) -> TokenRecord {
    TokenRecord {
        token_id: token_id.to_owned(),
        tenant_id: tenant_id.clone(),
        site_id: SiteId::default(),
        secret_digest: [7; 32],
        uses,
        uses_left: uses,
        created_at_ms: 0,
        expires_at_ms: HOUR_MS,
    }
}

pub(crate) fn enrolment(token_id: &str, number: u128) -> Enrolment {
    Enrolment {
        token_id: token_id.to_owned(),
        agent_id: agent_id(number),
        facts: Facts {
            hostname: format!("host-{number}"),
            version: "1".to_owned(),
            labels: [("rack".to_owned(), "a".to_owned())].into(),
        },
        serial: format!("serial-{number}"),
        expires_at_ms: HOUR_MS,
    }
}

pub(crate) fn pause(action_id: &str, vm: u128) -> Action {
    let request = Request::Pause(vm_id(vm));
    Action {
        action_id: action_id.parse().unwrap(),
        timeout: request.default_timeout(),
        request,
        trace_id: TraceId::from_bytes([1; 16]),
        parent_span_id: SpanId::from_bytes([2; 8]),
        correlation_id: Some("c".to_owned()),
        asked_by: AskedBy::Unknown,
        start_within: None,
    }
}

/// An action as it is asked for.
pub(crate) fn asked(tenant_id: &TenantId, agent_id: AgentId, action: Action, at_ms: i64) -> ActionRecord {
    ActionRecord {
        tenant_id: tenant_id.clone(),
        agent_id,
        action,
        origin: Origin::Fleet,
        status: ActionStatus::Queued,
        created_at_ms: at_ms,
        expires_at_ms: at_ms + HOUR_MS,
        sent_at_ms: None,
        cancel_asked: false,
        started_at_ms: None,
        completed_at_ms: None,
        duration_ms: None,
        changed: None,
        error: None,
        retries: 0,
        output: None,
    }
}
