//! A ring for each thread that writes, and one reader of them all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::ring::{Put, Reader, Ring, Words, Writer, ring};
use crate::wake::Wake;

/// A thread's first ring; it gets greater ones as it needs them. In words.
const FIRST_WORDS: usize = 512;
/// The ring that threads without one of their own share. In words.
const COMMON_WORDS: usize = 4_096;
/// How many times as great the next one is.
const GROWTH: usize = 4;
/// A record that takes more of the greatest ring than one part in so many goes beside it.
const BESIDE_PART: usize = 4;
/// So many records in one pass are a flood.
const FLOOD: usize = 64;
/// Spins of some microseconds in all.
const SPINS: usize = 200;
/// The `meta` of a record whose bytes are beside the rings, under the number in its one word.
const BESIDE: u32 = u32::MAX;

/// How lanes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanesOptions {
    /// Most bytes of the ring of one thread; a power of two. What does not fit until it is drained is dropped and counted.
    pub ring_max_bytes: usize,
    /// Most bytes of all rings. A thread that gets none writes to one that is shared, under a lock.
    pub rings_max_bytes: usize,
    /// Most bytes of records that are too long for their ring; more are dropped and counted.
    pub beside_max_bytes: usize,
}

/// Records of many threads on their way to one that drains them. Cheap to clone.
#[derive(Clone)]
pub struct Lanes(Arc<Shared>);

/// The one side that reads; each thread's records come in the order in which they were put.
pub struct Drain {
    shared: Arc<Shared>,
    readers: Vec<Reader>,
    /// Records that the last pass read.
    found: usize,
}

/// A record as it comes out.
#[derive(Debug)]
pub enum Record<'a> {
    Words(&'a [u64]),
    /// So many bytes, eight in each word, the first in the lowest place.
    Packed(&'a [u64], usize),
    Bytes(Vec<u8>),
}

struct Shared {
    /// Tells these lanes from others in a thread's memory.
    id: u64,
    options: LanesOptions,
    wake: Wake,
    table: Mutex<Table>,
    /// Where threads write that have no ring of their own, or none any more.
    common: Mutex<Writer>,
    beside: Mutex<Beside>,
    /// Records that had no room beside the rings.
    dropped_beside: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// Rings that the drain does not know yet.
    fresh: Vec<Reader>,
    /// Every ring that is not over.
    live: Vec<Arc<Ring>>,
    /// Counts of those that are.
    put: u64,
    dropped: u64,
}

#[derive(Default)]
struct Beside {
    records: HashMap<u64, Vec<u8>>,
    bytes: usize,
    next: u64,
}

thread_local! {
    /// This thread's side of all lanes that it writes to.
    static OWN: RefCell<Own> = const { RefCell::new(Own(Vec::new())) };
}

struct Own(Vec<(u64, Weak<Shared>, Option<Writer>)>);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.iter().filter_map(|(_, _, writer)| writer.as_ref()).for_each(Writer::retire);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked did so between two whole steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a record or counts it as dropped, and says which; bytes that are too long even for an empty ring come back.
fn put_or_count<'r>(ring: &Writer, meta: u32, record: &'r (impl Words + ?Sized)) -> Result<bool, &'r [u8]> {
    if ring.put(meta, record) != Put::Full {
        return Ok(true);
    }
    if let Some(bytes) = record.bytes()
        && record.count() >= ring.capacity()
    {
        return Err(bytes);
    }
    ring.count_dropped();
    Ok(false)
}

/// Lanes, and their drain.
pub fn lanes(options: LanesOptions) -> (Lanes, Drain) {
    let (common, reader) = ring(COMMON_WORDS.min(options.ring_max_bytes / 8));
    let table = Table { live: vec![reader.ring()], fresh: vec![reader], ..Table::default() };
    let shared = Arc::new(Shared {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        options,
        wake: Wake::default(),
        table: Mutex::new(table),
        common: Mutex::new(common),
        beside: Mutex::default(),
        dropped_beside: AtomicU64::new(0),
    });
    (Lanes(shared.clone()), Drain { shared, readers: Vec::new(), found: 0 })
}

impl Lanes {
    /// Puts a record of words. Says whether it had room.
    #[inline]
    pub fn put(&self, words: &[AtomicU64]) -> bool {
        self.put_record(0, words)
    }

