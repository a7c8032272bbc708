//! A text that is kept between scrapes says the same as one that is written anew.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flate2::read::GzDecoder;
use nkudo_exporter::bind;
use nkudo_metrics_core::{Desc, Format, Registry, label_set};

use crate::server::Server;

label_set! {
    struct ByVm { vm: u32 }
}

const OPEN: &str = "accept: application/openmetrics-text; version=1.0.0";
const GZIP: &str = "accept-encoding: gzip";

async fn serve(registry: &Registry) -> Server {
    let bound = bind(([127, 0, 0, 1], 0).into(), "addr").await.unwrap();
    Server::of(bound.with_patched_text(), registry.clone())
}

/// Each line with one blank before its value.
fn without_blanks(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((head, value)) if !line.starts_with('#') => format!("{} {value}\n", head.trim_end()),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn the_same_samples_come_either_way() {
    let registry = Registry::new();
    let seconds =
        registry.float_counter_family::<ByVm>(&Desc::counter("seconds_total", "S.").labels(&["vm"]));
    let jobs = registry.counter(&Desc::counter("jobs_total", "Jobs."));
    let server = serve(&registry).await;
    let check = async |what: &str, line: &str| {
        let mut written = Vec::new();
        registry.encode(Format::Text004, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains(line), "{what}: {written}");
        let kept = server.ask("GET", "/metrics", &[]).await;
        assert_eq!(kept.header("content-type"), Some(Format::Text004.content_type()));
        assert!(kept.text().contains("  "), "{what}: it is not the kept one");
        assert_eq!(without_blanks(&kept.text()), written, "{what}");
        let compressed = server.ask("GET", "/metrics", &[GZIP]).await;
        let mut text = String::new();
        GzDecoder::new(compressed.body.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(without_blanks(&text), written, "{what}, compressed");
        let mut written = Vec::new();
        registry.encode(Format::OpenMetrics100, &mut written);
        let open = server.ask("GET", "/metrics", &[OPEN]).await;
        assert_eq!(open.text(), String::from_utf8(written).unwrap(), "{what}, in OpenMetrics");
    };
    check("at the beginning", "\njobs_total 0\n").await;
    jobs.inc_by(7);
    check("after an update", "\njobs_total 7\n").await;
    (0..20).for_each(|vm| seconds.get(&ByVm { vm }).inc_by(f64::from(vm) * 0.5));
    check("with new series", "\nseconds_total{vm=\"19\"} 9.5\n").await;
    seconds.get(&ByVm { vm: 19 }).inc_by(1e300);
    check("with a value that needs more room", "{vm=\"19\"} 1e300\n").await;
    seconds.remove(&ByVm { vm: 3 });
    check("with a series less", "{vm=\"4\"} 2.0\n").await;
    seconds.get(&ByVm { vm: 3 }).inc_by(0.25);
    check("with a series that came back", "{vm=\"3\"} 0.25\n").await;
    registry.gauge(&Desc::gauge("alpha", "First.")).set(-1.5);
    check("with a family that came later", "\nalpha -1.5\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_at_the_same_time_are_each_whole() {
    let registry = Registry::new();
    let jobs = registry.counter_family::<ByVm>(&Desc::counter("jobs_total", "Jobs.").labels(&["vm"]));
    (0..500).for_each(|vm| jobs.get(&ByVm { vm }).inc());
    let server = serve(&registry).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::Relaxed) {
                (0..500).for_each(|vm| jobs.get(&ByVm { vm }).inc());
            }
        }
    });
    let mut before = 0;
    for _ in 0..20 {
        let mut lowest = u64::MAX;
        for text in four_at_once(&server).await {
            let text = without_blanks(&text);
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok());
            let values: Vec<u64> = samples.map(|line| value(line).unwrap()).collect();
            assert_eq!(values.len(), 500, "{text}");
            lowest = values.into_iter().fold(lowest, u64::min);
        }
        assert!(lowest >= before, "no value goes back from {before} to {lowest}");
        before = lowest;
    }
    done.store(true, Ordering::Relaxed);
    writing.join().unwrap();
}

/// Four scrapes at once.
async fn four_at_once(server: &Server) -> [String; 4] {
    let ask = async || server.ask("GET", "/metrics", &[]).await.text();
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    [a, b, c, d]
}
