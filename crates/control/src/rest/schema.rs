//! The schemas of what goes in and out (JSON Schema 2020-12, as OpenAPI 3.1 has it).

use std::collections::BTreeMap;

use nkudo_api::request::{TOKEN_LIFETIME_SECONDS_MAX, TOKEN_USES_MAX};
use nkudo_api::trace_format::TraceFormat;
use nkudo_api::view::trace::TraceStatus;
use nkudo_domain::{
    ActionStatus, ActionType, Console, DiskFormat, ExecutionStatus, Machine, OutageCause, Presence,
    ProviderKind, RestartPolicy, Role, VmState,
};
use nkudo_logging::LogLevel;
use serde_json::{Value, json};

/// A reference to a schema of [`all`].
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn nullable(schema: &Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn words(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

/// An object with exactly these members; those after `?` need not be there.
fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let properties: BTreeMap<&str, &Value> =
        members.iter().map(|(name, schema)| (name.trim_end_matches('?'), schema)).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn list(item: &str) -> Value {
    object(&[
        ("items", json!({"type": "array", "items": reference(item)})),
        ("next_cursor", nullable(&reference("Text"))),
    ])
}

/// Every schema by its name.
pub(super) fn all() -> BTreeMap<&'static str, Value> {
    let mut all = scalars();
    all.extend(requests());
    all.extend(answers());
    all.extend(traces());
    for (name, item) in [
        ("AgentList", "Agent"),
        ("VmList", "Vm"),
        ("ActionList", "Action"),
        ("ExecutionList", "Execution"),
        ("TokenList", "Token"),
        ("KeyList", "Key"),
        ("SiteList", "Site"),
        ("TenantList", "Tenant"),
        ("TraceList", "Trace"),
        ("LogLineList", "LogLine"),
        ("OutageList", "Outage"),
    ] {
        all.insert(name, list(item));
    }
    all
}

fn scalars() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("Text", json!({"type": "string", "maxLength": 1024})),
        ("Time", json!({"type": "string", "format": "date-time"})),
        ("Name", json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"})),
        ("VmName", json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"})),
        ("AgentId", json!({"type": "string", "format": "uuid"})),
        ("VmId", json!({"type": "string", "format": "uuid"})),
        ("ActionId", json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"})),
        ("TraceId", json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})),
        ("ActionType", words(ActionType::ALL.map(ActionType::as_str))),
        ("ActionStatus", words(ActionStatus::ALL.map(ActionStatus::as_str))),
        ("ExecutionStatus", words(ExecutionStatus::ALL.map(ExecutionStatus::as_str))),
        ("VmState", words(VmState::ALL.map(VmState::as_str))),
        ("OutageCause", words(OutageCause::ALL.map(OutageCause::as_str))),
        ("Presence", words(Presence::ALL.map(Presence::as_str))),
        ("LogLevel", words(LogLevel::ALL.map(LogLevel::as_str))),
        ("Flag", json!({"type": "boolean"})),
        ("Role", words(Role::ALL.map(Role::as_str))),
        ("Provider", words(ProviderKind::ALL.map(ProviderKind::as_str))),
        ("Labels", json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ("Count", json!({"type": "integer", "minimum": 0})),
        ("TraceIdPrefix", json!({"type": "string", "pattern": "^[0-9a-f]{6,32}$"})),
        ("SpanId", json!({"type": "string", "pattern": "^[0-9a-f]{16}$"})),
        ("TraceStatus", words(TraceStatus::ALL.map(TraceStatus::as_str))),
        ("TraceFormat", words(TraceFormat::ALL.map(TraceFormat::as_str))),
        ("Duration", json!({"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|µs|ns))+$"})),
    ])
}