    /// Puts a record of bytes. Says whether it had room.
    #[inline]
    pub fn put_bytes(&self, bytes: &[u8]) -> bool {
        let bytes_max = self.0.options.ring_max_bytes / BESIDE_PART;
        match u32::try_from(bytes.len()) {
            // The length is one more than it is, because 0 stands for words.
            Ok(length) if bytes.len() <= bytes_max => self.put_record(length + 1, bytes),
            _ => self.put_beside(bytes),
        }
    }

    #[inline]
    fn put_record(&self, meta: u32, record: &(impl Words + ?Sized)) -> bool {
        let put = OWN.try_with(|own| {
            let own = own.try_borrow().ok()?;
            let (_, _, writer) = own.0.iter().find(|(id, ..)| *id == self.0.id)?;
            let writer = writer.as_ref()?;
            let put = writer.put(meta, record);
            if put == Put::Full && writer.capacity() * 8 >= self.0.options.ring_max_bytes {
                writer.count_dropped();
                return Some(Err(()));
            }
            Some(Ok(put))
        });
        match put {
            Ok(Some(Ok(Put::Done))) => {
                self.0.wake.wake();
                true
            }
            Ok(Some(Ok(Put::Filling))) => {
                self.0.wake.wake_from_doze();
                true
            }
            // It is counted.
            Ok(Some(Err(()))) => {
                self.0.wake.wake_from_doze();
                false
            }
            Ok(Some(Ok(Put::Full)) | None) => self.put_anew(meta, record),
            Err(_) => self.put_common(meta, record),
        }
    }

    /// Gives this thread a first ring, or a greater one, and puts the record there.
    #[cold]
    fn put_anew(&self, meta: u32, record: &(impl Words + ?Sized)) -> bool {
        self.0.wake.wake_from_doze();
        let is_put = OWN.try_with(|own| {
            let mut own = own.try_borrow_mut().ok()?;
            own.0.retain(|(_, shared, _)| shared.strong_count() > 0);
            let at = own.0.iter().position(|(id, ..)| *id == self.0.id);
            let at = at.unwrap_or_else(|| {
                own.0.push((self.0.id, Arc::downgrade(&self.0), None));
                own.0.len() - 1
            });
            let writer = &mut own.0[at].2;
            let words_max = self.0.options.ring_max_bytes / 8;
            let greater = match writer.as_ref() {
                Some(small) => small.capacity() * GROWTH,
                None => FIRST_WORDS,
            };
            let greater = greater.max((record.count() + 1).next_power_of_two()).min(words_max);
            let Some(new) = self.0.register(greater, writer.as_ref()) else {
                // Without room for a greater one, what does not fit into its own goes beside it or is lost.
                return Some(put_or_count(writer.as_ref()?, meta, record));
            };
            let is_put = put_or_count(&new, meta, record);
            *writer = Some(new);
            Some(is_put)
        });
        match is_put {
            Ok(Some(Ok(is_put))) => is_put,
            Ok(Some(Err(bytes))) => self.put_beside(bytes),
            Ok(None) | Err(_) => self.put_common(meta, record),
        }
    }

    #[cold]
    fn put_common(&self, meta: u32, record: &(impl Words + ?Sized)) -> bool {
        let is_put = put_or_count(&lock(&self.0.common), meta, record);
        self.0.wake.wake_from_doze();
        is_put.unwrap_or_else(|bytes| self.put_beside(bytes))
    }

    /// The bytes go beside the rings, a word that names them into the ring: so they keep their place in the order.
    #[cold]
    fn put_beside(&self, bytes: &[u8]) -> bool {
        let mut beside = lock(&self.0.beside);
        if beside.bytes + bytes.len() > self.0.options.beside_max_bytes {
            self.0.dropped_beside.fetch_add(1, Ordering::Relaxed);
            drop(beside);
            // As with a ring: whoever drains may tell.
            self.wake();
            return false;
        }
        let number = beside.next;
        beside.next += 1;
        beside.bytes += bytes.len();
        beside.records.insert(number, bytes.to_vec());
        drop(beside);
        let is_put = self.put_record(BESIDE, [AtomicU64::new(number)].as_slice());
        if !is_put {
            lock(&self.0.beside).take(number);
        }
        is_put
    }

    /// Records that were put so far.
    pub fn put_count(&self) -> u64 {
        let table = lock(&self.0.table);
        table.put + table.live.iter().map(|ring| ring.put()).sum::<u64>()
    }

