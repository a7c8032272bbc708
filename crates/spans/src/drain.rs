//! Finished spans on their way out.

use std::sync::Arc;
use std::time::Duration;

use tracing::Metadata;

use crate::encode::attributes;
use crate::finished::FinishedSpan;
use crate::ids::{SpanId, TraceId};
use crate::lanes::{Drain, Record};
use crate::open::{CALLSITE, FIELDS, INFO, Info, PARENT, SPAN, START, TOOK, TRACE_HIGH, TRACE_LOW};
use crate::subscriber::{Shared, SpansHandle};

/// The one reader of a subscriber's finished spans. Each thread's spans come in the order in which they ended.
#[derive(Debug)]
pub struct SpanDrain {
    drain: Drain,
    shared: Arc<Shared>,
}

/// A finished span as it lies in the ring: what is not asked for costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct SpanRecord<'a> {
    words: &'a [u64],
    shared: &'a Shared,
}

impl SpanDrain {
    pub(crate) fn new(drain: Drain, shared: Arc<Shared>) -> Self {
        Self { drain, shared }
    }

    /// Counts what is drained, and wakes whoever drains.
    pub fn handle(&self) -> SpansHandle {
        SpansHandle(self.shared.clone())
    }

    /// Hands over what has finished by now. Says how many spans that was.
    pub fn pass(&mut self, mut each: impl FnMut(SpanRecord<'_>)) -> usize {
        self.shared.clock.anchor();
        self.drain.pass(|_, record| {
            if let Record::Words(words) = record
                && words.len() >= FIELDS
            {
                each(SpanRecord { words, shared: &self.shared });
            }
        })
    }

    /// Sleeps until a span ends or somebody wakes it, at most so long: for a drain that has had nothing to do for a while.
    /// It does not sleep where `is_idle` denies that there is nothing else to do: whoever wakes it for something first
    /// changes what `is_idle` says.
    pub fn sleep(&self, at_most: Duration, is_idle: impl Fn() -> bool) {
        self.drain.sleep(at_most, is_idle);
    }

    /// Sleeps for so long, or until a ring is half full or somebody wakes it.
    pub fn doze(&self, at_most: Duration, is_idle: impl Fn() -> bool) {
        self.drain.doze(at_most, is_idle);
    }
}

impl SpanRecord<'_> {
    /// The trace it belongs to.
    pub fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_halves(self.words[TRACE_HIGH], self.words[TRACE_LOW])
    }

    /// Whether it has a field `error`, or an event at error level happened right in it.
    pub fn failed(&self) -> bool {
        Info(self.words[INFO]).failed()
    }

    /// Where in the code it was made.
    pub fn metadata(&self) -> Option<&'static Metadata<'static>> {
        self.shared.callsites.get(usize::try_from(self.words[CALLSITE]).ok()?)
    }

    /// How long it was open, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.shared.clock.duration_ns(self.words[TOOK])
    }

    /// All of it. `None` would be a record that no subscriber has made.
    pub fn to_finished(&self) -> Option<FinishedSpan> {
        let metadata = self.metadata()?;
        let info = Info(self.words[INFO]);
        Some(FinishedSpan {
            trace_id: self.trace_id()?,
            span_id: SpanId::from_word(self.words[SPAN])?,
            parent_id: SpanId::from_word(self.words[PARENT]),
            name: metadata.name().into(),
            target: metadata.target().into(),
            start_unix_ns: self.shared.clock.unix_ns(self.words[START]),
            duration_ns: self.duration_ns(),
            failed: info.failed(),
            thread: info.thread(),
            attributes: attributes(&self.words[FIELDS..], metadata),
            dropped_attributes: info.dropped(),
        })
    }
}
