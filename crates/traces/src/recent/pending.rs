//! Spans of traces that are not complete yet.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use nkudo_spans::{AttributeValue, FinishedSpan, TraceId};

use super::index::Starts;
use crate::export::otlp::KIND;

/// Memory of a trace apart from its spans, in bytes.
const GATHERING_BYTES: usize = 2 * size_of::<(TraceId, Gathering)>();

/// Kinds of spans whose parent is in another program.
const ENTRIES: [&str; 2] = ["server", "consumer"];

/// Spans by their trace.
#[derive(Debug, Default)]
pub(super) struct Pending {
    traces: HashMap<TraceId, Gathering>,
    bytes: usize,
}

/// The spans of one trace that have come so far.
#[derive(Debug)]
struct Gathering {
    spans: Vec<FinishedSpan>,
    bytes: usize,
    began: Instant,
    latest: Instant,
    /// What is around all of it in this program is here.
    rooted: bool,
}

impl Pending {
    /// Takes a span of a trace that may take so many bytes. How many spans there was no room for.
    pub(super) fn add(&mut self, now: Instant, span: FinishedSpan, trace_bytes: usize) -> u64 {
        let weight = weigh(&span);
        if weight > trace_bytes {
            return 1;
        }
        let gathering = self.traces.entry(span.trace_id).or_insert_with(|| {
            self.bytes += GATHERING_BYTES;
            Gathering { spans: Vec::new(), bytes: 0, began: now, latest: now, rooted: false }
        });
        gathering.latest = now;
        gathering.rooted |= is_local_root(&span);
        let before = gathering.bytes;
        let dropped = gathering.add(span, weight, trace_bytes);
        self.bytes = self.bytes + gathering.bytes - before;
        dropped
    }

    /// Memory of all, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// The trace that waits longest.
    pub(super) fn oldest(&self) -> Option<TraceId> {
        let oldest = self.traces.iter().min_by_key(|(id, gathering)| (gathering.began, id.to_bytes()));
        oldest.map(|(id, _)| *id)
    }

    /// When each trace is complete as far as one can tell. `is_late` knows the traces whose root was here before.
    pub(super) fn due(
        &self,
        quiet: Duration,
        deadline: Duration,
        is_late: impl Fn(TraceId) -> bool,
    ) -> impl Iterator<Item = (Instant, TraceId)> {
        self.traces.iter().map(move |(id, gathering)| {
            let by_deadline = gathering.began + deadline;
            let is_rooted = gathering.rooted || is_late(*id);
            let due = if is_rooted { by_deadline.min(gathering.latest + quiet) } else { by_deadline };
            (due, *id)
        })
    }

    /// The traces with when their spans began.
    pub(super) fn starts(&self) -> impl Iterator<Item = (TraceId, Starts)> {
        self.traces.iter().filter_map(|(id, gathering)| Some((*id, Starts::of(&gathering.spans)?)))
    }

    pub(super) fn spans(&self, id: TraceId) -> &[FinishedSpan] {
        self.traces.get(&id).map(|gathering| &gathering.spans[..]).unwrap_or_default()
    }

    pub(super) fn take(&mut self, id: TraceId) -> Vec<FinishedSpan> {
        let Some(gathering) = self.traces.remove(&id) else { return Vec::new() };
        self.bytes -= gathering.bytes + GATHERING_BYTES;
        gathering.spans
    }

    pub(super) fn ids(&self) -> Vec<TraceId> {
        self.traces.keys().copied().collect()
    }
}

impl Gathering {
    /// Where there is no room, the shortest span that did not fail makes it, as long as it is shorter than this one.
    fn add(&mut self, span: FinishedSpan, weight: usize, trace_bytes: usize) -> u64 {
        let mut dropped = 0;
        let rank = |span: &FinishedSpan| (span.failed, span.duration_ns);
        while self.bytes + weight > trace_bytes {
            let least = self.spans.iter().enumerate().min_by_key(|(_, known)| rank(known));
            match least.map(|(at, known)| (at, rank(known))) {
                Some((at, least)) if least < rank(&span) => {
                    self.bytes -= weigh(&self.spans.swap_remove(at));
                    dropped += 1;
                }
                _ => return dropped + 1,
            }
        }
        self.bytes += weight;
        self.spans.push(span);
        dropped
    }
}

/// Whether nothing is around a span in this program: it has no parent, or it is how a call or a message came in.
fn is_local_root(span: &FinishedSpan) -> bool {
    let is_entry = |kind: &str| ENTRIES.iter().any(|entry| kind.eq_ignore_ascii_case(entry));
    let kind = span.attribute(KIND);
    span.parent_id.is_none() || matches!(kind, Some(AttributeValue::Text(kind)) if is_entry(kind))
}

/// The memory of a span, in bytes. Its record is shorter.
fn weigh(span: &FinishedSpan) -> usize {
    let attribute = |(name, value): &(Cow<'static, str>, AttributeValue)| {
        let text = match value {
            AttributeValue::Text(text) => text.len(),
            AttributeValue::Integer(_) | AttributeValue::Float(_) | AttributeValue::Bool(_) => 0,
        };
        size_of::<(Cow<'static, str>, AttributeValue)>() + name.len() + text
    };
    let attributes: usize = span.attributes.iter().map(attribute).sum();
    size_of::<FinishedSpan>() + span.name.len() + span.target.len() + attributes
}
