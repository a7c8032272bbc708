//! The client against sockets that answer well, badly, or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::time::Duration;

use nkudo_client::{Client, ClientError, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A socket whose one caller is answered with these bytes.
fn serving(answer: &'static [u8]) -> (tempfile::TempDir, PathBuf, tokio::task::JoinSet<()>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let listener = nkudo_host::unix::bind(&socket).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(answer).await.unwrap();
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
    });
    (dir, socket, tasks)
}

async fn ask(answer: &'static [u8]) -> Result<serde_json::Value, ClientError> {
    let (_dir, socket, _tasks) = serving(answer);
    Client::unix(socket).with_deadline(Duration::from_millis(500)).get("/v1/status").await
}

#[tokio::test]
async fn answers_are_told_apart() {
    let json = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}";
    assert_eq!(ask(json).await.unwrap()["a"], 1);
    let problem =
        b"HTTP/1.1 422 X\r\ncontent-length: 58\r\n\r\n{\"title\": \"t\", \"status\": 422, \"detail\": \"vcpus is too small\"}";
    match ask(problem).await {
        Err(ClientError::Status { status: 422 } | ClientError::Problem(_)) => {}
        other => panic!("{other:?}"),
    }
    let not_json = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";
    assert!(matches!(ask(not_json).await, Err(ClientError::Unexpected { .. })));
    assert!(matches!(ask(b"garbage\r\n\r\n").await, Err(ClientError::Broken { .. })));
    assert!(matches!(
        ask(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{").await,
        Err(ClientError::Broken { .. })
    ));
    assert!(matches!(
        ask(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n").await,
        Err(ClientError::Status { status: 500 })
    ));
    assert!(matches!(ask(b"").await, Err(ClientError::Timeout { .. })));
}

#[tokio::test]
async fn nobody_listening_is_not_running() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = Client::unix(dir.path().join("agent.sock"));
    let error = nothing.get::<()>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("edge-agent run"), "{error}");
    let stale = dir.path().join("stale.sock");
    drop(nkudo_host::unix::bind(&stale).unwrap());
    assert!(matches!(Client::unix(stale).get::<()>("/").await, Err(ClientError::NotRunning { .. })));
}

#[tokio::test]
async fn events_come_one_by_one() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
        : a comment\n\nevent: action\ndata: {\"a\":\ndata: 1}\n\ndata:last\r\n\r\nevent: cut";
    let (_dir, socket, _tasks) = serving(answer);
    let mut events = Client::unix(socket).events("/v1/actions/a/events").await.unwrap();
    let event = |name: &str, data: &str| Some(Event { name: name.to_owned(), data: data.to_owned() });
    assert_eq!(events.next().await.unwrap(), event("action", "{\"a\":\n1}"));
    assert_eq!(events.next().await.unwrap(), event("", "last"));
    assert_eq!(events.next().await.unwrap(), None);
}
