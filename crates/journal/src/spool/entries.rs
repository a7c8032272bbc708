//! Reading both lanes of a spool as one sequence.

use std::collections::VecDeque;
use std::path::Path;

use super::lane::{Lane, Segment};
use super::{Class, Entry, join};
use crate::disk::Disk;
use crate::error::JournalError;
use crate::format::{RECORD_HEAD_BYTES, Seq};
use crate::reading::{Found, Records};

/// What comes after `after`, up to `durable`: records of at most `max_bytes` on disk, but at least one if there is any.
pub(super) fn read<D: Disk>(
    disk: &D,
    dir: &Path,
    lanes: [&Lane<D>; 2],
    after: Seq,
    durable: Seq,
    max_bytes: usize,
) -> Result<Vec<Entry>, JournalError> {
    let mut walks = lanes.map(|lane| Walk::new(disk, dir, lane, after, durable));
    for walk in &mut walks {
        walk.advance()?;
    }
    let (mut entries, mut bytes, mut expected) = (Vec::new(), 0, after.next());
    loop {
        let walk = walks.iter_mut().filter(|walk| walk.front.is_some()).min_by_key(|walk| walk.front_seq());
        let Some((walk, (seq, payload))) = walk.and_then(|walk| walk.front.take().map(|front| (walk, front)))
        else {
            break;
        };
        bytes += RECORD_HEAD_BYTES + payload.len();
        if !entries.is_empty() && bytes > max_bytes {
            return Ok(entries);
        }
        if seq > expected {
            entries.push(Entry::Gap { first: expected, last: seq.previous() });
        }
        expected = seq.next();
        entries.push(Entry::Record { seq, class: walk.class, payload });
        walk.advance()?;
    }
    if expected <= durable {
        entries.push(Entry::Gap { first: expected, last: durable });
    }
    Ok(entries)
}

/// The records of a lane in their order.
struct Walk<'s, D: Disk> {
    disk: &'s D,
    dir: &'s Path,
    class: Class,
    segments: VecDeque<&'s Segment>,
    records: Option<Records<'s, D>>,
    after: Seq,
    durable: Seq,
    front: Option<(Seq, Vec<u8>)>,
}

impl<'s, D: Disk> Walk<'s, D> {
    fn new(disk: &'s D, dir: &'s Path, lane: &'s Lane<D>, after: Seq, durable: Seq) -> Self {
        let segments = lane.segments().iter().filter(|segment| segment.last > after).collect();
        Self { disk, dir, class: lane.class(), segments, records: None, after, durable, front: None }
    }

    fn front_seq(&self) -> Option<Seq> {
        self.front.as_ref().map(|(seq, _)| *seq)
    }

    /// Sees to the front. What is damaged since the spool was opened is left out, to the end of its segment.
    fn advance(&mut self) -> Result<(), JournalError> {
        loop {
            if let Some(records) = &mut self.records
                && let Found::Record(seq, payload) = records.next(&(Seq::new(1)..=self.durable))?
            {
                if seq > self.after {
                    self.after = seq;
                    self.front = Some((seq, payload.to_vec()));
                    return Ok(());
                }
                continue;
            }
            let Some(segment) = self.segments.pop_front() else { return Ok(()) };
            let path = join(self.dir, self.class, segment.first);
            self.records = Some(Records::of(self.disk, path, segment.bytes));
        }
    }
}
