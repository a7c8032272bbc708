//! The one subscriber: spans in their places, events to whoever formats them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::callsites::{COMPONENT_FIELD, Callsites, ERROR_FIELD, PARENT_FIELD, TRACE_FIELD, address, wanted};
use crate::clock::{Calibration, ticks};
use crate::drain::SpanDrain;
use crate::encode::FieldWriter;
use crate::entered;
use crate::here::{Context, Here};
use crate::ids::{SpanId, TraceId};
use crate::lanes::{Lanes, LanesOptions, lanes};
use crate::layer::SpansLayer;
use crate::open::{
    CALLSITE, Carried, FIELDS, INFO, Info, PARENT, SPAN, START, TOOK, TRACE_HIGH, TRACE_LOW, WANTED, append,
    count_fields, fail, hold_context, ids, release_context,
};
use crate::slab::{self, Key, Place, WORDS};

/// The id of a span that had no place.
const NO_PLACE: u64 = u64::MAX;

/// How spans are taken.
#[derive(Debug, Clone, Copy)]
pub struct SpansOptions {
    /// The least severe level of spans.
    pub level: Level,
    /// Fields that go down from a span to everything inside of it, beside `component`.
    pub carried: &'static [&'static str],
    /// How finished spans reach the drain; `None` where nobody wants them.
    pub finished: Option<LanesOptions>,
}

impl Default for SpansOptions {
    fn default() -> Self {
        let finished =
            LanesOptions { ring_max_bytes: 256 << 10, rings_max_bytes: 2 << 20, beside_max_bytes: 0 };
        Self { level: Level::INFO, carried: &[], finished: Some(finished) }
    }
}

/// Who takes events. Spans and events are filtered apart.
pub trait Events: Send + Sync + 'static {
    /// Whether events of this callsite are wanted; asked once for each, for errors each time, and anew after
    /// [`tracing::callsite::rebuild_interest_cache`].
    fn wants(&self, metadata: &Metadata<'_>) -> bool;

    /// The least severe level that any callsite may be wanted at.
    fn max_level(&self) -> LevelFilter;

    /// Takes an event, which happened in this span.
    fn event(&self, event: &Event<'_>, here: Option<Here<'_>>);
}

/// Takes no event.
impl Events for () {
    fn wants(&self, _metadata: &Metadata<'_>) -> bool {
        false
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::OFF
    }

    fn event(&self, _event: &Event<'_>, _here: Option<Here<'_>>) {}
}

/// The subscriber. Cheap to clone; all clones are one.
pub struct Spans<E>(pub(crate) Arc<Shared>, Arc<E>);

/// What the subscriber and its drain share.
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) carried: &'static [&'static str],
    level: AtomicU8,
    lanes: Option<Lanes>,
    pub(crate) callsites: Callsites,
    pub(crate) clock: Calibration,
    /// Spans that had no place.
    unplaced: AtomicU64,
}

/// Changes and counts what a subscriber takes. Cheap to clone.
#[derive(Clone)]
pub struct SpansHandle(pub(crate) Arc<Shared>);

/// A subscriber that hands events to `events`, and the drain of its finished spans.
pub fn spans<E: Events>(options: &SpansOptions, events: E) -> (Spans<E>, Option<SpanDrain>) {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let (lanes, drain) = options.finished.map(lanes).unzip();
    let shared = Arc::new(Shared {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        carried: options.carried,
        level: AtomicU8::new(level_number(options.level)),
        lanes,
        callsites: Callsites::default(),
        clock: Calibration::new(),
        unplaced: AtomicU64::new(0),
    });
    let drain = drain.map(|drain| SpanDrain::new(drain, shared.clone()));
    (Spans(shared, Arc::new(events)), drain)
}

fn level_number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// What a span's fields say beyond being fields.
#[derive(Default)]
struct Said {
    trace_id: Option<TraceId>,
    parent_id: Option<SpanId>,
    failed: bool,
    /// By the numbers of [`Here::carried`]'s names.
    carried: Vec<(usize, String)>,
}

impl Said {
    fn new(taken: Vec<(&'static str, Option<String>)>, carried: &[&'static str]) -> Self {
        fn parse<T: FromStr>(text: Option<String>) -> Option<T> {
            text?.parse().ok()
        }
        let mut said = Self::default();
        for (name, text) in taken {
            match name {
                TRACE_FIELD => said.trace_id = parse(text),
                PARENT_FIELD => said.parent_id = parse(text),
                ERROR_FIELD => said.failed = true,
                COMPONENT_FIELD => said.carried.extend(text.map(|text| (0, text))),
                name => {
                    let number = carried.iter().position(|known| *known == name);
                    said.carried.extend(number.zip(text).map(|(number, text)| (number + 1, text)));
                }
            }
        }
        said
    }
}

