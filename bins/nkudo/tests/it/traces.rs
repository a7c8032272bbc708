//! Traces: the list's filters, and one of them drawn and written.

use axum::response::Response;
use serde_json::{Value, json};

use crate::harness::{AGENT, Asked, ControlPlane, VM, ok, page, problem};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Two programs' spans of one trace.
fn otlp() -> Value {
    let span = |id: &str, parent: &str, name: &str, from_ms: u64, to_ms: u64| {
        let nanos = |ms: u64| (1_767_323_045_000_000_000 + ms * 1_000_000).to_string();
        json!({"traceId": ID, "spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
            "startTimeUnixNano": nanos(from_ms), "endTimeUnixNano": nanos(to_ms), "attributes": []})
    };
    let of = |service: &str, spans: Value| {
        json!({"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]})
    };
    let mut failed = span("00000000000000a2", "00000000000000a1", "MicroVMCreate", 20, 120);
    failed["status"] = json!({"code": 2, "message": "no kernel"});
    json!({"resourceSpans": [
        of("control-plane", json!([span("00000000000000a1", "", "http_request", 0, 10)])),
        of("edge-agent", json!([failed])),
    ]})
}

fn answer(asked: &Asked) -> Response {
    let (path, query) = asked.line.split_once('?').unwrap();
    let item = json!({"trace_id": ID, "name": "http_request", "started_at": "2026-01-02T03:04:05.000Z",
        "duration_ms": 120.5, "status": "error", "error": "no kernel", "spans": 2, "a_later_key": 1,
        "slow_step": {"name": "MicroVMCreate", "span_id": "00000000000000a2", "self_ms": 0.25}});
    match (path, query) {
        ("GET /v1/traces", _) => page(&[item], None),
        ("GET /v1/traces/4bf92f", "format=otlp") => ok(&otlp()),
        ("GET /v1/traces/4bf92f", "format=json") => ok(&json!({"trace_id": ID, "spans": []})),
        ("GET /v1/traces/4bf92f", "format=chrome") => ok(&json!({"traceEvents": []})),
        _ => problem(404, "there is no trace abcdef; only recent ones are kept"),
    }
}

#[test]
fn the_list_takes_every_filter() {
    let control_plane = ControlPlane::new(answer);
    let filter =
        ["--agent", AGENT, "--vm", VM, "--action", "a-1", "--status", "error", "--query", "no kernel"];
    let times = ["--since", "2026-01-02T03:04:05+01:00", "--min-duration", "1.5s", "--limit", "7"];
    let ran = control_plane.run(&[&["traces"], &filter[..], &times].concat()).expect(0);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = ran.stdout().lines().map(words).collect();
    let row = format!(
        "{ID} 2026-01-02T03:04:05.000Z http_request 120.5 ms error 2 MicroVMCreate (250.0 \u{b5}s) no kernel"
    );
    assert_eq!(lines, ["TRACE ID STARTED NAME DURATION STATUS SPANS SLOW STEP ERROR", &row]);
    let asked = format!(
        "GET /v1/traces?agent_id={AGENT}&vm_id={VM}&action_id=a-1&status=error&since=2026-01-02T02%3A04%3A05.000Z\
         &q=no%20kernel&min_duration=1.5s&limit=7"
    );
    assert_eq!(control_plane.lines(), [asked]);
    let json = control_plane.run(&["traces", "--output", "json"]).expect(0).json();
    assert_eq!((&json["items"][0]["a_later_key"], &json["next_cursor"]), (&json!(1), &Value::Null));
}

#[test]
fn a_trace_is_drawn_and_written_in_every_form() {
    let control_plane = ControlPlane::new(answer);
    let mut command = control_plane.command(&["traces", "4bf92f"]);
    let drawn = crate::harness::Ran::of(command.env("COLUMNS", "60")).expect(0).stdout();
    let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "trace 4bf92f3577b34da6a3ce929d0e0e4736, 2026-01-02T03:04:05.000Z, spans: 2",
            "",
            "* http_request    ━━━                              10.0 ms",
            "*   MicroVMCreate      ━━━━━━━━━━━━━━━━━━━━━━━━━━ 100.0 ms !",
            "",
            "The slow step is `MicroVMCreate`: the trace waited 100.0 ms of 120.0 ms for it.",
            "It failed: no kernel",
        ],
        "{drawn}"
    );
    let shown = |form: &str| control_plane.run(&["traces", "4bf92f", "--format", form]).expect(0).json();
    assert_eq!(shown("otlp"), otlp());
    assert_eq!(shown("chrome"), json!({"traceEvents": []}));
    let json = json!({"trace_id": ID, "spans": []});
    assert_eq!(shown("json"), json);
    assert_eq!(control_plane.run(&["traces", "4bf92f", "--output", "json"]).expect(0).json(), json);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.json");
    let save = ["traces", "4bf92f", "--format", "otlp", "--save", path.to_str().unwrap()];
    assert_eq!(control_plane.run(&save).expect(0).stdout(), "");
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap(), otlp());
}

#[test]
fn nonsense_is_refused_before_anything_is_asked() {
    let control_plane = ControlPlane::new(answer);
    for (args, words) in [
        (&["--vm", "web-1"][..], "--vm: `web-1` is not a UUID"),
        (&["--agent", "web-1"], "--agent"),
        (&["--status", "failure"], "--status: must be ok or error"),
        (&["--since", "yesterday"], "--since: `yesterday` is not a time"),
        (&["--min-duration", "soon"], "--min-duration: must be a duration"),
        (&["4bf9"], "no trace id"),
        (&["4bf92f", "--all"], "cannot be used with"),
        (&["4bf92f", "--agent", AGENT], "cannot be used with"),
        (&["--save", "file"], "give its ID"),
        (&["--all", "--format", "chrome"], "give its ID"),
    ] {
        control_plane.run(&[&["traces"], args].concat()).says(2, words);
    }
    assert_eq!(control_plane.lines(), [""; 0]);
    control_plane.run(&["traces", "abcdef"]).says(1, "there is no trace abcdef");
    let none = ControlPlane::new(|_| ok(&json!({"resourceSpans": []})));
    none.run(&["traces", "abcdef"]).says(1, "has no spans");
}
