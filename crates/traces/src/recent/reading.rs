//! What is asked of recent traces.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use nkudo_journal::Disk;
use nkudo_spans::{FinishedSpan, TraceId};

use super::Recent;
use crate::error::QueryError;
use crate::query::{Cursor, Found, Query, Summary};
use crate::store::record;
use crate::trace::Trace;

impl<D: Disk> Recent<D> {
    /// All that is known of a trace: what is on disk, and what is not yet. A part that is damaged is left out and counted.
    pub fn trace(&self, id: TraceId) -> Option<Trace> {
        self.read(id).0
    }

    /// The traces that a query is about, newest first. Those are among them that are not complete yet, also when they may
    /// be dropped then. One trace at a time is read.
    ///
    /// # Errors
    /// When the query is none.
    pub fn search(&self, query: &Query) -> Result<Found, QueryError> {
        let may_begin = |cursor: &Cursor| query.is_since(cursor.start_unix_ns);
        self.search_among(query, may_begin, Some)
    }

    /// As [`Recent::search`], for somebody who may see only a part of each trace: everything but the order is of what
    /// `part` leaves of it. A cursor tells when the whole trace began.
    ///
    /// # Errors
    /// When the query is none.
    pub fn search_parts(
        &self,
        query: &Query,
        part: impl Fn(Trace) -> Option<Trace>,
    ) -> Result<Found, QueryError> {
        self.search_among(query, |_| true, part)
    }

    fn search_among(
        &self,
        query: &Query,
        may_begin: impl Fn(&Cursor) -> bool,
        part: impl Fn(Trace) -> Option<Trace>,
    ) -> Result<Found, QueryError> {
        query.check()?;
        let needle = query.needle();
        let mut found = Found::default();
        let mut candidates = self.candidates(query).into_iter().filter(may_begin).peekable();
        while let Some(cursor) = candidates.next() {
            let (trace, damaged) = self.read(cursor.trace_id);
            found.damaged += damaged;
            let part = trace.and_then(&part);
            let Some(trace) = part.filter(|part| needle.matches(part)) else { continue };
            found.summaries.push(Summary::of(&trace));
            if found.summaries.len() == query.limit {
                found.next = candidates.peek().is_some().then_some(cursor);
                break;
            }
        }
        Ok(found)
    }

    /// The traces that a query may be about as far as their ids and starts tell, newest first.
    fn candidates(&self, query: &Query) -> Vec<Cursor> {
        let held = self.held.heads().map(|head| (head.trace_id, head.start_unix_ns));
        let all = self.index.starts().chain(held).chain(self.pending.starts());
        let mut starts: HashMap<TraceId, u64> = HashMap::new();
        for (id, start) in all.filter(|(id, _)| query.names(*id)) {
            match starts.entry(id) {
                Entry::Occupied(mut known) => *known.get_mut() = start.min(*known.get()),
                Entry::Vacant(new) => drop(new.insert(start)),
            }
        }
        let cursors = starts.into_iter().map(|(trace_id, start_unix_ns)| Cursor { start_unix_ns, trace_id });
        let mut candidates: Vec<Cursor> = cursors.filter(|cursor| query.admits(cursor)).collect();
        candidates.sort_by_key(|cursor| Reverse(cursor.rank()));
        candidates
    }

    /// A trace, and how many of its parts could not be read.
    fn read(&self, id: TraceId) -> (Option<Trace>, u64) {
        let mut damaged = 0;
        let mut spans: Vec<FinishedSpan> = Vec::new();
        let mut take = |payload: Option<&[u8]>| {
            let decoded = payload.and_then(|payload| record::decode(payload).ok());
            match decoded.filter(|(head, _)| head.trace_id == id) {
                Some((_, part)) => spans.extend(part),
                None => damaged += 1,
            }
        };
        self.index.places(id).for_each(|place| take(self.store.read(place).as_deref()));
        self.held.of(id).for_each(|payload| take(Some(payload)));
        spans.extend_from_slice(self.pending.spans(id));
        self.counts.damaged.inc_by(damaged);
        (Trace::gather(spans).pop(), damaged)
    }
}