impl Shared {
    /// The place of an open span of this subscriber.
    #[inline]
    fn open(&self, key: Key) -> Option<&'static Place> {
        slab::find(key).filter(|place| self.owns(place))
    }

    #[inline]
    fn owns(&self, place: &Place) -> bool {
        place.owner.load(Ordering::Relaxed) == self.id
    }

    /// The innermost span that this thread is in.
    #[inline]
    pub(crate) fn current(&self) -> Option<(Key, &'static Place)> {
        entered::innermost(|place| self.owns(place))
    }

    #[inline]
    pub(crate) fn wants_span(&self, metadata: &Metadata<'_>) -> bool {
        level_number(*metadata.level()) <= self.level.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn new_span(&self, attributes: &Attributes<'_>, parent: Option<&'static Place>) -> Id {
        let Some((key, place)) = slab::open() else {
            self.unplaced.fetch_add(1, Ordering::Relaxed);
            return Id::from_u64(NO_PLACE);
        };
        let metadata = attributes.metadata();
        let wanted = wanted(metadata, self.id, self.carried);
        let (trace, parent_id, context) = match parent {
            Some(parent) => {
                let trace = (parent.get(TRACE_HIGH), parent.get(TRACE_LOW));
                (trace, parent.get(SPAN), hold_context(parent))
            }
            None => ((0, 0), 0, 0),
        };
        place.set(SPAN, SpanId::generate().word());
        place.set(CALLSITE, address(metadata) as u64);
        place.set(WANTED, wanted);
        place.context.store(context, Ordering::Relaxed);
        place.owner.store(self.id, Ordering::Relaxed);
        let mut writer = FieldWriter::new(place, FIELDS, wanted);
        attributes.record(&mut writer);
        let FieldWriter { at, dropped, taken, .. } = writer;
        place.set(INFO, Info::new(false, dropped, at - FIELDS, entered::thread_number()).0);
        if parent.is_some() {
            place.set(TRACE_HIGH, trace.0);
            place.set(TRACE_LOW, trace.1);
            place.set(PARENT, parent_id);
        }
        if !taken.is_empty() || parent.is_none() {
            self.take_said(place, taken, parent.is_none());
        }
        place.set(START, ticks());
        Id::from_u64(key.0)
    }

    /// A span without parent takes the trace that it names, or begins one.
    fn take_said(&self, place: &Place, taken: Vec<(&'static str, Option<String>)>, is_root: bool) {
        let said = Said::new(taken, self.carried);
        if is_root {
            // A parent without its trace says nothing.
            let parent_id = said.trace_id.and(said.parent_id).map_or(0, SpanId::word);
            let (high, low) = said.trace_id.unwrap_or_else(TraceId::generate).halves();
            place.set(TRACE_HIGH, high);
            place.set(TRACE_LOW, low);
            place.set(PARENT, parent_id);
        }
        if said.failed {
            fail(place);
        }
        if !said.carried.is_empty() {
            let old = place.context.load(Ordering::Relaxed);
            let mut carried = if old == 0 { Carried::default() } else { Carried::read(Key(old)) };
            said.carried.into_iter().for_each(|(number, text)| carried.put(number, text));
            // Release: the words of the new context are seen with its key.
            place.context.store(carried.write().map_or(0, |key| key.0), Ordering::Release);
            release_context(old);
        }
    }

    /// Fields recorded later hold for events and spans from then on. The trace stays, because children may have it.
    pub(crate) fn record(&self, id: &Id, values: &Record<'_>) {
        let Some(place) = self.open(Key(id.into_u64())) else { return };
        let record = || self.take_said(place, append(place, |writer| values.record(writer)), false);
        // Whoever finds another thread in there for long gives up, as does a value that records while it is shown.
        if place.alone(record).is_none() {
            count_fields(place, values.len() as u64, 0);
        }
    }

    /// Ends a span that nobody holds any more.
    #[inline]
    pub(crate) fn try_close(&self, id: &Id) -> bool {
        let key = Key(id.into_u64());
        let Some(place) = self.open(key) else { return false };
        if !place.release() {
            return false;
        }
        if let Some(lanes) = &self.lanes {
            place.set(TOOK, ticks().saturating_sub(place.get(START)));
            let fields = Info(place.get(INFO)).words();
            lanes.put(&place.words[..(FIELDS + fields).min(WORDS)]);
        }
        release_context(place.context.load(Ordering::Relaxed));
        slab::close(place);
        true
    }

    pub(crate) fn hold(&self, id: &Id) {
        let key = Key(id.into_u64());
        if let Some(place) = self.open(key) {
            place.hold(key);
        }
    }

    /// Takes an event. Errors come in any case, for their span.
    #[inline]
    pub(crate) fn event<E: Events>(&self, events: &E, event: &Event<'_>, at: Option<(Key, &'static Place)>) {
        if *event.metadata().level() == Level::ERROR {
            if let Some((_, place)) = at {
                fail(place);
            }
            if !events.wants(event.metadata()) {
                return;
            }
        }
        events.event(event, at.map(|(key, place)| Here::new(key, place, self.carried)));
    }

    pub(crate) fn find(&self, id: &Id) -> Option<(Key, &'static Place)> {
        let key = Key(id.into_u64());
        Some((key, self.open(key)?))
    }
}

