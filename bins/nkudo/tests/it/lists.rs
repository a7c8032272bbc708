//! Lists: tables, JSON, filters, pages, watching.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use axum::response::Response;
use serde_json::{Value, json};

use crate::harness::{AGENT, Asked, ControlPlane, PATIENCE, Running, VM, action, ok, page, problem, vm};

fn agent() -> Value {
    json!({
        "agent_id": AGENT, "tenant_id": "default", "site_id": "lab", "hostname": "edge-1", "presence": "online",
        "last_seen": null, "certificate_expires_at": "2026-04-02T03:04:05.678Z", "version": "0.1.0", "labels": {},
        "enrolled_at": "2026-01-02T03:04:05.678Z", "goodbye": null, "clock_skew_ms": 3, "health": "healthy"
    })
}

/// A control plane with one of everything.
fn one_of_each(asked: &Asked) -> Response {
    let path = asked.line.split(['?']).next().unwrap();
    let execution = json!({
        "action_id": "a-1", "action_type": "MicroVMStop", "started_at": "2026-01-02T03:04:05.678Z",
        "completed_at": null, "duration_ms": 12, "status": "success", "error": null, "retries": 1,
        "resource_usage": {"cpu_percent": 1.5, "memory_bytes": 1_048_576}, "vm_id": VM, "trace_id": null,
        "agent_id": AGENT
    });
    let created_at = "2026-01-02T03:04:05.678Z";
    let token = json!({"token_id": "t-1", "site_id": "lab", "uses": 3, "uses_left": 2, "created_at": created_at,
        "expires_at": "2026-01-02T04:04:05.678Z"});
    let outage = json!({"cause": "control_plane", "evidence": "TCP: no connection", "began_at": created_at,
        "ended_at": "2026-01-02T03:44:05.678Z", "duration_ms": 2_400_000, "by_wall_clock": false, "failures": 7});
    match path {
        "GET /v1/agents" => page(&[agent()], None),
        path if path == format!("GET /v1/agents/{AGENT}/outages") => page(&[outage], None),
        "GET /v1/vms" => page(&[vm("web-1")], None),
        "GET /v1/actions" => page(&[action("a-1", "failure")], None),
        "GET /v1/executions" => page(&[execution], None),
        "GET /v1/enrollment-tokens" => page(&[token], None),
        "GET /v1/keys" => page(&[json!({"key_id": "k-1", "role": "viewer", "created_at": created_at})], None),
        "GET /v1/sites" => page(&[json!({"site_id": "lab", "created_at": created_at})], None),
        _ => problem(404, "nothing here"),
    }
}

/// A list's heading, its one row, and the request it makes.
#[track_caller]
fn check(args: &[&str], heading: &str, row: &str, request: &str) {
    let control_plane = ControlPlane::new(one_of_each);
    let ran = control_plane.run(args).expect(0);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = ran.stdout().lines().map(words).collect();
    assert_eq!(lines, [heading, row], "{args:?}");
    assert_eq!(control_plane.lines(), [request], "{args:?}");
    assert_eq!(ran.stderr(), "");

    let json = [args, &["--output", "json"]].concat();
    let ran = control_plane.run(&json).expect(0).json();
    assert_eq!((ran["items"].as_array().unwrap().len(), &ran["next_cursor"]), (1, &Value::Null));
}

#[test]
fn every_list_is_a_table_with_headings() {
    let agents = format!("{AGENT} edge-1 lab online healthy - 2026-04-02T03:04:05.678Z 0.1.0");
    let heading = "AGENT ID HOSTNAME SITE PRESENCE HEALTH LAST SEEN CERTIFICATE UNTIL VERSION";
    check(&["agents"], heading, &agents, "GET /v1/agents?limit=50");
    check(&["agents", "list", "--site", "lab"], heading, &agents, "GET /v1/agents?site_id=lab&limit=50");

    let outage =
        "control_plane 2026-01-02T03:04:05.678Z 2026-01-02T03:44:05.678Z 40 min 0 s TCP: no connection";
    let request =
        format!("GET /v1/agents/{AGENT}/outages?cause=link&since=2026-01-02T02%3A04%3A05.000Z&limit=50");
    let filter = ["--cause", "link", "--since", "2026-01-02T03:04:05+01:00"];
    let heading = "CAUSE FROM UNTIL DURATION EVIDENCE";
    check(&[&["agents", "outages", AGENT], &filter[..]].concat(), heading, outage, &request);

    let vms = format!("{VM} web-1 {AGENT} running 2 64.0 MiB qemu 2026-01-02T03:04:05.678Z -");
    let heading = "VM ID NAME AGENT ID STATE VCPUS MEMORY PROVIDER SINCE REASON";
    let request = format!("GET /v1/vms?agent_id={AGENT}&state=running&limit=7");
    let filter = ["--agent", AGENT, "--state", "running", "--limit", "7"];
    check(&[&["vms"], &filter[..]].concat(), heading, &vms, &request);
    check(&[&["vms", "list"], &filter[..]].concat(), heading, &vms, &request);

    let error = "cannot stop vm web-1: it is gone";
    let actions = format!("a-1 2026-01-02T03:04:05.678Z MicroVMStop failure 12 ms 0 {AGENT} {VM} {error}");
    let heading = "ACTION ID CREATED ACTION STATUS DURATION RETRIES AGENT ID VM ID REASON";
    let request = format!(
        "GET /v1/actions?status=failure&agent_id={AGENT}&action_type=MicroVMStop&since=2026-01-02T02%3A04%3A05.000Z&limit=50"
    );
    let filter = ["--agent", AGENT, "--type", "MicroVMStop", "--since", "2026-01-02T03:04:05+01:00"];
    check(&[&["actions", "--status", "failure"], &filter[..]].concat(), heading, &actions, &request);

    let executions =
        format!("2026-01-02T03:04:05.678Z MicroVMStop success 12 ms 1.5 % 1.0 MiB 1 a-1 {AGENT} {VM} -");
    let heading = "STARTED ACTION STATUS DURATION CPU MEMORY RETRIES ACTION ID AGENT ID VM ID ERROR";
    let request = format!("GET /v1/executions?vm_id={VM}&limit=50");
    check(&["executions", "--vm", VM], heading, &executions, &request);

    let tokens = "t-1 lab 2 3 2026-01-02T03:04:05.678Z 2026-01-02T04:04:05.678Z";
    let heading = "TOKEN ID SITE USES LEFT USES CREATED EXPIRES";
    check(&["tokens"], heading, tokens, "GET /v1/enrollment-tokens?limit=50");
    let keys = "k-1 viewer 2026-01-02T03:04:05.678Z";
    check(&["keys", "list"], "KEY ID ROLE CREATED", keys, "GET /v1/keys?limit=50");
    check(&["sites"], "SITE CREATED", "lab 2026-01-02T03:04:05.678Z", "GET /v1/sites?limit=50");
}

