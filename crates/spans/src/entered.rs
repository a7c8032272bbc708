//! The spans that a thread is in.

use std::cell::{Cell, RefCell};

use crate::slab::{self, Key, Place};

/// Spans that lie in each other before those deeper down take a little longer.
const SHALLOW: usize = 32;

thread_local! {
    static STACK: Stack = const {
        Stack { depth: Cell::new(0), spans: [const { Cell::new(None) }; SHALLOW] }
    };
    /// What is deeper.
    static DEEP: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

type Entered = Option<(Key, &'static Place)>;

struct Stack {
    depth: Cell<usize>,
    spans: [Cell<Entered>; SHALLOW],
}

impl Stack {
    #[inline]
    fn get(&self, at: usize) -> Entered {
        match self.spans.get(at) {
            Some(span) => span.get(),
            None => DEEP.try_with(|deep| deep.borrow().get(at - SHALLOW).copied()).ok().flatten().flatten(),
        }
    }

    #[inline]
    fn set(&self, at: usize, span: Entered) {
        match self.spans.get(at) {
            Some(place) => place.set(span),
            None => set_deep(at - SHALLOW, span),
        }
    }
}

#[cold]
fn set_deep(at: usize, span: Entered) {
    // A thread that ends has no room any more.
    let _is_kept = DEEP.try_with(|deep| {
        let mut deep = deep.borrow_mut();
        if deep.len() <= at {
            deep.resize(at + 1, None);
        }
        deep[at] = span;
    });
}

/// Enters a span. One that has no place is passed over, as its end will be.
#[inline]
pub(crate) fn enter(key: Key) {
    STACK.with(|stack| {
        if let Some(place) = slab::find(key) {
            let depth = stack.depth.get();
            stack.set(depth, Some((key, place)));
            stack.depth.set(depth + 1);
        }
    });
}

/// Leaves a span, also one that others were entered in.
#[inline]
pub(crate) fn exit(key: Key) {
    STACK.with(|stack| {
        let depth = stack.depth.get();
        // Mostly the innermost.
        let top = depth.wrapping_sub(1);
        if let Some(Some((entered, _))) = stack.spans.get(top).map(Cell::get)
            && entered.0 == key.0
        {
            stack.depth.set(top);
            return;
        }
        let is_it = |at: &usize| stack.get(*at).map_or(0, |(entered, _)| entered.0) == key.0;
        let Some(at) = (0..depth).rev().find(is_it) else { return };
        for above in at + 1..depth {
            stack.set(above - 1, stack.get(above));
        }
        stack.depth.set(depth - 1);
    });
}

/// The innermost span that is open and `is_meant`.
#[inline]
pub(crate) fn innermost(is_meant: impl Fn(&Place) -> bool) -> Option<(Key, &'static Place)> {
    STACK.with(|stack| {
        let top = stack.depth.get().wrapping_sub(1);
        if let Some(Some((key, place))) = stack.spans.get(top).map(Cell::get)
            && place.is(key)
            && is_meant(place)
        {
            return Some((key, place));
        }
        let entered = (0..stack.depth.get()).rev().filter_map(|at| stack.get(at));
        entered.into_iter().find(|(key, place)| place.is(*key) && is_meant(place))
    })
}

/// A small number of this thread, from 1.
#[inline]
pub(crate) fn thread_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_leaves_nothing_behind() {
        let (key, place) = slab::open().unwrap();
        enter(key);
        for _ in 0..1_000 {
            enter(Key(u64::MAX));
            exit(Key(u64::MAX));
        }
        assert_eq!(STACK.with(|stack| stack.depth.get()), 1);
        assert_eq!(innermost(|_| true).map(|(found, _)| found), Some(key));
        exit(key);
        assert_eq!(STACK.with(|stack| stack.depth.get()), 0);
        slab::close(place);
    }
}
