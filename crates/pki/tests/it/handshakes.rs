//! Real handshakes, and what is told of those that fail.

use std::sync::Arc;
use std::time::Duration;

use nkudo_pki::{
    AgentIdentity, Authority, Fingerprint, PkiError, PrivateKey, TlsFault, agent_client, enrolling_client,
    peer, server_config, trusting_client,
};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{DAY, authority, identity};

fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A server of this authority for `cp.example`, with a certificate dated at `now_ms`.
fn server(authority: &Authority, lifetime: Duration, now_ms: i64) -> Arc<ServerConfig> {
    let names = ["cp.example".to_owned(), "127.0.0.1".to_owned()];
    let (issued, key) = authority.sign_server(&names, lifetime, now_ms).unwrap();
    let chain = format!("{}{}", issued.certificate_pem, authority.certificate_pem());
    server_config(authority.certificate_pem(), &chain, &key).unwrap()
}

/// An agent with a certificate of `issuer` that trusts `trusted`.
fn agent(issuer: &Authority, trusted: &Authority, lifetime: Duration, now_ms: i64) -> Arc<ClientConfig> {
    let key = PrivateKey::generate().unwrap();
    let issued = issuer.sign_agent(&key.request().unwrap(), &identity(), lifetime, now_ms).unwrap();
    agent_client(trusted.certificate_pem(), &issued.certificate_pem, &key).unwrap()
}

/// What the server sees of the client, or what the client is told.
async fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> Result<Option<AgentIdentity>, TlsFault> {
    let (near, far) = duplex(64 << 10);
    let serving = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await.ok()?;
        let (_, session) = stream.get_ref();
        let shown =
            session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| peer(leaf).unwrap());
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        Some(shown.map(|peer| peer.identity))
    };
    let asking = async {
        let mut stream = TlsConnector::from(client).connect(name.try_into().unwrap(), near).await?;
        // A refusal of the client's certificate comes after its handshake.
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.map(|_| ())
    };
    let (served, asked) = tokio::join!(serving, asking);
    asked
        .map_err(|error| TlsFault::from_io(&error).unwrap_or_else(|| panic!("{error} is no fault of TLS")))?;
    Ok(served.unwrap())
}

#[tokio::test]
async fn the_right_ends_find_each_other() {
    let authority = authority(now());
    let server = server(&authority, DAY, now());
    let agent = agent(&authority, &authority, DAY, now());
    assert_eq!(shake(Arc::clone(&server), agent, "cp.example").await, Ok(Some(identity())));
    let enrolling = enrolling_client(authority.fingerprint());
    assert_eq!(shake(Arc::clone(&server), enrolling, "127.0.0.1").await, Ok(None), "without a certificate");
    let operator = trusting_client(authority.certificate_pem()).unwrap();
    assert_eq!(shake(server, operator, "cp.example").await, Ok(None));
}

#[tokio::test]
async fn a_server_that_is_not_the_right_one_is_told_by_its_fact() {
    let (ours, other) = (authority(now()), authority(now()));
    let wrong = shake(server(&other, DAY, now()), enrolling_client(ours.fingerprint()), "cp.example").await;
    let expected = TlsFault::FingerprintMismatch { wanted: ours.fingerprint(), found: other.fingerprint() };
    assert_eq!(wrong, Err(expected));
    let client = agent(&ours, &ours, DAY, now());
    assert_eq!(
        shake(server(&other, DAY, now()), client, "cp.example").await,
        Err(TlsFault::UnknownAuthority)
    );

    for client in [agent(&ours, &ours, DAY, now()), enrolling_client(ours.fingerprint())] {
        let fault = shake(server(&ours, DAY, now()), Arc::clone(&client), "other.example").await.unwrap_err();
        let TlsFault::WrongName { wanted, names } = &fault else { panic!("{fault:?}") };
        assert_eq!((wanted.as_str(), names.len()), ("other.example", 2), "{fault}");
        assert!(fault.to_string().contains("--server-name"), "{fault}");

        let expired = server(&ours, Duration::from_secs(60), now() - 86_400_000);
        let fault = shake(expired, Arc::clone(&client), "cp.example").await.unwrap_err();
        assert!(matches!(fault, TlsFault::Expired { .. }), "{fault:?}");
        assert!(fault.to_string().contains("look at both clocks"), "{fault}");

        let early = server(&ours, DAY, now() + 86_400_000);
        let fault = shake(early, Arc::clone(&client), "cp.example").await.unwrap_err();
        assert!(matches!(fault, TlsFault::NotYetValid { .. }), "{fault:?}");
    }
}

#[tokio::test]
async fn an_agents_bad_certificate_is_refused_with_what_is_wrong() {
    let (ours, other) = (authority(now()), authority(now()));
    let refused = |client| {
        let server = server(&ours, DAY, now());
        async move {
            let fault = shake(server, client, "cp.example").await.unwrap_err();
            assert!(matches!(fault, TlsFault::Refused(_)), "{fault:?}");
            fault.to_string()
        }
    };
    let foreign = refused(agent(&other, &ours, DAY, now())).await;
    assert!(foreign.contains("of another authority"), "{foreign}");
    let expired = refused(agent(&ours, &ours, Duration::from_secs(60), now() - 86_400_000)).await;
    assert!(expired.contains("has expired"), "{expired}");
    let early = refused(agent(&ours, &ours, DAY, now() + 86_400_000)).await;
    assert!(early.contains("look at both clocks"), "{early}");
}

#[tokio::test]
async fn a_server_certificate_is_not_one_of_an_agent() {
    let ours = authority(now());
    let (issued, key) = ours.sign_server(&["cp.example".to_owned()], DAY, now()).unwrap();
    let client = agent_client(ours.certificate_pem(), &issued.certificate_pem, &key).unwrap();
    let fault = shake(server(&ours, DAY, now()), client, "cp.example").await.unwrap_err();
    assert!(matches!(fault, TlsFault::Refused(_)), "{fault:?}");
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told() {
    let (near, mut far) = duplex(64 << 10);
    let client = enrolling_client(authority(now()).fingerprint());
    let answering = async {
        far.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await.unwrap();
        far.shutdown().await.unwrap();
    };
    let asking = TlsConnector::from(client).connect("cp.example".try_into().unwrap(), near);
    let ((), asked) = tokio::join!(answering, asking);
    assert_eq!(TlsFault::from_io(&asked.unwrap_err()), Some(TlsFault::NotTls));
}

#[test]
fn configurations_are_made_of_what_belongs_together() {
    let (ours, other) = (authority(now()), authority(now()));
    let (issued, _) = ours.sign_server(&["cp".to_owned()], DAY, now()).unwrap();
    let (_, other_key) = other.sign_server(&["cp".to_owned()], DAY, now()).unwrap();
    let mixed = server_config(ours.certificate_pem(), &issued.certificate_pem, &other_key).unwrap_err();
    assert!(matches!(mixed, PkiError::Tls { .. }), "{mixed}");
    assert!(trusting_client("").is_err());
    assert!(Fingerprint::of_pem("").is_err());
    assert!(matches!("xyz".parse::<Fingerprint>(), Err(PkiError::Token { .. })));
    let printed = ours.fingerprint().to_string();
    assert_eq!(printed.parse::<Fingerprint>().unwrap(), ours.fingerprint());
}
