//! The control plane's end: TLS and HTTP/2 as it serves them, and a session that sends what the books have.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nkudo_fleet::{Dispatch, Fetch};
use nkudo_rpc::message::{
    ActionResult, Answer, Delivery, Enrol, Enrolled, FromAgent, Heartbeat, HeartbeatAnswer, NewCertificate,
    ServerHello, ToAgent,
};
use nkudo_rpc::{AgentCalls, Caller, FromAgentStream, RpcError, RpcErrorKind, ToAgentStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt as _;
use turmoil::net::{TcpListener, TcpStream};

use super::books::Books;

pub(super) const PORT: u16 = 8443;
/// How often the books are asked for what is new.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// As the real server finds out that a connection is dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves agents until the program is killed.
pub(super) async fn serve(
    books: Arc<Mutex<Books>>,
    tls: Arc<rustls::ServerConfig>,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let router = nkudo_rpc::router(Arc::new(Calls { books, sessions: Mutex::default() }));
    let mut connections = JoinSet::new();
    loop {
        let (stream, remote) = listener.accept().await?;
        connections.spawn(connection(stream, remote, TlsAcceptor::from(Arc::clone(&tls)), router.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, until it breaks.
async fn connection(stream: TcpStream, remote: SocketAddr, acceptor: TlsAcceptor, router: axum::Router) {
    let shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = shaken else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = certificate.and_then(|certificate| nkudo_pki::peer(certificate).ok());
    let caller = Caller { remote, peer, traceparent: None };
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(caller.clone());
        router.clone().oneshot(request)
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    // How it ended is the network's business.
    drop(served.await);
}

/// What is answered; each link has a task of its own, which ends with the program.
struct Calls {
    books: Arc<Mutex<Books>>,
    sessions: Mutex<JoinSet<()>>,
}

fn not_here<T>() -> Result<T, RpcError> {
    Err(RpcError::new(RpcErrorKind::Unavailable, "not in this world".to_owned()))
}

#[async_trait]
impl AgentCalls for Calls {
    async fn enrol(&self, _: Caller, _: Enrol) -> Result<Enrolled, RpcError> {
        not_here()
    }

    async fn renew(&self, _: Caller, _: String) -> Result<NewCertificate, RpcError> {
        not_here()
    }

    async fn unenrol(&self, _: Caller) -> Result<(), RpcError> {
        not_here()
    }

    async fn heartbeat(&self, _: Caller, _: Heartbeat) -> Result<HeartbeatAnswer, RpcError> {
        not_here()
    }

    async fn link(&self, caller: Caller, messages: FromAgentStream) -> Result<ToAgentStream, RpcError> {
        if caller.peer.is_none() {
            return Err(RpcError::new(RpcErrorKind::Unauthenticated, "no certificate was shown".to_owned()));
        }
        self.books.lock().unwrap().links += 1;
        let (sender, queue) = mpsc::channel(16);
        self.sessions.lock().unwrap().spawn(session(Arc::clone(&self.books), messages, sender));
        Ok(Box::pin(ReceiverStream::new(queue)))
    }
}

/// One link: says hello, sends what is open, and records what comes back before it acknowledges it.
async fn session(
    books: Arc<Mutex<Books>>,
    mut messages: FromAgentStream,
    sender: mpsc::Sender<Result<ToAgent, RpcError>>,
) {
    let hello = ServerHello {
        version: "test".to_owned(),
        server_time_ms: 0,
        heartbeat_interval: Duration::from_secs(15),
        results_recorded: None,
    };
    let mut dispatch = Dispatch::opened();
    let mut outgoing = vec![ToAgent::Hello(hello)];
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    loop {
        for message in outgoing.drain(..) {
            if sender.send(Ok(message)).await.is_err() {
                return;
            }
        }
        // In this order, as chance of its own would make each run another. All are cancel safe.
        tokio::select! {
            biased;
            message = messages.next() => match message {
                Some(Ok(Ok(FromAgent::Received { action_id, answer }))) => {
                    assert_eq!(answer, Answer::Accepted, "{action_id}");
                    dispatch.answered(&action_id);
                }
                Some(Ok(Ok(FromAgent::Result(result)))) => {
                    let ActionResult { seq, action_id, .. } = *result;
                    let seq = books.lock().unwrap().record(seq, &action_id);
                    outgoing.push(ToAgent::Acknowledge { seq });
                }
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(_)) | Err(_)) | None => return,
            },
            _ = look.tick() => {
                dispatch.wake();
                while let Some(Fetch::After { ordinal, limit }) = dispatch.fetch(0) {
                    let open = books.lock().unwrap().open_after(ordinal, limit);
                    if open.len() < limit {
                        dispatch.drained();
                    }
                    for (ordinal, action) in open {
                        dispatch.sent(ordinal, action.action_id.clone());
                        outgoing.push(ToAgent::Deliver(Box::new(Delivery {
                            action_id: action.action_id.clone(),
                            action: Ok(action),
                            expires_at_ms: i64::MAX,
                            cancel: false,
                            // No host loses its records in this world.
                            taken_in: false,
                        })));
                    }
                }
            }
        }
    }
}
