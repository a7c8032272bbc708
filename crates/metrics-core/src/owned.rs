//! Cells that belong to one thread at a time, so that adding to one is a load and a store and shares no cache line.
//!
//! A thread has a slab of cells, a cell for each hot metric by its place. A slab whose thread has ended goes, with what
//! it counted, to the next thread that begins: sums never fall, and there are as many slabs as there were threads at
//! once. Readers walk the slabs without a lock.
//!
//! **Invariant:** only the thread that holds a slab stores to its cells, but for a block that nobody has a handle of.

use std::array;
use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::recent;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, OnceLock, Ordering};

mod process;

use process::{CHUNKS, TENURE};

/// Cells of a chunk, which comes into being when its thread first writes to one of them: 4 KiB.
const CHUNK_CELLS: usize = if cfg!(loom) { 2 } else { 512 };
/// Chunks of a slab. What finds no place in them is counted in cells that threads share.
const CHUNKS_MAX: usize = if cfg!(loom) { 1 } else { 128 };

/// Two cache lines, which processors fetch together.
#[repr(align(128))]
struct Chunk([AtomicU64; CHUNK_CELLS]);

struct Slab {
    chunks: [OnceLock<Box<Chunk>>; CHUNKS_MAX],
    next: OnceLock<&'static Self>,
}

/// Where a block of cells begins in every slab: one number, so that it is one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

/// In no slab.
const NOWHERE: Place = Place(u32::MAX);

impl Place {
    #[inline]
    fn chunk(self) -> usize {
        self.0 as usize / CHUNK_CELLS
    }

    #[inline]
    fn cell(self) -> usize {
        self.0 as usize % CHUNK_CELLS
    }
}

/// A slab in the hands of a thread.
struct Tenure {
    slab: &'static Slab,
    office: &'static Mutex<Office>,
}

impl Tenure {
    fn begin() -> Self {
        let office = process::office();
        Self { slab: locked(office).slab(), office }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        // What later destructors of the thread count goes to the shared cells. Under loom the chunks are gone by now.
        let is_forgotten = CHUNKS.try_with(|chunks| chunks.iter().for_each(|chunk| chunk.set(None)));
        debug_assert!(is_forgotten.is_ok() || cfg!(loom), "an array of cells has no destructor");
        recent::forget();
        locked(self.office).idle.push(self.slab);
    }
}

/// Who has which slab and which place. The first slab is nobody's; the others follow it.
#[derive(Default)]
struct Office {
    idle: Vec<&'static Slab>,
    /// Places of blocks that are no more, by their length.
    given_back: BTreeMap<usize, Vec<Place>>,
    /// The first cell that was never given.
    next: usize,
}

fn locked(office: &'static Mutex<Office>) -> MutexGuard<'static, Office> {
    // A panic while it was locked left it whole: each change is one push or pop.
    office.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Office {
    fn slab(&mut self) -> &'static Slab {
        if let Some(idle) = self.idle.pop() {
            return idle;
        }
        let slab: &'static Slab = Box::leak(Box::new(Slab::new()));
        let last = slabs().last().unwrap_or(process::first());
        last.next.set(slab).unwrap_or_else(|_| unreachable!("slabs are appended under the office's lock"));
        slab
    }

    /// A place for so many cells in a row.
    fn place(&mut self, len: usize) -> Place {
        if let Some(place) = self.given_back.get_mut(&len).and_then(Vec::pop) {
            return place;
        }
        if len > CHUNK_CELLS {
            return NOWHERE;
        }
        let left_in_chunk = CHUNK_CELLS - self.next % CHUNK_CELLS;
        let begin = if len > left_in_chunk { self.next + left_in_chunk } else { self.next };
        match u32::try_from(begin).map(Place) {
            Ok(place) if place.chunk() < CHUNKS_MAX => {
                self.next = begin + len;
                place
            }
            Ok(_) | Err(_) => NOWHERE,
        }
    }
}

impl Slab {
    fn new() -> Self {
        Self { chunks: array::from_fn(|_| OnceLock::new()), next: OnceLock::new() }
    }

    fn cell(&self, place: Place, offset: usize) -> Option<&AtomicU64> {
        let chunk = self.chunks.get(place.chunk())?.get()?;
        Some(chunk.cell(place, offset))
    }
}

/// Every slab, lock-free.
fn slabs() -> impl Iterator<Item = &'static Slab> {
    std::iter::successors(Some(process::first()), |slab| slab.next.get().copied())
}

impl Chunk {
    fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    #[inline]
    fn cell(&self, place: Place, offset: usize) -> &AtomicU64 {
        // A block lies in one chunk, so that the remainder changes nothing but spares a check.
        &self.0[(place.cell() + offset) % CHUNK_CELLS]
    }
}

