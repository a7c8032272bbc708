//! Traces of a shop from end to end: spans of two programs are gathered, chosen and kept, searched, drawn and exported.
//!
//! Run it with `cargo run -p nkudo-traces --example orders [DIR]`. Traces are kept in DIR, or in a directory that is removed
//! at the end; the newest is written there as `trace.otlp.json` and `trace.chrome.json`, which ui.perfetto.dev opens.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nkudo_spans::{AttributeValue, FinishedSpan, SpanId, TraceId};
use nkudo_traces::export::{chrome, otlp};
use nkudo_traces::{Config, Gantt, Query, Recent, Sampling, Status};

const MILLI: u64 = 1_000_000;
/// When the first order came, in nanoseconds since 1970. A service takes it from its clock.
const START: u64 = 1_700_000_000_000_000_000;

/// An order that is handled: one trace.
struct Order {
    trace_id: TraceId,
    root: SpanId,
    start_unix_ns: u64,
}

impl Order {
    fn new(number: u64) -> Order {
        let start_unix_ns = START + number * 1_000 * MILLI;
        Order { trace_id: TraceId::generate(), root: SpanId::generate(), start_unix_ns }
    }

    /// A step of it, from and to so many milliseconds after it began. A service has its spans made by `tracing`.
    fn step(&self, name: &'static str, parent_id: Option<SpanId>, from_ms: u64, to_ms: u64) -> FinishedSpan {
        FinishedSpan {
            trace_id: self.trace_id,
            span_id: if parent_id.is_none() { self.root } else { SpanId::generate() },
            parent_id,
            name: name.into(),
            target: "shop::orders".into(),
            start_unix_ns: self.start_unix_ns + from_ms * MILLI,
            duration_ns: (to_ms - from_ms) * MILLI,
            failed: false,
            thread: 1,
            attributes: Vec::new(),
            dropped_attributes: 0,
        }
    }

    /// What the shop itself did. The card of every seventh order is refused.
    fn of_shop(&self, number: u64) -> (SpanId, Vec<FinishedSpan>) {
        let is_refused = number % 7 == 3;
        let mut pay = self.step("pay", Some(self.root), 12, 60);
        let mut order = self.step("POST /orders", None, 0, 64);
        order.attributes.push(("order".into(), AttributeValue::Integer(number.cast_signed())));
        if is_refused {
            pay.failed = true;
            pay.attributes.push(("error".into(), AttributeValue::Text("card refused".to_owned())));
        }
        let steps =
            [self.step("stock", Some(self.root), 2, 9), self.step("price", Some(self.root), 2, 12), pay];
        (steps[2].span_id, steps.into_iter().chain([order]).collect())
    }

    /// What the bank did for it, as it sends it: OTLP/JSON. Its clock is two milliseconds ahead.
    fn of_bank(&self, pay: SpanId) -> io::Result<Vec<u8>> {
        let mut charge = self.step("charge", Some(pay), 17, 61);
        charge.target = "bank::cards".into();
        charge.attributes.push(("otel.kind".into(), AttributeValue::Text("server".to_owned())));
        let mut json = Vec::new();
        otlp::write(&mut json, &[("service.name", AttributeValue::Text("bank".to_owned()))], &[charge])?;
        Ok(json)
    }
}

/// The spans of another program. What they come from is told by an attribute of each.
fn received(json: &[u8]) -> Result<Vec<FinishedSpan>, Box<dyn Error>> {
    let mut spans = Vec::new();
    for program in otlp::read(json)? {
        let service = program.resource.into_iter().find(|(name, _)| name == "service.name");
        for mut span in program.spans {
            span.attributes.extend(service.clone().map(|(name, value)| (name.into(), value)));
            spans.push(span);
        }
    }
    Ok(spans)
}

fn run(dir: &Path) -> Result<(), Box<dyn Error>> {
    let sampling = Sampling { ratio: 0.25, slow: Duration::from_millis(500) };
    let config = Config { sampling, ..Config::default() };
    let mut recent = Recent::open(&dir.join("traces"), config)?;
    let mut now = Instant::now();
    for number in 0..100 {
        let order = Order::new(number);
        let (pay, spans) = order.of_shop(number);
        recent.offer(now, spans);
        recent.offer(now, received(&order.of_bank(pay)?)?);
        // A service sleeps until `next_due`; here a second goes by at once.
        now += Duration::from_secs(1);
        recent.tick(now);
    }
    recent.flush(now);
    if let Some(failure) = recent.failure() {
        return Err(failure.to_string().into());
    }

    let mut out = io::stdout().lock();
    let query =
        Query { status: Some(Status::Error), text: Some("refused".to_owned()), limit: 3, ..Query::default() };
    let found = recent.search(&query)?;
    for summary in &found.summaries {
        let slow = summary.slow_step.as_ref().map_or("nothing", |step| step.name.as_str());
        let error = summary.error.as_deref().unwrap_or("no error");
        writeln!(out, "{} {}: {error}; waited for {slow}", summary.trace_id, summary.name)?;
    }
    let newest = found.summaries.first().ok_or("every seventh order is refused")?;
    let trace = recent.trace(newest.trace_id).ok_or("it was found")?;
    write!(out, "\n{}\n{:#?}\n", Gantt { width: 80, ..Gantt::default() }.draw(&trace), recent.stats())?;
    let shop = [("service.name", AttributeValue::Text("shop".to_owned()))];
    otlp::write(File::create(dir.join("trace.otlp.json"))?, &shop, trace.spans())?;
    chrome::write(File::create(dir.join("trace.chrome.json"))?, "shop", trace.spans())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::args_os().nth(1).map(PathBuf::from) {
        Some(dir) => {
            fs::create_dir_all(&dir)?;
            run(&dir)
        }
        None => run(tempfile::tempdir()?.path()),
    }
}