fn requests() -> BTreeMap<&'static str, Value> {
    let path = || json!({"type": "string", "pattern": "^/"});
    let disk = object(&[
        ("path", path()),
        ("readonly?", json!({"type": "boolean", "default": false})),
        ("format?", words(DiskFormat::ALL.map(DiskFormat::as_str))),
    ]);
    let nic = object(&[("bridge", reference("Text")), ("mac?", nullable(&reference("Text")))]);
    let create = object(&[
        ("vm_id", reference("VmId")),
        ("vm_name", reference("VmName")),
        ("vcpus", json!({"type": "integer", "minimum": 1, "maximum": nkudo_domain::VCPUS_MAX})),
        ("memory_bytes", json!({"type": "integer", "minimum": nkudo_domain::MEMORY_BYTES_MIN})),
        ("kernel", path()),
        ("initramfs?", nullable(&path())),
        ("cmdline?", json!({"type": "string", "default": "console=ttyS0"})),
        ("disks?", json!({"type": "array", "items": disk})),
        ("nics?", json!({"type": "array", "items": nic})),
        ("console?", words(Console::ALL.map(Console::as_str))),
        ("provider?", nullable(&reference("Provider"))),
        ("machine?", words(Machine::ALL.map(Machine::as_str))),
        ("autostart?", json!({"type": "boolean", "default": true})),
        ("restart_policy?", words(RestartPolicy::ALL.map(RestartPolicy::as_str))),
        ("labels?", reference("Labels")),
    ]);
    let of_vm = object(&[("vm_id", reference("VmId"))]);
    let stop = object(&[
        ("vm_id", reference("VmId")),
        ("grace_seconds?", json!({"type": "integer", "minimum": 0, "default": 30})),
    ]);
    let delete = object(&[
        ("vm_id", reference("VmId")),
        ("delete_disks?", json!({"type": "boolean", "default": false})),
    ]);
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let command = object(&[
        ("command", path()),
        ("args?", strings),
        ("timeout?", json!({"type": "integer", "minimum": 1, "maximum": 86_400, "default": 30})),
        ("dir?", path()),
        ("env?", json!({"type": "object", "additionalProperties": {"type": "string"}})),
    ]);
    let action = object(&[
        ("action_id?", reference("ActionId")),
        ("action_type", reference("ActionType")),
        ("params", json!({"oneOf": [create, of_vm, stop, delete, command]})),
        ("timeout_seconds?", json!({"type": "integer", "minimum": 1})),
    ]);
    let token = object(&[
        ("site_id?", reference("Name")),
        ("ttl_seconds?", json!({"type": "integer", "minimum": 1, "maximum": TOKEN_LIFETIME_SECONDS_MAX})),
        ("uses?", json!({"type": "integer", "minimum": 1, "maximum": TOKEN_USES_MAX})),
    ]);
    BTreeMap::from([
        ("ActionRequest", action),
        ("TokenRequest", token),
        ("KeyRequest", object(&[("role", reference("Role"))])),
        ("SiteRequest", object(&[("site_id", reference("Name"))])),
        ("RenewRequest", object(&[("csr_pem", json!({"type": "string"}))])),
        ("UnenrollRequest", object(&[("agent_id", reference("AgentId"))])),
    ])
}

