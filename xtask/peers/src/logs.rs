//! Lines of JSON with three fields, by everybody, to a file in memory that is this process's standard error.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::apart::Round;
use crate::harness::Whose;

/// Lines that a thread makes in a round.
const MADE: u64 = 500_000;
/// Lines that are timed together.
const CHUNK: u64 = 100;

pub(crate) const TRACING: Whose = Whose::Peer("tracing JSON, non-blocking");
pub(crate) const SPDLOG: Whose = Whose::Peer("spdlog-rs");
pub(crate) const SLOG: Whose = Whose::Peer("slog");

/// Has so many threads make lines, all together so many a second. Gives the
/// nanoseconds that a line took its caller, the median of all hundreds of lines.
fn spin(threads: usize, rate: Option<f64>, line: impl Fn(u64) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = || {
        // What a thread makes on its first is not measured.
        line(0);
        barrier.wait();
        let began = Instant::now();
        let mut took = Vec::with_capacity(1 << 13);
        for chunk in 0..MADE / CHUNK {
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64((chunk * CHUNK) as f64 * threads as f64 / rate);
                while began.elapsed() < due {
                    std::hint::spin_loop();
                }
            }
            let from = Instant::now();
            (0..CHUNK).for_each(|number| line(chunk * CHUNK + number));
            took.push(from.elapsed());
        }
        // What wakes the thread that writes is paid by few of them.
        took.sort_unstable();
        took[took.len() / 2].as_nanos() as f64 / CHUNK as f64
    };
    let each: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    each.iter().sum::<f64>() / each.len() as f64
}

/// What the work is called: so many millions of lines a second, or as many as there can be; inside a span or not.
fn parse(work: &str) -> Option<(Option<f64>, bool)> {
    let (rate, inside) = match work.strip_suffix(" inside") {
        Some(rate) => (rate, true),
        None => (work, false),
    };
    match rate.strip_prefix("line ")? {
        "flat out" => Some((None, inside)),
        millions => Some((Some(millions.parse::<f64>().ok()? * 1e6), inside)),
    }
}

pub(crate) fn run(work: &str, who: &str, threads: usize) -> Option<Round> {
    let (rate, inside) = parse(work)?;
    let made = (MADE + 1) * threads as u64;
    let facade = |number| tracing::info!(size = number, route = "/v1/agents", ok = true, "request done");
    // Threads have no span but their own.
    let line = |number| {
        if inside {
            INSIDE.with(|_| facade(number));
        } else {
            facade(number);
        }
    };
    thread_local! {
        static INSIDE: tracing::span::EnteredSpan = tracing::info_span!("request", id = 7).entered();
    }
    let (ns, counted) = match who {
        "ours" => {
            let config =
                nkudo_logging::LogConfig { format: nkudo_logging::LogFormat::Json, ..Default::default() };
            let handle = nkudo_logging::init(&config).expect("is set once");
            let ns = spin(threads, rate, line);
            assert!(nkudo_logging::flush(Duration::from_secs(10)), "the lines are written");
            (ns, handle.dropped())
        }
        "limit" => (spin(threads, rate, limit), made),
        "tracing JSON, non-blocking" => {
            use tracing_subscriber::layer::SubscriberExt as _;
            let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
            let dropped = writer.error_counter();
            let layer = tracing_subscriber::fmt::layer().json().with_writer(writer);
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
                .expect("is set once");
            let ns = spin(threads, rate, line);
            drop(guard);
            (ns, dropped.dropped_lines() as u64)
        }
        "spdlog-rs" if !inside => (spdlog(threads, rate), 0),
        "slog" if !inside => (slog(threads, rate), 0),
        _ => return None,
    };
    let delivered = match who {
        "limit" => 0,
        _ => lines_in_stderr(),
    };
    Some(Round { ns, made, delivered, counted })
}

/// Lines that came to the file.
fn lines_in_stderr() -> u64 {
    let text = std::fs::read("/proc/self/fd/2").expect("standard error is a file");
    text.split(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"}") && line.windows(12).any(|at| at == b"request done"))
        .count() as u64
}

/// The JSON put together by hand in a buffer of the thread.
fn limit(number: u64) {
    use std::io::Write as _;
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (now.as_secs() % 60, now.subsec_millis());
        buffer.extend_from_slice(b"{\"timestamp\":\"2026-01-31T10:00:");
        let digits = [seconds / 10, seconds % 10, u64::from(millis / 100), u64::from(millis / 10 % 10), u64::from(millis % 10)];
        let [a, b, c, d, e] = digits.map(|digit| b'0' + digit as u8);
        buffer.extend_from_slice(&[a, b, b'.', c, d, e]);
        buffer.extend_from_slice(b"Z\",\"level\":\"info\",\"component\":\"peers\",\"message\":\"request done\",\"fields\":{\"size\":");
        let _always = write!(buffer, "{number}");
        buffer.extend_from_slice(b",\"route\":\"/v1/agents\",\"ok\":true}}\n");
        std::hint::black_box(&buffer[..]);
    });
}

fn spdlog(threads: usize, rate: Option<f64>) -> f64 {
    use spdlog::formatter::JsonFormatter;
    use spdlog::sink::{AsyncPoolSink, Sink as _, StdStreamSink};
    use std::sync::Arc;
    let stderr = StdStreamSink::builder().stderr().formatter(JsonFormatter::new()).build().expect("a sink");
    let pool = spdlog::ThreadPool::builder().build().expect("a pool");
    let sink = AsyncPoolSink::builder()
        .sink(Arc::new(stderr))
        .thread_pool(Arc::new(pool))
        .overflow_policy(spdlog::sink::OverflowPolicy::DropIncoming)
        .build()
        .expect("a sink");
    let sink = Arc::new(sink);
    let logger = spdlog::Logger::builder().sink(sink.clone()).build().expect("a logger");
    let ns = spin(threads, rate, |number| {
        spdlog::info!(logger: logger, "request done", kv: { size = number, route = "/v1/agents", ok = true });
    });
    logger.flush();
    sink.flush_on_exit().expect("standard error takes what is written");
    ns
}

fn slog(threads: usize, rate: Option<f64>) -> f64 {
    use slog::Drain as _;
    let json = slog_json::Json::default(std::io::stderr()).fuse();
    let (drain, guard) =
        slog_async::Async::new(json).overflow_strategy(slog_async::OverflowStrategy::Drop).build_with_guard();
    let logger = slog::Logger::root(drain.fuse(), slog::o!());
    let ns = spin(threads, rate, |number| {
        slog::info!(logger, "request done"; "size" => number, "route" => "/v1/agents", "ok" => true);
    });
    drop(logger);
    drop(guard);
    ns
}