#[test]
fn an_empty_list_is_said_to_be_empty() {
    let control_plane = ControlPlane::new(|_| page(&[], None));
    for (args, said) in [("agents", "no agents\n"), ("vms", "no vms\n"), ("actions", "no actions\n")] {
        assert_eq!(control_plane.run(&[args]).expect(0).stdout(), said);
    }
    let json = control_plane.run(&["--output", "json", "vms"]).expect(0).json();
    assert_eq!(json, json!({"items": [], "next_cursor": null}));
}

#[test]
fn one_thing_is_shown_line_by_line_or_as_it_came() {
    let control_plane = ControlPlane::new(|_| ok(&vm("web-1")));
    let text = control_plane.run(&["vms", "show", VM]).expect(0).stdout();
    assert!(text.contains("name:     web-1\n"), "{text}");
    assert!(text.contains("memory:   64.0 MiB\n"), "{text}");
    let json = control_plane.run(&["vms", "show", VM, "--output", "json"]).expect(0).json();
    assert_eq!(json, vm("web-1"));
    assert_eq!(control_plane.lines(), [format!("GET /v1/vms/{VM}"), format!("GET /v1/vms/{VM}")]);
}

/// A control plane with `count` VMs, in pages of at most 1000.
fn many(count: usize) -> ControlPlane {
    ControlPlane::new(move |asked| {
        let parameter = |name: &str| {
            let at = asked.line.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            at.map(|text| text.parse::<usize>().unwrap())
        };
        let first = parameter("cursor").unwrap_or(0);
        let end = count.min(first + parameter("limit").unwrap().min(1_000));
        let items: Vec<Value> = (first..end).map(|index| vm(&format!("web-{index}"))).collect();
        let next = end.to_string();
        page(&items, (end < count).then_some(next.as_str()))
    })
}

#[test]
fn pages_are_followed_up_to_the_limit() {
    let control_plane = many(2_500);
    let listed = control_plane.run(&["vms", "--limit", "1200", "--output", "json"]).expect(0).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1_200);
    assert_eq!(listed["next_cursor"], "1200");
    assert_eq!(control_plane.lines(), ["GET /v1/vms?limit=1000", "GET /v1/vms?limit=200&cursor=1000"]);

    let rest = control_plane.run(&["vms", "--all", "--cursor", "1200", "--output", "json"]).expect(0).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1_300);
    assert_eq!((&rest["items"][0]["vm_name"], &rest["next_cursor"]), (&json!("web-1200"), &Value::Null));

    let ran = control_plane.run(&["vms"]).says(0, "the first 50; --limit N or --all shows more");
    assert_eq!(ran.stdout().lines().count(), 51);
}

#[test]
fn a_list_that_never_ends_is_left() {
    let control_plane = ControlPlane::new(|_| page(&[vm("web-1")], Some("again")));
    control_plane.run(&["vms", "--all"]).says(1, "the same page again and again");
}

#[test]
fn a_watched_list_is_shown_until_it_is_interrupted() {
    let control_plane = many(1);
    let mut command = control_plane.command(&["vms", "--watch", "--output", "json"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let list: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(list["items"][0]["vm_name"], "web-0");
    }
    running.interrupt();
    assert_eq!(running.0.wait().unwrap().code(), Some(0));

    let mut command = control_plane.command(&["vms", "--watch"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    let table = [next(), next()];
    assert!(table[0].starts_with("VM ID"), "a file gets no control characters: {table:?}");
    assert_eq!([next(), next()], table);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let control_plane = many(20_000);
    let mut command = control_plane.command(&["vms", "--all", "--output", "json"]);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    drop(running.0.stdout.take());
    let began = std::time::Instant::now();
    assert_ne!(running.0.wait().unwrap().code(), Some(101), "no panic");
    assert!(began.elapsed() < PATIENCE);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut running.0.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "");
}
