//! The host's recent traces: its finished spans on disk, and those of an action for the control plane.

use std::path::{Path, PathBuf};

use nkudo_api::trace_query::{GivenId, IdFault};
use nkudo_domain::Action;
use nkudo_logging::LogHandle;
use nkudo_recorder::{Recorder, RecorderError};
use nkudo_spans::{AttributeValue, FinishedSpan, LanesOptions, SpanDrain, SpanId, SpansOptions};
use nkudo_traces::{Config, ConfigError, Found, Query, QueryError, Recent, Sampling, Trace, export};

use crate::config::Settings;
use crate::state_dir::StateDirError;

/// The directory within the state directory.
const DIR: &str = "traces";
/// What spans of this program are known by, among those of others.
pub const SERVICE: &str = "edge-agent";
/// Most bytes of what goes to the control plane of one trace. A trace that is larger is told without its last spans.
const TOLD_MAX_BYTES: usize = 512 << 10;
/// About what one span takes there, without its texts.
const TOLD_SPANS_MAX: usize = 1_000;

/// How the program takes spans.
pub(crate) fn spans_options() -> SpansOptions {
    let finished = LanesOptions { ring_max_bytes: 64 << 10, rings_max_bytes: 1 << 20, beside_max_bytes: 0 };
    SpansOptions { finished: Some(finished), ..SpansOptions::default() }
}

/// Where recent traces are.
pub(crate) fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

/// The bounds of what is kept.
pub(crate) fn config(settings: &Settings) -> Config {
    let sampling = Sampling { ratio: settings.sampling_ratio, slow: settings.traces_slow };
    Config { sampling, disk_bytes: settings.traces_disk_bytes, ..Config::default() }
        .with_traces(settings.traces_most)
}

/// Has the spans of this program be recorded.
pub(crate) fn start(
    settings: &Settings,
    drain: SpanDrain,
    log: &LogHandle,
) -> Result<Recorder, RecorderError> {
    let redactor = log.redactor(nkudo_pki::SECRET_PREFIXES)?;
    Recorder::start(&dir(&settings.state_dir), config(settings), drain, redactor)
}

/// Why the files of a host whose daemon is down do not tell its traces.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    #[error("recent traces cannot be kept as they are configured")]
    Config(#[from] ConfigError),
    /// The sentence says why.
    #[error("recent traces cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Id(#[from] IdFault),
}

/// Searches the files of a host whose daemon is down, and changes nothing in them.
///
/// # Errors
/// When they cannot be read, or the query has no answer.
pub fn search_files(settings: &Settings, query: &Query) -> Result<Found, FilesError> {
    let recent = files(settings)?;
    let mut found = recent.search(query)?;
    // An answer may be short of traces that are there; nobody else waits for this one.
    while found.next.is_some() && found.summaries.len() < query.limit {
        let limit = query.limit - found.summaries.len();
        let more = recent.search(&Query { cursor: found.next, limit, ..query.clone() })?;
        found.summaries.extend(more.summaries);
        found.next = more.next;
        found.damaged += more.damaged;
    }
    Ok(found)
}

/// A trace from the files of a host whose daemon is down, which stay as they are.
///
/// # Errors
/// When they cannot be read, or there is not one such trace.
pub fn trace_in_files(settings: &Settings, given: &GivenId) -> Result<Trace, FilesError> {
    let recent = files(settings)?;
    let trace_id = match given.whole() {
        Some(trace_id) => trace_id,
        None => given.among(&recent.search(&given.query())?)?,
    };
    Ok(recent.trace(trace_id).ok_or_else(|| given.unknown())?)
}

fn files(settings: &Settings) -> Result<Recent, FilesError> {
    let path = settings.state_dir.clone();
    if matches!(path.try_exists(), Ok(false)) {
        return Err(StateDirError::Absent { path }.into());
    }
    let recent = Recent::open(&dir(&settings.state_dir), config(settings))?;
    match recent.failure() {
        Some(error) => Err(FilesError::Unreadable(format!("{error}: {}", error.source))),
        None => Ok(recent),
    }
}

