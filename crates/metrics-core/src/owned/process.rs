//! What the process has one of and what each thread has one of: the first slab, the office, a thread's chunks.

use std::cell::Cell;

use super::{CHUNKS_MAX, Chunk, Office, Slab, Tenure};
use crate::sync::Mutex;

#[cfg(not(loom))]
mod real {
    use std::collections::BTreeMap;

    use super::{CHUNKS_MAX, Cell, Chunk, Mutex, Office, Slab, Tenure};
    use crate::sync::OnceLock;

    static FIRST: Slab = Slab { chunks: [const { OnceLock::new() }; CHUNKS_MAX], next: OnceLock::new() };
    static OFFICE: Mutex<Office> =
        Mutex::new(Office { idle: Vec::new(), given_back: BTreeMap::new(), next: 0 });

    thread_local! {
        /// The chunks of this thread that it has written to.
        pub(in crate::owned) static CHUNKS: [Cell<Option<&'static Chunk>>; CHUNKS_MAX] =
            const { [const { Cell::new(None) }; CHUNKS_MAX] };
        pub(in crate::owned) static TENURE: Tenure = Tenure::begin();
    }

    pub(in crate::owned) fn first() -> &'static Slab {
        &FIRST
    }

    pub(in crate::owned) fn office() -> &'static Mutex<Office> {
        &OFFICE
    }
}

/// As many as there are runs of a model.
#[cfg(loom)]
mod real {
    use std::array;

    use super::{CHUNKS_MAX, Cell, Chunk, Mutex, Office, Slab, Tenure};

    loom::lazy_static! {
        static ref FIRST: &'static Slab = Box::leak(Box::new(Slab::new()));
        static ref OFFICE: &'static Mutex<Office> = Box::leak(Box::new(Mutex::new(Office::default())));
    }

    loom::thread_local! {
        pub(in crate::owned) static CHUNKS: [Cell<Option<&'static Chunk>>; CHUNKS_MAX] =
            array::from_fn(|_| Cell::new(None));
        pub(in crate::owned) static TENURE: Tenure = Tenure::begin();
    }

    pub(in crate::owned) fn first() -> &'static Slab {
        *FIRST
    }

    pub(in crate::owned) fn office() -> &'static Mutex<Office> {
        *OFFICE
    }
}

pub(super) use real::{CHUNKS, TENURE, first, office};
