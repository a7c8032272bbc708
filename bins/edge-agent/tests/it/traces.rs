//! The host's recent traces: listed, drawn and written, of a daemon and of its files.

use std::path::Path;
use std::time::Instant;

use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, TraceId};
use nkudo_traces::{Config, Recent, export};
use serde_json::Value;

use crate::harness::{Host, Ran};

const VM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const START: u64 = 1_767_323_045_000_000_000;
const MILLI: u64 = 1_000_000;
/// The ids of the three traces: the first two begin alike.
const IDS: [&str; 3] = [
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "4bf92f3577b34da6a3ce929d0e0e4737",
    "00f067aa0ba902b74bf92f3577b34da6",
];

fn span(trace: usize, id: u8, parent: u8, name: &'static str, from_ms: u64, to_ms: u64) -> FinishedSpan {
    let span_id = |id: u8| SpanId::from_bytes([0, 0, 0, 0, 0, 0, 0, id]);
    FinishedSpan {
        trace_id: IDS[trace].parse().unwrap(),
        span_id: span_id(id).unwrap(),
        parent_id: span_id(parent),
        name: name.into(),
        target: "test".into(),
        start_unix_ns: START + from_ms * MILLI,
        duration_ns: (to_ms - from_ms) * MILLI,
        failed: false,
        thread: 1,
        attributes: Vec::new(),
        dropped_attributes: 0,
    }
}

fn with(mut span: FinishedSpan, name: &'static str, value: &str) -> FinishedSpan {
    span.failed |= name == "error";
    span.attributes.push((name.into(), AttributeValue::Text(value.to_owned())));
    span
}

/// A host whose daemon is down, with three traces.
fn host() -> Host {
    let host = Host::new();
    let dir = host.state_dir().join("traces");
    std::fs::create_dir_all(&dir).unwrap();
    let mut recent = Recent::open(&dir, Config::default()).unwrap();
    let create = with(with(span(0, 1, 0, "MicroVMCreate", 0, 100), "vm_id", VM), "action_id", "a-1");
    let boot = with(span(0, 3, 2, "boot", 20, 90), "error", "no kernel\n\u{1b}[2Jat /boot/vmlinux");
    for spans in [
        vec![create, span(0, 2, 1, "provider create", 10, 95), boot],
        vec![with(span(1, 1, 0, "MicroVMStop", 200, 203), "vm_id", VM)],
        vec![with(span(2, 1, 0, "renew", 300, 1_500), "action_id", "a-2")],
    ] {
        recent.offer(Instant::now(), spans);
        recent.flush(Instant::now());
    }
    host
}

fn traces(host: &Host, args: &[&str]) -> Ran {
    host.run(&[&["traces"], args].concat())
}

/// What a command prints, without the blanks at the ends of lines.
#[track_caller]
fn prints(host: &Host, args: &[&str], expected: &[&str]) {
    let ran = traces(host, args);
    assert_eq!((ran.code(), ran.stderr().as_str()), (0, ""), "{args:?}");
    let text = ran.stdout();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected, "{args:?}\n{text}");
}

#[test]
fn traces_are_listed_and_drawn_without_a_daemon() {
    let host = host();
    prints(
        &host,
        &[],
        &[
            "TRACE ID                          STARTED                   NAME           DURATION  STATUS  SPANS  SLOW STEP             ERROR",
            "00f067aa0ba902b74bf92f3577b34da6  2026-01-02T03:04:05.300Z  renew          1.20 s    ok      1      renew (1.20 s)        -",
            "4bf92f3577b34da6a3ce929d0e0e4737  2026-01-02T03:04:05.200Z  MicroVMStop    3.0 ms    ok      1      MicroVMStop (3.0 ms)  -",
            "4bf92f3577b34da6a3ce929d0e0e4736  2026-01-02T03:04:05.000Z  MicroVMCreate  100.0 ms  error   3      boot (70.0 ms)        no kernel\\n\\u{1b}[2Jat /boot/vmlinux",
        ],
    );
    prints(&host, &["--query", "no such thing"], &["no traces"]);
    prints(
        &host,
        &[IDS[0]],
        &[
            "trace 4bf92f3577b34da6a3ce929d0e0e4736, 2026-01-02T03:04:05.000Z, spans: 3",
            "",
            "* MicroVMCreate     ━━━━━━━──────────────────────────────────────────────────────────━━━━ 100.0 ms",
            "*   provider create       ━━━━━━━━────────────────────────────────────────────────━━━━     85.0 ms",
            "*     boot                       ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━        70.0 ms !",
            "",
            "The slow step is `boot`: the trace waited 70.0 ms of 100.0 ms for it.",
            "It failed: no kernel\\n\\u{1b}[2Jat /boot/vmlinux",
        ],
    );
    let narrow = host.command().args(["traces", IDS[0]]).env("COLUMNS", "60").output().unwrap().stdout;
    let widest =
        String::from_utf8(narrow).unwrap().lines().skip(2).take(3).map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(60));
}

