//! Who is let in nowhere is on record.

use std::net::SocketAddr;

use nkudo_domain::{Role, SiteId};
use nkudo_pki::Peer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::admin::create_key;
use crate::world::{World, audit_in, lines_of};

/// Bytes of the audit log, enough for all that is refused here.
const LOG_BYTES: u64 = 1 << 20;

/// Asks twice with a new key of this tenant and role, or without one, and looks at the line of that.
async fn check(method: Method, path: &str, key_of: Option<(&str, Role)>, status: StatusCode, route: &str) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    let store = &world.control.store;
    let mut known = None;
    if let Some((tenant, role)) = key_of {
        let tenant_id: TenantId = tenant.parse().unwrap();
        store.create_tenant(&tenant_id, 0).await.unwrap();
        known = Some(create_key(store.as_ref(), &tenant_id, role).await.unwrap());
    }
    for _ in 0..2 {
        let request = Request::builder().method(method.clone()).uri(path);
        let key = known.as_ref().map(|known| known.key.as_str());
        assert_eq!(world.send_tls(request, key).await, status, "{path}");
    }
    let lines = lines_of(dir.path(), "access");
    assert_eq!(lines.len(), 1, "{path}: {lines:#?}");
    let (line, fields) = (&lines[0], &lines[0]["fields"]);
    let actor = known.as_ref().map_or("unknown", |known| &known.key_id);
    assert_eq!((&line["actor"], &line["outcome"]), (&json!(actor), &json!("refused")), "{path}");
    assert_eq!((&fields["status"], &fields["route"]), (&json!(status.as_u16()), &json!(route)), "{path}");
    let tenant = key_of.map_or(Value::Null, |(tenant, _)| json!(tenant));
    assert_eq!(fields["tenant_id"], tenant, "{path}");
}

#[tokio::test]
async fn who_shows_no_key_is_on_record_wherever_one_is_needed() {
    let unauthorized = StatusCode::UNAUTHORIZED;
    check(Method::GET, "/v1/agents", None, unauthorized, "/v1/agents").await;
    check(Method::GET, "/metrics", None, unauthorized, "/metrics").await;
    check(Method::GET, "/v1/nothing", None, unauthorized, "unknown").await;
}

#[tokio::test]
async fn whose_key_may_not_do_something_is_on_record_by_name() {
    let (viewer, other, forbidden) =
        (Some(("default", Role::Viewer)), Some(("other", Role::Admin)), StatusCode::FORBIDDEN);
    check(Method::POST, "/v1/keys", viewer, forbidden, "/v1/keys").await;
    check(Method::POST, "/v1/renew", viewer, forbidden, "/v1/renew").await;
    check(Method::GET, "/metrics", other, forbidden, "/metrics").await;
    check(Method::GET, "/v1/logs", other, forbidden, "/v1/logs").await;
}

#[tokio::test]
async fn an_agent_that_asks_for_what_is_anothers_is_on_record_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    let identity = AgentIdentity {
        tenant_id: TenantId::default(),
        site_id: SiteId::default(),
        agent_id: world.agent_id,
    };
    let peer = Peer { identity, serial: "serial".to_owned(), expires_at_ms: i64::MAX };
    let remote = SocketAddr::from(([127, 0, 0, 1], 1));
    let caller = Caller { remote, peer: Some(peer), traceparent: None };
    let other = r#"{"agent_id": "00000009-0000-7000-8000-000000000000"}"#;
    let request = Request::post("/v1/unenroll").extension(caller).body(Body::from(other)).unwrap();
    let router = router(&world.control, &Registry::new(), Port::Tls);
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::FORBIDDEN);
    let lines = lines_of(dir.path(), "access");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let (line, fields) = (&lines[0], &lines[0]["fields"]);
    assert_eq!((&line["actor"], &line["outcome"]), (&json!(world.agent_id.to_string()), &json!("refused")));
    let expected = (&json!(403), &json!("/v1/unenroll"), &json!("default"));
    assert_eq!((&fields["status"], &fields["route"], &fields["tenant_id"]), expected);
}

#[tokio::test]
async fn each_key_has_lines_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::with_audit(audit_in(dir.path(), LOG_BYTES)).await;
    let mut expected = Vec::new();
    for _ in 0..2 {
        let key = create_key(world.control.store.as_ref(), &TenantId::default(), Role::Viewer).await.unwrap();
        for _ in 0..3 {
            let status = world.send_tls(Request::post("/v1/sites"), Some(&key.key)).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
        }
        expected.push(json!(key.key_id));
    }
    let actors: Vec<Value> =
        lines_of(dir.path(), "access").iter().map(|line| line["actor"].clone()).collect();
    assert_eq!(actors, expected);
}
