//! Spans with two attributes and a parent, by everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::apart::Round;
use crate::harness::Whose;

/// Spans that a thread makes in a round.
const MADE: u64 = 1_000_000;
/// Spans in one trace: each so many have a parent of their own.
const IN_TRACE: u64 = 100;

pub(crate) const REGISTRY: Whose = Whose::Peer("tracing + registry");
pub(crate) const FASTRACE: Whose = Whose::Peer("fastrace");
pub(crate) const BRIDGE: Whose = Whose::Peer("tracing-opentelemetry");
pub(crate) const SDK: Whose = Whose::Peer("opentelemetry_sdk");

/// Has so many threads make spans at once. Gives the nanoseconds of each.
fn spin(threads: usize, trace: impl Fn(u64) + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(threads);
    let one = || {
        // What a thread makes on its first is not measured.
        trace(0);
        barrier.wait();
        let began = Instant::now();
        for number in 1..=MADE / IN_TRACE {
            trace(number);
        }
        began.elapsed().as_nanos() as f64 / MADE as f64
    };
    let each: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    each.iter().sum::<f64>() / each.len() as f64
}

/// Spans that so many threads make.
fn made(threads: usize) -> u64 {
    (MADE + IN_TRACE) * threads as u64
}

/// A trace through the facade.
fn facade(number: u64) {
    let parent = tracing::info_span!("parent", number);
    let _inside = parent.enter();
    for size in 0..IN_TRACE - 1 {
        let span = tracing::info_span!("work", size, route = "/v1/agents");
        let _inside = span.enter();
    }
}

pub(crate) fn run(who: &str, threads: usize) -> Option<Round> {
    let made = made(threads);
    let round = match who {
        "ours" => ours(threads),
        "limit" => limit(threads),
        "tracing + registry" => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("is set once");
            // Nobody takes the spans: they are opened and closed, and that is all.
            Round { ns: spin(threads, facade), made, delivered: 0, counted: made }
        }
        "fastrace" => fastrace(threads),
        "tracing-opentelemetry" => {
            let (provider, delivered) = provider();
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("peers"));
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::set_global_default(subscriber).expect("is set once");
            let ns = spin(threads, facade);
            Round { ns, made, delivered: delivered.load(Ordering::Relaxed), counted: 0 }
        }
        "opentelemetry_sdk" => sdk(threads),
        _ => return None,
    };
    Some(round)
}

fn ours(threads: usize) -> Round {
    let (subscriber, drain) = nkudo_spans::spans(&nkudo_spans::SpansOptions::default(), ());
    let (handle, mut drain) = (subscriber.handle(), drain.expect("finished spans are asked for"));
    tracing::subscriber::set_global_default(subscriber).expect("is set once");
    let done = Arc::new(AtomicBool::new(false));
    let drainer = std::thread::spawn({
        let done = done.clone();
        move || {
            let (mut delivered, mut sum) = (0, 0);
            loop {
                // In this order: what ended before the end is drained after it.
                let is_done = done.load(Ordering::Acquire);
                delivered += drain.pass(|span| sum += span.duration_ns());
                if is_done {
                    std::hint::black_box(sum);
                    return delivered as u64;
                }
                drain.doze(Duration::from_millis(1), || true);
            }
        }
    });
    let ns = spin(threads, facade);
    done.store(true, Ordering::Release);
    handle.wake_drain();
    let delivered = drainer.join().expect("the drain does not panic");
    Round { ns, made: made(threads), delivered, counted: handle.dropped() }
}

/// Two readings of the counter and a record of 64 bytes in a ring that nobody reads.
fn limit(threads: usize) -> Round {
    const RECORDS: usize = 1_024;
    let ns = spin(threads, |number| {
        thread_local! {
            static RING: (Vec<AtomicU64>, std::cell::Cell<usize>) =
                ((0..RECORDS * 8).map(|_| AtomicU64::new(0)).collect(), std::cell::Cell::new(0));
        }
        RING.with(|(ring, at)| {
            for size in 0..IN_TRACE {
                // SAFETY: reads a register.
                let began = unsafe { core::arch::x86_64::_rdtsc() };
                let record =
                    ring[at.get() * 8..].first_chunk::<8>().expect("the ring has eight words for each");
                for (place, word) in record.iter().zip([number, size, began, 4, 5, 6, 7]) {
                    place.store(word, Ordering::Relaxed);
                }
                // SAFETY: reads a register.
                let ended = unsafe { core::arch::x86_64::_rdtsc() };
                record[7].store(ended - began, Ordering::Release);
                at.set((at.get() + 1) % RECORDS);
            }
        });
    });
    Round { ns, made: made(threads), delivered: 0, counted: made(threads) }
}

fn fastrace(threads: usize) -> Round {
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU64>);
    impl fastrace::collector::Reporter for Count {
        fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
            self.0.fetch_add(spans.len() as u64, Ordering::Relaxed);
        }
    }
    let count = Count::default();
    fastrace::set_reporter(count.clone(), fastrace::collector::Config::default());
    let ns = spin(threads, |number| {
        use fastrace::prelude::{LocalSpan, Span, SpanContext};
        let parent =
            Span::root("parent", SpanContext::random()).with_property(|| ("number", number.to_string()));
        let _inside = parent.set_local_parent();
        for size in 0..IN_TRACE - 1 {
            let _span = LocalSpan::enter_with_local_parent("work")
                .with_properties(|| [("size", size.to_string()), ("route", "/v1/agents".to_owned())]);
        }
    });
    fastrace::flush();
    Round { ns, made: made(threads), delivered: count.0.load(Ordering::Relaxed), counted: 0 }
}

/// Counts spans and lets them go.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicU64>);

impl SpanProcessor for Count {
    fn on_start(&self, _span: &mut Span, _context: &opentelemetry::Context) {}

    fn on_end(&self, _span: SpanData) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn provider() -> (SdkTracerProvider, Arc<AtomicU64>) {
    let count = Count::default();
    (SdkTracerProvider::builder().with_span_processor(count.clone()).build(), count.0)
}

fn sdk(threads: usize) -> Round {
    use opentelemetry::trace::TraceContextExt as _;
    use opentelemetry::{Context, KeyValue};
    let (provider, delivered) = provider();
    let tracer = provider.tracer("peers");
    let ns = spin(threads, |number| {
        let mut parent = tracer.start("parent");
        parent.set_attribute(KeyValue::new("number", number as i64));
        let parent = Context::current_with_span(parent);
        let _inside = parent.attach();
        for size in 0..IN_TRACE - 1 {
            let mut span = tracer.start("work");
            span.set_attribute(KeyValue::new("size", size as i64));
            span.set_attribute(KeyValue::new("route", "/v1/agents"));
            let _inside = Context::current_with_span(span).attach();
        }
    });
    Round { ns, made: made(threads), delivered: delivered.load(Ordering::Relaxed), counted: 0 }
}