    /// Records that had no room so far.
    pub fn dropped_count(&self) -> u64 {
        let table = lock(&self.0.table);
        let rings = table.dropped + table.live.iter().map(|ring| ring.dropped()).sum::<u64>();
        rings + self.0.dropped_beside.load(Ordering::Relaxed)
    }

    /// Bytes of all rings.
    pub fn ring_bytes(&self) -> usize {
        lock(&self.0.table).live.iter().map(|ring| ring.bytes()).sum()
    }

    /// Ends the drain's sleep or doze.
    pub fn wake(&self) {
        self.0.wake.wake_from_doze();
    }
}

impl Shared {
    /// A new ring for this thread, after which nothing comes in the old one; none where there is no room for it.
    fn register(&self, words: usize, old: Option<&Writer>) -> Option<Writer> {
        let mut table = lock(&self.table);
        let all: usize = table.live.iter().map(|ring| ring.bytes()).sum();
        if all + words * 8 > self.options.rings_max_bytes {
            return None;
        }
        let (writer, reader) = ring(words);
        // Before the new one is seen: so the drain reads all of the old one first.
        if let Some(old) = old {
            old.retire();
        }
        table.live.push(reader.ring());
        table.fresh.push(reader);
        Some(writer)
    }
}

impl Beside {
    fn take(&mut self, number: u64) -> Option<Vec<u8>> {
        let bytes = self.records.remove(&number)?;
        self.bytes -= bytes.len();
        Some(bytes)
    }
}

impl Drain {
    /// Reads what there is now, each record with the number that its thread's ring has in this pass. Says how many it was.
    pub fn pass(&mut self, mut each: impl FnMut(usize, Record<'_>)) -> usize {
        let shared = &self.shared;
        self.readers.append(&mut lock(&shared.table).fresh);
        let mut count = 0;
        for (lane, reader) in self.readers.iter_mut().enumerate() {
            count += reader.read(|meta, words| match meta {
                0 => each(lane, Record::Words(words)),
                BESIDE => {
                    if let Some(bytes) = lock(&shared.beside).take(words[0]) {
                        each(lane, Record::Bytes(bytes));
                    }
                }
                bytes => each(lane, Record::Packed(words, bytes as usize - 1)),
            });
        }
        if self.readers.iter().any(Reader::is_over) {
            self.forget_rings_that_are_over();
        }
        self.found = count;
        count
    }

    fn forget_rings_that_are_over(&mut self) {
        let mut table = lock(&self.shared.table);
        self.readers.retain(|reader| {
            let is_over = reader.is_over();
            if is_over {
                let ring = reader.ring();
                table.put += ring.put();
                table.dropped += ring.dropped();
                table.live.retain(|live| !Arc::ptr_eq(live, &ring));
            }
            !is_over
        });
    }

    /// Sleeps until there is something to read, at most so long. Whoever puts the first record wakes it, which costs that
    /// thread some microseconds: for a drain that has had nothing to do for a while. It
    /// does not sleep where `is_idle` denies that there is nothing else to do.
    pub fn sleep(&self, at_most: Duration, is_idle: impl Fn() -> bool) {
        let is_empty = || {
            is_idle()
                && self.readers.iter().all(Reader::is_empty)
                && lock(&self.shared.table).fresh.is_empty()
        };
        self.shared.wake.sleep(at_most, is_empty);
    }

    /// Sleeps for so long, or until a ring is half full or somebody [wakes](Lanes::wake) it. In a flood of records it comes
    /// back at once.
    pub fn doze(&self, at_most: Duration, is_idle: impl Fn() -> bool) {
        if self.found < FLOOD {
            self.shared.wake.doze(at_most, is_idle);
        } else {
            // More come sooner than a thread falls asleep and is woken, which would cost whoever puts them.
            (0..SPINS).for_each(|_| std::hint::spin_loop());
        }
    }
}

impl Record<'_> {
    /// Appends the bytes of a record of bytes.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Words(_) => {}
            Self::Packed(words, length) => {
                let end = bytes.len() + length;
                bytes.reserve(words.len() * 8);
                words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
                bytes.truncate(end);
            }
            Self::Bytes(own) => bytes.extend_from_slice(own),
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("readers", &self.readers.len()).finish_non_exhaustive()
    }
}
