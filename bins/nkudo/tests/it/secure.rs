//! A control plane behind TLS.

use std::time::Duration;

use nkudo_pki::{Authority, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Ran, TOKEN, command, file};

/// Answers every request over TLS with an empty list, as long as it lives; its port, and its authority.
fn serving() -> (tokio::runtime::Runtime, u16, String) {
    let now_ms = nkudo_host::clock::wall_ms();
    let (authority, _) = Authority::create(now_ms).unwrap();
    let (issued, key) =
        authority.sign_server(&["127.0.0.1".to_owned()], Duration::from_secs(3_600), now_ms).unwrap();
    let ca_pem = authority.certificate_pem().to_owned();
    let chain = format!("{}{ca_pem}", issued.certificate_pem);
    let acceptor = TlsAcceptor::from(server_config(&ca_pem, &chain, &key).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            // Whoever does not trust the certificate leaves before it asks.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(String::from_utf8_lossy(&head).contains(&format!("authorization: Bearer {TOKEN}\r\n")));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"items\":[],\"next_cursor\":null}";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (runtime, port, ca_pem)
}

#[test]
fn the_authority_in_the_file_is_the_one_that_is_trusted() {
    let (_runtime, port, ca_pem) = serving();
    let other = Authority::create(nkudo_host::clock::wall_ms()).unwrap().0;
    let (_dir, right) = file("ca.pem", &ca_pem);
    let (_dir, wrong) = file("ca.pem", other.certificate_pem());
    let ask = |host: &str, ca_file: &std::path::Path| {
        let mut command = command(&["vms", "--server", &format!("https://{host}:{port}")]);
        Ran::of(command.env("NKUDO_CA_FILE", ca_file).env("NKUDO_TOKEN", TOKEN))
    };
    assert_eq!(ask("127.0.0.1", &right).expect(0).stdout(), "no vms\n");
    ask("127.0.0.1", &wrong).says(1, "of another authority than the one in the ca_file");
    ask("localhost", &right).says(1, "the server's certificate is not for localhost");
}
