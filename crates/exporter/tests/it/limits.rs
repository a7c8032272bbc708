//! Clients that are slow, silent, greedy or many.

use std::net::SocketAddr;
use std::time::Duration;

use nkudo_exporter::Limits;
use nkudo_metrics_core::{Desc, Registry, label_set};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::{Answer, Server};

label_set! {
    struct Long { name: String }
}

/// One connection at a time: that the next is served shows that the one before has ended.
fn one_at_a_time(request_timeout: Duration) -> Limits {
    Limits { connections_max: 1, request_timeout }
}

async fn write(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn who_does_not_finish_a_request_is_cut_at_the_deadline() {
    let server = Server::start(Registry::new(), one_at_a_time(Duration::from_secs(1))).await;
    for begun in ["", "G", "GET /metrics HTTP/1.1\r\nhost:", "GET /metrics HTTP/1.1\r\nhost: me\r\n"] {
        let mut stream = write(server.addr, begun.as_bytes()).await;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert!(!String::from_utf8_lossy(&said).contains(" 200 "), "{begun:?}");
        assert_eq!(server.ask("GET", "/healthz", &[]).await.status, 200, "after {begun:?}");
    }
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut_at_the_deadline() {
    let registry = Registry::new();
    let family = registry.gauge_family::<Long>(&Desc::gauge("long", "Long.").labels(&["name"]));
    for i in 0..8_000 {
        family.get(&Long { name: format!("{i}{}", "x".repeat(1_000)) });
    }
    let server = Server::start(registry, one_at_a_time(Duration::from_secs(2))).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = socket.connect(server.addr).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: me\r\n\r\n").await.unwrap();
    assert_eq!(server.ask("GET", "/healthz", &[]).await.status, 200, "the slow one has made room");
    let mut bytes = Vec::new();
    // The rest is lost: an end or a reset are as good.
    let _end = slow.read_to_end(&mut bytes).await;
    let answer = Answer::parse(&bytes);
    let whole: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < whole, "{} of {whole} bytes", answer.body.len());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(Registry::new(), Limits::default()).await;
    let long = format!("x-long: {}", "x".repeat(20_000));
    let many: Vec<String> = (0..65).map(|i| format!("x-{i}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for headers in [&[long.as_str()][..], &many] {
        assert_eq!(server.ask("GET", "/healthz", headers).await.status, 431, "{} lines", headers.len());
    }
    assert_eq!(server.ask("GET", "/healthz", &many[..60]).await.status, 200);
}

#[tokio::test]
async fn more_connections_than_the_limit_wait_for_their_turn() {
    let limits = Limits { connections_max: 2, request_timeout: Duration::from_secs(60) };
    let server = Server::start(Registry::new(), limits).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: me\r\n\r\n";
    let first = write(server.addr, b"G").await;
    let second = write(server.addr, b"G").await;
    let mut third = write(server.addr, request).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut byte)).await;
    assert!(early.is_err(), "the third is not served while two are open");
    drop(first);
    let mut said = Vec::new();
    third.read_to_end(&mut said).await.unwrap();
    assert_eq!(Answer::parse(&said).status, 200);
    drop(second);
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let server = Server::start(Registry::new(), Limits::default()).await;
    let twice = b"GET /healthz HTTP/1.1\r\nhost: me\r\n\r\n".repeat(2);
    let mut said = Vec::new();
    let mut stream = write(server.addr, &twice).await;
    let _end = stream.read_to_end(&mut said).await;
    assert_eq!(String::from_utf8_lossy(&said).matches("HTTP/1.1 ").count(), 1);
    assert_eq!(Answer::parse(&said).header("connection"), Some("close"));
}

#[tokio::test]
async fn the_end_waits_for_no_idle_connection_and_serving_can_go_on_after_it() {
    let server = Server::start(Registry::new(), Limits::default()).await;
    let addr = server.addr;
    let idle = TcpStream::connect(addr).await.unwrap();
    let begun = write(addr, b"GET /healthz HTTP/1.1\r\n").await;
    assert_eq!(server.ask("GET", "/healthz", &[]).await.status, 200);
    let bound = tokio::time::timeout(Duration::from_secs(5), server.stop()).await.expect("it ends in time");
    drop((idle, begun));
    let again = Server::of(bound, Registry::new());
    assert_eq!(again.addr, addr);
    assert_eq!(again.ask("GET", "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn two_hundred_scrapers_at_once_are_answered_beside_those_that_dawdle() {
    let registry = Registry::new();
    let family = registry.counter_family::<Long>(&Desc::counter("long_total", "Long.").labels(&["name"]));
    (0..1_000).for_each(|number| family.get(&Long { name: format!("{number:0>1000}") }).inc());
    let server = Server::start(registry, Limits::default()).await;
    // Each reads a byte and then no more, of a megabyte.
    let mut dawdling = Vec::new();
    for _ in 0..20 {
        let mut stream = write(server.addr, b"GET /metrics HTTP/1.1\r\nhost: me\r\n\r\n").await;
        stream.read_exact(&mut [0]).await.unwrap();
        dawdling.push(stream);
    }
    let mut scrapers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let addr = server.addr;
        scrapers.spawn(async move {
            let mut stream = write(addr, b"GET /metrics HTTP/1.1\r\nhost: me\r\n\r\n").await;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            Answer::parse(&bytes)
        });
    }
    while let Some(answer) = scrapers.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text().matches("long_total{").count(), 1_000, "each is whole");
    }
    drop(dawdling);
}
