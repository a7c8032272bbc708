//! The client against sockets that answer well, badly, or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod network;

use std::path::PathBuf;
use std::time::Duration;

use nkudo_api::{FieldError, Problem};
use nkudo_client::{Client, ClientError, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// The largest answer that is taken.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// A socket whose one caller is answered with these bytes once it has begun to ask; nothing is no answer at all.
fn serving(answer: Vec<u8>) -> (tempfile::TempDir, PathBuf, JoinSet<()>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let tasks = serving_at(&socket, answer);
    (dir, socket, tasks)
}

fn serving_at(socket: &std::path::Path, answer: Vec<u8>) -> JoinSet<()> {
    let listener = nkudo_host::unix::bind(socket).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        // A client that has enough hangs up: how much it took is for the test to judge.
        drop(stream.write_all(&answer).await);
    });
    tasks
}

/// An answer with the length of its body.
fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn ask(answer: Vec<u8>) -> Result<serde_json::Value, ClientError> {
    let (_dir, socket, _tasks) = serving(answer);
    Client::unix(socket).get("/v1/status").await
}

fn problem() -> Problem {
    let mut problem = Problem::new(422, "Unprocessable Content", "the request is not valid");
    let (path, detail) = ("params.vcpus".to_owned(), "is too small".to_owned());
    problem.errors.push(FieldError { path, detail });
    problem
}

#[tokio::test]
async fn answers_are_told_apart() {
    assert_eq!(ask(answer(200, "{\"a\": 1}")).await.unwrap()["a"], 1);
    match ask(answer(422, &serde_json::to_string(&problem()).unwrap())).await {
        Err(ClientError::Problem(told)) => assert_eq!(told, problem()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(ask(answer(200, "no")).await, Err(ClientError::Unexpected { .. })));
    assert!(matches!(ask(b"garbage\r\n\r\n".to_vec()).await, Err(ClientError::Broken { .. })));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec();
    assert!(matches!(ask(cut).await, Err(ClientError::Broken { .. })));
    assert!(matches!(ask(answer(500, "")).await, Err(ClientError::Status { status: 500 })));
    assert!(matches!(ask(answer(404, "<html>")).await, Err(ClientError::Status { status: 404 })));
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_waited_for_until_the_deadline() {
    let (_dir, socket, _tasks) = serving(Vec::new());
    let client = Client::unix(&socket).with_deadline(Duration::from_millis(50));
    let error = client.get::<()>("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().ends_with("did not answer within 50ms"), "{error}");
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let most = format!("\"{}\"", "x".repeat(ANSWER_MAX_BYTES - 2));
    assert_eq!(ask(answer(200, &most)).await.unwrap().as_str().unwrap().len(), ANSWER_MAX_BYTES - 2);
    let max_bytes = ANSWER_MAX_BYTES;
    for status in [200, 422] {
        match ask(answer(status, &format!("{most} "))).await {
            Err(ClientError::TooLarge { max_bytes: told }) => assert_eq!(told, max_bytes),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_of_a_body_that_is_not_read_is_heard() {
    let (_dir, socket, _tasks) = serving(answer(413, ""));
    let large = "x".repeat(8 << 20);
    let refused = Client::unix(socket).post::<()>("/v1/actions", &large).await;
    assert!(matches!(refused, Err(ClientError::Status { status: 413 })), "{refused:?}");
}

#[tokio::test]
async fn a_path_that_is_none_is_named() {
    let (_dir, socket, _tasks) = serving(answer(200, "1"));
    match Client::unix(socket).get::<()>("/v1/a b").await {
        Err(ClientError::Path { path, .. }) => assert_eq!(path, "/v1/a b"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_socket_may_be_deep_in_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let socket = deep.join("agent.sock");
    let _tasks = serving_at(&socket, answer(200, "7"));
    assert_eq!(Client::unix(socket).get::<u8>("/").await.unwrap(), 7);
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

/// A stream of events that ends with its connection.
fn stream(events: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}")
        .into_bytes()
}

#[tokio::test]
async fn events_come_one_by_one() {
    let answer = stream(
        ": a comment\n\nevent: action\ndata: {\"a\":\ndata: 1}\n\ndata:last\r\n\r\nevent: cut\ndata: not whole",
    );
    let (_dir, socket, _tasks) = serving(answer);
    let mut events = Client::unix(socket).events("/v1/actions/a/events").await.unwrap();
    let event =
        |name: &str, data: &str| Some(Event { name: name.to_owned(), data: data.to_owned(), has_id: false });
    assert_eq!(events.next().await.unwrap(), event("action", "{\"a\":\n1}"));
    assert_eq!(events.next().await.unwrap(), event("", "last"));
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(events.next().await.unwrap(), None, "asked again after the end");
}

#[tokio::test]
async fn an_event_has_a_bound_and_so_has_a_refusal_of_events() {
    let (_dir, socket, _tasks) = serving(stream(&format!("data: {}", "x".repeat(4 << 20))));
    let mut events = Client::unix(socket).events("/").await.unwrap();
    assert!(matches!(events.next().await, Err(ClientError::TooLarge { .. })));

    let (_dir, socket, _tasks) = serving(answer(409, &"x".repeat(ANSWER_MAX_BYTES + 1)));
    assert!(matches!(Client::unix(socket).events("/").await, Err(ClientError::TooLarge { .. })));

    let (_dir, socket, _tasks) = serving(answer(422, &serde_json::to_string(&problem()).unwrap()));
    assert!(
        matches!(Client::unix(socket).events("/").await, Err(ClientError::Problem(told)) if told == problem())
    );
}
