//! A control plane for tests: books in memory, one agent, one key.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use nkudo_catalogue::ControlMetrics;
use nkudo_domain::{AgentId, Role, SiteId, TenantId};
use nkudo_metrics_core::Registry;
use nkudo_pki::Authority;
use nkudo_store::{Enrolment, Facts, SqliteStore, Store, TokenRecord};
use nkudo_supervision::Supervisor;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::admin::create_key;
use crate::audit::Audit;
use crate::config::Settings;
use crate::control::{Control, Limits};
use crate::rest::{self, Port};
use crate::roster::{Now, Roster};

const HOUR: Duration = Duration::from_secs(3_600);

/// An audit log in a data directory.
pub(crate) fn audit_in(data_dir: &Path, audit_disk_bytes: u64) -> Audit {
    let settings = Settings { data_dir: data_dir.to_owned(), audit_disk_bytes, ..Settings::default() };
    Audit::start(&settings, &Registry::new()).unwrap()
}

/// Its lines of this operation, the oldest first as long as there is one file.
pub(crate) fn lines_of(data_dir: &Path, operation: &str) -> Vec<Value> {
    let files = std::fs::read_dir(data_dir.join("audit")).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["operation"] == operation).collect()
}

/// A control plane on books in memory with one agent.
pub(crate) struct World {
    pub(crate) control: Arc<Control>,
    registry: Registry,
    pub(crate) agent_id: AgentId,
    key: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_audit(Audit::nowhere()).await
    }

    pub(crate) async fn with_audit(audit: Audit) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap());
        let now = Now::read();
        let (tenant_id, site_id) = (TenantId::default(), SiteId::default());
        let expires_at_ms = now.wall_ms + 3_600_000;
        store.create_tenant(&tenant_id, 0).await.unwrap();
        store.create_site(&tenant_id, &site_id, 0).await.unwrap();
        let token = TokenRecord {
            token_id: "token".to_owned(),
            tenant_id: tenant_id.clone(),
            site_id,
            secret_digest: [7; 32],
            uses: 1,
            uses_left: 1,
            created_at_ms: 0,
            expires_at_ms,
        };
        store.insert_token(&token).await.unwrap();
        let agent_id: AgentId = "00000001-0000-7000-8000-000000000000".parse().unwrap();
        let facts = Facts { hostname: "h".to_owned(), version: "1".to_owned(), labels: [].into() };
        let enrolment = Enrolment {
            token_id: token.token_id,
            agent_id,
            facts,
            serial: "serial".to_owned(),
            expires_at_ms,
        };
        store.enrol(&enrolment, now.wall_ms).await.unwrap();
        let key = create_key(store.as_ref(), &tenant_id, Role::Admin).await.unwrap().key;
        let registry = Registry::new();
        let metrics = ControlMetrics::register(&registry);
        let supervisor = Supervisor::new(&registry, "test_", nkudo_host::clock::wall_ms);
        let roster = Roster::from_books(store.standings().await.unwrap(), None, HOUR, now);
        let limits = Limits {
            certificate_lifetime: HOUR,
            action_lifetime: HOUR,
            open_actions_max: 8,
            retention: HOUR,
        };
        let (authority, _) = Authority::create(now.wall_ms).unwrap();
        let control = Control::new(store, authority, roster, metrics, limits, "1", supervisor, None);
        Self { control: Arc::new(control.with_audit(audit)), registry, agent_id, key }
    }

    pub(crate) async fn ask(&self, path: &str, body: &str) -> StatusCode {
        self.send(Request::post(path), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> StatusCode {
        self.send(Request::get(path), "").await
    }

    /// What is shown there.
    pub(crate) async fn show(&self, path: &str) -> Value {
        let answer = self.answer(Request::get(path), "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// The same on the TLS port, with another key or none.
    pub(crate) async fn send_tls(&self, request: http::request::Builder, key: Option<&str>) -> StatusCode {
        let request = match key {
            Some(key) => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
            None => request,
        };
        let router = rest::router(&self.control, &self.registry, Port::Tls);
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    /// What is told there from now on.
    pub(crate) async fn follow(&self, path: &str) -> BodyDataStream {
        let answer = self.answer(Request::get(path), "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body().into_data_stream()
    }

    async fn send(&self, request: http::request::Builder, body: &str) -> StatusCode {
        self.answer(request, body).await.status()
    }

    async fn answer(&self, request: http::request::Builder, body: &str) -> Response {
        let request = request
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header("x-request-id", "call-7")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let router = rest::router(&self.control, &self.registry, Port::Plain);
        router.oneshot(request).await.unwrap()
    }
}
