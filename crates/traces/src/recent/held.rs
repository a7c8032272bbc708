//! Records that are to be written.

use std::collections::VecDeque;

use nkudo_spans::TraceId;

use super::index::Starts;
use crate::store::record::Head;

/// A record that is to be written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) starts: Starts,
    pub(super) payload: Vec<u8>,
}

/// Records in the order in which they will be written. Empty while the disk is well.
#[derive(Debug, Default)]
pub(super) struct Held {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += weigh(&record);
        self.records.push_back(record);
    }

    pub(super) fn first(&self) -> Option<&Record> {
        self.records.front()
    }

    pub(super) fn pop(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= weigh(&record);
        }
    }

    /// Drops every record of the trace that waits longest.
    pub(super) fn drop_oldest(&mut self) {
        let Some(id) = self.first().map(|record| record.head.trace_id) else { return };
        self.records.retain(|record| record.head.trace_id != id);
        self.bytes = self.records.iter().map(weigh).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Memory of all, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn of(&self, id: TraceId) -> impl Iterator<Item = &[u8]> {
        let records = self.records.iter().filter(move |record| record.head.trace_id == id);
        records.map(|record| &record.payload[..])
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = (TraceId, Starts)> {
        self.records.iter().map(|record| (record.head.trace_id, record.starts))
    }
}

fn weigh(record: &Record) -> usize {
    size_of::<Record>() + record.payload.len()
}
