//! Traces of the fleet: an action that fails is one trace, complete and found by what one knows of it; no tenant sees
//! another's steps.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nkudo_traces::export;
use serde_json::{Value, json};
use xtask::agent::{until, vm_id};
use xtask::fleet::request;

use super::rounds::Fleet;

const SIMULATED: &str = "[providers]\nsimulated = true\n";

/// The ids of the traces in a list.
fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["trace_id"].as_str().unwrap()).collect()
}

/// Every parent is among the spans, and one span has none.
#[track_caller]
fn assert_whole(spans: &[(String, Option<String>)]) {
    let known: HashSet<&str> = spans.iter().map(|(id, _)| id.as_str()).collect();
    let absent: Vec<_> = spans
        .iter()
        .filter(|(_, parent)| parent.as_deref().is_some_and(|parent| !known.contains(parent)))
        .collect();
    let roots = spans.iter().filter(|(_, parent)| parent.is_none()).count();
    assert_eq!((absent.len(), roots), (0, 1), "{spans:?}");
}

#[test]
fn a_create_that_fails_is_one_trace_that_is_found_by_what_one_knows_of_it() {
    let fleet = Fleet::start(SIMULATED);
    let id = vm_id(1);
    let create = json!({"action_id": "fails", "action_type": "MicroVMCreate", "params": {"vm_id": id, "vm_name": "f",
        "vcpus": 1, "memory_bytes": 16 << 20, "kernel": fleet.host.kernel(), "provider": "simulated",
        "labels": {"simulated.fail": "boot"}}});
    let path = format!("/v1/agents/{}/actions", fleet.agent_id);
    assert_eq!(fleet.control.rest("POST", &path, Some(&create)).unwrap().unwrap().0, 202);
    let action = until("the end of the action", || {
        fleet.control.get("/v1/actions/fails").ok().filter(|action| action["status"] == "failure")
    })
    .unwrap();
    let (trace_id, error) = (action["trace_id"].as_str().unwrap(), action["error"].as_str().unwrap());
    let detail = until("the agent's part, and the request's", || {
        let detail = fleet.control.get(&format!("/v1/traces/{trace_id}")).ok()?;
        let services: HashSet<&str> =
            detail["spans"].as_array()?.iter().filter_map(|span| span["service"].as_str()).collect();
        (services == HashSet::from(["control-plane", "edge-agent"])).then_some(detail.clone())
    })
    .unwrap();
    let spans: Vec<(String, Option<String>)> = detail["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| {
            (span["span_id"].as_str().unwrap().to_owned(), span["parent_id"].as_str().map(str::to_owned))
        })
        .collect();
    assert_whole(&spans);
    assert_eq!((&detail["status"], &detail["name"]), (&json!("error"), &json!("http_request")));
    assert!(detail["error"].as_str().unwrap().contains("boot"), "{}", detail["error"]);

    // Found by what one knows, here and by the command line, and at the host.
    let word = error.split_whitespace().last().unwrap();
    for (name, value) in [("action_id", "fails"), ("vm_id", &id), ("q", word), ("agent_id", &fleet.agent_id)]
    {
        let list = fleet.control.get(&format!("/v1/traces?status=error&{name}={value}")).unwrap();
        assert_eq!(ids(&list), [trace_id], "{name}={value}");
        let none = fleet.control.get(&format!("/v1/traces?status=ok&{name}={value}")).unwrap();
        assert!(!ids(&none).contains(&trace_id), "{name}={value}");
    }
    let list = fleet.control.operator_says(&["traces", "--action", "fails", "--output", "json"]).unwrap();
    assert_eq!(ids(&serde_json::from_str(&list).unwrap()), [trace_id]);
    let local = fleet.host.json(&["traces", "--vm", &id, "--status", "error"]).unwrap();
    assert_eq!(ids(&local), [trace_id]);

    // And taken elsewhere.
    let prefix = trace_id.get(..12).unwrap();
    let otlp = fleet.control.operator_says(&["traces", prefix, "--format", "otlp"]).unwrap();
    let programs = export::otlp::read(otlp.as_bytes()).unwrap();
    let exported = programs.iter().flat_map(|program| &program.spans);
    let text = |id: &nkudo_spans::SpanId| id.to_string();
    let exported: Vec<_> =
        exported.map(|span| (text(&span.span_id), span.parent_id.as_ref().map(text))).collect();
    assert_eq!((programs.len(), exported.len()), (2, spans.len()));
    assert_whole(&exported);
    let chrome = fleet.control.operator_says(&["traces", prefix, "--format", "chrome"]).unwrap();
    let chrome: Value = serde_json::from_str(&chrome).unwrap();
    let complete =
        chrome["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").count();
    assert_eq!(complete, spans.len());
    let drawn = fleet.control.operator_says(&["traces", prefix]).unwrap();
    assert!(drawn.contains("The slow step is `") && drawn.contains("It failed: "), "{drawn}");
}

