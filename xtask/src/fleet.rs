//! A control plane that a workflow runs, and hosts that are enrolled with it: built, started on a directory of its own,
//! talked to as an operator would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::agent::{Host, signal, until, until_finely};
use crate::shell::{cargo, root, run};

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// The programs of a fleet.
#[derive(Debug, Clone)]
pub struct Programs {
    pub edge_agent: PathBuf,
    pub control_plane: PathBuf,
    pub nkudo: PathBuf,
}

/// Builds the three programs and says where they are.
pub fn build(release: bool) -> Result<Programs> {
    let mut build = cargo();
    build.args(["build", "--quiet", "-p", "edge-agent", "-p", "control-plane", "-p", "nkudo"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let dir = root().join(target).join(if release { "release" } else { "debug" });
    Ok(Programs {
        edge_agent: dir.join("edge-agent"),
        control_plane: dir.join("control-plane"),
        nkudo: dir.join("nkudo"),
    })
}

/// A control plane: its data directory, and the server while it runs. Its ports stay the same over restarts.
#[derive(Debug)]
pub struct ControlPlane {
    programs: Programs,
    dir: tempfile::TempDir,
    server: Option<Child>,
    /// Where agents and operators connect, from the first start on.
    addrs: Option<(String, String)>,
    extra: Vec<String>,
}

impl ControlPlane {
    /// One that is not started yet; `extra` flags go to its server.
    pub fn new(programs: &Programs, extra: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("nkudo-cp-").tempdir()?;
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        Ok(Self { programs: programs.clone(), dir, server: None, addrs: None, extra })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Child::id)
    }

    /// Starts the server; does not wait for it. Ctrl-C is not for it: who started it ends it.
    pub fn spawn(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let free = || "127.0.0.1:0".to_owned();
        let (tls, http) = self.addrs.clone().unwrap_or_else(|| (free(), free()));
        let mut command = self.command(&["serve", "--log-format", "json"]);
        command.args(["--listen", &tls, "--http-listen", &http]).args(&self.extra);
        let child = command.stdout(Stdio::null()).stderr(log).process_group(0).spawn();
        self.server = Some(child.context("cannot start the control plane")?);
        Ok(())
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    pub fn wait_ready(&mut self) -> Result<()> {
        let file = self.data_dir().join("control-plane.addr.json");
        let ready = || {
            let text = std::fs::read_to_string(&file).ok()?;
            let addrs: Value = serde_json::from_str(&text).ok()?;
            let (tls, http) =
                (addrs["listen"].as_str()?.to_owned(), addrs["http_listen"].as_str()?.to_owned());
            let (status, _) = request(&http, "GET", "/readyz", None, None)?;
            (status == 200).then_some((tls, http))
        };
        let log = self.log();
        let told = || format!("its log: {}", std::fs::read_to_string(&log).unwrap_or_default());
        let addrs = until_finely("the control plane to be ready", ready).with_context(told)?;
        self.addrs = Some(addrs);
        Ok(())
    }

    /// Kills the server where it stands.
    pub fn kill_9(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        // A new one is ready when it says so itself, not because the old one said so.
        match std::fs::remove_file(self.data_dir().join("control-plane.addr.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Ends the server as an init system does.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        signal(server.id(), "TERM")?;
        let status = until("the control plane to end", || server.try_wait().ok().flatten())?;
        if status.success() { Ok(()) } else { bail!("the control plane ended with {status}") }
    }

    /// A command of the server's command line on this data directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.control_plane);
        command.args(args).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        command
    }

    /// A command of the operator's command line, with the admin's key.
    pub fn operator(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.nkudo);
        command.arg("--server").arg(format!("http://{}", self.http_addr()));
        command.arg("--token-file").arg(self.data_dir().join("admin.token"));
        command.args(args).stdin(Stdio::null());
        command
    }

    /// What an operator's command prints; it must succeed.
    pub fn operator_says(&self, args: &[&str]) -> Result<String> {
        let output = self.operator(args).output()?;
        let said = String::from_utf8(output.stdout)?.trim_end().to_owned();
        ensure!(
            output.status.success(),
            "nkudo {} failed: {said}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }

    /// Where agents connect.
    pub fn url(&self) -> String {
        format!("https://{}", self.addrs.as_ref().map_or("", |(tls, _)| tls))
    }

    pub fn http_addr(&self) -> &str {
        self.addrs.as_ref().map_or("", |(_, http)| http)
    }

    /// The admin's key.
    pub fn key(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data_dir().join("admin.token"))?.trim().to_owned())
    }

    /// An enrolment token for so many agents.
    pub fn token(&self, uses: u32) -> Result<String> {
        let output =
            self.command(&["token", "create", "--uses", &uses.to_string(), "--output", "json"]).output()?;
        ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
        let created: Value = serde_json::from_slice(&output.stdout)?;
        Ok(created["token"].as_str().context("a token is there")?.to_owned())
    }

    /// Enrols a host and answers its agent's id.
    pub fn enrol(&self, host: &Host) -> Result<String> {
        let token = self.token(1)?;
        let enrolled = host.json(&["enroll", "--control-plane", &self.url(), "--token", &token])?;
        Ok(enrolled["agent_id"].as_str().with_context(|| format!("{enrolled} names an agent"))?.to_owned())
    }

    /// Status and body of a REST request with the admin's key; none while nobody answers.
    pub fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<(u16, Value)>> {
        let answer = request(self.http_addr(), method, path, Some(&self.key()?), body);
        let Some((status, text)) = answer else { return Ok(None) };
        let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
        Ok(Some((status, value)))
    }

    /// The body of a REST resource, which must be there.
    pub fn get(&self, path: &str) -> Result<Value> {
        match self.rest("GET", path, None)? {
            Some((200, body)) => Ok(body),
            Some((status, body)) => bail!("GET {path} answered {status}: {body}"),
            None => bail!("GET {path} was not answered"),
        }
    }

    /// Every item of a list, page by page.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=1000{cursor}"))?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Waits until an agent's presence is this.
    pub fn wait_presence(&self, agent_id: &str, presence: &str) -> Result<()> {
        until(&format!("the agent to be {presence}"), || {
            let agent = self.get(&format!("/v1/agents/{agent_id}")).ok()?;
            (agent["presence"] == presence).then_some(())
        })
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Status and body of an HTTP request; none while nobody answers.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE)).ok()?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{key}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
