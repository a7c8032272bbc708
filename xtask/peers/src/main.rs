//! Measures the project's toolkit crates beside the libraries that others use for the same work, and beside a floor
//! written by hand, all in one run.

mod apart;
mod harness;
mod limit;
mod memory;
mod ours;
mod peers {
    //! One file for each library.
    pub(crate) mod measured;
    pub(crate) mod metrics;
    pub(crate) mod opentelemetry;
    pub(crate) mod prometheus;
    pub(crate) mod prometheus_client;
}
mod logs;
mod row;
mod spans;

use std::process::ExitCode;

use harness::{Row, measure};
use peers::{measured, metrics, opentelemetry, prometheus, prometheus_client};

/// Rounds of which the median counts, when nobody says otherwise.
const ROUNDS: usize = 7;
/// Times as many for what differs much from one round to the next.
const ERRATIC: usize = 3;

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in [1, 2] {
        let of = |work: &str| {
            let plural = if threads == 1 { "" } else { "s" };
            format!("{work}, {threads} thread{plural}")
        };
        let counters = vec![
            ours::hot_counter(threads),
            limit::counter(threads),
            prometheus_client::counter(threads),
            prometheus::counter(threads),
            measured::counter(threads),
            metrics::counter(threads),
            opentelemetry::counter(threads),
        ];
        rows.push(Row::new(of("counter"), "ns", counters));
        let shared = vec![
            ours::counter(threads),
            limit::shared_counter(threads),
            prometheus_client::counter(threads),
            prometheus::counter(threads),
            measured::counter(threads),
        ];
        rows.push(Row::new(of("counter that threads share"), "ns", shared));
        let labelled = vec![ours::closed_labels(threads), limit::labels(threads), measured::labels(threads)];
        rows.push(Row::new(of("counter by two enums, 16 series"), "ns", labelled));
        let labelled = vec![
            ours::string_labels(threads),
            prometheus_client::labels(threads),
            prometheus::labels(threads),
            metrics::labels(threads),
            opentelemetry::labels(threads),
        ];
        rows.push(Row::new(of("counter by two strings, 16 series"), "ns", labelled));
        let histograms = vec![
            ours::hot_histogram(threads),
            limit::histogram(threads),
            prometheus_client::histogram(threads),
            prometheus::histogram(threads),
            measured::histogram(threads),
            metrics::histogram(threads),
            opentelemetry::histogram(threads),
        ];
        rows.push(Row::new(of("histogram, 12 buckets"), "ns", histograms));
    }
    let others = || {
        vec![
            limit::scrape(),
            prometheus_client::scrape(),
            prometheus::scrape(),
            measured::scrape(),
            metrics::scrape(),
            opentelemetry::scrape(),
        ]
    };
    let scrapes = std::iter::once(ours::scrape()).chain(others()).collect();
    rows.push(Row::new("scrape of 100,000 series".to_owned(), "ms", scrapes));
    // Nobody else can keep a text: what it costs them is all of it.
    let scrapes = std::iter::once(ours::patched_scrape()).chain(others()).collect();
    rows.push(Row::new("scrape of 100,000 series, 1 % changed, patched".to_owned(), "ms", scrapes));
    let creations = vec![
        ours::creation(),
        limit::creation(),
        prometheus_client::creation(),
        prometheus::creation(),
        measured::creation(),
        metrics::creation(),
        opentelemetry::creation(),
    ];
    let creations = Row::new("a series made while others are scraped, p99.9".to_owned(), "µs", creations);
    rows.push(creations.rounds_by(ERRATIC));
    let memory = vec![
        ours::counter_memory(),
        prometheus_client::counter_memory(),
        prometheus::counter_memory(),
        measured::counter_memory(),
        metrics::counter_memory(),
        opentelemetry::counter_memory(),
    ];
    rows.push(Row::new("memory of a counter".to_owned(), "B", memory));
    rows.push(Row::new(
        "memory of a counter in a patched text".to_owned(),
        "B",
        vec![ours::patched_memory()],
    ));
    // What metrics keeps of a histogram until it is drained grows with each observation.
    let memory = vec![
        ours::histogram_memory(),
        prometheus_client::histogram_memory(),
        prometheus::histogram_memory(),
        measured::histogram_memory(),
        opentelemetry::histogram_memory(),
    ];
    rows.push(Row::new("memory of a histogram, 12 buckets".to_owned(), "B", memory));
    rows.extend(apart_rows());
    rows
}

