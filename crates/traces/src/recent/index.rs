//! Where the parts of each trace are.

use std::collections::HashMap;

use nkudo_spans::{FinishedSpan, TraceId};

use crate::store::Place;
use crate::store::record::{Head, Part};

/// Most parts of a trace that are written after its first.
pub(super) const PARTS_MAX: usize = 32;
/// Memory of a trace in the index, in bytes: a table may be half empty.
pub(crate) const INDEX_ENTRY_BYTES: usize = 2 * size_of::<(TraceId, Entry)>();

/// The traces on disk.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<TraceId, Entry>,
    /// Of all traces together.
    parts: usize,
}

/// When spans began, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Starts {
    pub(super) first_unix_ns: u64,
    /// `u64::MAX` where it is not known.
    pub(super) last_unix_ns: u64,
}

impl Starts {
    /// None of no spans.
    pub(super) fn of(spans: &[FinishedSpan]) -> Option<Self> {
        let mut each = spans.iter().map(|span| span.start_unix_ns);
        let first = each.next()?;
        let only = Self { first_unix_ns: first, last_unix_ns: first };
        Some(each.fold(only, |starts, at| starts.and(Self { first_unix_ns: at, last_unix_ns: at })))
    }

    /// Of a record of which the head was read.
    pub(super) fn of_head(head: &Head) -> Self {
        Self { first_unix_ns: head.start_unix_ns, last_unix_ns: u64::MAX }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            first_unix_ns: self.first_unix_ns.min(other.first_unix_ns),
            last_unix_ns: self.last_unix_ns.max(other.last_unix_ns),
        }
    }
}

/// A trace on disk.
#[derive(Debug)]
struct Entry {
    starts: Starts,
    first: Place,
    more: Vec<Place>,
}

impl Index {
    /// More of a trace that does not begin anywhere is left out: where it began is gone.
    pub(super) fn insert(&mut self, head: &Head, starts: Starts, place: Place) {
        if let Some(entry) = self.entries.get_mut(&head.trace_id) {
            if entry.more.len() < PARTS_MAX {
                entry.starts = entry.starts.and(starts);
                entry.more.push(place);
                self.parts += 1;
            }
        } else if head.part == Part::First {
            let entry = Entry { starts, first: place, more: Vec::new() };
            self.entries.insert(head.trace_id, entry);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.len() * INDEX_ENTRY_BYTES + self.parts * 2 * size_of::<Place>()
    }

    pub(super) fn contains(&self, id: TraceId) -> bool {
        self.entries.contains_key(&id)
    }

    /// How many parts of a trace came after its first.
    pub(super) fn parts(&self, id: TraceId) -> usize {
        self.entries.get(&id).map_or(0, |entry| entry.more.len())
    }

    pub(super) fn places(&self, id: TraceId) -> impl Iterator<Item = Place> {
        let entry = self.entries.get(&id);
        entry.into_iter().flat_map(|entry| [entry.first].into_iter().chain(entry.more.iter().copied()))
    }

    /// The traces with when their spans began.
    pub(super) fn starts(&self) -> impl Iterator<Item = (TraceId, Starts)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.starts))
    }

    /// The oldest segment that a trace begins in.
    pub(super) fn oldest_segment(&self) -> Option<u32> {
        self.entries.values().map(|entry| entry.first.segment).min()
    }

    /// Leaves out what is in a segment, and all of the traces that begin in it. How many these were.
    pub(super) fn forget(&mut self, segment: u32) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.first.segment != segment);
        self.entries.values_mut().for_each(|entry| entry.more.retain(|place| place.segment != segment));
        self.parts = self.entries.values().map(|entry| entry.more.len()).sum();
        (before - self.entries.len()) as u64
    }
}
