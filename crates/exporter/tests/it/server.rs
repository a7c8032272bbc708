//! A server for one test, and a client that writes and reads plain bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nkudo_exporter::{Bound, Limits, ProbeAnswer, Probes, bind};
use nkudo_metrics_core::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ready: Arc<AtomicBool>,
    /// The serving task, which gives the address back when it ends.
    pub(crate) served: JoinSet<Bound>,
}

impl Server {
    pub(crate) async fn start(registry: Registry, limits: Limits) -> Self {
        Self::of(bind(([127, 0, 0, 1], 0).into(), "addr").await.unwrap().with_limits(limits), registry)
    }

    pub(crate) fn of(bound: Bound, registry: Registry) -> Self {
        let (addr, shutdown) = (bound.local_addr(), CancellationToken::new());
        let ready = Arc::new(AtomicBool::new(false));
        let (asked, until) = (Arc::clone(&ready), shutdown.clone());
        let probes = Probes {
            health: Arc::new(|| ProbeAnswer { ok: true, body: "healthy\n".to_owned() }),
            ready: Arc::new(move || {
                let ok = asked.load(Ordering::Relaxed);
                ProbeAnswer { ok, body: if ok { "ready\n" } else { "not ready\n" }.to_owned() }
            }),
        };
        let mut served = JoinSet::new();
        served.spawn(async move {
            bound.serve(registry, probes, until).await;
            bound
        });
        Self { addr, shutdown, ready, served }
    }

    /// Ends it as a service ends it.
    pub(crate) async fn stop(mut self) -> Bound {
        self.shutdown.cancel();
        self.served.join_next().await.unwrap().unwrap()
    }

    /// Asks with these header lines and reads to the end of the connection.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: me\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::parse(&bytes)
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the head, in lower case.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let (head, body) = (String::from_utf8_lossy(&bytes[..end]).to_lowercase(), bytes[end + 4..].to_vec());
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.lines().map(str::to_owned).collect(), body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