/// Spans, in processes of their own.
fn apart_rows() -> Vec<Row> {
    use harness::Whose::{Limit, Ours};
    use spans::{BRIDGE, FASTRACE, REGISTRY, SDK};
    let mut rows = Vec::new();
    for (threads, of) in [(1, "1 thread"), (2, "2 threads")] {
        let subjects =
            [Ours, Limit, REGISTRY, FASTRACE, BRIDGE, SDK].map(|who| apart::time("span", who, threads));
        rows.push(Row::new(format!("span with 2 attributes and a parent, {of}"), "ns", subjects.into()));
    }
    for (threads, of) in [(1, "1 thread"), (2, "2 threads")] {
        let deliverers = [Ours, FASTRACE, BRIDGE, SDK];
        let lost = deliverers.map(|who| apart::lost("span", who, threads));
        rows.push(Row::new(format!("spans lost, {of}"), "%", lost.into()));
        let vanished = deliverers.map(|who| apart::vanished("span", who, threads));
        rows.push(Row::new(format!("spans lost and not counted, {of}"), "%", vanished.into()));
    }
    rows.extend(line_rows());
    rows
}

/// Log lines, in processes of their own.
fn line_rows() -> Vec<Row> {
    use harness::Whose::{Limit, Ours};
    use logs::{SLOG, SPDLOG, TRACING};
    let mut rows = Vec::new();
    for (work, of) in [("line flat out", "flat out"), ("line 1", "1 M a second"), ("line 3", "3 M a second")]
    {
        let subjects = [Ours, Limit, TRACING, SPDLOG, SLOG].map(|who| apart::time(work, who, 1));
        rows.push(Row::new(format!("log line of JSON, 3 fields, {of}"), "ns", subjects.into()));
    }
    let inside = [Ours, TRACING].map(|who| apart::time("line flat out inside", who, 1));
    rows.push(Row::new(
        "log line of JSON, 3 fields and the ids of its span, flat out".to_owned(),
        "ns",
        inside.into(),
    ));
    for (work, of) in [("line flat out", "flat out"), ("line 3", "3 M a second")] {
        let subjects = [Ours, TRACING, SPDLOG, SLOG].map(|who| apart::lost(work, who, 1));
        rows.push(Row::new(format!("log lines lost, {of}"), "%", subjects.into()));
        let subjects = [Ours, TRACING, SPDLOG, SLOG].map(|who| apart::vanished(work, who, 1));
        rows.push(Row::new(format!("log lines lost and not counted, {of}"), "%", subjects.into()));
    }
    rows
}

/// One round of work that has this process to itself.
fn apart_round(args: &[String]) -> Option<()> {
    let [work, who, threads] = args else { return None };
    let threads = threads.parse().ok()?;
    match work.as_str() {
        "span" => spans::run(who, threads)?.print(),
        line if line.starts_with("line ") => logs::run(line, who, threads)?.print(),
        _ => return None,
    }
    Some(())
}

fn main() -> ExitCode {
    let (mut json, mut filter, mut rounds) = (None, String::new(), ROUNDS);
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "--apart") {
        let done = apart_round(&args[1..]);
        return if done.is_some() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--json", Some(file)) => json = Some(file),
            ("--filter", Some(text)) => filter = text,
            ("--rounds", Some(count)) if count.parse().is_ok_and(|count: usize| count > 0) => {
                rounds = count.parse().unwrap_or(ROUNDS);
            }
            _ => {
                eprintln!("usage: nkudo-peers [--rounds N] [--filter TEXT] [--json FILE]");
                return ExitCode::from(2);
            }
        }
    }
    let rows: Vec<row::Figures> = rows()
        .into_iter()
        .filter(|row| row.name.contains(&filter))
        .map(|row| {
            let figures = measure(row, rounds);
            row::print(&figures);
            figures
        })
        .collect();
    if let Some(file) = json
        && let Err(error) = row::write(&rows, &file)
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
