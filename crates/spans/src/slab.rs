//! Places for what is open: spans, and the contexts that they share. All threads find a place by its number; none waits.
//!
//! A place holds words that one thread at a time writes, a count of those who hold it, and a generation, so that the number
//! of what is gone finds nothing.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Words of a place: what is left of 512 bytes.
pub(crate) const WORDS: usize = 60;
/// Places of the first chunk; each has twice as many as the one before.
const FIRST_CHUNK: usize = 32;
const CHUNKS_MAX: usize = 12;
/// Most places that are open at once in a program. What is opened beyond is not recorded, but counted.
pub const OPEN_MAX: usize = FIRST_CHUNK * ((1 << CHUNKS_MAX) - 1);
/// Free places that a thread takes from the others at once, and twice as many are the most that it keeps.
const TAKEN_AT_ONCE: usize = 16;

/// A place. 512 bytes, so that two threads write to different cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Place {
    number: u32,
    /// Above the generation, which is the upper half of its keys and changes when it is given back; below how many hold
    /// what is here. One word, so that nobody comes to hold what another one is giving back.
    state: AtomicU64,
    /// Taken while fields are appended.
    busy: AtomicU32,
    /// The key of the context of what is here, zero where it has none, and the subscriber that it belongs to.
    pub(crate) context: AtomicU64,
    pub(crate) owner: AtomicU64,
    pub(crate) words: [AtomicU64; WORDS],
}

/// Names what is in a place: its generation and its number, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) u64);

/// Every place of the program. Chunks are added and never go away.
#[derive(Debug)]
struct Slab {
    chunks: [OnceLock<Box<[Place]>>; CHUNKS_MAX],
    free: Mutex<Free>,
}

#[derive(Debug)]
struct Free {
    places: Vec<&'static Place>,
    chunks: usize,
}

static SLAB: Slab = Slab {
    chunks: [const { OnceLock::new() }; CHUNKS_MAX],
    free: Mutex::new(Free { places: Vec::new(), chunks: 0 }),
};

thread_local! {
    static OWN: Own = const {
        Own { count: Cell::new(0), free: [const { Cell::new(None) }; 2 * TAKEN_AT_ONCE], last: Cell::new((0, None)) }
    };
    static AT_END: AtEnd = const { AtEnd };
}

/// What a thread keeps at hand. It has no destructor, so that reaching it takes no look at whether it still lives.
struct Own {
    /// Free places that this thread takes first: so many of the cells. What the others hold was taken long ago.
    count: Cell<usize>,
    free: [Cell<Option<&'static Place>>; 2 * TAKEN_AT_ONCE],
    /// The key that was found last, which is mostly the next to be asked for.
    last: Cell<(u64, Option<&'static Place>)>,
}

/// Gives a thread's free places to the others when it ends.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        OWN.with(|own| {
            let count = own.count.replace(0);
            let free = own.free[..count].iter().filter_map(Cell::take);
            SLAB.lock().places.extend(free);
        });
    }
}

/// The chunk of a number and where it is in it.
fn position(number: u32) -> (usize, usize) {
    let from_one = number as usize / FIRST_CHUNK + 1;
    let chunk = from_one.ilog2() as usize;
    (chunk, number as usize - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl Slab {
    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, number: u32) -> Option<&Place> {
        let (chunk, at) = position(number);
        self.chunks.get(chunk)?.get()?.get(at)
    }
}

/// Fills this thread's places from those that all share, with a new chunk if need be. Gives one of them.
#[cold]
fn take_shared(own: &Own) -> Option<&'static Place> {
    let mut free = SLAB.lock();
    if free.places.is_empty() && free.chunks < CHUNKS_MAX {
        let (chunk, count) = (free.chunks, FIRST_CHUNK << free.chunks);
        let first = FIRST_CHUNK * ((1 << chunk) - 1);
        let numbers = (first..first + count).filter_map(|number| u32::try_from(number).ok());
        let places: &'static [Place] = SLAB.chunks[chunk].get_or_init(|| numbers.map(Place::new).collect());
        free.places.extend(places.iter().rev());
        free.chunks += 1;
    }
    let taken = free.places.pop()?;
    // A thread that is ending keeps nothing.
    if AT_END.try_with(|_| ()).is_ok() {
        let keep = free.places.len().saturating_sub(TAKEN_AT_ONCE);
        for place in free.places.drain(keep..) {
            own.free[own.count.get()].set(Some(place));
            own.count.set(own.count.get() + 1);
        }
    }
    Some(taken)
}

