use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nkudo_host::unix::{bind, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::children::soon;

/// A path of a socket, `bytes` long or a little more, in a directory that is there.
fn path_of(root: &Path, bytes: usize) -> PathBuf {
    let mut directory = root.to_owned();
    while directory.as_os_str().len() + "/agent.sock".len() < bytes {
        directory.push("a-directory-with-a-long-name");
    }
    fs::create_dir_all(&directory).expect("directories");
    directory.join("agent.sock")
}

#[tokio::test]
async fn sockets_at_short_and_long_paths() {
    for bytes in [0, 108, 200, 900] {
        let root = tempfile::tempdir().expect("a directory");
        let path = path_of(root.path(), bytes);
        assert!(path.as_os_str().len() >= bytes);
        assert_eq!(connect(&path).await.expect_err("nothing there").kind(), ErrorKind::NotFound);

        let listener = bind(&path).expect("it listens");
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
        let talk = async {
            let (client, server) = tokio::join!(connect(&path), listener.accept());
            let (mut client, mut server) = (client.expect("connected"), server.expect("accepted").0);
            client.write_all(b"ping").await.expect("written");
            let mut heard = [0; 4];
            server.read_exact(&mut heard).await.expect("read");
            heard
        };
        assert_eq!(&soon("the words", talk).await, b"ping", "{bytes} bytes");

        assert_eq!(bind(&path).expect_err("taken").kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(connect(&path).await.expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
        let _again = bind(&path).expect("a stale socket is replaced");
        soon("a connection", connect(&path)).await.expect("connected");
    }
}

#[tokio::test]
async fn a_listener_that_does_not_accept_is_not_stale() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("busy.sock");
    let _listener = bind(&path).expect("it listens");
    let mut waiting = Vec::new();
    let full = loop {
        match connect(&path).await {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 1000, "the queue has a bound");
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(bind(&path).expect_err("taken").kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("notes");
    fs::write(&path, "precious").expect("a file");
    assert_eq!(bind(&path).expect_err("refused").kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    let no_directory = path_of(root.path(), 150).join("absent/agent.sock");
    assert!(bind(&no_directory).is_err());
    let long_name = root.path().join("n".repeat(120));
    assert_eq!(bind(&long_name).expect_err("too long").kind(), ErrorKind::InvalidInput);
}