/// The ids of the traces that a list has.
fn listed(host: &Host, args: &[&str]) -> Vec<String> {
    let ran = traces(host, &[args, &["--output", "json"]].concat());
    assert_eq!(ran.code(), 0, "{args:?}: {}", ran.stderr());
    let items = ran.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["trace_id"].as_str().unwrap().to_owned()).collect()
}

fn every_filter_holds(host: &Host) {
    for (args, expected) in [
        (&["--vm", VM][..], &[IDS[1], IDS[0]][..]),
        (&["--action", "a-1"], &[IDS[0]]),
        (&["--status", "error"], &[IDS[0]]),
        (&["--status", "ok", "--vm", VM], &[IDS[1]]),
        (&["--query", "NO KERNEL"], &[IDS[0]]),
        (&["--query", "provider"], &[IDS[0]]),
        (&["--vm", VM, "--min-duration", "4ms"], &[IDS[0]]),
        (&["--vm", VM, "--limit", "1"], &[IDS[1]]),
        (&["--vm", VM, "--since", "2026-01-02T03:04:05.200Z"], &[IDS[1]]),
        (&["--vm", VM, "--until", "2026-01-02T03:04:05.199Z"], &[IDS[0]]),
        (&["--vm", VM, "--since", "1h"], &[]),
        (&["--vm", VM, "--until", "1h"], &[IDS[1], IDS[0]]),
        (&["--action", "a-3"], &[]),
    ] {
        assert_eq!(listed(host, args), expected, "{args:?}");
    }
}

fn nonsense_is_refused(host: &Host) {
    for (args, words) in [
        (&["--vm", "web-1"][..], "--vm: `web-1` is not a UUID"),
        (&["--action", "a b"], "--action: an action id is"),
        (&["--status", "failure"], "--status: must be ok or error"),
        (&["--since", "yesterday"], "--since: `yesterday` is not a time"),
        (&["--until", ""], "--until:"),
        (&["--since", "1h", "--until", "2h"], "--since: must not be after until"),
        (&["--query", ""], "--query: is empty"),
        (&["--min-duration", "soon"], "--min-duration: must be a duration like 250ms"),
        (&["--limit", "0"], "--limit"),
        (&["4bf92"], "no trace id"),
        (&["4BF92F"], "no trace id"),
        (&["4bf92f", "--status", "ok"], "cannot be used with"),
        (&["4bf92f", "--format", "xml"], "possible values: gantt, json, otlp, chrome"),
        (&["--format", "chrome"], "give its ID"),
        (&["--status", "error", "--format", "otlp"], "give its ID"),
        (&["--limit", "3", "--save", "/nonexistent/x"], "give its ID"),
    ] {
        let ran = traces(host, args);
        assert_eq!(ran.code(), 2, "{args:?}: {}", ran.stdout());
        assert!(ran.stderr().contains(words), "{args:?}: {}", ran.stderr());
    }
    let ran = traces(host, &["4bf92f"]);
    assert_eq!(ran.code(), 1);
    let told = ran.stderr();
    assert!(told.contains(IDS[0]) && told.contains(IDS[1]) && told.contains("more digits"), "{told}");
    let ran = traces(host, &["abcdef"]);
    assert_eq!(
        (ran.code(), ran.stderr().contains("there is no trace abcdef")),
        (1, true),
        "{}",
        ran.stderr()
    );
}

#[test]
fn a_daemon_and_its_files_answer_alike() {
    let mut host = host();
    every_filter_holds(&host);
    nonsense_is_refused(&host);
    let offline =
        ["json", "otlp", "chrome", "gantt"].map(|form| traces(&host, &["00f067", "--format", form]).stdout());
    assert!(offline.iter().all(|text| text.contains("renew")), "{offline:?}");
    host.start();
    every_filter_holds(&host);
    nonsense_is_refused(&host);
    let online =
        ["json", "otlp", "chrome", "gantt"].map(|form| traces(&host, &["00f067", "--format", form]).stdout());
    assert_eq!(online, offline);
}

