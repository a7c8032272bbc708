//! A server that plays the control plane, and the program that asks it.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve};
use nkudo_api::Problem;
use serde_json::{Value, json};

pub(crate) const AGENT: &str = "0190a5d0-0000-7000-8000-00000000a9e1";
pub(crate) const VM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const TOKEN: &str = "nkk1.the-key.the-secret.sum";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and path with query: `GET /v1/vms?limit=50`.
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// Answers requests by a function, and remembers them. Ends with its value.
pub(crate) struct ControlPlane {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: tokio::runtime::Runtime,
}

impl ControlPlane {
    pub(crate) fn new(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let asked = read(request).await;
                seen.lock().unwrap().push(asked.clone());
                answer(&asked)
            }
        });
        runtime.spawn(async move { serve(listener, router).await });
        Self { addr, asked, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything that was asked, as method, path and query.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The program, told where this is and with a token.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.env("NKUDO_SERVER", self.url()).env("NKUDO_TOKEN", TOKEN);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }
}

async fn read(request: Request) -> Asked {
    let line = format!("{} {}", request.method(), request.uri());
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    Asked { line, authorization, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

/// The program, in an environment without settings.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nkudo"));
    for name in ["SERVER", "TOKEN", "TOKEN_FILE", "CA_FILE", "CONFIG"] {
        command.env_remove(format!("NKUDO_{name}"));
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// A program that has ended.
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(command.output().unwrap())
    }

    /// Runs a command with a text as its standard input.
    pub(crate) fn with_input(command: &mut Command, input: &str) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Self(child.wait_with_output().unwrap())
    }

    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// The one JSON document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout()).unwrap_or_else(|_| panic!("{}{}", self.stdout(), self.stderr()))
    }

    /// Holds it against an exit code; says everything when it is another.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "stdout: {}\nstderr: {}", self.stdout(), self.stderr());
        self
    }

    /// Holds it against an exit code and a part of what it said on standard error.
    pub(crate) fn says(self, code: i32, part: &str) -> Self {
        let ran = self.expect(code);
        assert!(ran.stderr().contains(part), "wanted: {part}\nfound: {}", ran.stderr());
        ran
    }
}

/// A program that a test ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn interrupt(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A file with this content, in a directory that goes with the value.
pub(crate) fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

pub(crate) fn ok(value: &Value) -> Response {
    answer(200, value)
}

pub(crate) fn answer(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

pub(crate) fn problem(status: u16, detail: &str) -> Response {
    answer(status, &serde_json::to_value(Problem::new(status, "Refused", detail)).unwrap())
}

pub(crate) fn page(items: &[Value], next_cursor: Option<&str>) -> Response {
    ok(&json!({ "items": items, "next_cursor": next_cursor }))
}

/// A stream of an action's events, one for each status; it ends with them, or stays open.
pub(crate) fn events(statuses: &[&str], stays_open: bool) -> Response {
    let texts: Vec<String> =
        statuses.iter().map(|status| format!("event: action\ndata: {}\n\n", action("a-1", status))).collect();
    let told = Bytes::from(texts.concat());
    let told = futures_util::stream::iter([Ok::<_, Infallible>(told)]);
    let body = if stays_open {
        Body::from_stream(futures_util::StreamExt::chain(told, futures_util::stream::pending()))
    } else {
        Body::from_stream(told)
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

pub(crate) fn action(action_id: &str, status: &str) -> Value {
    let error = (status == "failure").then_some("cannot stop vm web-1: it is gone");
    json!({
        "action_id": action_id, "plan_id": null, "agent_id": AGENT, "action_type": "MicroVMStop", "status": status,
        "changed": (status == "success").then_some(true), "error": error, "result": null, "retries": 0,
        "created_at": "2026-01-02T03:04:05.678Z", "started_at": null, "completed_at": null, "duration_ms": 12,
        "trace_id": null, "vm_id": VM, "a_later_key": 1
    })
}

pub(crate) fn vm(name: &str) -> Value {
    json!({
        "vm_id": VM, "vm_name": name, "agent_id": AGENT, "state": "running", "reason": null, "vcpus": 2,
        "memory_bytes": 67_108_864, "provider": "qemu", "pid": 4711, "since": "2026-01-02T03:04:05.678Z",
        "restarts": 0, "labels": {}
    })
}

/// How long a state is waited for. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
