//! From an event to a line.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nkudo_spans::{Calibration, Events, Here, Lanes};
use tracing::metadata::LevelFilter;
use tracing::{Event, Metadata};

use crate::callsite::{MESSAGE, Site, TOP_LEVEL};
use crate::config::LogConfig;
use crate::direct::Direct;
use crate::finish::Finish;
use crate::format::{Line, json};
use crate::handle::LogHandle;
use crate::output::Output;
use crate::repeats::{Repeats, Verdict};
use crate::scratch::{Scratch, SpanTexts};
use crate::stamp::STAMP_BYTES;
use crate::tag::Tag;
use crate::visit::{Said, Value};

/// Formats every event that is logged and hands its line over whole.
pub(crate) struct LogEvents {
    /// Tells it from others in what threads remember.
    id: u64,
    handle: LogHandle,
    repeats: Repeats,
    context_fields: &'static [&'static str],
    clock: Calibration,
    sink: Sink,
    /// By the address of their metadata.
    sites: Mutex<HashMap<usize, Arc<Site>>>,
}

/// Where lines go.
pub(crate) enum Sink {
    /// To the thread that writes.
    Lanes(Lanes),
    /// Right there.
    Output(Box<(Finish, Box<dyn Output>)>),
}

/// What every line begins with.
const BEGIN: &[u8] = b"{\"timestamp\":\"";

/// An event, and what is known beside.
struct Occasion<'e> {
    event: &'e Event<'e>,
    here: Option<&'e Here<'e>>,
    /// Lines of its call site that were left away before.
    suppressed: Option<u64>,
}

impl LogEvents {
    /// # Panics
    /// When a context field has the name of something else at the top of a line.
    pub(crate) fn new(handle: LogHandle, config: &LogConfig, sink: Sink) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let context_fields = config.context_fields;
        let taken = context_fields.iter().find(|name| TOP_LEVEL.contains(name));
        assert!(taken.is_none(), "the context field {taken:?} would stand in a line twice");
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            repeats: Repeats::new(config.repeats, handle.output_counts().clone()),
            handle,
            context_fields,
            clock: Calibration::new(),
            sink,
            sites: Mutex::default(),
        }
    }

    #[cold]
    fn site(&self, metadata: &'static Metadata<'static>) -> Arc<Site> {
        let address = std::ptr::from_ref(metadata).addr();
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let component = self.handle.filter().component(metadata.target());
            Arc::new(Site::new(metadata, component, self.context_fields))
        };
        sites.entry(address).or_insert_with(make).clone()
    }

    fn make(&self, event: &Event<'_>, here: Option<&Here<'_>>) {
        let now = self.clock.now();
        Scratch::lend(|scratch| {
            let Scratch { line, stamps, sites, spans } = scratch;
            let metadata = event.metadata();
            let site = sites.get(metadata, self.id, || self.site(metadata));
            let suppressed = match self.repeats.allow(site.key, now.uptime_ns) {
                Verdict::Write => None,
                Verdict::WriteWithSuppressed(lines) => Some(lines),
                Verdict::Suppress => return,
            };
            line.extend_from_slice(&Tag::new(now.unix_ns, site.level).to_bytes());
            let stamp = stamps.text(now.unix_ns);
            let occasion = Occasion { event, here, suppressed };
            if site.is_direct {
                self.write_direct(line, stamp, site, spans, &occasion);
            } else {
                let stamp = std::str::from_utf8(stamp).unwrap_or_default();
                self.write_gathered(line, stamp, site, &occasion);
            }
            match &self.sink {
                Sink::Lanes(lanes) => drop(lanes.put_bytes(line)),
                Sink::Output(output) => {
                    let (finish, output) = &**output;
                    let (_, line) = line.split_at(Tag::BYTES);
                    let line = finish.redact(line);
                    let line = &finish.shown(&line);
                    self.handle.count(site.level, output.write_lines(line).is_ok(), 1);
                }
            }
        });
    }

    /// JSON as the fields come.
    #[inline]
    fn write_direct(
        &self,
        line: &mut Vec<u8>,
        stamp: &[u8; STAMP_BYTES],
        site: &Site,
        spans: &mut SpanTexts,
        occasion: &Occasion<'_>,
    ) {
        let here = occasion.here;
        line.extend_from_slice(BEGIN);
        line.extend_from_slice(stamp);
        let context = here.filter(|here| here.context_key() != 0);
        match context.and_then(|here| spans.context(here, self.id).component.as_ref()) {
            None => line.extend_from_slice(&site.opening),
            Some(component) => {
                line.extend_from_slice(&site.head);
                line.extend_from_slice(component);
                line.extend_from_slice(MESSAGE);
            }
        }
        let mut direct = Direct::new(line, site);
        occasion.event.record(&mut direct);
        direct.finish(occasion.suppressed);
        if let Some(here) = context {
            line.extend_from_slice(&spans.context(here, self.id).tops);
        }
        if let Some(here) = here {
            line.extend_from_slice(spans.ids(here));
        }
        line.extend_from_slice(b"}\n");
    }

    /// Any line: its fields are gathered first.
    fn write_gathered(&self, line: &mut Vec<u8>, timestamp: &str, site: &Site, occasion: &Occasion<'_>) {
        let Occasion { event, here, suppressed } = *occasion;
        let mut said = Said::default();
        event.record(&mut said);
        said.fields.extend(suppressed.map(|lines| ("suppressed", Value::Integer(lines.into()))));
        let mut carried = here.map(Here::carried).unwrap_or_default();
        let mut take_carried = |name: &str| {
            let at = carried.iter().position(|(known, _)| *known == name)?;
            Some(carried.swap_remove(at).1)
        };
        let component = said.take_text("component").or_else(|| take_carried("component"));
        let mut ids: Vec<(&'static str, String)> = Vec::new();
        for name in self.context_fields.iter().copied() {
            ids.extend(said.take_text(name).or_else(|| take_carried(name)).map(|text| (name, text)));
        }
        let context = here.and_then(Here::context);
        let trace_id = said.take_text("trace_id").or_else(|| context.map(|at| at.trace_id.to_string()));
        let span_id = said.take_text("span_id").or_else(|| context.map(|at| at.span_id.to_string()));
        ids.extend(trace_id.map(|id| ("trace_id", id)));
        ids.extend(span_id.map(|id| ("span_id", id)));
        let parts = Line {
            timestamp,
            level: site.level,
            component: component.as_deref().unwrap_or(&site.component),
            said: &said,
            ids: &ids,
        };
        json(&parts, line);
    }
}

impl Events for LogEvents {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.handle.filter().enabled(metadata)
    }

    fn max_level(&self) -> LevelFilter {
        self.handle.filter().max_level()
    }

    #[inline]
    fn event(&self, event: &Event<'_>, here: Option<Here<'_>>) {
        self.make(event, here.as_ref());
    }
}

impl fmt::Debug for LogEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogEvents").field("id", &self.id).finish_non_exhaustive()
    }
}
