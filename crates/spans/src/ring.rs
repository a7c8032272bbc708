//! A ring of words between one thread that writes and one that reads: no lock, no allocation, no atomic read-modify-write.
//!
//! A record is a header word, the number of its words and 32 bits of the writer's own, and then its words. Positions count
//! all words that ever went through; they are masked to find their place.

use std::cell::Cell;

use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering, Padded};

/// What both sides see.
#[derive(Debug)]
pub(crate) struct Ring {
    words: Box<[AtomicU64]>,
    /// Where the next record goes; written by the writer alone.
    head: Padded<AtomicU64>,
    /// Where the next record to read is; written by the reader alone.
    tail: Padded<AtomicU64>,
    /// Records that were put, and that had no room; written by the writer alone.
    put: AtomicU64,
    dropped: AtomicU64,
    /// Nothing comes any more.
    retired: AtomicBool,
}

/// The one side. It is not `Sync`: a ring has one writer at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    ring: Arc<Ring>,
    head: Cell<u64>,
    /// The tail as it was when it was looked at last: the reader's cache line is left alone while there is room.
    tail: Cell<u64>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in the ring.
    Done,
    /// It is in the ring, which is half full or more.
    Filling,
    /// There is no room.
    Full,
}

/// The other side.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Arc<Ring>,
    tail: u64,
    scratch: Vec<u64>,
}

/// A ring of at least so many words.
pub(crate) fn ring(words: usize) -> (Writer, Reader) {
    let words = (0..words.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
    let ring = Arc::new(Ring {
        words,
        head: Padded(AtomicU64::new(0)),
        tail: Padded(AtomicU64::new(0)),
        put: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        retired: AtomicBool::new(false),
    });
    let writer = Writer { ring: ring.clone(), head: Cell::new(0), tail: Cell::new(0) };
    (writer, Reader { ring, tail: 0, scratch: Vec::new() })
}

impl Ring {
    /// Records that were put so far.
    pub(crate) fn put(&self) -> u64 {
        self.put.load(Ordering::Relaxed)
    }

    /// Records that had no room so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What its places take.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// The places of `count` words from a position on: those up to the end, and those from the beginning.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the position is masked to the length, which is a usize"
    )]
    fn places(&self, position: u64, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let at = position as usize & (self.words.len() - 1);
        let to_end = &self.words[at..];
        if count <= to_end.len() {
            (&to_end[..count], &[])
        } else {
            (to_end, &self.words[..count - to_end.len()])
        }
    }
}

/// A record that is not in the ring yet.
pub(crate) trait Words {
    fn count(&self) -> usize;

    /// Puts the words to these places, of which there are as many: the first of them, and then the others.
    fn copy_to(&self, first: &[AtomicU64], second: &[AtomicU64]);

    /// The record, where it is one of bytes.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
}

impl Words for [AtomicU64] {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn copy_to(&self, first: &[AtomicU64], second: &[AtomicU64]) {
        let (to_end, rest) = self.split_at(first.len().min(self.len()));
        for (place, word) in first.iter().zip(to_end).chain(second.iter().zip(rest)) {
            place.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Bytes, eight in each word, the first in the lowest place.
impl Words for [u8] {
    #[inline]
    fn count(&self) -> usize {
        self.len().div_ceil(8)
    }

    #[inline]
    fn copy_to(&self, first: &[AtomicU64], second: &[AtomicU64]) {
        let (whole, rest) = self.as_chunks::<8>();
        let (to_end, others) = whole.split_at(first.len().min(whole.len()));
        for (place, word) in first.iter().zip(to_end).chain(second.iter().zip(others)) {
            place.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            let place = first.iter().chain(second).nth(whole.len());
            place.inspect(|place| place.store(u64::from_le_bytes(last), Ordering::Relaxed));
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// Adds to a count that one thread alone writes.
fn add_own(count: &AtomicU64, by: u64) {
    count.store(count.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Writer {
    /// How many words the ring has.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.words.len()
    }

    /// Puts a record. `meta` is the writer's own.
    #[inline]
    pub(crate) fn put(&self, meta: u32, record: &(impl Words + ?Sized)) -> Put {
        let (head, count) = (self.head.get(), record.count());
        let needed = count as u64 + 1;
        let capacity = self.ring.words.len() as u64;
        if head - self.tail.get() + needed > capacity {
            // Acquire: the reader has read what was in the places that it gives back.
            self.tail.set(self.ring.tail.0.load(Ordering::Acquire));
            if head - self.tail.get() + needed > capacity {
                return Put::Full;
            }
        }
        let (first, second) = self.ring.places(head, count + 1);
        if let Some((header, first)) = first.split_first() {
            header.store(u64::from(meta) << 32 | count as u64, Ordering::Relaxed);
            record.copy_to(first, second);
        }
        add_own(&self.ring.put, 1);
        self.head.set(head + needed);
        // Release: whoever sees the new head sees the words.
        self.ring.head.0.store(head + needed, Ordering::Release);
        if head + needed - self.tail.get() > capacity / 2 { Put::Filling } else { Put::Done }
    }

    /// Counts a record that had no room.
    pub(crate) fn count_dropped(&self) {
        add_own(&self.ring.dropped, 1);
    }

    /// Says that nothing comes any more.
    pub(crate) fn retire(&self) {
        self.ring.retired.store(true, Ordering::Release);
    }
}

impl Reader {
    /// Reads what is there now, each record with its `meta`. Says how many there were.
    pub(crate) fn read(&mut self, mut each: impl FnMut(u32, &[u64])) -> usize {
        let head = self.ring.head.0.load(Ordering::Acquire);
        let mut count = 0;
        while self.tail != head {
            let (header, _) = self.ring.places(self.tail, 1);
            let header = header[0].load(Ordering::Relaxed);
            let words = header & u64::from(u32::MAX);
            #[expect(clippy::cast_possible_truncation, reason = "a record is no longer than its ring")]
            let (first, second) = self.ring.places(self.tail + 1, words as usize);
            self.scratch.clear();
            self.scratch.extend(first.iter().map(|place| place.load(Ordering::Relaxed)));
            self.scratch.extend(second.iter().map(|place| place.load(Ordering::Relaxed)));
            self.tail += words + 1;
            each((header >> 32) as u32, &self.scratch);
            count += 1;
            // Given back one by one: the writer need not wait for a reader that is slow with a full ring.
            self.ring.tail.0.store(self.tail, Ordering::Release);
        }
        count
    }

    /// Whether nothing is left and nothing will come.
    pub(crate) fn is_over(&self) -> bool {
        // In this order: what was put before the end is seen after it.
        self.ring.retired.load(Ordering::Acquire) && self.tail == self.ring.head.0.load(Ordering::Acquire)
    }

    /// Whether there is nothing to read now.
    pub(crate) fn is_empty(&self) -> bool {
        self.tail == self.ring.head.0.load(Ordering::Acquire)
    }

    /// What both sides see, for its counts.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.clone()
    }
}