/// Gives some of this thread's places to the others, with one that has no room among them; the first it keeps.
#[cold]
fn give_shared(own: &Own, place: &'static Place) {
    if own.count.get() == 0 && AT_END.try_with(|_| ()).is_ok() {
        own.free[0].set(Some(place));
        own.count.set(1);
        return;
    }
    let mut free = SLAB.lock();
    free.places.push(place);
    let count = own.count.get();
    let keep = count.min(TAKEN_AT_ONCE);
    free.places.extend(own.free[keep..count].iter().filter_map(Cell::take));
    own.count.set(keep);
}

/// Takes a place that nobody else has, with one holder; none when all are taken.
#[inline]
pub(crate) fn open() -> Option<(Key, &'static Place)> {
    OWN.with(|own| {
        let at_hand = own.count.get().checked_sub(1).and_then(|last| {
            own.count.set(last);
            own.free.get(last)?.get()
        });
        let place = match at_hand {
            Some(place) => place,
            None => take_shared(own)?,
        };
        // Nobody has its next key yet: nobody changes the word.
        let free = place.state.load(Ordering::Relaxed);
        place.state.store(free + 1, Ordering::Relaxed);
        let key = Key::new(generation(free), place.number);
        own.last.set((key.0, Some(place)));
        Some((key, place))
    })
}

/// What is in a place, while it is.
#[inline]
pub(crate) fn find(key: Key) -> Option<&'static Place> {
    OWN.with(|own| {
        let place = match own.last.get() {
            (known, Some(place)) if known == key.0 => place,
            _ => {
                let place = SLAB.place(key.number())?;
                own.last.set((key.0, Some(place)));
                place
            }
        };
        place.is(key).then_some(place)
    })
}

/// Gives a place back. Whoever calls was its last holder.
#[inline]
pub(crate) fn close(place: &'static Place) {
    // One thread at a time is here: the last holder.
    place.state.store(next_generation(place.state.load(Ordering::Relaxed)), Ordering::Release);
    give_back(place);
}

/// One holder less of what a key names, where others may come to hold it through something that names it too. The last one
/// gives the place back.
pub(crate) fn let_go(key: Key) {
    let Some(place) = find(key) else { return };
    let less = |state| match holders(state) {
        _ if generation(state) != key.generation() => None,
        0 => None,
        1 => Some(next_generation(state)),
        _ => Some(state - 1),
    };
    if place.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok_and(|was| holders(was) == 1)
    {
        give_back(place);
    }
}

