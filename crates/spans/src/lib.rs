//! Span context behind the `tracing` facade: ids of traces and spans, and fields that events take from the spans
//! around them.
//!
//! The principal type is [`SpanContext`], a layer that gives every span its ids. A span takes the trace of its parent;
//! one without parent takes the trace that its `trace_id` field names, with `parent_span_id` as its parent, or begins
//! one. [`Traceparent`] carries both over process boundaries (W3C Trace Context).
//!
//! ```
//! use nkudo_spans::{SpanContext, Traceparent};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let subscriber = tracing_subscriber::registry().with(SpanContext::new(&["request_id"]));
//! tracing::subscriber::with_default(subscriber, || {
//!     let parent: Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
//!     let span = tracing::info_span!(
//!         "request", trace_id = %parent.trace_id, parent_span_id = %parent.parent_id, request_id = "r-1"
//!     );
//!     let context = span.in_scope(|| nkudo_spans::current()).unwrap();
//!     assert_eq!(context.trace_id, parent.trace_id);
//! });
//! ```
//!
//! **Invariant:** an id is never zero.
//! **Invariant:** making an id makes no system call, but for the first of a thread.
//! **Invariant:** no value of a field makes a span fail: what is too long or cannot be shown is not carried.

mod finished;
mod ids;
mod layer;
mod traceparent;

pub use finished::{AttributeValue, FinishedSpan};
pub use ids::{InvalidTraceId, SpanId, TraceId};
pub use layer::{Context, SpanContext, SpanData, current};
pub use traceparent::{InvalidTraceparent, Traceparent};
