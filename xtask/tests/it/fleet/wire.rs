//! Listening to what an agent sends: a server that ends its TLS and passes it on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use nkudo_pki::{Fingerprint, PrivateKey, enrolling_client, server_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xtask::fleet::ControlPlane;

/// What was heard so far.
pub(crate) struct Heard {
    addr: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Heard {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

/// Takes one connection in the control plane's place, with its certificate, and passes everything on to it.
pub(crate) fn listen(control: &ControlPlane) -> Heard {
    let read = |name: &str| std::fs::read_to_string(control.data_dir().join(name)).unwrap();
    let (ca, chain) = (read("ca.pem"), read("server.pem"));
    let key = PrivateKey::from_pem(&read("server.key")).unwrap();
    let acceptor = TlsAcceptor::from(server_config(&ca, &chain, &key).unwrap());
    let connector = TlsConnector::from(enrolling_client(Fingerprint::of_pem(&ca).unwrap()));
    let upstream = control.url().trim_start_matches("https://").to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let heard = Heard { addr, bytes: Arc::clone(&bytes) };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (from_agent, _) = listener.accept().await.unwrap();
            let (mut agent_reads, mut agent_writes) =
                tokio::io::split(acceptor.accept(from_agent).await.unwrap());
            let onward = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            let name = "127.0.0.1".try_into().unwrap();
            let onward = connector.connect(name, onward).await.unwrap();
            let (mut server_reads, mut server_writes) = tokio::io::split(onward);
            let there = async {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = agent_reads.read(&mut buffer).await {
                    bytes.lock().unwrap().extend_from_slice(&buffer[..read]);
                    server_writes.write_all(&buffer[..read]).await.unwrap();
                    server_writes.flush().await.unwrap();
                }
            };
            let back = tokio::io::copy(&mut server_reads, &mut agent_writes);
            tokio::select! {
                () = there => {}
                _ = back => {}
            }
        });
    });
    heard
}

/// The secret number of a P-256 key in PKCS#8: the octet string of 32 bytes in RFC 5915's structure.
pub(crate) fn p256_scalar(pem: &str) -> Vec<u8> {
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use rustls_pki_types::pem::PemObject as _;
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let bytes = der.secret_pkcs8_der();
    let header = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = bytes.windows(header.len()).position(|window| window == header).unwrap() + header.len();
    bytes[at..at + 32].to_vec()
}
