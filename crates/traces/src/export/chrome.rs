//! Chrome's trace event format, which Perfetto and chrome://tracing open.
//!
//! After [Trace Event Format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): an object
//! with `traceEvents`, each span a complete event (`ph: "X"`), its times in microseconds from the first span on, so that
//! they keep their nanoseconds in a float; names of processes and tracks are metadata events (`ph: "M"`).
//!
//! Events of one track have to lie within each other. Spans of one thread need not, as a task that waits makes room for
//! another. So a track is no thread: a span shares that of its parent while it lies within it and nothing else does, and
//! else takes one that is free. The thread is among its arguments.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, BufWriter, Write};

use nkudo_spans::{AttributeValue, FinishedSpan, SpanId};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Writes spans, event by event. They are of the program `process`, but for those whose attribute `service.name` names
/// another.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, process: &str, spans: &[FinishedSpan]) -> io::Result<()> {
    let layout = Layout::of(process, spans);
    let start_unix_ns = spans.iter().map(|span| span.start_unix_ns).min().unwrap_or_default();
    let events = Events { layout: &layout, spans, start_unix_ns };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &Document { display_time_unit: "ms", trace_events: events })?;
    out.flush()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'s> {
    display_time_unit: &'static str,
    trace_events: Events<'s>,
}

/// Which process and track each span is in, both from 1 on.
#[derive(Debug, Default)]
struct Layout<'s> {
    processes: Vec<(&'s str, Tracks)>,
    /// By the place of the span.
    places: Vec<(usize, usize)>,
}

/// The tracks of a process while spans are given theirs, in order of their start.
#[derive(Debug, Default)]
struct Tracks {
    /// What is open in each, with its end, the innermost last.
    open: Vec<Vec<(u64, SpanId)>>,
    /// When each becomes free.
    free_at: BinaryHeap<Reverse<(u64, usize)>>,
    of_span: HashMap<SpanId, usize>,
}

impl<'s> Layout<'s> {
    fn of(process: &'s str, spans: &'s [FinishedSpan]) -> Layout<'s> {
        let mut layout = Layout { processes: Vec::new(), places: vec![(0, 0); spans.len()] };
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut order: Vec<(usize, &FinishedSpan)> = spans.iter().enumerate().collect();
        order.sort_by_key(|(_, span)| (span.start_unix_ns, Reverse(span.duration_ns)));
        for (at, span) in order {
            let name = super::service(span).unwrap_or(process);
            let pid = *known.entry(name).or_insert_with(|| {
                layout.processes.push((name, Tracks::default()));
                layout.processes.len()
            });
            let (_, tracks) = &mut layout.processes[pid - 1];
            layout.places[at] = (pid, tracks.place(span) + 1);
        }
        layout
    }
}

impl Tracks {
    fn place(&mut self, span: &FinishedSpan) -> usize {
        let (start, end) = (span.start_unix_ns, span.end_unix_ns());
        let of_parent = span.parent_id.and_then(|parent| Some((parent, *self.of_span.get(&parent)?)));
        let track = match of_parent {
            Some((parent, track)) if self.lies_within(track, parent, start, end) => track,
            _ => self.free(start, end),
        };
        self.open[track].push((end, span.span_id));
        self.of_span.insert(span.span_id, track);
        track
    }

    /// Whether the span around the next one in a track would be this parent.
    fn lies_within(&mut self, track: usize, parent: SpanId, start: u64, end: u64) -> bool {
        let open = &mut self.open[track];
        while open.last().is_some_and(|(ended, _)| *ended <= start) {
            open.pop();
        }
        open.last().is_some_and(|(until, innermost)| *innermost == parent && end <= *until)
    }

    /// A track in which nothing is open.
    fn free(&mut self, start: u64, end: u64) -> usize {
        let free =
            self.free_at.peek().filter(|Reverse((at, _))| *at <= start).map(|Reverse((_, track))| *track);
        let track = free.unwrap_or(self.open.len());
        if free.is_some() {
            self.free_at.pop();
            self.open[track].clear();
        } else {
            self.open.push(Vec::new());
        }
        self.free_at.push(Reverse((end, track)));
        track
    }
}

/// Events that are made one after the other.
struct Events<'s> {
    layout: &'s Layout<'s>,
    spans: &'s [FinishedSpan],
    start_unix_ns: u64,
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let processes = self.layout.processes.iter().enumerate();
        let names = processes.flat_map(|(at, (name, tracks))| {
            let process = Event::named("process_name", at + 1, 0, (*name).to_owned());
            let track = move |tid| Event::named("thread_name", at + 1, tid, format!("track {tid}"));
            [process].into_iter().chain((1..=tracks.open.len()).map(track))
        });
        let spans = self.spans.iter().zip(&self.layout.places);
        let complete = spans.map(|(span, (pid, tid))| Event::complete(span, *pid, *tid, self.start_unix_ns));
        serializer.collect_seq(names.chain(complete))
    }
}

#[derive(Serialize)]
struct Event<'s> {
    ph: &'static str,
    name: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'s str>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: usize,
    tid: usize,
    args: Map<String, Value>,
}

impl<'s> Event<'s> {
    fn named(what: &'static str, pid: usize, tid: usize, name: String) -> Event<'static> {
        let args = Map::from_iter([("name".to_owned(), Value::String(name))]);
        Event { ph: "M", name: what, cat: None, ts: None, dur: None, pid, tid, args }
    }

    fn complete(span: &'s FinishedSpan, pid: usize, tid: usize, start_unix_ns: u64) -> Event<'s> {
        let mut args = Map::new();
        for (name, value) in &span.attributes {
            args.insert(name.to_string(), json(value));
        }
        args.insert("trace_id".to_owned(), span.trace_id.to_string().into());
        args.insert("span_id".to_owned(), span.span_id.to_string().into());
        args.insert("thread".to_owned(), span.thread.into());
        if span.failed {
            args.insert("failed".to_owned(), true.into());
        }
        let (ts, dur) = (Some(micros(span.start_unix_ns - start_unix_ns)), Some(micros(span.duration_ns)));
        Event { ph: "X", name: &span.name, cat: Some(&span.target), ts, dur, pid, tid, args }
    }
}

fn json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Text(text) => text.as_str().into(),
        AttributeValue::Integer(integer) => (*integer).into(),
        // What is not finite is no number in JSON.
        AttributeValue::Float(float) if !float.is_finite() => float.to_string().into(),
        AttributeValue::Float(float) => (*float).into(),
        AttributeValue::Bool(bool) => (*bool).into(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds are exact for three months")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}