#[test]
fn a_trace_is_written_to_a_file_in_every_form() {
    let host = host();
    let save = |form: &str, path: &Path| {
        traces(&host, &[IDS[0], "--format", form, "--save", path.to_str().unwrap()])
    };
    let saved = |form: &str| {
        let path = host.path(form);
        let ran = save(form, &path);
        assert_eq!((ran.code(), ran.stdout().as_str()), (0, ""), "{}", ran.stderr());
        std::fs::read_to_string(path).unwrap()
    };
    let otlp = export::otlp::read(saved("otlp").as_bytes()).unwrap();
    assert_eq!((otlp.len(), otlp[0].spans.len()), (1, 3));
    let chrome: Value = serde_json::from_str(&saved("chrome")).unwrap();
    let complete = |event: &&Value| event["ph"] == "X";
    assert_eq!(chrome["traceEvents"].as_array().unwrap().iter().filter(complete).count(), 3);
    let json: Value = serde_json::from_str(&saved("json")).unwrap();
    assert_eq!((&json["trace_id"], json["spans"].as_array().unwrap().len()), (&IDS[0].into(), 3));
    let gantt = saved("gantt");
    assert!(gantt.contains("provider create") && !gantt.contains('\u{1b}'), "{gantt}");
    let ran = save("json", &host.path("no/such/directory"));
    assert_eq!((ran.code(), ran.stderr().contains("cannot write")), (1, true), "{}", ran.stderr());
}

#[test]
fn reading_changes_no_file_and_damage_is_told() {
    let host = host();
    let dir = host.state_dir().join("traces");
    let files = || {
        let entries = std::fs::read_dir(&dir).unwrap().flatten();
        let mut files: Vec<_> =
            entries.map(|entry| (entry.path(), std::fs::read(entry.path()).unwrap())).collect();
        files.sort();
        files
    };
    let before = files();
    assert_eq!(listed(&host, &[]).len(), 3);
    assert_eq!(files(), before);
    let (segment, mut bytes) = before[0].clone();
    *bytes.last_mut().unwrap() ^= 0xff;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = files();
    assert_eq!(listed(&host, &[]), [IDS[1], IDS[0]], "the others are there");
    assert_eq!(files(), damaged);
    std::fs::remove_dir_all(&dir).unwrap();
    prints(&host, &[], &["no traces"]);
    std::fs::remove_dir_all(host.state_dir()).unwrap();
    let ran = traces(&host, &[]);
    assert_eq!((ran.code(), ran.stderr().contains("has this host an agent?")), (1, true), "{}", ran.stderr());
}

#[test]
fn the_socket_names_what_is_asked_wrongly() {
    let mut host = host();
    host.start();
    for (query, parameter) in [
        ("?vm_id=web-1", "vm_id"),
        ("?action_id=a%20b", "action_id"),
        ("?status=failure", "status"),
        ("?since=yesterday", "since"),
        ("?since=2026-01-02T03:04:06Z&until=2026-01-02T03:04:05Z", "since"),
        ("?q=", "q"),
        ("?min_duration=3", "min_duration"),
        ("?limit=0", "limit"),
        ("?cursor=~", "cursor"),
        ("?agent_id=0190a5d0-0000-7000-8000-00000000a9e1", "agent_id"),
        ("?staus=ok", "staus"),
        ("?status=ok&status=ok", "status"),
        ("/4bf92f?format=xml", "format"),
        ("/4bf92f?limit=1", "limit"),
        ("/4bf92", "trace_id"),
    ] {
        let answer = host.request("GET", &format!("/v1/traces{query}"), "");
        assert_eq!((answer.status, &answer.json()["errors"][0]["path"]), (422, &parameter.into()), "{query}");
    }
    for (id, status) in [("4bf92f", 409), ("abcdef", 404), (&TraceId::generate().to_string(), 404)] {
        assert_eq!(host.request("GET", &format!("/v1/traces/{id}"), "").status, status, "{id}");
    }
    let first = host.get(&format!("/v1/traces?vm_id={VM}&limit=1"));
    let next = first["next_cursor"].as_str().unwrap();
    let second = host.get(&format!("/v1/traces?vm_id={VM}&limit=1&cursor={next}"));
    assert_eq!(
        (&first["items"][0]["trace_id"], &second["items"][0]["trace_id"]),
        (&IDS[1].into(), &IDS[0].into())
    );
}
