//! What a thread keeps at hand for its lines.

use std::cell::Cell;
use std::sync::Arc;

use nkudo_spans::Here;
use tracing::Metadata;

use crate::callsite::Site;
use crate::escape::{json_text, print};
use crate::stamp::Stamps;

/// A buffer that has grown beyond this is given back, in bytes.
const BUFFER_KEPT_BYTES: usize = 64 << 10;
/// Call sites that a thread finds without a lock; a power of two.
const REMEMBERED: usize = 64;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A thread's buffer and what it remembers. While a line is made it is taken out: a line that is made meanwhile, by a
/// value's `Debug`, has one of its own.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) line: Vec<u8>,
    pub(crate) stamps: Stamps,
    pub(crate) sites: Sites,
    pub(crate) spans: SpanTexts,
}

impl Scratch {
    #[cold]
    fn new() -> Box<Self> {
        Box::new(Self {
            line: Vec::new(),
            stamps: Stamps::new(),
            sites: Sites([const { None }; REMEMBERED]),
            spans: SpanTexts::default(),
        })
    }

    /// Lends this thread's.
    #[inline]
    pub(crate) fn lend<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        // A thread that ends may log after its own is gone.
        let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_else(Self::new);
        scratch.line.clear();
        let done = work(&mut scratch);
        if scratch.line.capacity() > BUFFER_KEPT_BYTES {
            scratch.line = Vec::new();
        }
        let _is_kept = SCRATCH.try_with(|kept| kept.set(Some(scratch))).is_ok();
        done
    }
}

/// The call sites that a thread came by lately.
#[derive(Debug)]
pub(crate) struct Sites([Option<Remembered>; REMEMBERED]);

#[derive(Debug)]
struct Remembered {
    address: usize,
    owner: u64,
    site: Arc<Site>,
}

impl Sites {
    /// What a call site's lines have in common for this owner; `make` is asked when it was not seen lately.
    #[inline]
    pub(crate) fn get(
        &mut self,
        metadata: &'static Metadata<'static>,
        owner: u64,
        make: impl FnOnce() -> Arc<Site>,
    ) -> &Site {
        let address = std::ptr::from_ref(metadata).addr();
        // Metadata is some hundred bytes long.
        let place = &mut self.0[(address >> 5 ^ address >> 11) % REMEMBERED];
        if place.as_ref().is_some_and(|known| known.address != address || known.owner != owner) {
            *place = None;
        }
        &place.get_or_insert_with(|| Remembered { address, owner, site: make() }).site
    }
}

/// Texts of the span that was seen last, as they stand in a JSON line.
#[derive(Debug, Default)]
pub(crate) struct SpanTexts {
    /// By [`Here::key`].
    ids_of: u64,
    ids: Vec<u8>,
    context: Context,
}

/// What spans carried that was seen last, as it stands in a JSON line.
#[derive(Debug, Default)]
pub(crate) struct Context {
    owner: u64,
    /// [`Here::context_key`].
    key: u64,
    /// A JSON string.
    pub(crate) component: Option<Vec<u8>>,
    /// The other fields, each behind a comma.
    pub(crate) tops: Vec<u8>,
}

impl SpanTexts {
    /// The ids of a span, each behind a comma.
    #[inline]
    pub(crate) fn ids(&mut self, here: &Here<'_>) -> &[u8] {
        if self.ids_of != here.key() {
            self.take_ids(here);
        }
        &self.ids
    }

    fn take_ids(&mut self, here: &Here<'_>) {
        self.ids.clear();
        if let Some(context) = here.context() {
            let (trace_id, span_id) = (context.trace_id, context.span_id);
            print(&mut self.ids, format_args!(",\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\""));
        }
        self.ids_of = here.key();
    }

    /// What the spans around carry.
    #[inline]
    pub(crate) fn context(&mut self, here: &Here<'_>, owner: u64) -> &Context {
        if self.context.key != here.context_key() || self.context.owner != owner {
            self.take_context(here, owner);
        }
        &self.context
    }

    #[cold]
    fn take_context(&mut self, here: &Here<'_>, owner: u64) {
        // In this order: what changes meanwhile is taken anew by the next line.
        let mut context = Context { owner, key: here.context_key(), ..Context::default() };
        for (name, text) in here.carried() {
            if name == "component" {
                json_text(&text, context.component.get_or_insert_default());
                continue;
            }
            context.tops.push(b',');
            json_text(name, &mut context.tops);
            context.tops.push(b':');
            json_text(&text, &mut context.tops);
        }
        self.context = context;
    }
}
