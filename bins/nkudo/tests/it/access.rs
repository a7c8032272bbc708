//! Tokens, keys, sites, agents taken out, and the control plane's own health.

use serde_json::{Value, json};

use crate::harness::{AGENT, ControlPlane, answer, ok, problem};

/// What a command asks, and what it prints.
#[track_caller]
fn check(answered: (u16, Value), args: &[&str], asked: (&str, Value), printed: &str) {
    let ((status, value), (line, body)) = (answered, asked);
    let control_plane = ControlPlane::new(move |_| answer(status, &value));
    let ran = control_plane.run(args).expect(0);
    assert_eq!(ran.stdout(), printed);
    let found = control_plane.asked().remove(0);
    assert_eq!((found.line.as_str(), found.body), (line, body));
}

#[test]
fn tokens_are_made_and_deleted() {
    let created = json!({"token_id": "t-1", "token": "nkt1.x", "expires_at": "2026-01-02T04:04:05.678Z"});
    let path = "POST /v1/enrollment-tokens";
    let text = "Token ID: t-1\nExpires:  2026-01-02T04:04:05.678Z\nToken:    nkt1.x\n";
    check((201, created.clone()), &["tokens", "create"], (path, json!({})), text);
    let args = ["tokens", "create", "--site", "lab", "--ttl", "2h", "--uses", "3"];
    let body = json!({"site_id": "lab", "ttl_seconds": 7_200, "uses": 3});
    check((201, created.clone()), &args, (path, body), text);
    let json = serde_json::to_string_pretty(&created).unwrap() + "\n";
    check((201, created), &["tokens", "create", "--output", "json"], (path, json!({})), &json);
    let path = "DELETE /v1/enrollment-tokens/t%2F1";
    check((204, Value::Null), &["tokens", "delete", "t/1"], (path, Value::Null), "token t/1 is deleted\n");
}

#[test]
fn keys_are_made_and_deleted() {
    let created = json!({"key_id": "k-1", "key": "nkk1.x", "role": "viewer"});
    let asked = ("POST /v1/keys", json!({"role": "viewer"}));
    let text = "Key ID: k-1\nRole:   viewer\nKey:    nkk1.x\n";
    check((201, created), &["keys", "create", "--role", "viewer"], asked, text);
    let asked = ("DELETE /v1/keys/k-1", Value::Null);
    check((204, Value::Null), &["keys", "delete", "k-1"], asked, "key k-1 is deleted\n");
}

#[test]
fn sites_are_made_and_deleted() {
    let created = json!({"site_id": "lab", "created_at": "2026-01-02T03:04:05.678Z"});
    let asked = ("POST /v1/sites", json!({"site_id": "lab"}));
    check(
        (201, created),
        &["sites", "create", "lab"],
        asked,
        "site:    lab\ncreated: 2026-01-02T03:04:05.678Z\n",
    );
    let asked = ("DELETE /v1/sites/lab", Value::Null);
    check((204, Value::Null), &["sites", "delete", "lab"], asked, "site lab is deleted\n");
}

#[test]
fn an_agent_is_taken_out_of_the_fleet() {
    let body = json!({"agent_id": AGENT});
    let text = format!("agent {AGENT} is out of the fleet\n");
    check((200, body.clone()), &["agents", "unenroll", AGENT], ("POST /v1/unenroll", body), &text);
}

#[test]
fn health_is_shown_and_unhealthy_is_exit_code_1() {
    for (health, code) in [("healthy", 0), ("degraded", 0), ("unhealthy", 1)] {
        let component = json!({"component": "store", "health": health, "reason": null,
            "since": "2026-01-02T03:04:05.678Z", "restarts": 0});
        let view = json!({"health": health, "components": [component]});
        let control_plane = ControlPlane::new(move |_| ok(&view));
        let text = control_plane.run(&["health"]).expect(code).stdout();
        assert!(text.starts_with(&format!("Control plane: {health}\nCOMPONENT")), "{text}");
    }
}

#[test]
fn what_may_not_be_done_is_said() {
    let control_plane = ControlPlane::new(|_| problem(403, "a viewer makes no keys; an admin does"));
    control_plane
        .run(&["keys", "create", "--role", "admin"])
        .says(1, "a viewer makes no keys; an admin does");
    let control_plane = ControlPlane::new(|_| problem(409, "site lab has agents"));
    control_plane.run(&["sites", "delete", "lab"]).says(1, "site lab has agents");
    let control_plane = ControlPlane::new(|_| problem(422, "uses is too large"));
    control_plane.run(&["tokens", "create", "--uses", "4000000000"]).says(2, "uses is too large");
}