/// Some cells in a row that threads add to, each thread to its own.
#[derive(Debug)]
pub(crate) struct Block {
    place: Place,
    /// What is added where there is no slab: past the bound, and by threads in their last moments.
    shared: Box<[AtomicU64]>,
}

impl Block {
    pub(crate) fn new(len: usize) -> Arc<Self> {
        let shared = (0..len).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { place: locked(process::office()).place(len), shared })
    }

    /// The key to the cells; valid as long as the block.
    pub(crate) fn key(block: &Arc<Self>) -> Key {
        Self::part(block, 0)
    }

    /// The key to the cells from this one on.
    pub(crate) fn part(block: &Arc<Self>, first: usize) -> Key {
        let place = match block.place {
            NOWHERE => NOWHERE,
            // A block lies within a slab, whose cells are far fewer.
            Place(begin) => Place(begin + u32::try_from(first).unwrap_or_default()),
        };
        Key { place, first, block: Arc::clone(block) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.place == NOWHERE {
            return;
        }
        for offset in 0..self.shared.len() {
            let cells = slabs().filter_map(|slab| slab.cell(self.place, offset));
            cells.for_each(|cell| cell.store(0, Ordering::Relaxed));
        }
        // The lock hands the zeros on to whoever is given the place.
        locked(process::office()).given_back.entry(self.shared.len()).or_default().push(self.place);
    }
}

/// A handle of a block or of its later cells, with their place at hand.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    place: Place,
    /// Of the block.
    first: usize,
    block: Arc<Block>,
}

/// The cells of a block that are this thread's own.
pub(crate) struct Own<'c>(&'c Chunk, Place);

impl Own<'_> {
    #[inline]
    pub(crate) fn add(&self, offset: usize, by: u64) {
        add(self.0.cell(self.1, offset), by);
    }

    #[inline]
    pub(crate) fn add_float(&self, offset: usize, by: f64) {
        let cell = self.0.cell(self.1, offset);
        let sum = f64::from_bits(cell.load(Ordering::Relaxed)) + by;
        cell.store(sum.to_bits(), Ordering::Relaxed);
    }
}

/// Adds to a cell of this thread.
#[inline]
pub(crate) fn add(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Key {
    /// This thread's cell, where it has written to some near it; its own until [`recent::forget`], as long as the block.
    pub(crate) fn own_cell(&self) -> Option<&'static AtomicU64> {
        let chunk = CHUNKS.with(|chunks| chunks.get(self.place.chunk())?.get())?;
        Some(chunk.cell(self.place, 0))
    }

    /// Adds to this thread's cells, or by `shared` to the shared ones where the thread has none.
    #[inline]
    pub(crate) fn with(&self, own: impl FnOnce(Own<'_>), shared: impl FnOnce(&[AtomicU64])) {
        let chunk = CHUNKS.with(|chunks| chunks.get(self.place.chunk())?.get());
        match chunk.or_else(|| self.first()) {
            Some(chunk) => own(Own(chunk, self.place)),
            None => shared(&self.block.shared[self.first..]),
        }
    }

    /// At a thread's first write to a chunk, or at a write where it has none.
    #[cold]
    fn first(&self) -> Option<&'static Chunk> {
        let index = self.place.chunk();
        let made = TENURE.try_with(|tenure| {
            let slab: &'static Slab = tenure.slab;
            Some(slab.chunks.get(index)?.get_or_init(|| Box::new(Chunk::new())).as_ref())
        });
        let chunk = made.ok().flatten()?;
        CHUNKS.with(|chunks| chunks[index].set(Some(chunk)));
        Some(chunk)
    }

    /// A cell's value in every thread, living or not.
    pub(crate) fn each(&self, offset: usize) -> impl Iterator<Item = u64> {
        let threads = slabs().filter_map(move |slab| slab.cell(self.place, offset));
        threads.chain(self.block.shared.get(self.first + offset)).map(|cell| cell.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_in_one_chunk_and_their_places_come_back() {
        let mut office = Office::default();
        let at = |chunk: u32, cell: u32| Place(chunk * 512 + cell);
        let places = [500, 12, 1, 512, 513, 2].map(|len| office.place(len));
        assert_eq!(places, [at(0, 0), at(0, 500), at(1, 0), at(2, 0), NOWHERE, at(3, 0)]);
        office.given_back.entry(12).or_default().push(at(0, 500));
        assert_eq!(office.place(12), at(0, 500));
        office.next = CHUNK_CELLS * CHUNKS_MAX - 1;
        assert_eq!(office.place(2), NOWHERE, "the slab is full");
        assert_eq!(office.place(1), at(127, 511), "but for one");
        assert_eq!(office.place(1), NOWHERE, "and then wholly");
    }
}
