//! What is asked of recent traces.

use std::cmp::Reverse;
use std::collections::HashMap;

use nkudo_journal::Disk;
use nkudo_spans::{FinishedSpan, TraceId};

use super::Recent;
use super::index::Starts;
use crate::error::QueryError;
use crate::query::{Cursor, Found, Query, Summary};
use crate::store::record;
use crate::trace::Trace;

/// Parts of traces that are read for an answer, and those of the traces that began with the last of them: whoever answers has other things to do.
const PARTS_READ_MAX: usize = 1_000;

impl<D: Disk> Recent<D> {
    /// All that is known of a trace: what is on disk, and what is not yet. A part that is damaged is left out and counted.
    pub fn trace(&self, id: TraceId) -> Option<Trace> {
        self.read(id).0
    }

    /// The traces that a query is about, newest first. Those are among them that are not complete yet, also when they may
    /// be dropped then. One trace at a time is read, and a bounded number for an answer: one that is short, or empty, has
    /// its `next` all the same when there may be more.
    ///
    /// # Errors
    /// When the query is none.
    pub fn search(&self, query: &Query) -> Result<Found, QueryError> {
        self.search_among(query, |starts| query.is_since(starts.first_unix_ns), Some)
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
        // A part may begin with any of the spans.
        self.search_among(query, |starts| query.is_since(starts.last_unix_ns), part)
    }

    fn search_among(
        &self,
        query: &Query,
        may_begin: impl Fn(&Starts) -> bool,
        part: impl Fn(Trace) -> Option<Trace>,
    ) -> Result<Found, QueryError> {
        query.check()?;
        let needle = query.needle();
        let mut found = Found::default();
        let mut candidates = self.candidates(query, may_begin).into_iter().peekable();
        let mut read = 0;
        while let Some(cursor) = candidates.next() {
            read += self.parts(cursor.trace_id);
            let (trace, damaged) = self.read(cursor.trace_id);
            found.damaged += damaged;
            let part = trace.and_then(&part).filter(|part| needle.matches(part));
            found.summaries.extend(part.as_ref().map(Summary::of));
            let Some(next) = candidates.peek() else { break };
            if found.summaries.len() == query.limit {
                found.next = Some(cursor);
                break;
            }
            // The trace that was read last may be another's: the cursor does not name it, and so ends where a start does.
            if read >= PARTS_READ_MAX && next.start_unix_ns < cursor.start_unix_ns {
                found.next = Some(Cursor::before(cursor.start_unix_ns));
                break;
            }
        }
        Ok(found)
    }

    /// The traces that a query may be about as far as their ids and starts tell, newest first.
    fn candidates(&self, query: &Query, may_begin: impl Fn(&Starts) -> bool) -> Vec<Cursor> {
        let all = self.index.starts().chain(self.held.starts()).chain(self.pending.starts());
        let mut starts: HashMap<TraceId, Starts> = HashMap::new();
        for (id, more) in all.filter(|(id, _)| query.names(*id)) {
            starts.entry(id).and_modify(|known| *known = known.and(more)).or_insert(more);
        }
        let cursors = starts.into_iter().filter(|(_, starts)| may_begin(starts));
        let cursors =
            cursors.map(|(trace_id, starts)| Cursor { start_unix_ns: starts.first_unix_ns, trace_id });
        let mut candidates: Vec<Cursor> = cursors.filter(|cursor| query.admits(cursor)).collect();
        candidates.sort_by_key(|cursor| Reverse(cursor.rank()));
        candidates
    }

    /// In how many parts a trace is, at least one.
    fn parts(&self, id: TraceId) -> usize {
        (self.index.places(id).count() + self.held.of(id).count()).max(1)
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