fn generation(state: u64) -> u32 {
    (state >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of a word")]
fn holders(state: u64) -> u32 {
    state as u32
}

/// What is free again.
fn next_generation(state: u64) -> u64 {
    u64::from(generation(state).wrapping_add(1)) << 32
}

/// Puts a place among the free ones.
#[inline]
fn give_back(place: &'static Place) {
    OWN.with(|own| {
        let count = own.count.get();
        match own.free.get(count) {
            // Where nothing is at hand, the thread may have ended or not begun.
            Some(free) if count > 0 => {
                free.set(Some(place));
                own.count.set(count + 1);
            }
            _ => give_shared(own, place),
        }
    });
}

impl Key {
    fn new(generation: u32, number: u32) -> Self {
        Self((u64::from(generation) << 32) | u64::from(number + 1))
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half of a word")]
    fn number(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

impl Place {
    fn new(number: u32) -> Self {
        Self {
            number,
            state: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            context: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// Whether this is in it.
    #[inline]
    pub(crate) fn is(&self, key: Key) -> bool {
        generation(self.state.load(Ordering::Acquire)) == key.generation()
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, at: usize, word: u64) {
        self.words[at].store(word, Ordering::Relaxed);
    }

    /// One more holder of what a key names. Says whether it is there still; whoever is told that it is not sees what was done
    /// before it was given back.
    #[inline]
    pub(crate) fn hold(&self, key: Key) -> bool {
        let more = |state| (generation(state) == key.generation() && holders(state) > 0).then_some(state + 1);
        self.state.fetch_update(Ordering::Relaxed, Ordering::Acquire, more).is_ok()
    }

    /// One holder less of what only its holders can give to others. Says whether it was the last, who then closes it.
    #[inline]
    pub(crate) fn release(&self) -> bool {
        // Whoever is the only one need not fear that another comes.
        holders(self.state.load(Ordering::Acquire)) == 1
            || holders(self.state.fetch_sub(1, Ordering::AcqRel)) == 1
    }

    /// Has one thread at a time do `work`. Nobody waits long, so that a value whose `Debug` comes back here ends: after some
    /// tries it is given up.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        const TRIES: usize = 1_000;
        let take = || self.busy.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let is_taken = (0..TRIES).any(|tried| {
            if tried > 0 {
                std::hint::spin_loop();
            }
            take()
        });
        is_taken.then(|| {
            let done = work();
            self.busy.store(0, Ordering::Release);
            done
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_the_chunks_without_a_gap() {
        let mut expected = (0, 0);
        for number in 0..u32::try_from(OPEN_MAX).unwrap() {
            assert_eq!(position(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(expected, (CHUNKS_MAX, 0));
    }

    #[test]
    fn what_is_gone_is_not_found_by_its_old_key() {
        let (first, place) = open().unwrap();
        assert!(std::ptr::eq(find(first).unwrap(), place));
        assert!(place.hold(first));
        assert!(!place.release());
        assert!(place.release());
        close(place);
        assert!(!place.hold(first), "nobody holds what is gone");
        assert!(find(first).is_none());
        let (second, again) = open().unwrap();
        assert!(std::ptr::eq(place, again), "the place that was given back last is the next one");
        assert_ne!(first, second);
        let_go(first);
        assert!(find(second).is_some(), "nor lets go of it");
        assert!(find(Key(0)).is_none() && find(Key(u64::MAX)).is_none());
        let_go(second);
        assert!(find(second).is_none());
    }

    /// Gives places back when its thread ends.
    struct Held(Cell<[Option<&'static Place>; 2]>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.take().into_iter().flatten().for_each(close);
        }
    }

    thread_local! {
        static HELD: Held = const { Held(Cell::new([None; 2])) };
    }

    #[test]
    fn what_a_thread_holds_beyond_its_end_is_given_back_once() {
        for holds_first in [true, false] {
            let work = move || {
                // What is reached first is dropped last, or the other way round.
                if holds_first {
                    HELD.with(|_| ());
                }
                let places = [(); 2].map(|()| open().map(|(_, place)| place));
                HELD.with(|held| held.0.set(places));
            };
            std::thread::spawn(work).join().unwrap();
            let mut numbers: Vec<u32> = SLAB.lock().places.iter().map(|place| place.number).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "a place is among the free ones twice");
        }
    }

    #[test]
    fn what_is_let_go_while_others_come_is_given_back_once_and_never_while_it_is_held() {
        for _ in 0..2_000 {
            let (key, place) = open().unwrap();
            let holds = std::thread::scope(|scope| {
                let holder = scope.spawn(move || {
                    let holds = place.hold(key);
                    // Whoever holds it finds it, whatever the others do.
                    assert!(!holds || find(key).is_some());
                    holds
                });
                let_go(key);
                holder.join().unwrap()
            });
            assert_eq!(find(key).is_some(), holds);
            if holds {
                let_go(key);
            }
            assert!(find(key).is_none());
        }
    }
}
