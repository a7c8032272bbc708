//! Where the program is: the span around an event, and its context.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::callsites::COMPONENT_FIELD;
use crate::ids::{SpanId, TraceId};
use crate::open::{Carried, ids};
use crate::slab::{Key, Place};
use crate::traceparent::Traceparent;

/// Where the program is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace_id: TraceId,
    /// The innermost span.
    pub span_id: SpanId,
}

impl Context {
    /// What a call to another program carries, marked as sampled.
    pub fn traceparent(&self) -> Traceparent {
        Traceparent { trace_id: self.trace_id, parent_id: self.span_id, sampled: true }
    }
}

/// The span that an event happened in.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    key: Key,
    place: &'a Place,
    names: &'static [&'static str],
}

impl<'a> Here<'a> {
    pub(crate) fn new(key: Key, place: &'a Place, names: &'static [&'static str]) -> Self {
        Self { key, place, names }
    }

    /// A number that no other span of this program has, for whoever remembers what it made of this one.
    #[inline]
    pub fn key(&self) -> u64 {
        self.key.0
    }

    /// A number that no other context has, nor this one after it has changed; zero where nothing is carried.
    #[inline]
    pub fn context_key(&self) -> u64 {
        self.place.context.load(Ordering::Acquire)
    }

    pub fn context(&self) -> Option<Context> {
        ids(self.place).map(|(trace_id, span_id)| Context { trace_id, span_id })
    }

    /// What the spans around carry: `component` and the fields that the subscriber was made with, those that there are.
    pub fn carried(&self) -> Vec<(&'static str, String)> {
        let name = |number: usize| match number.checked_sub(1) {
            None => Some(COMPONENT_FIELD),
            Some(at) => self.names.get(at).copied(),
        };
        let carried = Carried::read(Key(self.context_key())).0;
        carried.into_iter().filter_map(|(number, text)| Some((name(number)?, text))).collect()
    }
}

impl fmt::Debug for Here<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").field("context", &self.context()).finish_non_exhaustive()
    }
}