/// What this host did for an action, as OTLP/JSON; none where nothing is known of it. Other actions of the trace tell
/// their own steps, and those of another tenant, who may have given the same id, are not this one's.
pub(crate) async fn told(recorder: &Recorder, action: &Action) -> Option<Vec<u8>> {
    let id = nkudo_spans::TraceId::from_bytes(action.trace_id?.to_bytes())?;
    let mut spans = steps(recorder.trace(id).await.ok()??, action);
    let resource = [("service.name", AttributeValue::Text(SERVICE.to_owned()))];
    spans.truncate(TOLD_SPANS_MAX);
    loop {
        let mut json = Vec::new();
        export::otlp::write(&mut json, &resource, &spans).ok()?;
        if json.len() <= TOLD_MAX_BYTES || spans.is_empty() {
            return (!spans.is_empty()).then_some(json);
        }
        spans.truncate(spans.len() / 2);
    }
}

/// The spans of an action: the one that took it in and all within it. An action that began here, as a restart, was taken in
/// by none.
fn steps(trace: Trace, action: &Action) -> Vec<FinishedSpan> {
    match action.parent_span_id.and_then(|id| SpanId::from_bytes(id.to_bytes())) {
        Some(taken_in) => {
            trace.into_within(|span| span.span_id == taken_in || span.parent_id == Some(taken_in))
        }
        None => {
            let action_id = AttributeValue::Text(action.action_id.to_string());
            trace.into_within(|span| span.attribute("action_id") == Some(&action_id))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nkudo_domain::{AskedBy, Request};
    use nkudo_spans::{TraceId, spans};
    use tracing::Dispatch;

    use super::*;
    use crate::origin::take_in;

    fn action(id: &str, trace_id: TraceId) -> Action {
        Action {
            action_id: id.parse().unwrap(),
            request: Request::Start("01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
            timeout: Duration::from_secs(1),
            trace_id: nkudo_domain::TraceId::from_bytes(trace_id.to_bytes()),
            parent_span_id: nkudo_domain::SpanId::from_bytes([7; 8]),
            correlation_id: None,
            asked_by: AskedBy::Unknown,
            start_within: None,
        }
    }

    #[tokio::test]
    async fn of_a_trace_an_action_tells_its_own_steps_only() {
        let dir = tempfile::tempdir().unwrap();
        let (subscriber, drain) = spans(&spans_options(), ());
        let redactor = nkudo_logging::Redactor::new(&[], nkudo_logging::OutputCounts::default()).unwrap();
        let recorder = Recorder::start(dir.path(), Config::default(), drain.unwrap(), redactor).unwrap();
        let trace_id = TraceId::generate();
        let [taken, other, restart] = tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
            let taken = ["ours", "theirs"].map(|id| {
                let mut action = action(id, trace_id);
                take_in("consumer", &mut action)
                    .in_scope(|| tracing::info_span!("step").in_scope(|| tracing::info_span!("deed")));
                action
            });
            let restart = Action { parent_span_id: None, ..action("restart", trace_id) };
            let trace_id = restart.trace_id.map(tracing::field::display);
            let own = tracing::info_span!(parent: None, "own", trace_id, action_id = %restart.action_id);
            own.in_scope(|| tracing::info_span!("its deed"));
            let [ours, theirs] = taken;
            [ours, theirs, restart]
        });
        for (action, expected) in [
            (&taken, vec!["deed", "step", "take in"]),
            (&other, vec!["deed", "step", "take in"]),
            (&restart, vec!["its deed", "own"]),
        ] {
            let json = told(&recorder, action).await.unwrap();
            let [resource] = &export::otlp::read(&json).unwrap()[..] else { panic!("one program tells") };
            let mut names: Vec<_> = resource.spans.iter().map(|span| span.name.to_string()).collect();
            names.sort();
            assert_eq!(names, expected, "{}", action.action_id);
            let of: Vec<_> = resource.spans.iter().filter_map(|span| span.attribute("action_id")).collect();
            assert!(of.iter().all(|id| id.to_string() == action.action_id.to_string()), "{of:?}");
        }
        assert_eq!(told(&recorder, &action("unknown", TraceId::generate())).await, None);
    }
}
