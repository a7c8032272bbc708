//! The fleet's recent traces: this server's spans and those that agents tell, and who may see which.

use std::path::{Path, PathBuf};

use nkudo_domain::{AgentId, TenantId};
use nkudo_logging::LogHandle;
use nkudo_recorder::{Recorder, RecorderError};
use nkudo_spans::{AttributeValue, FinishedSpan, LanesOptions, SpanDrain, SpansOptions};
use nkudo_traces::{Config, OtlpError, Sampling, Trace, export};

use crate::config::Settings;

/// The directory within the data directory.
const DIR: &str = "traces";
/// What spans of this program are known by, among those of others.
pub(crate) const SERVICE: &str = "control-plane";
/// Most spans of one message of an agent.
const TOLD_SPANS_MAX: usize = 4_096;
/// Whose a span is. What an agent tells bears both, whatever it says itself.
pub(crate) const TENANT: &str = "tenant_id";
pub(crate) const AGENT: &str = "agent_id";

/// How the program takes spans.
pub(crate) fn spans_options() -> SpansOptions {
    let finished = LanesOptions { ring_max_bytes: 256 << 10, rings_max_bytes: 4 << 20, beside_max_bytes: 0 };
    SpansOptions { finished: Some(finished), ..SpansOptions::default() }
}

/// Where recent traces are.
pub(crate) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join(DIR)
}

/// Has the spans of this program be recorded.
pub(crate) fn start(
    settings: &Settings,
    drain: SpanDrain,
    log: &LogHandle,
) -> Result<Recorder, RecorderError> {
    let redactor = log.redactor(nkudo_pki::SECRET_PREFIXES)?;
    let sampling = Sampling { ratio: settings.sampling_ratio, slow: settings.traces_slow };
    let config = Config {
        sampling,
        disk_bytes: settings.traces_disk_bytes,
        memory_bytes: 8 << 20,
        traces: 20_000,
        ..Config::default()
    };
    let config = config.with_traces(settings.traces_most);
    Recorder::start(&dir(&settings.data_dir), config, drain, redactor)
}

/// What an agent tells of its steps.
///
/// # Errors
/// When it is no OTLP/JSON of traces.
pub(crate) fn told(
    otlp_json: &[u8],
    tenant_id: &TenantId,
    agent_id: AgentId,
) -> Result<Vec<FinishedSpan>, OtlpError> {
    let resources = export::otlp::read(otlp_json)?;
    let spans = resources.into_iter().flat_map(|resource| {
        let service = resource.resource.into_iter().find(|(name, _)| name == "service.name");
        resource.spans.into_iter().map(move |span| (span, service.clone()))
    });
    let whose = [(TENANT, tenant_id.to_string()), (AGENT, agent_id.to_string())];
    let marked = spans.take(TOLD_SPANS_MAX).map(|(mut span, service)| {
        span.attributes.retain(|(name, _)| !whose.iter().any(|(ours, _)| name == ours));
        span.attributes.extend(service.map(|(name, value)| (name.into(), value)));
        let texts = whose.iter().map(|(name, text)| ((*name).into(), AttributeValue::Text(text.clone())));
        span.attributes.extend(texts);
        span
    });
    Ok(marked.collect())
}

/// The part of a trace that a tenant may see: each span that is its own, or within one that is.
pub(crate) fn visible(trace: Trace, tenant_id: &TenantId) -> Option<Trace> {
    let tenant = tenant_id.to_string();
    let spans = trace.into_spans();
    let by_id: std::collections::HashMap<_, _> = spans.iter().map(|span| (span.span_id, span)).collect();
    let is_own = |span: &FinishedSpan| {
        let mut at = span;
        // No chain of parents is longer than the trace; a circle ends here, too.
        for _ in 0..=spans.len() {
            if let Some(whose) = at.attribute(TENANT) {
                return *whose == AttributeValue::Text(tenant.clone());
            }
            match at.parent_id.and_then(|parent| by_id.get(&parent)) {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        false
    };
    let own: Vec<FinishedSpan> = spans.iter().filter(|span| is_own(span)).cloned().collect();
    Trace::gather(own).pop()
}

#[cfg(test)]
mod tests {
    use nkudo_spans::{SpanId, TraceId};

    use super::*;

    fn span(trace_id: TraceId, parent_id: Option<SpanId>, tenant: Option<&str>) -> FinishedSpan {
        let attribute = |tenant: &str| (TENANT.into(), AttributeValue::Text(tenant.to_owned()));
        FinishedSpan {
            trace_id,
            span_id: SpanId::generate(),
            parent_id,
            name: "step".into(),
            target: "test".into(),
            start_unix_ns: 1,
            duration_ns: 1,
            failed: false,
            thread: 1,
            attributes: tenant.map(attribute).into_iter().collect(),
            dropped_attributes: 0,
        }
    }

    #[test]
    fn a_tenant_sees_its_own_spans_and_what_lies_in_them() {
        let id = TraceId::generate();
        let root = span(id, None, Some("a"));
        let within = span(id, Some(root.span_id), None);
        let of_b = span(id, Some(within.span_id), Some("b"));
        let in_b = span(id, Some(of_b.span_id), None);
        let nobodys = span(id, None, None);
        let all = [&root, &within, &of_b, &in_b, &nobodys];
        for (tenant, expected) in [("a", vec![&root, &within]), ("b", vec![&of_b, &in_b]), ("c", vec![])] {
            let trace = Trace::gather(all.map(Clone::clone)).pop().unwrap();
            let seen = visible(trace, &tenant.parse().unwrap());
            let seen = seen.map(Trace::into_spans).unwrap_or_default();
            assert_eq!(seen.len(), expected.len(), "{tenant}");
            assert!(expected.iter().all(|span| seen.contains(span)), "{tenant}");
        }
    }

    #[test]
    fn an_agent_cannot_say_whose_its_spans_are() {
        let id = TraceId::generate();
        let (tenant, agent_id): (TenantId, AgentId) =
            ("mine".parse().unwrap(), AgentId::from_uuid(uuid::Uuid::from_u128(7)));
        let mut told_span = span(id, None, Some("another"));
        told_span.attributes.push((AGENT.into(), AttributeValue::Text("another".to_owned())));
        let mut json = Vec::new();
        let resource = [("service.name", AttributeValue::Text("edge-agent".to_owned()))];
        export::otlp::write(&mut json, &resource, &[told_span]).unwrap();
        let [taken] = &told(&json, &tenant, agent_id).unwrap()[..] else { panic!("one span is told") };
        let text = |name| taken.attribute(name).map(ToString::to_string);
        assert_eq!(text(TENANT).as_deref(), Some("mine"));
        assert_eq!(text(AGENT), Some(agent_id.to_string()));
        assert_eq!(text("service.name").as_deref(), Some("edge-agent"));
        let of_name = |name| taken.attributes.iter().filter(|(known, _)| known == name).count();
        assert_eq!((of_name(TENANT), of_name(AGENT)), (1, 1));
        for nonsense in [&b""[..], b"{", b"{\"resourceSpans\":7}", b"[]"] {
            assert!(told(nonsense, &tenant, agent_id).is_err(), "{nonsense:?}");
        }
    }
}
