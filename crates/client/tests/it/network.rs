//! The client against servers on the network, with and without TLS.

use std::time::Duration;

use nkudo_client::{Client, ClientError, TlsFault};
use nkudo_pki::{Authority, server_config};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::answer;

const TOKEN: &str = "nkk1.key.secret.sum";
const DAY: Duration = Duration::from_secs(86_400);

fn token() -> SecretString {
    SecretString::from(TOKEN)
}

/// Answers one request, and gives its head to the test.
async fn answer_one(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    told: oneshot::Sender<String>,
    answer: &[u8],
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer).await.unwrap();
    stream.flush().await.unwrap();
    drop(told.send(String::from_utf8(head).unwrap()));
}

/// A server of one request: its port, the head of what was asked, and what must live as long as it.
async fn serving(answer: Vec<u8>) -> (u16, oneshot::Receiver<String>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, head) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { answer_one(listener.accept().await.unwrap().0, told, &answer).await });
    (port, head, tasks)
}

/// A server that speaks TLS, with a certificate for these names that was good from `began_ago` for a day.
struct Secure {
    ca_pem: String,
    port: u16,
    head: oneshot::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Secure {
    async fn new(names: &[&str], began_ago: Duration) -> Self {
        let now_ms = nkudo_host::clock::wall_ms();
        let began_ms = now_ms - i64::try_from(began_ago.as_millis()).unwrap();
        let (authority, _) = Authority::create(now_ms - 1_000 * 86_400 * 7).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (issued, key) = authority.sign_server(&names, DAY, began_ms).unwrap();
        let ca_pem = authority.certificate_pem().to_owned();
        let chain = format!("{}{ca_pem}", issued.certificate_pem);
        let acceptor = TlsAcceptor::from(server_config(&ca_pem, &chain, &key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, head) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let stream = listener.accept().await.unwrap().0;
            // Where the client does not like the certificate, its error is what counts.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer_one(&mut stream, told, &answer(200, "7")).await;
                drop(stream.shutdown().await);
            }
        });
        Self { ca_pem, port, head, _tasks: tasks }
    }

    async fn ask(&self, host: &str, ca_pem: &str) -> Result<u8, ClientError> {
        Client::https(&format!("https://{host}:{}", self.port), ca_pem, Some(&token()))?
            .get("/v1/health")
            .await
    }
}

#[tokio::test]
async fn a_token_goes_along_and_is_never_shown() {
    let (port, head, _tasks) = serving(answer(200, "7")).await;
    let client = Client::http(&format!("http://127.0.0.1:{port}"), Some(&token())).unwrap();
    assert_eq!(client.get::<u8>("/v1/vms?limit=1").await.unwrap(), 7);
    let head = head.await.unwrap();
    assert!(head.starts_with("GET /v1/vms?limit=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{head}");
    let error = client.get::<u8>("/v1/vms").await.unwrap_err();
    assert!(!format!("{client:?} {error:?} {error}").contains(TOKEN));
    let wrong = Client::http("http://h", Some(&SecretString::from("a\nb"))).unwrap_err();
    assert!(matches!(wrong, ClientError::Token), "{wrong:?}");
}

#[tokio::test]
async fn a_deletion_is_answered_without_a_body() {
    let (port, head, _tasks) = serving(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    Client::http(&format!("http://127.0.0.1:{port}"), None).unwrap().delete("/v1/keys/k").await.unwrap();
    let head = head.await.unwrap();
    assert!(head.starts_with("DELETE /v1/keys/k ") && !head.contains("authorization"), "{head}");

    let (port, _head, _tasks) = serving(answer(404, "")).await;
    let client = Client::http(&format!("http://127.0.0.1:{port}"), None).unwrap();
    assert!(matches!(client.delete("/v1/keys/k").await, Err(ClientError::Status { status: 404 })));
}

#[tokio::test]
async fn there_is_no_connection_for_a_reason() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let error = Client::http(&url, None).unwrap().get::<u8>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&url), "{error}");

    let error =
        Client::http("http://no-such-host.invalid:1", None).unwrap().get::<u8>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Name { .. }), "{error:?}");
    assert!(error.to_string().starts_with("http://no-such-host.invalid:1: the name"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_silent_is_waited_for_until_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::http(&url, None).unwrap().with_deadline(Duration::from_millis(50));
    let error = client.get::<u8>("/").await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url} did not answer within 50ms"));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_about_is_given_up_after_ten_seconds() {
    let (authority, _) = Authority::create(nkudo_host::clock::wall_ms()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let client = Client::https(&url, authority.certificate_pem(), None).unwrap();
    let error = client.get::<u8>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::ConnectTimeout { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("no connection to {url} within 10s")), "{error}");
}

#[tokio::test]
async fn tls_brings_the_token_to_the_server_that_was_meant() {
    let server = Secure::new(&["localhost", "127.0.0.1"], Duration::ZERO).await;
    assert_eq!(server.ask("127.0.0.1", &server.ca_pem).await.unwrap(), 7);
    let head = server.head.await.unwrap();
    assert!(head.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{head}");
}

/// What is wrong with a certificate, as the error tells it.
async fn fault(names: &[&str], began_ago: Duration, other_authority: bool) -> TlsFault {
    let mut server = Secure::new(names, began_ago).await;
    let other = Authority::create(nkudo_host::clock::wall_ms()).unwrap().0;
    let ca_pem = if other_authority { other.certificate_pem().to_owned() } else { server.ca_pem.clone() };
    let error = server.ask("127.0.0.1", &ca_pem).await.unwrap_err();
    assert!(server.head.try_recv().is_err(), "nothing is asked of a server that is not trusted");
    let sentence = error.to_string();
    let ClientError::Tls { fault, .. } = error else { panic!("{error:?}") };
    assert!(sentence.contains(&format!("https://127.0.0.1:{}", server.port)), "{sentence}");
    assert!(sentence.contains(&fault.to_string()), "{sentence}");
    fault
}

#[tokio::test]
async fn a_certificate_that_is_not_right_is_told_by_what_is_wrong_with_it() {
    let name = ["127.0.0.1"];
    assert_eq!(fault(&name, Duration::ZERO, true).await, TlsFault::UnknownAuthority);
    assert!(matches!(fault(&name, DAY * 3, false).await, TlsFault::Expired { .. }));
    assert!(matches!(fault(&["cp.example.com"], Duration::ZERO, false).await, TlsFault::WrongName { .. }));
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    let (authority, _) = Authority::create(nkudo_host::clock::wall_ms()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
        drop(stream.write_all(&answer(400, "")).await);
    });
    let client =
        Client::https(&format!("https://127.0.0.1:{port}"), authority.certificate_pem(), None).unwrap();
    let error = client.get::<u8>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { fault: TlsFault::NotTls, .. }), "{error:?}");
}

#[test]
fn what_is_no_authority_is_refused() {
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let refused = Client::https("https://h", pem, None);
        assert!(matches!(refused, Err(ClientError::Authority { .. })), "{refused:?}");
    }
    assert!(matches!(Client::https("http://h", "", None), Err(ClientError::Uri { .. })));
}
