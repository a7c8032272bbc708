//! The series of a family in the order in which they came, read without a lock.

use std::array;

use crate::sync::{self, Arc, AtomicBool, AtomicUsize, OnceLock, Ordering, Swap};

/// Room of the first chunk; each further one has twice the room of the one before.
const FIRST_CHUNK: usize = if cfg!(loom) { 1 } else { 8 };
/// More chunks than memory has room for.
const CHUNKS_MAX: usize = if cfg!(loom) { 2 } else { 40 };
/// Removed series that are borne with before the list is made anew.
const REMOVED_MIN: usize = if cfg!(loom) { 0 } else { 64 };

/// One series.
#[derive(Debug)]
pub(crate) struct Entry<L, C> {
    pub(crate) labels: L,
    pub(crate) cell: C,
    removed: AtomicBool,
}

/// In the list and, to be found, in an index.
pub(crate) type SharedEntry<L, C> = Arc<Entry<L, C>>;

impl<L, C> Entry<L, C> {
    pub(crate) fn new(labels: L, cell: C) -> SharedEntry<L, C> {
        Arc::new(Self { labels, cell, removed: AtomicBool::new(false) })
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }
}

/// Filled once; a swap that never swaps, because it is half as large as a cell that knows that.
type Slot<L, C> = sync::Slot<Entry<L, C>>;
type Chunk<L, C> = OnceLock<Box<[Slot<L, C>]>>;

/// **Invariant:** a slot is filled once, before the length counts it.
#[derive(Debug)]
struct List<L, C> {
    chunks: [Chunk<L, C>; CHUNKS_MAX],
    len: AtomicUsize,
}

impl<L, C> Default for List<L, C> {
    fn default() -> Self {
        Self { chunks: array::from_fn(|_| OnceLock::new()), len: AtomicUsize::new(0) }
    }
}

impl<L, C> List<L, C> {
    /// By one writer at a time.
    fn push(&self, entry: SharedEntry<L, C>) {
        let len = self.len.load(Ordering::Relaxed);
        let (chunk, slot) = position(len);
        let room = || (0..FIRST_CHUNK << chunk).map(|_| Slot::empty()).collect();
        self.chunks[chunk].get_or_init(room)[slot].store(Some(entry));
        self.len.store(len + 1, Ordering::Release);
    }

    /// Every entry that is not removed.
    fn each(&self, mut take: impl FnMut(&SharedEntry<L, C>)) {
        let slots = self.chunks.iter().map_while(OnceLock::get).flat_map(|chunk| chunk.iter());
        for slot in slots.take(self.len.load(Ordering::Acquire)) {
            let entry = slot.load();
            entry.iter().filter(|entry| !entry.is_removed()).for_each(&mut take);
        }
    }
}

/// The chunk of a slot, and its place in it.
fn position(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

/// A list that one writer at a time changes while readers go through it.
#[derive(Debug)]
pub(crate) struct SeriesList<L, C> {
    list: Swap<List<L, C>>,
    removed: AtomicUsize,
}

impl<L, C> Default for SeriesList<L, C> {
    fn default() -> Self {
        Self { list: Swap::default(), removed: AtomicUsize::new(0) }
    }
}

impl<L, C> SeriesList<L, C> {
    pub(crate) fn push(&self, entry: SharedEntry<L, C>) {
        self.list.load().push(entry);
    }

    /// No reader that begins from here on sees the entry.
    pub(crate) fn remove(&self, entry: &Entry<L, C>) {
        entry.removed.store(true, Ordering::Release);
        let removed = self.removed.load(Ordering::Relaxed) + 1;
        self.removed.store(removed, Ordering::Relaxed);
        let list = self.list.load();
        if removed > REMOVED_MIN && removed > list.len.load(Ordering::Relaxed) / 2 {
            let anew = List::default();
            list.each(|entry| anew.push(Arc::clone(entry)));
            self.list.store(Arc::new(anew));
            self.removed.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn each(&self, mut take: impl FnMut(&Entry<L, C>)) {
        self.list.load().each(|entry| take(entry));
    }
}

/// Reads each entry of a list once, as they come.
#[derive(Debug)]
pub(crate) struct Reader<L, C> {
    list: Arc<List<L, C>>,
    next: usize,
}

impl<L, C> SeriesList<L, C> {
    pub(crate) fn reader(&self) -> Reader<L, C> {
        Reader { list: self.list.load_full(), next: 0 }
    }
}

impl<L, C> Reader<L, C> {
    /// Whether what comes will come here: the list was not made anew.
    pub(crate) fn is_current(&self, series: &SeriesList<L, C>) -> bool {
        Arc::ptr_eq(&self.list, &series.list.load())
    }

    /// How many entries have come. What was removed before the last of them came is seen as removed from here on.
    pub(crate) fn len(&self) -> usize {
        self.list.len.load(Ordering::Acquire)
    }

    /// The entries after those that were read, up to so many in all; without those that are removed.
    pub(crate) fn take_new(&mut self, len: usize, take: impl FnMut(Arc<Entry<L, C>>)) {
        let entry = |index| {
            let (chunk, slot) = position(index);
            self.list.chunks[chunk].get()?[slot].load_full()
        };
        (self.next..len).filter_map(entry).filter(|entry| !entry.is_removed()).for_each(take);
        self.next = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other() {
        let positions: Vec<(usize, usize)> = (0..57).map(position).collect();
        let expected = [8, 16, 32].into_iter().enumerate();
        let expected: Vec<_> =
            expected.flat_map(|(chunk, room)| (0..room).map(move |slot| (chunk, slot))).collect();
        assert_eq!(positions, expected.into_iter().chain([(3, 0)]).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_removed_is_gone_and_the_rest_keeps_its_order() {
        let list = SeriesList::default();
        let entries: Vec<_> = (0..1_000).map(|i| Entry::new(i, ())).collect();
        entries.iter().for_each(|entry| list.push(Arc::clone(entry)));
        entries.iter().filter(|entry| entry.labels % 10 != 3).for_each(|entry| list.remove(entry));
        let seen = || {
            let mut seen = Vec::new();
            list.each(|entry| seen.push(entry.labels));
            seen
        };
        assert_eq!(seen(), (0..100).map(|i| i * 10 + 3).collect::<Vec<_>>());
        assert!(list.list.load().len.load(Ordering::Relaxed) < 300, "room is given back");
        list.push(Entry::new(7, ()));
        assert_eq!(seen().last(), Some(&7));
    }
}