fn answers() -> BTreeMap<&'static str, Value> {
    let time = || reference("Time");
    let maybe_time = || nullable(&reference("Time"));
    let maybe_text = || nullable(&json!({"type": "string"}));
    let maybe_count = || nullable(&reference("Count"));
    let text = || json!({"type": "string"});
    let agent = object(&[
        ("agent_id", reference("AgentId")),
        ("tenant_id", reference("Name")),
        ("site_id", reference("Name")),
        ("hostname", text()),
        ("presence", reference("Presence")),
        ("last_seen", maybe_time()),
        ("certificate_expires_at", time()),
        ("version", text()),
        ("labels", reference("Labels")),
        ("enrolled_at", time()),
        ("goodbye", maybe_text()),
        ("clock_skew_ms", nullable(&json!({"type": "integer"}))),
        ("health", maybe_text()),
        ("audit_head", maybe_text()),
    ]);
    let vm = object(&[
        ("vm_id", reference("VmId")),
        ("vm_name", reference("VmName")),
        ("agent_id", nullable(&reference("AgentId"))),
        ("state", reference("VmState")),
        ("reason", maybe_text()),
        ("vcpus", reference("Count")),
        ("memory_bytes", reference("Count")),
        ("provider", reference("Provider")),
        ("pid", maybe_count()),
        ("since", time()),
        ("restarts", reference("Count")),
        ("labels", reference("Labels")),
    ]);
    let action = object(&[
        ("action_id", reference("ActionId")),
        ("plan_id", maybe_text()),
        ("agent_id", nullable(&reference("AgentId"))),
        ("action_type", reference("ActionType")),
        ("status", reference("ActionStatus")),
        ("waiting_for", maybe_text()),
        ("changed", nullable(&json!({"type": "boolean"}))),
        ("error", maybe_text()),
        ("result", nullable(&reference("CommandResult"))),
        ("retries", reference("Count")),
        ("created_at", time()),
        ("started_at", maybe_time()),
        ("completed_at", maybe_time()),
        ("duration_ms", maybe_count()),
        ("trace_id", nullable(&reference("TraceId"))),
        ("vm_id", nullable(&reference("VmId"))),
    ]);
    let command_result = object(&[
        ("exit_code", nullable(&json!({"type": "integer"}))),
        ("stdout", text()),
        ("stderr", text()),
        ("truncated", json!({"type": "boolean"})),
    ]);
    let log_line = object(&[
        ("timestamp", time()),
        ("level", reference("LogLevel")),
        ("component", text()),
        ("message", text()),
        ("fields", json!({"type": "object"})),
        ("correlation_id?", text()),
        ("action_id?", text()),
        ("plan_id?", text()),
        ("trace_id?", text()),
        ("span_id?", text()),
    ]);
    let usage = object(&[("cpu_percent", json!({"type": "number"})), ("memory_bytes", reference("Count"))]);
    let execution = object(&[
        ("agent_id", nullable(&reference("AgentId"))),
        ("action_id", reference("ActionId")),
        ("action_type", reference("ActionType")),
        ("started_at", time()),
        ("completed_at", maybe_time()),
        ("duration_ms", maybe_count()),
        ("status", reference("ExecutionStatus")),
        ("error", maybe_text()),
        ("retries", reference("Count")),
        ("resource_usage", usage),
        ("vm_id", nullable(&reference("VmId"))),
        ("trace_id", nullable(&reference("TraceId"))),
    ]);
    let outage = object(&[
        ("cause", reference("OutageCause")),
        ("evidence", text()),
        ("began_at", time()),
        ("ended_at", maybe_time()),
        ("duration_ms", reference("Count")),
        ("by_wall_clock", reference("Flag")),
        ("failures", reference("Count")),
    ]);
    let token = object(&[
        ("token_id", text()),
        ("site_id", reference("Name")),
        ("uses", reference("Count")),
        ("uses_left", reference("Count")),
        ("created_at", time()),
        ("expires_at", time()),
    ]);
    let component = object(&[
        ("component", text()),
        ("health", text()),
        ("reason", maybe_text()),
        ("since", time()),
        ("restarts", reference("Count")),
    ]);
    let health = object(&[("health", text()), ("components", json!({"type": "array", "items": component}))]);
    let fault = object(&[("path", text()), ("detail", text())]);
    let problem = object(&[
        ("type", text()),
        ("title", text()),
        ("status", json!({"type": "integer"})),
        ("detail", text()),
        ("errors?", json!({"type": "array", "items": fault})),
    ]);
    BTreeMap::from([
        ("Agent", agent),
        ("Vm", vm),
        ("Action", action),
        ("CommandResult", command_result),
        ("Execution", execution),
        ("LogLine", log_line),
        ("Outage", outage),
        ("Token", token),
        ("TokenCreated", object(&[("token_id", text()), ("token", text()), ("expires_at", time())])),
        ("Key", object(&[("key_id", text()), ("role", reference("Role")), ("created_at", time())])),
        ("KeyCreated", object(&[("key_id", text()), ("key", text()), ("role", reference("Role"))])),
        ("Site", object(&[("site_id", reference("Name")), ("created_at", time())])),
        ("Tenant", object(&[("tenant_id", reference("Name"))])),
        ("Accepted", object(&[("action_id", reference("ActionId"))])),
        ("Renewed", object(&[("certificate_pem", text()), ("ca_pem", text()), ("expires_at", time())])),
        ("Unenrolled", object(&[("agent_id", reference("AgentId"))])),
        ("Health", health),
        ("Problem", problem),
    ])
}

fn traces() -> BTreeMap<&'static str, Value> {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "number", "minimum": 0});
    let array = |items: Value| json!({"type": "array", "items": items});
    let slow_step = object(&[("name", text()), ("span_id", reference("SpanId")), ("self_ms", number())]);
    let about = || {
        vec![
            ("trace_id", reference("TraceId")),
            ("name", text()),
            ("started_at", reference("Time")),
            ("duration_ms", number()),
            ("status", reference("TraceStatus")),
            ("error", nullable(&text())),
            ("slow_step", nullable(&reference("SlowStep"))),
        ]
    };
    let span = object(&[
        ("span_id", reference("SpanId")),
        ("parent_id", nullable(&reference("SpanId"))),
        ("name", text()),
        ("service", text()),
        ("started_at", reference("Time")),
        ("offset_us", number()),
        ("duration_us", number()),
        ("status", reference("TraceStatus")),
        ("attributes", json!({"type": "object", "additionalProperties": true})),
        ("critical_us", number()),
    ]);
    let path = object(&[("span_id", reference("SpanId")), ("from_us", number()), ("to_us", number())]);
    let whole = [("spans", array(reference("Span"))), ("critical_path", array(path))];
    let trace = object(&[about(), vec![("spans", reference("Count"))]].concat());
    let detail = object(&[about(), whole.into()].concat());
    // The forms of others are described where they come from.
    let of_others = |member: &str| json!({"type": "object", "properties": {member: {"type": "array"}}, "required": [member]});
    let any = [reference("TraceDetail"), of_others("resourceSpans"), of_others("traceEvents")];
    BTreeMap::from([
        ("SlowStep", slow_step),
        ("Span", span),
        ("Trace", trace),
        ("TraceDetail", detail),
        ("TraceAnswer", json!({ "anyOf": any })),
    ])
}
