//! An edge agent that a workflow runs: built, started on a directory of its own, talked to as a user would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::interrupt;
use crate::shell::{cargo, root, run};

/// How long a state is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The agent's configuration, in the host's directory.
const CONFIG: &str = "edge-agent.toml";
/// Memory of a VM of the test guest, in bytes.
const VM_MEMORY_BYTES: u64 = 32 << 20;

/// Builds the agent and says where it is.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "edge-agent"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join(if release { "release" } else { "debug" }).join("edge-agent"))
}

/// Looks again and again until `look` finds something.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T> {
    poll(what, PATIENCE, Duration::from_millis(5), look)
}

/// As [`until`], looking every millisecond or oftener: for measurements.
pub fn until_finely<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T> {
    poll(what, PATIENCE, Duration::from_micros(200), look)
}

/// Looks all the while whether `what` holds.
pub fn holds(what: &str, duration: Duration, holds: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    until(what, || {
        let broken = !holds();
        (broken || began.elapsed() >= duration).then_some(broken)
    })
    .and_then(|broken| if broken { bail!("it does not hold that {what}") } else { Ok(()) })
}

/// Looks every `pause` until `look` finds something, or patience or the user ends it.
#[expect(
    clippy::disallowed_methods,
    reason = "another program's state can only be looked at again and again"
)]
pub(crate) fn poll<T>(
    what: &str,
    patience: Duration,
    pause: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        interrupt::check()?;
        if began.elapsed() > patience {
            bail!("waited {} s for {what}", patience.as_secs());
        }
        std::thread::sleep(pause);
    }
}

/// A host: a directory with the guest's kernel, the agent's state, and the agent while it runs.
#[derive(Debug)]
pub struct Host {
    program: PathBuf,
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Host {
    pub fn new(program: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("nkudo-").tempdir()?;
        std::fs::write(dir.path().join("tiny.elf"), nkudo_providers::guest::TINY)?;
        Ok(Self { program: program.to_owned(), dir, daemon: None })
    }

    pub fn kernel(&self) -> PathBuf {
        self.dir.path().join("tiny.elf")
    }

    /// Everything of this host is in here.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Child::id)
    }

    /// Gives the agent a configuration file; it is read at each start.
    pub fn configure(&self, toml: &str) -> Result<()> {
        Ok(std::fs::write(self.dir.path().join(CONFIG), toml)?)
    }

    /// Starts the agent; does not wait for it. Ctrl-C is not for it: who started it ends it.
    pub fn spawn(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = self
            .command(&["run", "--metrics-addr", "127.0.0.1:0", "--log-format", "json"])
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.daemon = Some(child);
        Ok(())
    }

    /// Starts the agent and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    pub fn wait_ready(&mut self) -> Result<()> {
        until_finely("the agent to be ready", || (self.scrape("/readyz")?.0 == 200).then_some(()))
            .with_context(|| format!("its log: {}", std::fs::read_to_string(self.log()).unwrap_or_default()))
    }

    /// Kills the agent where it stands.
    pub fn kill_9(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        // A new one is ready when it says so itself, not because the old one said so.
        match std::fs::remove_file(self.state_dir().join("edge-agent.addr.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Ends the agent as an init system does.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        signal(daemon.id(), "TERM")?;
        let status = until("the agent to end", || daemon.try_wait().ok().flatten())?;
        if status.success() { Ok(()) } else { bail!("the agent ended with {status}") }
    }

    /// A command of the agent's command line on this host.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--state-dir").arg(self.state_dir()).args(args).stdin(Stdio::null());
        let config = self.dir.path().join(CONFIG);
        if config.exists() {
            command.arg("--config").arg(config);
        }
        command
    }

    /// What a command prints, whatever its exit code.
    pub fn says(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output()?;
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// A command's answer as JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let said = self.says(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&said).with_context(|| format!("{args:?} said {said:?}"))
    }

    /// Applies one action, which must succeed.
    pub fn apply(&self, action: &Value) -> Result<Value> {
        let file = self.dir.path().join("apply.json");
        std::fs::write(&file, action.to_string())?;
        let path = file.to_str().context("the directory's name is text")?;
        let output = self.command(&["apply", "--output", "json", "-f", path]).output()?;
        let said = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            bail!("{action} failed: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_str(said.trim_end())?)
    }

    /// Asks for an action over the socket and does not wait for its end.
    pub fn submit(&self, action: &Value) -> Result<()> {
        let mut socket = UnixStream::connect(self.state_dir().join("agent.sock"))?;
        let body = action.to_string();
        write!(
            socket,
            "POST /v1/actions HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 202") { Ok(()) } else { bail!("{action} was refused: {answer}") }
    }

    /// Status and body of a path of the metrics endpoint; none while nobody answers.
    pub fn scrape(&self, path: &str) -> Option<(u16, String)> {
        let text = std::fs::read_to_string(self.state_dir().join("edge-agent.addr.json")).ok()?;
        let address: Value = serde_json::from_str(&text).ok()?;
        http_get(address["metrics_addr"].as_str()?, path)
    }

    pub fn vms(&self) -> Result<Vec<Value>> {
        Ok(self.json(&["vms"])?["items"].as_array().cloned().unwrap_or_default())
    }

    pub fn vm(&self, vm_id: &str) -> Result<Value> {
        self.vms()?
            .into_iter()
            .find(|vm| vm["vm_id"] == vm_id)
            .with_context(|| format!("vm {vm_id} is not there"))
    }

    pub fn vm_dir(&self, vm_id: &str) -> PathBuf {
        self.state_dir().join("vms").join(vm_id)
    }

    /// What the guest said on its serial console.
    pub fn console(&self, vm_id: &str) -> String {
        let bytes = std::fs::read(self.vm_dir(vm_id).join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A body that creates a VM of the test guest.
    pub fn create(&self, vm_id: &str, vm_name: &str) -> Value {
        json!({"action_type": "MicroVMCreate", "params": {"vm_id": vm_id, "vm_name": vm_name, "vcpus": 1,
            "memory_bytes": VM_MEMORY_BYTES, "kernel": self.kernel(), "cmdline": format!("pm {vm_name}")}})
    }

    /// The processes that run in this host's directory, the agent left out.
    pub fn leftovers(&self) -> Vec<u32> {
        let agent = self.pid();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
            .filter(|pid| *pid != agent)
            .filter(|pid| {
                std::fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|cwd| cwd.starts_with(self.dir.path()))
            })
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
        for pid in self.leftovers() {
            drop(signal(pid, "KILL"));
        }
        // Before its directory goes: a process that dies may still write there.
        drop(until("what is left to die", || self.leftovers().is_empty().then_some(())));
    }
}

/// An id for the VM of this number.
pub fn vm_id(number: u32) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012}")
}

/// A body that does this to a VM.
pub fn on(action_type: &str, vm_id: &str) -> Value {
    json!({"action_type": action_type, "params": {"vm_id": vm_id}})
}

/// Status and body of an HTTP resource; none while nobody answers.
pub fn http_get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Whether the process is there and no zombie.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: &str) -> Result<()> {
    let status =
        Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { bail!("process {pid} took no signal") }
}
