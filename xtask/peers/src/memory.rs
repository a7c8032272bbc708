//! Counts what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread what it holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn add(bytes: i64) {
    HELD.with(|held| held.set(held.get() + bytes));
}

/// Bytes for each of `count` things that `make` leaves held.
pub(crate) fn held_by_each<T>(count: u32, make: impl FnOnce() -> T) -> f64 {
    let before = HELD.get();
    let made = make();
    let held = HELD.get() - before;
    drop(made);
    held as f64 / f64::from(count)
}
