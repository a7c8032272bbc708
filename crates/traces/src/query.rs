//! What is asked of traces, and the answer.

mod duration;
mod prefix;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use nkudo_spans::{SpanId, TraceId};

pub use self::duration::parse_duration;
pub use self::prefix::IdPrefix;
use crate::critical::CriticalPath;
use crate::error::QueryError;
use crate::trace::Trace;

/// The longest text to look for, in bytes, and the most of anything else.
const TEXT_BYTES_MAX: usize = 1 << 10;
const LIMIT_MAX: usize = 1_000;
const IDS_MAX: usize = 1_000;
const ATTRIBUTES_MAX: usize = 32;

/// A question about traces: every part that is given holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// One of these, unless there are none.
    pub ids: Vec<TraceId>,
    /// Its id begins so.
    pub id_prefix: Option<IdPrefix>,
    /// For each pair of name and value there is a span that has it. Numbers and booleans are compared as text.
    pub attributes: Vec<(String, String)>,
    pub status: Option<Status>,
    /// The trace began then or later, in nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
    /// The trace began before.
    pub until_unix_ns: Option<u64>,
    pub min_duration: Option<Duration>,
    /// In the name of a span or in the value of an attribute, in small or capital letters.
    pub text: Option<String>,
    /// Most traces in the answer: 1 to 1,000.
    pub limit: usize,
    /// Where the answer before ended.
    pub cursor: Option<Cursor>,
}

/// Whether a span of a trace failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    Error,
}

/// A place in the order of traces. As text it is opaque to who is given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) start_unix_ns: u64,
    pub(crate) trace_id: TraceId,
}

/// The answer to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Newest first.
    pub summaries: Vec<Summary>,
    /// Where to go on, when there may be more, also after fewer traces than the limit.
    pub next: Option<Cursor>,
    /// Parts of traces that could not be read: what is not in the answer may still have been.
    pub damaged: u64,
}

/// A trace in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub trace_id: TraceId,
    /// The name of its root.
    pub name: String,
    /// In nanoseconds since 1970, UTC.
    pub start_unix_ns: u64,
    pub duration_ns: u64,
    /// How many there are.
    pub spans: usize,
    pub failed: bool,
    pub error: Option<String>,
    /// None when it took no time at all.
    pub slow_step: Option<SlowStep>,
}

/// The span that a trace waited for longest.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowStep {
    pub span_id: SpanId,
    pub name: String,
    /// How long the trace waited for it and for nothing within it.
    pub self_ns: u64,
}

impl Default for Query {
    /// The newest hundred.
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            id_prefix: None,
            attributes: Vec::new(),
            status: None,
            since_unix_ns: None,
            until_unix_ns: None,
            min_duration: None,
            text: None,
            limit: 100,
            cursor: None,
        }
    }
}

