//! From an event to a line.

use std::cell::RefCell;

use jiff::Timestamp;
use nkudo_spans::SpanData;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::format::{Line, Style};
use crate::handle::LogHandle;
use crate::level::LogLevel;
use crate::output::Output;
use crate::visit::Said;

/// A line's buffer that has grown beyond this is given back, in bytes.
const BUFFER_KEPT_BYTES: usize = 64 << 10;
/// What stands at the top of every line, apart from the context fields.
const TOP_LEVEL: [&str; 7] = ["timestamp", "level", "component", "message", "fields", "trace_id", "span_id"];

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Formats every enabled event and hands it over whole.
pub(crate) struct LogLayer<O> {
    handle: LogHandle,
    style: Style,
    output: O,
}

impl<O: Output> LogLayer<O> {
    /// # Panics
    /// When a context field has the name of something else at the top of a line.
    pub(crate) fn new(handle: LogHandle, style: Style, output: O) -> Self {
        let taken = style.context_fields.iter().find(|name| TOP_LEVEL.contains(name));
        assert!(taken.is_none(), "the context field {taken:?} would stand in a line twice");
        Self { handle, style, output }
    }

    fn write(&self, line: &Line<'_>) {
        // A thread that ends may log after its buffer is gone: such a line has one of its own.
        let mut buffer = BUFFER.try_with(RefCell::take).unwrap_or_default();
        buffer.clear();
        self.style.format(line, &mut buffer);
        self.handle.count(line.level, self.output.write_line(&buffer).is_ok());
        if buffer.capacity() <= BUFFER_KEPT_BYTES {
            drop(BUFFER.try_with(|kept| kept.replace(buffer)));
        }
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>, O: Output> Layer<S> for LogLayer<O> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.handle.filter().enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.handle.filter().enabled(metadata)
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut said = Said::default();
        event.record(&mut said);
        let span = context.event_span(event);
        let extensions = span.as_ref().map(|span| span.extensions());
        let data = extensions.as_ref().and_then(|extensions| extensions.get::<SpanData>());
        let own_component = said.take_text("component");
        let component = own_component
            .or_else(|| data.and_then(|data| data.component.clone()))
            .unwrap_or_else(|| self.handle.filter().component(metadata.target()));
        let mut ids: Vec<(&'static str, String)> = Vec::new();
        for name in self.style.context_fields.iter().copied() {
            let carried =
                || data?.fields.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone());
            if let Some(text) = said.take_text(name).or_else(carried) {
                ids.push((name, text));
            }
        }
        let trace_id = said.take_text("trace_id").or_else(|| data.map(|data| data.trace_id.to_string()));
        let span_id = said.take_text("span_id").or_else(|| data.map(|data| data.span_id.to_string()));
        ids.extend(trace_id.map(|id| ("trace_id", id)));
        ids.extend(span_id.map(|id| ("span_id", id)));
        let level = LogLevel::of(*metadata.level());
        self.write(&Line {
            timestamp: Timestamp::now(),
            level,
            component: &component,
            said: &said,
            ids: &ids,
        });
    }
}
