//! For each thread: the hot counters of the labels that it looked up last, found without a lock and without a hash of text.

use std::cell::RefCell;

use crate::hot::HotCounter;
use crate::labels::Identity;

/// Counters that a thread remembers, 14 KiB of them from the first on, in groups: those that fall into one group do not
/// push each other out as long as there are no more than fit.
const GROUPS: usize = 32;
const GROUP: usize = 4;

thread_local! {
    static RECENT: RefCell<Vec<[Option<Known>; GROUP]>> = const { RefCell::new(Vec::new()) };
}

/// The counter of these labels in a family, as long as no series of it was removed.
#[derive(Debug)]
struct Known {
    labels: Identity,
    family: u64,
    epoch: u64,
    counter: HotCounter,
}

/// Adds to the counter of these labels; `find` looks it up where this thread does not remember it.
#[inline]
pub(crate) fn inc_by(family: u64, epoch: u64, labels: Identity, by: u64, find: impl FnOnce() -> HotCounter) {
    let group = group(family, &labels);
    let done = RECENT.try_with(|recent| {
        let Ok(recent) = recent.try_borrow() else { return false };
        let is_it = |known: &&Known| known.labels == labels && known.family == family && known.epoch == epoch;
        let group = recent.get(group).into_iter().flatten();
        match group.flatten().find(is_it) {
            Some(known) => {
                known.counter.inc_by(by);
                true
            }
            None => false,
        }
    });
    if !done.is_ok_and(|done| done) {
        let counter = find();
        counter.inc_by(by);
        remember(group, Known { labels, family, epoch, counter });
    }
}

#[cold]
fn remember(group: usize, known: Known) {
    // A thread in its last moments remembers nothing.
    let kept = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        if recent.is_empty() {
            recent.resize_with(GROUPS, Default::default);
        }
        let group = &mut recent[group];
        group.rotate_right(1);
        group[0].replace(known)
    });
    // What it replaces may be the last handle of its cells: it goes when nothing is borrowed any more.
    drop(kept);
}

/// Texts lie some bytes apart, numbers one: both spread by a multiplication (Fibonacci hashing).
#[inline]
fn group(family: u64, labels: &Identity) -> usize {
    let mut mixed = family;
    for (low, high) in labels {
        mixed = mixed.rotate_left(7) ^ (*low as u64).wrapping_add(*high as u64);
    }
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize % GROUPS
}