impl Query {
    /// Whether it can be answered.
    ///
    /// # Errors
    /// The first part that is none.
    pub fn check(&self) -> Result<(), QueryError> {
        let too_many = |what, found, most| Err(QueryError::TooMany { what, found, most });
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(QueryError::Limit { found: self.limit, most: LIMIT_MAX });
        }
        if self.ids.len() > IDS_MAX {
            return too_many("ids", self.ids.len(), IDS_MAX);
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return too_many("attributes", self.attributes.len(), ATTRIBUTES_MAX);
        }
        if self.attributes.iter().any(|(name, _)| name.is_empty()) {
            return Err(QueryError::AttributeName);
        }
        if let (Some(since), Some(until)) = (self.since_unix_ns, self.until_unix_ns)
            && since >= until
        {
            return Err(QueryError::Range);
        }
        match self.text.as_deref().map(str::len) {
            Some(0) => Err(QueryError::EmptyText),
            Some(bytes) if bytes > TEXT_BYTES_MAX => {
                Err(QueryError::LongText { bytes, most: TEXT_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }

    /// Whether a trace may be one of these, by what is known of it before it is read.
    pub(crate) fn admits(&self, cursor: &Cursor) -> bool {
        self.until_unix_ns.is_none_or(|until| cursor.start_unix_ns < until)
            && self.cursor.is_none_or(|after| cursor.rank() < after.rank())
    }

    /// Whether a trace that begins then may be one of these. A part of it may begin later.
    pub(crate) fn is_since(&self, start_unix_ns: u64) -> bool {
        self.since_unix_ns.is_none_or(|since| since <= start_unix_ns)
    }

    pub(crate) fn names(&self, id: TraceId) -> bool {
        (self.ids.is_empty() || self.ids.contains(&id))
            && self.id_prefix.is_none_or(|prefix| prefix.matches(id))
    }

    /// What a trace has to be read for.
    pub(crate) fn needle(&self) -> Needle<'_> {
        Needle { query: self, text: self.text.as_ref().map(|text| text.to_lowercase()) }
    }
}

/// A query, ready to be held against many traces.
#[derive(Debug)]
pub(crate) struct Needle<'q> {
    query: &'q Query,
    /// In small letters.
    text: Option<String>,
}

impl Needle<'_> {
    pub(crate) fn matches(&self, trace: &Trace) -> bool {
        let Query { attributes, status, min_duration, until_unix_ns, .. } = self.query;
        let start = trace.start_unix_ns();
        let in_time = self.query.is_since(start) && until_unix_ns.is_none_or(|until| start < until);
        let long_enough = min_duration.is_none_or(|least| Duration::from_nanos(trace.duration_ns()) >= least);
        let status_fits = status.is_none_or(|status| match status {
            Status::Ok => !trace.failed(),
            Status::Error => trace.failed(),
        });
        in_time
            && long_enough
            && status_fits
            && attributes.iter().all(|(name, value)| has(trace, name, value))
            && self.text.as_deref().is_none_or(|text| mentions(trace, text))
    }
}

fn has(trace: &Trace, name: &str, value: &str) -> bool {
    let of = |span: &nkudo_spans::FinishedSpan| span.attribute(name).map(ToString::to_string);
    trace.spans().iter().any(|span| of(span).as_deref() == Some(value))
}

/// `text` is in small letters.
fn mentions(trace: &Trace, text: &str) -> bool {
    let contains = |whole: &str| whole.to_lowercase().contains(text);
    trace.spans().iter().any(|span| {
        contains(&span.name) || span.attributes.iter().any(|(_, value)| contains(&value.to_string()))
    })
}

impl Cursor {
    /// All traces that began before.
    pub(crate) fn before(start_unix_ns: u64) -> Self {
        let mut least = [0; 16];
        least[15] = 1;
        Self { start_unix_ns, trace_id: TraceId::from_bytes(least).expect("it is not zero") }
    }

    /// By this newer traces are greater.
    pub(crate) fn rank(&self) -> (u64, [u8; 16]) {
        (self.start_unix_ns, self.trace_id.to_bytes())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start_unix_ns, self.trace_id)
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let parts = || {
            let (start, id) = text.split_once('-')?;
            Some(Cursor { start_unix_ns: start.parse().ok()?, trace_id: id.parse().ok()? })
        };
        parts().ok_or_else(|| QueryError::Cursor { found: text.to_owned() })
    }
}

impl FromStr for Status {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        match text {
            "ok" => Ok(Self::Ok),
            "error" => Ok(Self::Error),
            _ => Err(QueryError::Status { found: text.to_owned() }),
        }
    }
}

impl Summary {
    pub fn of(trace: &Trace) -> Summary {
        let slow_step = CriticalPath::of(trace).slowest().and_then(|(span_id, self_ns)| {
            let span = trace.spans().iter().find(|span| span.span_id == span_id)?;
            Some(SlowStep { span_id, name: span.name.to_string(), self_ns })
        });
        Summary {
            trace_id: trace.id(),
            name: trace.root().name.to_string(),
            start_unix_ns: trace.start_unix_ns(),
            duration_ns: trace.duration_ns(),
            spans: trace.spans().len(),
            failed: trace.failed(),
            error: trace.error(),
            slow_step,
        }
    }
}
