//! The host's recent traces: its finished spans on disk, and those of an action for the control plane.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_api::trace_query::{GivenId, IdFault};
use nkudo_domain::TraceId;
use nkudo_logging::LogHandle;
use nkudo_recorder::{Recorder, RecorderError};
use nkudo_spans::{AttributeValue, LanesOptions, SpanDrain, SpansOptions};
use nkudo_traces::{Config, ConfigError, Found, Query, QueryError, Recent, Sampling, Trace, export};

use crate::config::Settings;
use crate::state_dir::StateDirError;

/// The directory within the state directory.
const DIR: &str = "traces";
/// What spans of this program are known by, among those of others.
pub const SERVICE: &str = "edge-agent";
/// How long the result of an action waits for its steps.
const TOLD_WAIT: Duration = Duration::from_secs(2);
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
    Ok(files(settings)?.search(query)?)
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

/// What this host did in a trace, as OTLP/JSON; none where nothing is known of it.
pub(crate) async fn told(recorder: &Recorder, trace_id: TraceId) -> Option<Vec<u8>> {
    let id = trace_id.to_string().parse().ok()?;
    // A result waits for no disk that hangs: without its steps it goes on.
    let known = tokio::time::timeout(TOLD_WAIT, recorder.trace(id)).await.ok()?;
    let mut spans = known.ok()??.into_spans();
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