impl SpansHandle {
    /// Changes the least severe level of spans. Open spans stay.
    pub fn set_level(&self, level: Level) {
        self.0.level.store(level_number(level), Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Spans that ended and were handed to the drain.
    pub fn finished(&self) -> u64 {
        self.0.lanes.as_ref().map_or(0, Lanes::put_count)
    }

    /// Spans that are lost: those whose record had no room, and those that had no place when they began.
    pub fn dropped(&self) -> u64 {
        self.0.lanes.as_ref().map_or(0, Lanes::dropped_count) + self.0.unplaced.load(Ordering::Relaxed)
    }

    /// Bytes of the rings in which finished spans wait.
    pub fn ring_bytes(&self) -> usize {
        self.0.lanes.as_ref().map_or(0, Lanes::ring_bytes)
    }

    /// Has the drain look now.
    pub fn wake_drain(&self) {
        self.0.lanes.iter().for_each(Lanes::wake);
    }
}

impl<E> Spans<E> {
    pub fn handle(&self) -> SpansHandle {
        SpansHandle(self.0.clone())
    }

    /// The same as a layer of `tracing_subscriber::Registry`, for programs that need layers of others beside.
    pub fn into_layer(self) -> SpansLayer<E> {
        SpansLayer(self)
    }

    pub(crate) fn events(&self) -> &E {
        &self.1
    }
}

impl<E: Events> Subscriber for Spans<E> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() {
            self.0.callsites.register(metadata);
        }
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return self.0.wants_span(metadata);
        }
        *metadata.level() == Level::ERROR || self.1.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let of_spans = match self.0.level.load(Ordering::Relaxed) {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        Some(of_spans.max(self.1.max_level()))
    }

    #[inline]
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let parent = if attributes.is_contextual() {
            self.0.current().map(|(_, place)| place)
        } else {
            attributes.parent().and_then(|id| self.0.find(id)).map(|(_, place)| place)
        };
        self.0.new_span(attributes, parent)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.0.record(id, values);
    }

    fn record_follows_from(&self, _id: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let at = if event.is_contextual() {
            self.0.current()
        } else {
            event.parent().and_then(|id| self.0.find(id))
        };
        self.0.event(&*self.1, event, at);
    }

    #[inline]
    fn enter(&self, id: &Id) {
        entered::enter(Key(id.into_u64()));
    }

    #[inline]
    fn exit(&self, id: &Id) {
        entered::exit(Key(id.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.hold(id);
        id.clone()
    }

    #[inline]
    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(&id)
    }

    fn current_span(&self) -> Current {
        let metadata = |place: &Place| self.0.callsites.get(usize::try_from(place.get(CALLSITE)).ok()?);
        match self.0.current() {
            Some((key, place)) => match metadata(place) {
                Some(metadata) => Current::new(Id::from_u64(key.0), metadata),
                None => Current::none(),
            },
            None => Current::none(),
        }
    }
}

impl<E> Clone for Spans<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl<E> fmt::Debug for Spans<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for SpansHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpansHandle").field("id", &self.0.id).finish_non_exhaustive()
    }
}

/// The ids of the span that this thread is in, whichever subscriber it belongs to.
pub fn current() -> Option<Context> {
    let (_, place) = entered::innermost(|_| true)?;
    let (trace_id, span_id) = ids(place)?;
    Some(Context { trace_id, span_id })
}
