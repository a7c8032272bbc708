//! Spans as a program makes them, and as they come out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod context;
mod layer;
mod odd;
mod rings;

use nkudo_spans::{FinishedSpan, SpansOptions, spans};

/// The spans that `say` makes, in the order in which they end.
fn finished(options: &SpansOptions, say: impl FnOnce()) -> Vec<FinishedSpan> {
    let (subscriber, drain) = spans(options, ());
    tracing::subscriber::with_default(subscriber, say);
    let mut finished = Vec::new();
    drain.unwrap().pass(|span| finished.extend(span.to_finished()));
    finished
}
