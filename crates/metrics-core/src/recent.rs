//! For each thread: where it counts for the labels that it used last, found without a lock and without a hash of text.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64 as Plain, Ordering};

use crate::hot::HotCounter;
use crate::labels::Identity;
use crate::sync::AtomicU64;

/// Counters that a thread remembers: 16 KiB of them, from the first on.
const HOMES: usize = 128;
/// Slots from the home of its labels on in which a counter may be: those that share a home do not push each other out as
/// long as there are no more than these.
const REACH: usize = 4;

/// What a family is known by until one of its series is removed; no two families ever have the same.
#[derive(Debug)]
pub(crate) struct Stamp(Plain);

/// Zero is that of an empty slot.
static NEXT_STAMP: Plain = Plain::new(1);

impl Default for Stamp {
    fn default() -> Self {
        Self(Plain::new(NEXT_STAMP.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Stamp {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whatever threads remember of the family counts no more.
    pub(crate) fn renew(&self) {
        self.0.store(NEXT_STAMP.fetch_add(1, Ordering::Relaxed), Ordering::Release);
    }
}

/// What is compared comes first and lies in one cache line with two labels.
#[repr(C, align(128))]
struct Slot {
    stamp: Cell<u64>,
    /// This thread's cell of the counter.
    cell: Cell<&'static AtomicU64>,
    labels: [(Cell<usize>, Cell<usize>); 4],
    /// Keeps the cell from being given to another counter.
    held: Cell<Option<HotCounter>>,
}

struct Recent {
    slots: Box<[Slot; HOMES + REACH - 1]>,
    /// Which of those in reach goes next.
    next: Cell<usize>,
}

/// In slots that are empty.
#[cfg(not(loom))]
fn nobodys() -> &'static AtomicU64 {
    static NOBODYS: AtomicU64 = AtomicU64::new(0);
    &NOBODYS
}

/// Models know no statics, and nothing of this file.
#[cfg(loom)]
fn nobodys() -> &'static AtomicU64 {
    Box::leak(Box::new(AtomicU64::new(0)))
}

thread_local! {
    static RECENT: Recent = Recent::new();
}

/// This thread's cell of the counter of these labels, of which there are `count`, where the thread remembers it.
#[inline]
pub(crate) fn cell(stamp: u64, labels: &Identity, count: usize) -> Option<&'static AtomicU64> {
    let home = home(stamp, labels, count);
    let near = |recent: &Recent| {
        let mut reach = recent.slots[home..home + REACH].iter();
        reach.find(|slot| slot.is(stamp, labels, count)).map(|slot| slot.cell.get())
    };
    // A thread in its last moments remembers nothing.
    RECENT.try_with(near).ok().flatten()
}

/// A thread that gives its cells away counts to none of them from here on.
pub(crate) fn forget() {
    // One that remembers nothing any more has nothing to forget.
    RECENT.try_with(|recent| recent.slots.iter().for_each(|slot| slot.stamp.set(0))).unwrap_or_default();
}

/// The thread has counted with this counter.
#[cold]
pub(crate) fn remember(stamp: u64, labels: &Identity, count: usize, counter: HotCounter) {
    let Some(cell) = counter.own_cell() else { return };
    let home = home(stamp, labels, count);
    let before = RECENT.try_with(|recent| {
        let reach = &recent.slots[home..home + REACH];
        let slot = reach.iter().find(|slot| slot.stamp.get() == 0).unwrap_or_else(|| {
            recent.next.set((recent.next.get() + 1) % REACH);
            &reach[recent.next.get()]
        });
        slot.stamp.set(stamp);
        slot.cell.set(cell);
        for ((low, high), label) in slot.labels.iter().zip(labels) {
            low.set(label.0);
            high.set(label.1);
        }
        slot.held.replace(Some(counter))
    });
    // May be the last handle of its cells.
    drop(before);
}

/// Texts lie some bytes apart, numbers one; a multiplication for each makes that the sets of two labels do not meet in
/// rows (FxHash, read from above). Lengths add little.
#[inline]
fn home(stamp: u64, labels: &Identity, count: usize) -> usize {
    let with = |mixed: u64, low: u64| (mixed.rotate_left(32) ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = labels.iter().take(count).fold(stamp, |mixed, (low, _)| with(mixed, *low as u64));
    (mixed >> 57) as usize % HOMES
}

impl Slot {
    fn empty(nobodys: &'static AtomicU64) -> Self {
        Self {
            stamp: Cell::new(0),
            cell: Cell::new(nobodys),
            labels: Default::default(),
            held: Cell::new(None),
        }
    }

    /// Word by word: in vectors they would have to be put together first.
    #[inline]
    fn is(&self, stamp: u64, labels: &Identity, count: usize) -> bool {
        self.stamp.get() == stamp
            && self
                .labels
                .iter()
                .zip(labels)
                .take(count)
                .all(|(known, (low, high))| known.0.get() == *low && known.1.get() == *high)
    }
}

impl Recent {
    fn new() -> Self {
        let nobodys = nobodys();
        let slots: Box<[Slot]> = (0..HOMES + REACH - 1).map(|_| Slot::empty(nobodys)).collect();
        let slots = slots.try_into().unwrap_or_else(|_| unreachable!("there are as many slots as asked for"));
        Self { slots, next: Cell::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::thread;

    use crate::{Desc, Family, HotCounter, Registry, label_set};

    label_set! {
        struct ByWord { word: &'static str, number: u32 }
    }

    struct AtTheEnd(Family<ByWord, HotCounter>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.inc(&ByWord { word: "w", number: 0 });
        }
    }

    thread_local! {
        static KEPT: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }

    fn family() -> Family<ByWord, HotCounter> {
        let desc = Desc::counter("w_total", "W.").labels(&["word", "number"]);
        Registry::new().hot_counter_family(&desc)
    }

    /// What a thread remembers must not outlive its hold of the cells, which the next thread writes to.
    #[test]
    fn a_destructor_of_a_thread_counts_by_labels_and_disturbs_nobody() {
        let family = family();
        for round in 0..200_u32 {
            let ends = thread::spawn({
                let family = family.clone();
                move || {
                    // Destructors run in the order of first use or against it: both ways around are tried.
                    if round % 2 == 0 {
                        family.inc(&ByWord { word: "w", number: 0 });
                    }
                    KEPT.set(Some(AtTheEnd(family.clone())));
                    if round % 2 == 1 {
                        family.inc(&ByWord { word: "w", number: 0 });
                    }
                }
            });
            thread::scope(|scope| {
                scope.spawn(|| (0..500).for_each(|_| family.inc(&ByWord { word: "w", number: 0 })));
            });
            // A join waits for destructors, a scope does not.
            ends.join().expect("it does not panic");
        }
        assert_eq!(family.get(&ByWord { word: "w", number: 0 }).get(), 200 * 502);
    }

    #[test]
    fn more_labels_than_there_is_room_for_are_counted_all_the_same() {
        let family = family();
        for _ in 0..3 {
            (0..1_000).for_each(|number| family.inc_by(&ByWord { word: "w", number }, u64::from(number)));
        }
        let all =
            (0..1_000).all(|number| family.get(&ByWord { word: "w", number }).get() == 3 * u64::from(number));
        assert!(all, "each series has what was counted for it");
    }
}
