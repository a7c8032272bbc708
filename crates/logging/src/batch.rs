//! Lines that are written together, in the order in which they were made.

use nkudo_spans::Record;

use crate::level::LogLevel;
use crate::tag::Tag;

/// A batch that has so many bytes is written before more is read.
const FULL_BYTES: usize = 256 << 10;
/// What a batch keeps of its room when there is nothing to do.
const KEPT_BYTES: usize = 16 << 10;

/// Lines of one or many threads.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    lines: Vec<Entry>,
    bytes: Vec<u8>,
    sorted: Vec<u8>,
    counts: [u64; LogLevel::ALL.len()],
    /// The lane of the last line and its time.
    last: (usize, u64),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// When it was made; not before the line that its thread made before, whatever the clock did.
    unix_ns: u64,
    from: usize,
    to: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, lane: usize, record: &Record<'_>) {
        let from = self.bytes.len();
        record.append_to(&mut self.bytes);
        let Some(tag) = self.bytes.get(from..).and_then(Tag::read) else { return };
        let unix_ns = if self.last.0 == lane { self.last.1.max(tag.unix_ns()) } else { tag.unix_ns() };
        self.last = (lane, unix_ns);
        self.lines.push(Entry { unix_ns, from: from + Tag::BYTES, to: self.bytes.len() });
        self.counts[index(tag.level())] += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Lines of this level.
    pub(crate) fn count(&self, level: LogLevel) -> u64 {
        self.counts[index(level)]
    }

    /// All lines by their time; those of one thread in the order in which they came.
    pub(crate) fn sorted(&mut self) -> &[u8] {
        self.lines.sort_by_key(|line| line.unix_ns);
        self.sorted.clear();
        for line in &self.lines {
            self.sorted.extend_from_slice(&self.bytes[line.from..line.to]);
        }
        &self.sorted
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.bytes.clear();
        self.sorted.clear();
        self.counts = [0; LogLevel::ALL.len()];
    }

    /// Gives back the room of a burst.
    pub(crate) fn shrink(&mut self) {
        self.lines.shrink_to(KEPT_BYTES / size_of::<Entry>());
        self.bytes.shrink_to(KEPT_BYTES);
        self.sorted.shrink_to(KEPT_BYTES);
    }
}

fn index(level: LogLevel) -> usize {
    match level {
        LogLevel::Debug => 0,
        LogLevel::Info => 1,
        LogLevel::Warn => 2,
        LogLevel::Error => 3,
    }
}
