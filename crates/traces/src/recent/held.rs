//! Records that are to be written.

use std::collections::VecDeque;

use nkudo_spans::TraceId;

use crate::store::record::Head;

/// Records in the order in which they will be written. Empty while the disk is well.
#[derive(Debug, Default)]
pub(super) struct Held {
    records: VecDeque<(Head, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, head: Head, payload: Vec<u8>) {
        self.bytes += weigh(&payload);
        self.records.push_back((head, payload));
    }

    pub(super) fn first(&self) -> Option<&(Head, Vec<u8>)> {
        self.records.front()
    }

    pub(super) fn pop(&mut self) {
        if let Some((_, payload)) = self.records.pop_front() {
            self.bytes -= weigh(&payload);
        }
    }

    /// Drops every record of the trace that waits longest.
    pub(super) fn drop_oldest(&mut self) {
        let Some(id) = self.first().map(|(head, _)| head.trace_id) else { return };
        self.records.retain(|(head, _)| head.trace_id != id);
        self.bytes = self.records.iter().map(|(_, payload)| weigh(payload)).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Memory of all, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn of(&self, id: TraceId) -> impl Iterator<Item = &[u8]> {
        let records = self.records.iter().filter(move |(head, _)| head.trace_id == id);
        records.map(|(_, payload)| &payload[..])
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = &Head> {
        self.records.iter().map(|(head, _)| head)
    }
}

fn weigh(payload: &[u8]) -> usize {
    size_of::<(Head, Vec<u8>)>() + payload.len()
}
