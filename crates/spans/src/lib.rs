//! One subscriber behind the `tracing` facade, for spans that are cheap enough to be everywhere: open ones lie in places that
//! no thread waits for, finished ones go through a ring of each thread to whoever drains them.
//!
//! The principal type is [`Spans`], made by [`spans`] together with its [`SpanDrain`]. Events go to an [`Events`] of one's
//! own, which is told the span around them. [`Traceparent`] carries a trace over process boundaries (W3C Trace Context).
//!
//! ```
//! use nkudo_spans::{SpansOptions, Traceparent, spans};
//!
//! let (subscriber, drain) = spans(&SpansOptions::default(), ());
//! let mut drain = drain.expect("finished spans are asked for");
//! tracing::subscriber::with_default(subscriber, || {
//!     let parent: Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
//!     let span = tracing::info_span!("request", trace_id = %parent.trace_id, parent_span_id = %parent.parent_id, size = 7);
//!     let context = span.in_scope(nkudo_spans::current).unwrap();
//!     assert_eq!(context.trace_id, parent.trace_id);
//! });
//! let mut finished = Vec::new();
//! drain.pass(|span| finished.extend(span.to_finished()));
//! assert_eq!(finished[0].name, "request");
//! assert_eq!(finished[0].attributes.len(), 3);
//! ```
//!
//! A span takes the trace of its parent; one without parent takes the trace that its field `trace_id` names, with
//! `parent_span_id` as its parent, or begins one. The field `component` and those of [`SpansOptions::carried`] go down to
//! everything inside. A field `error`, or an event at error level right in it, marks a span as failed.
//!
//! **Invariant:** a span, and a field recorded later, takes no lock and allocates nothing, but for the first of a thread, for
//! one beyond those that a thread keeps places for, and for fields that are carried. Only `Span::current` asks under a lock.
//! **Invariant:** each span that ends is handed to the drain or counted as dropped; each thread's come in their order.
//! **Invariant:** an id is never zero, and making one makes no system call, but for the first of a thread.
//! **Invariant:** no value of a field makes a span fail: what is too long is cut, what panics is said to have panicked, and
//! fields that are lost are counted, up to 65,535.

mod callsites;
mod clock;
mod drain;
mod encode;
mod entered;
mod finished;
mod here;
mod ids;
mod lanes;
mod layer;
mod open;
mod ring;
mod slab;
mod step;
mod subscriber;
mod sync;
mod traceparent;
mod wake;

pub use clock::{Calibration, Moment};
pub use drain::{SpanDrain, SpanRecord};
pub use finished::{AttributeValue, FinishedSpan};
pub use here::{Context, Here};
pub use ids::{InvalidTraceId, SpanId, TraceId};
pub use lanes::{Drain, Lanes, LanesOptions, Record, lanes};
pub use layer::SpansLayer;
pub use slab::OPEN_MAX;
pub use subscriber::{Events, Spans, SpansHandle, SpansOptions, current, spans};
pub use traceparent::{InvalidTraceparent, Traceparent};
