//! What each path answers, in which form.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flate2::read::GzDecoder;
use nkudo_exporter::{ExporterError, Limits, bind};
use nkudo_metrics_core::{Collector, Desc, Format, Registry, SampleSink};

use crate::server::Server;

fn registry() -> Registry {
    let registry = Registry::new();
    registry.counter(&Desc::counter("jobs_total", "Jobs.")).inc();
    registry.gauge(&Desc::gauge("load", "Load.")).set(0.5);
    registry
}

#[tokio::test]
async fn metrics_come_in_the_form_that_was_asked_for() {
    let registry = registry();
    let server = Server::start(registry.clone(), Limits::default()).await;
    let check = async |headers: &[&str], format: Format, gzip: bool| {
        let answer = server.ask("GET", "/metrics", headers).await;
        assert_eq!(answer.status, 200, "{headers:?}");
        assert_eq!(answer.header("content-type"), Some(format.content_type()), "{headers:?}");
        assert_eq!(answer.header("content-encoding"), gzip.then_some("gzip"), "{headers:?}");
        assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
        let mut body = answer.body;
        if gzip {
            let mut plain = Vec::new();
            GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let mut expected = Vec::new();
        registry.encode(format, &mut expected);
        assert_eq!(String::from_utf8(body), String::from_utf8(expected), "{headers:?}");
    };
    let open = "accept: application/openmetrics-text; version=1.0.0";
    check(&[], Format::Text004, false).await;
    check(&["accept: */*"], Format::Text004, false).await;
    check(&["accept-encoding: gzip"], Format::Text004, true).await;
    check(&[open], Format::OpenMetrics100, false).await;
    check(&[open, "accept-encoding: br;q=1.0, gzip;q=0.8"], Format::OpenMetrics100, true).await;
    check(&["accept: text/plain", open, "accept-encoding: gzip;q=0"], Format::OpenMetrics100, false).await;
}

#[tokio::test]
async fn probes_answer_what_they_are_told() {
    let server = Server::start(registry(), Limits::default()).await;
    let check = async |path: &str, status: u16, body: &str| {
        let answer = server.ask("GET", path, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    };
    check("/healthz", 200, "healthy\n").await;
    check("/readyz", 503, "not ready\n").await;
    server.ready.store(true, Ordering::Relaxed);
    check("/readyz?verbose=1", 200, "ready\n").await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_with_a_hint() {
    let server = Server::start(registry(), Limits::default()).await;
    let check = async |method: &str, path: &str, status: u16, hint: &str| {
        let answer = server.ask(method, path, &["content-length: 0"]).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, hint), "{method} {path}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("get, head"), "{method} {path}");
    };
    let (paths, methods) = ("there are /metrics, /healthz and /readyz\n", "use GET or HEAD\n");
    for path in ["/", "/metrics/", "/Metrics", "/v1/metrics"] {
        check("GET", path, 404, paths).await;
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        check(method, "/metrics", 405, methods).await;
        check(method, "/healthz", 405, methods).await;
    }
    check("POST", "/nothing", 404, paths).await;
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let server = Server::start(registry(), Limits::default()).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        let (get, head) = (server.ask("GET", path, &[]).await, server.ask("HEAD", path, &[]).await);
        assert_eq!(head.body, b"", "{path}");
        let dateless = |head: &[String]| -> Vec<String> {
            head.iter().filter(|line| !line.starts_with("date: ")).cloned().collect()
        };
        assert_eq!(dateless(&head.head), dateless(&get.head), "{path}");
        assert_eq!(get.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
}

struct Faulty;

impl Collector for Faulty {
    fn collect(&self, _sink: &mut SampleSink<'_>) {
        panic!("a collector's fault, on purpose");
    }
}

#[tokio::test]
async fn a_collector_that_panics_is_named_and_the_rest_is_there() {
    let registry = registry();
    registry.collector(vec![Desc::gauge("faulty", "Never read.")], Arc::new(Faulty));
    registry.register_own("");
    let server = Server::start(registry, Limits::default()).await;
    for scrape in 1..=2 {
        let answer = server.ask("GET", "/metrics", &[]).await;
        let named =
            format!("metrics_collector_failures_total{{collector=\"faulty\",cause=\"panic\"}} {scrape}.0");
        assert_eq!(answer.status, 200);
        assert!(answer.text().lines().any(|line| line == named), "{}", answer.text());
        assert_eq!(server.ask("GET", "/healthz", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named_with_the_remedy() {
    let first = bind(([127, 0, 0, 1], 0).into(), "metrics-addr").await.unwrap();
    let addr = first.local_addr();
    let refused = bind(addr, "metrics-addr").await.unwrap_err();
    assert!(matches!(refused, ExporterError::InUse { .. }));
    let sentence = format!("address {addr} is already in use: choose another with --metrics-addr");
    assert_eq!(refused.to_string(), sentence);
    // 192.0.2.0/24 is for documentation.
    let refused = bind(([192, 0, 2, 1], 9_090).into(), "metrics-addr").await.unwrap_err();
    let sentence = "address 192.0.2.1:9090 is not one of this host: choose another with --metrics-addr";
    assert_eq!(refused.to_string(), sentence);
}
