//! Floors written by hand: what the work costs when nothing but the work is done.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{BOUNDS, SERIES, Subject, Whose, observations, spin, time_creation, time_scrape};
use crate::ours::{Method, Route};

/// Cells of one thread, apart from those of others.
#[repr(align(128))]
struct Cells([AtomicU64; 16]);

thread_local! {
    static CELLS: Cells = const { Cells([const { AtomicU64::new(0) }; 16]) };
}

fn add(cell: &AtomicU64) {
    cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// A load and a store to a cell of the thread, to sixteen in turn and by an index from memory: in the tightest of loops
/// processors wait for the store before, which no program does that has something else to do between two additions.
pub(crate) fn counter(threads: usize) -> Subject {
    let order: Vec<u8> = (0..16).collect();
    Subject::new(Whose::Limit, move || {
        spin(threads, |i| CELLS.with(|cells| add(&cells.0[usize::from(order[i as usize % 16]) % 16])))
    })
}

/// An atomic addition to a cell of all threads.
pub(crate) fn shared_counter(threads: usize) -> Subject {
    let cell = Arc::new(AtomicU64::new(0));
    Subject::new(Whose::Limit, move || {
        spin(threads, |_| {
            cell.fetch_add(1, Ordering::Relaxed);
        })
    })
}

/// An index of two enums into cells of the thread.
pub(crate) fn labels(threads: usize) -> Subject {
    let labels = crate::ours::enums();
    Subject::new(Whose::Limit, move || {
        spin(threads, |i| {
            let (method, route): (Method, Route) = labels[i as usize % 16];
            CELLS.with(|cells| add(&cells.0[method as usize * 4 + route as usize]));
        })
    })
}

/// A scan of the bounds, a cell of the thread and a sum.
pub(crate) fn histogram(threads: usize) -> Subject {
    let values = observations();
    // Of a length that the compiler does not know, or it makes twelve branches of it instead of six vectors.
    let bounds = black_box(&BOUNDS[..]);
    Subject::new(Whose::Limit, move || {
        spin(threads, |i| {
            let value = values[i as usize % 1_024];
            let bucket: usize = bounds.iter().map(|bound| usize::from(*bound < value)).sum();
            CELLS.with(|cells| {
                add(&cells.0[bucket & 15]);
                let sum = &cells.0[13];
                let added = f64::from_bits(sum.load(Ordering::Relaxed)) + value;
                sum.store(added.to_bits(), Ordering::Relaxed);
            });
        })
    })
}

/// A copy of the finished text.
pub(crate) fn scrape() -> Subject {
    let text = crate::ours::exposition(SERIES);
    let mut copy = vec![0; text.len()];
    Subject::new(Whose::Limit, move || {
        time_scrape(|| {
            copy.copy_from_slice(&text);
            black_box(&copy);
        })
    })
}

/// A cell in a map that has room for it and that nobody else holds, while the other thread copies the finished text: what the
/// machine takes of the time that is left belongs to nobody.
pub(crate) fn creation() -> Subject {
    let text = crate::ours::exposition(SERIES);
    Subject::new(Whose::Limit, move || {
        let cells = Mutex::new(HashMap::<u32, Arc<AtomicU64>>::with_capacity(2 * SERIES as usize));
        let make = |i| {
            let cell = Arc::new(AtomicU64::new(1));
            cells.lock().expect("nobody panics with it").insert(i, cell);
        };
        time_creation(make, || drop(black_box(text.clone())))
    })
}