/// Asks within a trace.
fn ask_within(address: &str, path: &str, key: &str, traceparent: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         traceparent: {traceparent}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_trace_that_two_tenants_are_in_tells_each_of_its_own_steps() {
    let fleet = Fleet::start(SIMULATED);
    let control = &fleet.control;
    let create = ["key", "create", "--role", "viewer", "--tenant", "other", "--output", "json"];
    let made: Value = serde_json::from_slice(&control.command(&create).output().unwrap().stdout).unwrap();
    let (ours, theirs) = (control.key().unwrap(), made["key"].as_str().unwrap().to_owned());
    let shared = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{shared}-00f067aa0ba902b7-01");
    assert_eq!(ask_within(control.http_addr(), "/v1/vms", &ours, &traceparent), 200);
    assert_eq!(ask_within(control.http_addr(), "/v1/sites", &theirs, &traceparent), 200);
    let own = "5bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(
        ask_within(control.http_addr(), "/v1/vms", &ours, &format!("00-{own}-00f067aa0ba902b7-01")),
        200
    );
    let get = |key: &str, path: &str| {
        let (status, body) = request(control.http_addr(), "GET", path, Some(key), None).unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    for (key, route, hidden) in [(&ours, "/v1/vms", "/v1/sites"), (&theirs, "/v1/sites", "/v1/vms")] {
        for id in [shared, "4bf92f"] {
            let (status, detail) = get(key, &format!("/v1/traces/{id}"));
            assert_eq!(status, 200, "{detail}");
            let text = detail.to_string();
            assert!(text.contains(route) && !text.contains(hidden), "{text}");
        }
        let (_, list) = get(key, &format!("/v1/traces?q={route}"));
        let found = list["items"].as_array().unwrap().iter().find(|item| item["trace_id"] == shared).unwrap();
        let (_, detail) = get(key, &format!("/v1/traces/{shared}"));
        assert_eq!(found["spans"], detail["spans"].as_array().unwrap().len(), "{found}");
        assert_eq!(found["duration_ms"], detail["duration_ms"]);
        let (_, list) = get(key, &format!("/v1/traces?q={hidden}"));
        assert!(!ids(&list).contains(&shared), "what is hidden is not found by: {list}");
    }
    // Of what is ours alone nothing is told, also not that it is there.
    let absent = "6bf92f3577b34da6a3ce929d0e0e4736";
    let (one, other) =
        (get(&theirs, &format!("/v1/traces/{own}")), get(&theirs, &format!("/v1/traces/{absent}")));
    assert_eq!((one.0, other.0), (404, 404));
    assert_eq!(one.1.to_string().replace(own, absent), other.1.to_string());
    assert_eq!(get(&theirs, "/v1/traces/5bf92f").0, 404);
    let (_, list) = get(&theirs, "/v1/traces?limit=1000");
    assert!(!ids(&list).contains(&own));
    assert_eq!(get(&ours, &format!("/v1/traces/{own}")).0, 200);
}

#[test]
fn a_call_of_an_agent_is_one_trace_at_both_ends() {
    let fleet = Fleet::start(SIMULATED);
    let (trace_id, span_id) = until("the agent's call in its traces", || {
        let list = fleet.host.json(&["traces"]).ok()?;
        let traces = list["items"].as_array()?;
        let call = traces.iter().find(|trace| trace["name"] == "call Link")?;
        let trace_id = call["trace_id"].as_str()?.to_owned();
        let detail = fleet.host.json(&["traces", &trace_id]).ok()?;
        let spans = detail["spans"].as_array()?;
        let call = spans.iter().find(|span| span["name"] == "call Link")?;
        Some((trace_id, call["span_id"].clone()))
    })
    .unwrap();
    let answered = until("the control plane's part", || {
        let detail = fleet.control.get(&format!("/v1/traces/{trace_id}")).ok()?;
        detail["spans"].as_array()?.iter().find(|span| span["name"] == "grpc Link").cloned()
    })
    .unwrap();
    assert_eq!(answered["parent_id"], span_id, "{answered}");
    assert_eq!(answered["attributes"]["agent_id"], json!(fleet.agent_id), "{answered}");
}
