//! What is known of the places in the code that make spans.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tracing::Metadata;

/// Callsites that a thread remembers; others are looked at again.
const REMEMBERED: usize = 64;

/// Fields of a span that mean something here, before those that it carries.
pub(crate) const TRACE_FIELD: &str = "trace_id";
pub(crate) const PARENT_FIELD: &str = "parent_span_id";
pub(crate) const ERROR_FIELD: &str = "error";
pub(crate) const COMPONENT_FIELD: &str = "component";

thread_local! {
    /// By address and owner: which fields are wanted.
    static WANTED: [Cell<(usize, u64, u64)>; REMEMBERED] = const { [const { Cell::new((0, 0, 0)) }; REMEMBERED] };
}

/// The address by which a callsite is known.
#[inline]
pub(crate) fn address(metadata: &Metadata<'static>) -> usize {
    std::ptr::from_ref(metadata).addr()
}

/// A bit for each of a callsite's first 64 fields that means something to the subscriber `owner`, which carries these.
#[inline]
pub(crate) fn wanted(metadata: &Metadata<'static>, owner: u64, carried: &[&'static str]) -> u64 {
    let address = address(metadata);
    WANTED.with(|remembered| {
        // Metadata is some hundred bytes long.
        let at = (address >> 5 ^ address >> 11) % REMEMBERED;
        let (known, known_owner, mask) = remembered[at].get();
        if known == address && known_owner == owner {
            return mask;
        }
        let mask = wanted_now(metadata, carried);
        remembered[at].set((address, owner, mask));
        mask
    })
}

#[cold]
fn wanted_now(metadata: &Metadata<'_>, carried: &[&'static str]) -> u64 {
    let is_wanted = |name: &str| {
        [TRACE_FIELD, PARENT_FIELD, ERROR_FIELD, COMPONENT_FIELD].contains(&name) || carried.contains(&name)
    };
    let fields = metadata.fields().iter().filter(|field| field.index() < 64 && is_wanted(field.name()));
    fields.fold(0, |mask, field| mask | 1 << field.index())
}

/// Every callsite that was registered, by its address.
#[derive(Debug, Default)]
pub(crate) struct Callsites(Mutex<HashMap<usize, &'static Metadata<'static>>>);

impl Callsites {
    pub(crate) fn register(&self, metadata: &'static Metadata<'static>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address(metadata), metadata);
    }

    pub(crate) fn get(&self, address: usize) -> Option<&'static Metadata<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&address).copied()
    }
}
