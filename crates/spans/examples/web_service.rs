//! A service that answers requests, and tells which of its steps took how long: `cargo run -p nkudo-spans --example
//! web_service`.

#![expect(clippy::print_stdout, reason = "a program that people run")]

use std::time::Duration;

use nkudo_spans::{SpanId, SpansOptions, TraceId, Traceparent, current, spans};

fn main() {
    let (subscriber, drain) = spans(&SpansOptions::default(), ());
    let (handle, mut drain) = (subscriber.handle(), drain.expect("finished spans are asked for"));
    tracing::subscriber::set_global_default(subscriber).expect("it is set once");
    let drainer = std::thread::spawn(move || {
        let mut lines = Vec::new();
        // A service would go on until it ends, and send what it drains somewhere.
        while lines.len() < 6 {
            drain.pass(|span| {
                if let Some(span) = span.to_finished() {
                    let parent = span.parent_id.map_or_else(|| "-".repeat(16), |id| id.to_string());
                    let (name, took) = (&span.name, Duration::from_nanos(span.duration_ns));
                    lines.push(format!("{} {parent} {} {name:<8} {took:?}", span.trace_id, span.span_id));
                }
            });
            drain.doze(Duration::from_millis(100), || true);
        }
        lines
    });
    let caller = Traceparent { trace_id: TraceId::generate(), parent_id: SpanId::generate(), sampled: true };
    println!("asked with traceparent {caller}");
    std::thread::scope(|scope| {
        for number in 0..2 {
            scope.spawn(move || answer(number, &caller));
        }
    });
    for line in drainer.join().expect("the drain goes on to its end") {
        println!("{line}");
    }
    println!(
        "{} spans finished, {} lost, rings of {} bytes",
        handle.finished(),
        handle.dropped(),
        handle.ring_bytes()
    );
}

fn answer(number: u32, caller: &Traceparent) {
    let span = tracing::info_span!("request", trace_id = %caller.trace_id, parent_span_id = %caller.parent_id, number);
    let _inside = span.entered();
    tracing::info_span!("lookup", table = "users")
        .in_scope(|| std::thread::park_timeout(Duration::from_millis(2)));
    tracing::info_span!("render").in_scope(|| {
        // What is called from here is told where it belongs.
        let traceparent = current().map(|context| context.traceparent().to_string());
        println!("calls on with traceparent {}", traceparent.unwrap_or_default());
    });
}
